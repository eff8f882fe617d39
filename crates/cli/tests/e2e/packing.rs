//! `tessera pack`: what a file needs is shown, and put together it renders elsewhere what it rendered where it was made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tessera_wire::line::{Line, LineKind};

use crate::ended::{Ended, run};
use crate::world::{Project, World, files_in, identical, on_both, tessera_run, text};

on_both!(
    a_packed_folder_renders_the_same_anywhere,
    packed_textures_render_the_same,
);

fn project(world: &World) -> Project {
    world.project(
        "tests/scenes/packed.py",
        &[],
        "made",
        "show/shots/shot.blend",
    )
}

fn lines(ended: &Ended) -> Vec<LineKind> {
    let text = ended.text();
    let line = |line| serde_json::from_str::<Line>(line).unwrap().what;
    text.lines().map(line).collect()
}

const ALL: [&str; 10] = [
    "pictures/p_0001.png",
    "pictures/p_0002.png",
    "pictures/p_0003.png",
    "pictures/p_0004.png",
    "show/libs/a.png",
    "show/libs/deep/a.png",
    "show/libs/deep/deep.blend",
    "show/libs/mid.blend",
    "show/shots/a.png",
    "show/shots/shot.blend",
];

/// Where it was made there is nothing any more: what is rendered comes out of `folder`.
fn render_elsewhere(world: &World, project: &Project, folder: &Path, name: &str) -> PathBuf {
    let gone = world.path("gone");
    if project.folder.exists() {
        fs::rename(&project.folder, &gone).unwrap();
    }
    let elsewhere = world.path(name).join("in another/place");
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::rename(folder, &elsewhere).unwrap();
    let moved = Project::new(elsewhere.clone(), elsewhere.join("show/shots/shot.blend"));
    let frames = world.path(&format!("{name}-frames"));
    moved.render_locally(world, "out/", (1, 4), "", &frames);
    frames
}

fn a_packed_folder_renders_the_same_anywhere(world: &World) {
    let (project, home) = (project(world), world.home("user"));
    let local = world.path("local");
    project.render_locally(world, "out/", (1, 4), "", &local);
    let (plain, inside) = (world.path("plain"), world.path("inside"));
    let before = fs::read(&project.blend).unwrap();
    let packed = tessera_run(
        &home,
        &["pack", project.file(), "-f", "1..4", "-o", text(&plain)],
    )
    .done();
    assert!(packed.text().contains("10 files"), "{packed}");
    tessera_run(
        &home,
        &[
            "pack",
            project.file(),
            "-f",
            "1..4",
            "-o",
            text(&inside),
            "--pack-textures",
        ],
    )
    .done();
    let names = |folder: &Path| -> Vec<_> {
        let names = files_in(folder).into_iter();
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&plain), ALL);
    // What was relative is as it was, byte for byte, and nothing of what it was made of was touched.
    let same =
        |name: &str| fs::read(plain.join(name)).unwrap() == fs::read(project.path(name)).unwrap();
    assert!(same("show/libs/deep/deep.blend") && same("show/libs/a.png"));
    assert!(before == fs::read(&project.blend).unwrap());
    // A sequence cannot be inside of a .blend.
    let outside: Vec<_> = ALL
        .into_iter()
        .filter(|name| !name.ends_with("/a.png"))
        .collect();
    assert_eq!(names(&inside), outside);

    for (folder, name) in [(plain, "plain-moved"), (inside, "inside-moved")] {
        let frames = render_elsewhere(world, &project, &folder, name);
        identical(&frames, &local, 4);
    }
}

fn packed_textures_render_the_same(world: &World) {
    let (project, home) = (project(world), world.home("user"));
    let local = world.path("local");
    project.render_locally(world, "show/shots/out/", (1, 4), "", &local);
    let flags = ["render", project.file(), "-f", "1..4", "--local"];
    let with = [&flags[..], &["--pack-textures", "--json"]].concat();
    let rendered = tessera_run(&home, &with).done();
    let farm = world.path("farm");
    let count = |ended: &Ended| {
        lines(ended).into_iter().find_map(|line| match line {
            LineKind::Packed { files, .. } => Some(files),
            _ => None,
        })
    };
    assert_eq!(count(&rendered), Some(7));
    // Packed or not, it is the same render: nothing is left to be done.
    let again = tessera_run(&home, &[&flags[..], &["--json"]].concat()).done();
    assert_eq!(count(&again), Some(10));
    assert!(!again.text().contains("\"submitted\""), "{again}");
    project.take_products(&farm);
    identical(&farm, &local, 4);
}

#[test]
fn what_is_needed_is_shown_and_what_is_missing_is_named() {
    let world = World::any();
    let (project, home) = (project(&world), world.home("user"));
    let shown = tessera_run(&home, &["pack", project.file(), "-f", "2", "--json"]).done();
    let needed: Vec<_> = lines(&shown)
        .into_iter()
        .filter_map(|line| match line {
            LineKind::Needed {
                path, kind, frames, ..
            } => {
                let name = path.strip_prefix(&project.folder).unwrap();
                Some((name.to_str().unwrap().to_owned(), kind, frames))
            }
            _ => None,
        })
        .collect();
    assert_eq!(needed.len(), 9, "{shown}");
    let has = |name: &str, kind: &str, frames: Option<&str>| {
        let wanted = (name.to_owned(), kind.to_owned(), frames.map(str::to_owned));
        assert!(needed.contains(&wanted), "{name}: {shown}");
    };
    has("show/shots/shot.blend", "blend", None);
    has("show/libs/mid.blend", "library", None);
    has("show/libs/deep/a.png", "image", None);
    has("pictures/p_0002.png", "sequence", Some("2"));

    fs::remove_file(project.path("show/libs/deep/a.png")).unwrap();
    let target = world.path("packed");
    let pack = |more: &[&str]| {
        let words = ["pack", project.file(), "-f", "2", "-o", text(&target)];
        tessera_run(&home, &[&words, more].concat())
    };
    let refused = pack(&[]);
    refused.failed(1, &["show/libs/deep/a.png", "image 'a.png' in deep.blend"]);
    assert!(refused.text().contains("MISSING"), "{refused}");
    assert!(!target.exists());
    pack(&["--allow-missing"]).done();
    assert_eq!(files_in(&target).len(), 8);
    // What is there is left alone.
    pack(&["--allow-missing"]).failed(2, &["packed", "is there already"]);
    assert_eq!(
        files_in(&world.path(""))
            .iter()
            .filter(|name| text(name).contains(".tessera-"))
            .count(),
        0
    );
}

#[test]
fn an_archive_unpacks_to_what_the_folder_is() {
    let world = World::any();
    let (project, home) = (project(&world), world.home("user"));
    let (archive, unpacked) = (world.path("shot.zip"), world.path("unpacked"));
    tessera_run(
        &home,
        &["pack", project.file(), "-f", "1..4", "-o", text(&archive)],
    )
    .done();
    let unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    run(Command::new("python3").args(["-c", unpack, text(&archive), text(&unpacked)])).done();
    let folder = unpacked.join("shot");
    let names: Vec<_> = files_in(&folder).into_iter().collect();
    assert_eq!(names, ALL.map(PathBuf::from));
    let png = "show/libs/deep/a.png";
    assert!(fs::read(folder.join(png)).unwrap() == fs::read(project.path(png)).unwrap());
}
