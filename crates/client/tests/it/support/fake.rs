//! A project for the fake Blender: files of any content, without the seconds that a real one takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tessera_blender::testing::{fake_blend, install_fake_blender};
use tessera_blender::{Build, probe};
use tessera_client::PackOptions;
use tessera_model::Overrides;

/// Longer than what two writes may be apart to get the same time.
const REST: Duration = Duration::from_millis(30);

/// A folder with `shot/scene.blend`, which uses the files that are put beside it.
pub struct FakeProject {
    pub dir: TempDir,
    build: Build,
}

impl FakeProject {
    /// With these files, named relative to the folder, of these bytes.
    pub async fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blender = dir.path().join("blender");
        std::fs::create_dir(&blender).unwrap();
        let build = probe(&install_fake_blender(&blender).unwrap())
            .await
            .unwrap();
        let project = Self { dir, build };
        let mut used = Vec::new();
        for (name, bytes) in files {
            let path = project.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            used.push(json!({ "path": path, "used_by": [format!("image '{name}'")] }));
        }
        let blend = project.blend();
        std::fs::create_dir_all(blend.parent().unwrap()).unwrap();
        std::fs::write(blend, fake_blend(&json!({ "files": used }))).unwrap();
        project.let_it_rest();
        project
    }

    /// Returns when the clock of the file system has gone on: what was written before is told from what is written after.
    pub fn let_it_rest(&self) {
        let path = self.path("clock");
        let tick = || {
            std::fs::write(&path, "tick").unwrap();
            std::fs::metadata(&path).unwrap().modified().unwrap()
        };
        let begin = tick();
        while tick() < begin + REST {
            std::thread::yield_now();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn blend(&self) -> PathBuf {
        self.path("shot/scene.blend")
    }

    pub fn options(&self) -> PackOptions {
        PackOptions {
            file: self.blend(),
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
        in_tree(&self.path(name))
    }
}

/// A path as a manifest names it.
pub fn in_tree(path: &Path) -> String {
    path.to_str().unwrap().trim_start_matches('/').to_owned()
}
