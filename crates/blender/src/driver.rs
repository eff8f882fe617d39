//! The driver script that runs inside Blender, and how a Blender is started with it.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    "assembling.py",
    "caches.py",
    "copying.py",
    "display.py",
    "exr.py",
    "facts.py",
    "files.py",
    "frames.py",
    "link.py",
    "opening.py",
    "output.py",
    "paths.py",
    "physics.py",
    "rendering.py",
    "scan.py",
    "sequences.py",
    "slicing.py",
    "splitting.py",
    "threads.py",
    "within.py"
];

/// Names the file descriptor of the socket.
pub(crate) const FD_VARIABLE: &str = "TESSERA_DRIVER_FD";
/// Names how many threads Blender may use; absent: all.
pub(crate) const THREADS_VARIABLE: &str = "TESSERA_DRIVER_THREADS";

/// How the folders of drivers begin.
const PREFIX: &str = "tessera-driver-";
/// Locked by the program that uses a folder, for as long as it lives.
const LOCK: &str = "lock";
/// A folder younger than this may be about to be locked.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// The script on disk, in a folder that only this user can write, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct DriverFile {
    dir: TempDir,
    /// Held for its lock.
    _lock: File,
}

impl DriverFile {
    pub(crate) fn write() -> io::Result<Self> {
        Self::write_in(&std::env::temp_dir(), STALE_AFTER)
    }

    fn write_in(root: &Path, stale_after: Duration) -> io::Result<Self> {
        sweep(root, stale_after);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.lock()?;
        std::fs::write(dir.path().join("main.py"), MAIN)?;
        let package = dir.path().join("tessera_driver");
        std::fs::create_dir(&package)?;
        for (name, content) in PACKAGE {
            std::fs::write(package.join(name), content)?;
        }
        Ok(Self { dir, _lock: lock })
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

/// Removes what killed programs of this user left behind: gigabytes, if their Blenders wrote temporary files. What cannot be
/// removed is left alone.
fn sweep(root: &Path, stale_after: Duration) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let is_old = |facts: Metadata| {
            let age = facts.modified().ok().and_then(|at| at.elapsed().ok());
            facts.is_dir()
                && facts.uid() == rustix::process::geteuid().as_raw()
                && age.is_some_and(|age| age >= stale_after)
        };
        if entry.metadata().is_ok_and(is_old)
            && let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_left_is_removed_and_what_is_in_use_is_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |stale_after| DriverFile::write_in(root.path(), stale_after).unwrap();
        let used = write(Duration::ZERO);
        let DriverFile { dir, _lock } = write(Duration::ZERO);
        let left = dir.keep();
        drop(_lock);
        drop(write(STALE_AFTER));
        assert!(left.exists(), "it could have been made a moment ago");
        drop(write(Duration::ZERO));
        assert!(!left.exists());
        assert!(used.path().exists());
    }
}
