//! Libraries in libraries, by relative and by absolute paths, in a tree that was moved elsewhere.

use std::path::{Path, PathBuf};

use tessera_blender::{FileKind, Open, Overrides, Remap, Render, ScanRequest};

use crate::pixels;
use crate::support::{Stage, builds};

#[tokio::test]
async fn a_mirrored_tree_renders_as_the_original() {
    for build in builds().await {
        for relative in [true, false] {
            check(&build, relative).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_library_is_refused_and_named() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("libraries.py", &["relative"]);
        let library = stage.path("libs/mid.blend");
        for damage in [&b"garbage"[..], &[]] {
            std::fs::write(&library, damage).unwrap();
            let told = match stage.open("proj/main.blend").await {
                Ok(_) => {
                    let log = stage.log("scan");
                    let request = ScanRequest::default();
                    stage.blender.scan(&request, &log).await.map(|_| ())
                }
                Err(error) => Err(error),
            };
            let told = told.unwrap_err().to_string();
            let named = told.contains(library.to_str().unwrap());
            assert!(named && told.contains("damaged"), "{build}: {told}");
        }
    }
}

async fn check(build: &tessera_blender::Build, relative: bool) {
    let what = format!("{build}, relative: {relative}");
    let mut stage = Stage::new(build).await;
    std::fs::create_dir(stage.path("origin")).unwrap();
    let origin = stage.path("origin");
    let arguments: &[&str] = if relative { &["relative"] } else { &[] };
    crate::support::run_script(build, "libraries.py", &origin, arguments);

    stage.open("origin/proj/main.blend").await.unwrap();
    let scan = stage.scan().await;
    let mut listed: Vec<_> = scan
        .files
        .iter()
        .map(|file| {
            (
                file.path.strip_prefix(&origin).unwrap(),
                file.kind,
                file.exists,
            )
        })
        .collect();
    listed.sort();
    let expected = [
        ("libs/a.png", FileKind::Image),
        ("libs/deep/a.png", FileKind::Image),
        ("libs/deep/deep.blend", FileKind::Library),
        ("libs/mid.blend", FileKind::Library),
    ];
    assert_eq!(
        listed,
        expected.map(|(path, kind)| (Path::new(path), kind, true)),
        "{what}"
    );
    let user = &scan
        .files
        .iter()
        .find(|file| file.path.ends_with("libs/a.png"))
        .unwrap()
        .used_by;
    assert_eq!(user, &["image 'a.png' in mid.blend"], "{what}");
    let before = render(&mut stage, "before").await;

    // The tree, mirrored below a root, and the original gone.
    let root = stage.path("root");
    let mirrored = root.join(origin.strip_prefix("/").unwrap());
    std::fs::create_dir_all(mirrored.parent().unwrap()).unwrap();
    std::fs::rename(&origin, &mirrored).unwrap();
    let open = Open {
        path: mirrored.join("proj/main.blend"),
        remap: vec![Remap {
            from: "/".into(),
            to: root,
        }],
        ..Open::default()
    };
    let log = stage.log("open-mirrored");
    for again in [false, true] {
        let opened = stage.blender.open(&open, &log).await.unwrap();
        assert_eq!(opened.missing_libraries, Vec::<PathBuf>::new(), "{what}");
        // Main links two libraries, mid links one; the second time only the two images in memory are left to do.
        let expected = match (relative, again) {
            (true, _) => 0,
            (false, false) => 5,
            (false, true) => 2,
        };
        assert_eq!(opened.repointed, expected, "{what}, again: {again}");
        let after = render(&mut stage, &format!("after-{again}")).await;
        assert_eq!(
            pixels::difference(&before, &after),
            Vec::<String>::new(),
            "{what}"
        );
    }
    let scan = stage.scan().await;
    assert!(
        scan.files
            .iter()
            .all(|file| file.exists && file.path.starts_with(&mirrored)),
        "{what}: {:#?}",
        scan.files
    );
}

async fn render(stage: &mut Stage, name: &str) -> PathBuf {
    let out_dir = stage.path(name);
    std::fs::create_dir(&out_dir).unwrap();
    let overrides = Overrides {
        exr: true,
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
    stage.blender.render(&render, &log).await.unwrap().files[0]
        .path
        .clone()
}
