//! Blenders are found where they are named, asked once, and forgotten when they change.

use std::path::Path;

use tessera_blender::testing::install_fake_blender;
use tessera_blender::{Found, Search, find};

async fn search(paths: &[&Path], cache: &Path) -> Found {
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    find(&Search {
        paths,
        usual_places: false,
        cache: Some(cache.to_path_buf()),
    })
    .await
}

#[tokio::test]
async fn asked_once_until_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("blender-3.4.1-linux-x64");
    std::fs::create_dir(&inner).unwrap();
    let program = install_fake_blender(&inner).unwrap();
    let cache = dir.path().join("cache/builds.json");

    // By the folder that holds its folder, by its own, and by its name: one Blender.
    let found = search(&[dir.path(), &inner, &program], &cache).await;
    assert_eq!(found.builds.len(), 1, "{found:?}");
    assert_eq!(
        (found.builds[0].path.as_path(), found.broken.len()),
        (program.as_path(), 0)
    );

    // The same size and time: not asked, so not found out.
    let metadata = std::fs::metadata(&program).unwrap();
    let size = usize::try_from(metadata.len()).unwrap();
    let modified = metadata.modified().unwrap();
    std::fs::write(
        &program,
        [b"#!/bin/false\n".as_slice(), &vec![b' '; size - 13]].concat(),
    )
    .unwrap();
    set_modified(&program, modified);
    assert_eq!(search(&[&program], &cache).await.builds.len(), 1);

    set_modified(&program, modified + std::time::Duration::from_secs(1));
    let found = search(&[&program], &cache).await;
    assert!(found.builds.is_empty(), "{found:?}");
    assert!(
        found.broken[0].reason.contains("exit status 1"),
        "{found:?}"
    );
}

fn set_modified(path: &Path, time: std::time::SystemTime) {
    // A program that is open for writing cannot be run.
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[tokio::test]
async fn what_is_no_blender_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let text = dir.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    let absent = dir.path().join("absent");
    let found = search(
        &[&empty, &text, &absent, Path::new("/bin/true")],
        &dir.path().join("cache"),
    )
    .await;
    assert!(found.builds.is_empty());
    let reasons: Vec<&str> = found
        .broken
        .iter()
        .map(|broken| broken.reason.as_str())
        .collect();
    let [nothing, forbidden, gone, silent] = reasons.as_slice() else {
        panic!("{reasons:?}")
    };
    let mut expected = vec![
        (nothing, "neither Blender nor a Python"),
        (forbidden, "may be run"),
        (gone, "No such file"),
    ];
    expected.push((silent, "exit status 0"));
    for (reason, part) in expected {
        assert!(reason.contains(part), "{reasons:?}");
    }
}
