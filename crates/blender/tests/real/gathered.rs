//! What the scan lists is all that lies around a file, and Blender's own account knows of nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tessera_blender::FileKind;

use crate::support::{Stage, builds, run_script};

#[tokio::test]
async fn every_file_around_a_scene_is_listed() {
    let [_, newest] = builds().await.try_into().unwrap();
    let volumes = tempfile::tempdir().unwrap();
    run_script(&newest, "volumes.py", volumes.path(), &[]);
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        for kind in ["surfaces", "motion", "edit"] {
            check(&mut stage, kind, volumes.path()).await;
        }
    }
}

async fn check(stage: &mut Stage, kind: &str, volumes: &Path) {
    let what = format!("{}, {kind}", stage.build);
    let origin = stage.path(kind);
    std::fs::create_dir(&origin).unwrap();
    run_script(
        &stage.build,
        "gathered.py",
        &origin,
        &[kind, volumes.to_str().unwrap()],
    );
    stage
        .open(&format!("{kind}/proj/main.blend"))
        .await
        .unwrap();
    let scan = stage.scan().await;
    let listed: BTreeSet<_> = scan.files.iter().map(|file| file.path.clone()).collect();
    let mut there = files_below(&origin);
    assert!(there.remove(&origin.join("proj/main.blend")), "{what}");
    assert_eq!(listed, there, "{what}");
    for file in &scan.files {
        // Of what only Blender itself lists, all that is known is that the file needs it.
        let unknown = file.used_by == ["the file"] && file.kind == FileKind::Other;
        let detail = file.path.ends_with("detail.btx");
        assert_eq!((file.exists, unknown), (true, detail), "{what}: {file:?}");
    }
    assert_eq!(scan.notes, Vec::<String>::new(), "{what}");
}

fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}
