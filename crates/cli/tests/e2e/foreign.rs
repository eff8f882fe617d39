//! Scenes that name their files as another system does.

use crate::site::Site;
use crate::world::{Project, World, as_root, identical, on_both, tessera_run, text};

on_both!(paths_of_windows);

/// A scene made on Windows, submitted here and rendered by a worker that shares no file with this machine: drives, a share, mixed
/// separators, a library that lies there, too. It comes out as the same scene does that names its files as they lie here.
fn paths_of_windows(world: &World) {
    if !as_root() {
        return;
    }
    let script = "../blender/tests/scenes/foreign.py";
    let project = world.project(script, &[], "foreign", "proj/main.blend");
    let (work, films) = (project.path("mnt"), project.path("nas"));
    let here = Project::new(project.folder.clone(), project.path("proj/here.blend"));
    let as_here = format!(
        "import bpy\nfor image in bpy.data.images:\n    image.filepath = image.filepath.replace('C:/work', '{0}').replace('C:\\\\work\\\\tex\\\\', '{0}/tex/')",
        text(&work)
    );
    let local = world.path("local");
    here.render_locally(world, "proj/out/####", (1, 2), &as_here, &local);

    let mut site = Site::new(world.home("boss"));
    let missing = tessera_run(&site.boss, &["submit", project.file(), "-f", "1..2"]);
    missing.refused(1, &["--map-path", "image 'a.png", r"C:/work", r"\\nas"]);

    // A folder that is not there: what the scene says, and what is made of it.
    let nowhere = ["--map-path", r"C:\work=/no/such/folder"];
    let submit = [&["submit", project.file(), "-f", "1"], &nowhere[..]].concat();
    let missing = tessera_run(&site.boss, &submit);
    missing.refused(1, &[r"C:/work", "/no/such/folder/"]);

    let maps = [
        format!(r"c:\work={}", text(&work)),
        format!(r"\\NAS\films={}", text(&films)),
    ];
    let flags = ["-f", "1..2", "--map-path", &maps[0], "--map-path", &maps[1]];
    let job = site.submit(&project, &flags);
    // Packed by the same rules, it opens without them.
    let packed = world.path("packed");
    let pack = ["pack", project.file(), "-o", text(&packed)];
    tessera_run(&site.boss, &[&pack, &flags[..]].concat()).done();
    std::fs::rename(&project.folder, world.path("away")).unwrap();
    let unpacked = Project::new(packed.clone(), packed.join("proj/main.blend"));
    let again = world.path("again");
    unpacked.render_locally(world, "proj/out/####", (1, 2), "", &again);
    identical(&again.join("proj/out"), &local.join("proj/out"), 2);
    site.hire(world.home_elsewhere("anna"), "anna");
    let farm = world.path("farm");
    let job = job.to_string();
    tessera_run(&site.boss, &["fetch", &job, "--wait", "-o", text(&farm)]).done();
    identical(&farm, &local.join("proj/out"), 2);
}

/// A file whose name differs by a capital letter only, which Windows would find: it is missing here, and the near one is proposed.
#[test]
fn names_that_differ_by_case() {
    let world = World::any();
    let project = world.scene("plain");
    let textures = project.path("textures");
    std::fs::rename(textures.join("wood.png"), textures.join("Wood.PNG")).unwrap();
    let boss = world.home("boss");
    let _manager = boss.manager(&[]).unwrap();
    let missing = tessera_run(&boss, &["submit", project.file(), "-f", "1"]);
    missing.refused(
        1,
        &["image 'wood.png'", "did you mean", "textures/Wood.PNG"],
    );
}
