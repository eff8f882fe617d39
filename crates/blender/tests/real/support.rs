//! What the tests share: the two Blenders, folders, scenes made by scripts, a Blender launched on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tessera_blender::{
    Blender, Build, BuildKind, Error, Launch, LogFiles, Open, Opened, Overrides, Render, Rendered,
    Scan, ScanRequest, Search, Series, find, probe,
};

/// Both Blenders that every behaviour is tested on, and those named by `TESSERA_TEST_BLENDER` (parted as in PATH). A
/// missing one fails the test.
pub async fn builds() -> Vec<Build> {
    let cache = std::env::temp_dir().join("tessera-blender-tests-builds.json");
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
        build.cloned().unwrap_or_else(|| {
            panic!("no Blender {series} ({kind:?}) on this machine; run `make setup`. Found: {found:#?}")
        })
    };
    let mut builds: Vec<Build> = wanted.map(pick).into();
    for path in std::env::var_os("TESSERA_TEST_BLENDER")
        .iter()
        .flat_map(std::env::split_paths)
    {
        builds.push(probe(&path).await.unwrap());
    }
    builds
}

/// A folder of the test's own, and one living Blender.
pub struct Stage {
    pub build: Build,
    pub blender: Blender,
    dir: TempDir,
}

impl Stage {
    pub async fn new(build: &Build) -> Self {
        Self::with(build, &Launch::default()).await
    }

    pub async fn with(build: &Build, launch: &Launch) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFiles::in_dir(dir.path(), "launch");
        let blender = Blender::launch(build, launch, &log).await.unwrap();
        Self {
            build: build.clone(),
            blender,
            dir,
        }
    }

    /// Another living Blender in place of the one that was there.
    pub async fn replace(&mut self, launch: &Launch) {
        let log = self.log("launch");
        self.blender = Blender::launch(&self.build, launch, &log).await.unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self, name: &str) -> LogFiles {
        LogFiles::in_dir(self.dir.path(), name)
    }

    /// Runs a script of tests/scenes in a Blender of its own, with the folder as argument.
    pub fn make(&self, script: &str, arguments: &[&str]) {
        run_script(&self.build, script, self.dir.path(), arguments);
    }

    pub async fn open(&mut self, name: &str) -> Result<Opened, Error> {
        let open = Open {
            path: self.path(name),
            ..Open::default()
        };
        let log = self.log("open");
        self.blender.open(&open, &log).await
    }

    pub async fn scan(&mut self) -> Scan {
        let log = self.log("scan");
        self.blender
            .scan(&ScanRequest::default(), &log)
            .await
            .unwrap()
    }

    pub async fn render(&mut self, frame: i32, overrides: Overrides) -> Result<Rendered, Error> {
        let out_dir = self.path(&format!("out-{frame}-{}", uniquely()));
        std::fs::create_dir(&out_dir).unwrap();
        let render = Render {
            scene: "Scene".into(),
            frame,
            out_dir,
            name: None,
            overrides,
        };
        let log = self.log("render");
        self.blender.render(&render, &log).await
    }
}

fn uniquely() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn run_script(build: &Build, script: &str, dir: &Path, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scenes")
        .join(script);
    let mut command = Command::new(&build.path);
    match build.kind {
        BuildKind::Executable => command
            .args([
                "-b",
                "--factory-startup",
                "--python-exit-code",
                "1",
                "--python",
            ])
            .arg(script)
            .arg("--"),
        BuildKind::Module => command.arg("-B").arg(script),
    };
    let output = command.arg(dir).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
