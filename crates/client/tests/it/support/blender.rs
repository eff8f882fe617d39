//! The two Blenders of every test, and scenes that they make.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tessera_blender::{Build, BuildKind, Search, Series, find};
use tessera_client::PackOptions;
use tessera_model::Overrides;

/// Both Blenders that every behaviour is tested on. A missing one fails the test.
pub async fn builds() -> Vec<Build> {
    let cache = std::env::temp_dir().join("tessera-client-tests-builds.json");
    let found = find(&Search {
        cache: Some(cache),
        ..Search::default()
    })
    .await;
    let wanted = [
        (Series::new(3, 4), BuildKind::Executable),
        (Series::new(5, 0), BuildKind::Module),
    ];
    let pick = |(series, kind): (Series, BuildKind)| {
        let build = found
            .builds
            .iter()
            .find(|build| build.version.series() == series && build.kind == kind);
        build.cloned().unwrap_or_else(|| panic!("no Blender {series} ({kind:?}) on this machine; run `make setup`. Found: {found:#?}"))
    };
    wanted.map(pick).into()
}

/// A folder with scenes.
pub struct Scene {
    pub dir: TempDir,
    pub build: Build,
}

impl Scene {
    /// Runs tests/scenes/SCRIPT of this crate or of `tessera-blender` in a Blender of its own.
    pub fn make(build: &Build, script: &str) -> Self {
        Self::make_of(build, script, &[])
    }

    /// The same with arguments for the script.
    pub fn make_of(build: &Build, script: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shared = here.join("../blender/tests/scenes");
        let own = here.join("tests/scenes").join(script);
        let script = if own.exists() {
            own
        } else {
            shared.join(script)
        };
        let mut command = Command::new(&build.path);
        match build.kind {
            BuildKind::Executable => command
                .args([
                    "--background",
                    "--factory-startup",
                    "--python-exit-code",
                    "1",
                    "--python",
                ])
                .arg(script)
                .arg("--"),
            BuildKind::Module => command.arg(script),
        };
        let output = command
            .arg(dir.path())
            .args(arguments)
            .env("PYTHONPATH", &shared)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            dir,
            build: build.clone(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn options(&self, file: &str) -> PackOptions {
        PackOptions {
            file: file.into(),
            frames: None,
            overrides: Overrides::default(),
            output: None,
            cwd: self.dir.path().to_owned(),
            maps: Vec::new(),
            builds: vec![self.build.clone()],
            log_dir: self.path("logs"),
            cache_dir: Some(self.path("cache")),
            read_all: false,
            pack_textures: false,
            divide: tessera_client::Divide::default(),
            room: None,
        }
    }

    /// A path as a manifest names it.
    pub fn in_tree(&self, name: &str) -> String {
        self.path(name)
            .to_str()
            .unwrap()
            .trim_start_matches('/')
            .to_owned()
    }
}
