//! What the scan lists for some frames is enough for them: with nothing but those files, in another place, they come out the same.

use std::path::PathBuf;

use tessera_blender::{Build, FrameRange, Open, Overrides, Remap, Render, ScanRequest};

use crate::pixels;
use crate::support::{Stage, builds, run_script};

#[tokio::test]
async fn an_image_sequence() {
    for build in builds().await {
        let listed = [
            "seq/f_0002.png",
            "seq/f_0003.png",
            "seq/f_0004.png",
            "seq/f_0005.png",
        ];
        check(&build, "image_sequence", &[3, 4], &listed).await;
    }
}

#[tokio::test]
async fn views_of_an_image() {
    for build in builds().await {
        let listed = ["eyes/wall_L.png", "eyes/wall_R.png"];
        check(&build, "views", &[1], &listed).await;
    }
}

#[tokio::test]
async fn tiles_of_an_image() {
    for build in builds().await {
        let listed = ["tiles/skin.1001.png", "tiles/skin.1002.png"];
        check(&build, "udim", &[1], &listed).await;
    }
}

async fn check(build: &Build, kind: &str, frames: &[i32], expected: &[&str]) {
    let what = format!("{build}, {kind}");
    let mut stage = Stage::new(build).await;
    let origin = stage.path("origin");
    std::fs::create_dir(&origin).unwrap();
    run_script(build, "travelling.py", &origin, &[kind]);

    stage.open("origin/main.blend").await.unwrap();
    let request = ScanRequest {
        frames: Some(FrameRange {
            start: frames[0],
            end: frames[frames.len() - 1],
            step: 1,
        }),
        output: None,
    };
    let log = stage.log("scan");
    let scan = stage.blender.scan(&request, &log).await.unwrap();
    let listed: Vec<_> = scan.files.iter().map(|file| file.path.clone()).collect();
    let names: Vec<_> = listed
        .iter()
        .map(|path| path.strip_prefix(&origin).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, expected, "{what}");
    assert!(
        scan.files.iter().all(|file| file.exists),
        "{what}: {:#?}",
        scan.files
    );
    let before = render_all(&mut stage, frames, "before").await;
    for pair in before.windows(2) {
        let same = pixels::difference(&pair[0], &pair[1]).is_empty();
        assert!(!same, "{what}: the files are not seen");
    }

    let root = stage.path("root");
    for path in listed.into_iter().chain([origin.join("main.blend")]) {
        let mirrored = root.join(path.strip_prefix("/").unwrap());
        std::fs::create_dir_all(mirrored.parent().unwrap()).unwrap();
        std::fs::copy(&path, mirrored).unwrap();
    }
    std::fs::rename(&origin, stage.path("away")).unwrap();
    let open = Open {
        path: root
            .join(origin.strip_prefix("/").unwrap())
            .join("main.blend"),
        remap: vec![Remap {
            from: "/".into(),
            to: root,
        }],
        ..Open::default()
    };
    let log = stage.log("open-elsewhere");
    stage.blender.open(&open, &log).await.unwrap();
    let after = render_all(&mut stage, frames, "after").await;
    for ((before, after), frame) in before.iter().zip(&after).zip(frames) {
        let different = pixels::difference(before, after);
        assert_eq!(different, Vec::<String>::new(), "{what}, frame {frame}");
    }
}

async fn render_all(stage: &mut Stage, frames: &[i32], name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for &frame in frames {
        let out_dir = stage.path(&format!("{name}-{frame}"));
        std::fs::create_dir(&out_dir).unwrap();
        let overrides = Overrides {
            exr: true,
            ..Overrides::default()
        };
        let render = Render {
            scene: "Scene".into(),
            frame,
            out_dir,
            name: None,
            overrides,
        };
        let log = stage.log("render");
        let rendered = stage.blender.render(&render, &log).await.unwrap();
        files.push(rendered.files[0].path.clone());
    }
    files
}
