//! The driver script that runs inside Blender, and how a Blender is started with it.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use tessera_model::BuildKind;

macro_rules! modules {
    ($($name:literal),+) => {
        [$(($name, include_str!(concat!("driver/tessera_driver/", $name)))),+]
    };
}

/// The script; it travels in the program, so that driver and crate are always of one version.
const MAIN: &str = include_str!("driver/main.py");
/// The package that it imports.
const PACKAGE: &[(&str, &str)] = &modules![
    "__init__.py",
    "facts.py",
    "files.py",
    "link.py",
    "opening.py",
    "output.py",
    "paths.py",
    "physics.py",
    "rendering.py",
    "scan.py",
    "threads.py"
];

/// Names the file descriptor of the socket.
pub(crate) const FD_VARIABLE: &str = "TESSERA_DRIVER_FD";
/// Names how many threads Blender may use; absent: all.
pub(crate) const THREADS_VARIABLE: &str = "TESSERA_DRIVER_THREADS";

/// The script on disk, in a folder that only this user can write, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct DriverFile {
    dir: TempDir,
}

impl DriverFile {
    pub(crate) fn write() -> io::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("tessera-driver-")
            .tempdir()?;
        std::fs::write(dir.path().join("main.py"), MAIN)?;
        let package = dir.path().join("tessera_driver");
        std::fs::create_dir(&package)?;
        for (name, content) in PACKAGE {
            std::fs::write(package.join(name), content)?;
        }
        Ok(Self { dir })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("main.py")
    }

    /// Blender's temporary folder too: what it leaves there goes with the process.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn arguments(&self, kind: BuildKind, threads: Option<NonZeroU32>) -> Vec<OsString> {
        match kind {
            // No user site-packages, no .pyc beside what may be a read-only installation.
            BuildKind::Module => vec!["-s".into(), "-B".into(), self.path().into()],
            BuildKind::Executable => {
                let mut arguments: Vec<OsString> =
                    ["--background", "--factory-startup", "--disable-autoexec"]
                        .map(OsString::from)
                        .into();
                if let Some(threads) = threads {
                    arguments.extend(["--threads".into(), threads.to_string().into()]);
                }
                arguments.extend([
                    "--python-exit-code".into(),
                    "1".into(),
                    "--python".into(),
                    self.path().into(),
                ]);
                arguments
            }
        }
    }
}
