//! On a full disk Blender says "Saved" of a part of a file; a caller is told the truth.

use std::path::Path;
use std::process::Command;

use tessera_blender::{Error, Launch, Overrides, RefusalCode, Render};

use crate::support::{Stage, builds};

/// A disk of 64 KiB, mounted for as long as this lives.
struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    fn mount(place: &'a Path) -> Self {
        std::fs::create_dir(place).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(place);
        assert!(
            command.status().unwrap().success(),
            "this test mounts a small disk and needs the right to"
        );
        Self(place)
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_cut_file_is_not_a_frame() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("simple.py", &[]);
        let place = stage.path("tiny");
        let _disk = TinyDisk::mount(&place);
        for exr in [false, true] {
            stage.open("simple.blend").await.unwrap();
            let out_dir = place.join("out");
            let _ = std::fs::remove_dir_all(&out_dir);
            let _ = std::fs::remove_file(place.join("rest"));
            std::fs::create_dir(&out_dir).unwrap();
            // Room for a page, which neither file fits into.
            std::fs::write(place.join("rest"), vec![1; 60 << 10]).unwrap();
            let overrides = Overrides {
                exr,
                resolution_percentage: Some(300),
                ..Overrides::default()
            };
            let render = Render {
                scene: "Scene".into(),
                frame: 1,
                out_dir,
                name: None,
                overrides,
            };
            let log = stage.log("render");
            let error = stage.blender.render(&render, &log).await.unwrap_err();
            let Error::Failed { refusal, .. } = &error else {
                panic!("{build}: {error}")
            };
            assert_eq!(refusal.code, RefusalCode::Write, "{build}: {error}");
            stage.replace(&Launch::default()).await;
        }
        stage.open("simple.blend").await.unwrap();
        // A small frame fits on what is left of such a disk.
        let out_dir = place.join("small");
        let _ = std::fs::remove_dir_all(place.join("out"));
        let _ = std::fs::remove_file(place.join("rest"));
        std::fs::create_dir(&out_dir).unwrap();
        let overrides = Overrides {
            resolution_percentage: Some(10),
            ..Overrides::default()
        };
        let render = Render {
            scene: "Scene".into(),
            frame: 1,
            out_dir,
            name: None,
            overrides,
        };
        let log = stage.log("render");
        stage.blender.render(&render, &log).await.unwrap();
        // With room again it goes on.
        stage.render(1, Overrides::default()).await.unwrap();
    }
}
