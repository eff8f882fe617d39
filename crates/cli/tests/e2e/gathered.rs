//! Scenes of every kind of file, rendered by a worker that shares no file with whoever sent them, after the originals are gone.
//!
//! What each kind is, and where it is held:
//!
//! | kind | here | alone, with nothing but the files that its frames need |
//! |---|---|---|
//! | libraries in libraries, two `a.png`, overrides | `libraries` | `blender/tests/real/libraries` |
//! | HDRI, film, light profile, font, mesh cache | `surfaces` | |
//! | tiles, sequence, volumes | `surfaces` | `travelling`: `udim`, `image_*`, `volume_*` |
//! | baked cloth | `motion` | `travelling`: `cloth_*`, `particles_*` |
//! | Alembic in layers, USD in layers, shader of OSL (not as Debian builds 3.4), bake of nodes (since 4.2) | `motion` | `travelling`: `usd_sequence`, `nodes_bake` |
//! | baked ocean, fluid | | `travelling`: `ocean`, `fluid` (by its names) |
//! | compositor: picture, clip; sequencer: scene, pictures, film, sound | `edit` | `travelling`: `views`, `clip`, `strip` |
//! | a mesh of 60 MB | `a_mesh_of_60_megabytes` | |

use std::path::PathBuf;

use xtask::baseline::Baseline;

use crate::site::Site;
use crate::world::{Project, World, as_root, identical, on_both, tessera_run, text};

on_both!(a_file_system_of_its_own);

fn a_file_system_of_its_own(world: &World) {
    let volumes = world.volumes();
    let gathered = |kind| {
        let script = "../blender/tests/scenes/gathered.py";
        world.project(script, &[kind, text(&volumes)], kind, "proj/main.blend")
    };
    let scenes = [
        (gathered("surfaces"), 6),
        (gathered("motion"), 6),
        (gathered("edit"), 6),
        (libraries(world), 2),
    ];
    check(world, &scenes);
}

#[test]
#[ignore = "moves 60 MB through a program built for tests, for a minute; run by `make test-all`"]
fn a_mesh_of_60_megabytes() {
    for blender in Baseline::both().unwrap() {
        let world = World::new(blender);
        check(&world, &[(world.heavy("heavy", 60), 1)]);
    }
}

/// The frames of each project, from the first to this one.
fn check(world: &World, scenes: &[(Project, i32)]) {
    if !as_root() {
        return;
    }
    for (project, frames) in scenes {
        let out = frames_of(project).join("####");
        let output = text(out.strip_prefix(&project.folder).unwrap());
        project.render_locally(world, output, (1, *frames), "", &beside(project, "local"));
    }
    let mut site = Site::new(world.home("boss"));
    let jobs: Vec<_> = scenes
        .iter()
        .map(|(project, frames)| site.submit(project, &["-f", &format!("1..{frames}")]))
        .collect();
    for (project, _) in scenes {
        std::fs::rename(&project.folder, beside(project, "away")).unwrap();
    }
    site.hire(world.home_elsewhere("anna"), "anna");
    for ((project, frames), job) in scenes.iter().zip(jobs) {
        let farm = beside(project, "farm");
        let job = job.to_string();
        tessera_run(&site.boss, &["fetch", &job, "--wait", "-o", text(&farm)]).done();
        let frames_below = frames_of(project);
        let local = frames_below.strip_prefix(&project.folder).unwrap();
        let local = beside(project, "local").join(local);
        identical(&farm, &local, usize::try_from(*frames).unwrap());
    }
}

fn libraries(world: &World) -> Project {
    let script = "../blender/tests/scenes/libraries.py";
    world.project(script, &[], "libraries", "proj/main.blend")
}

/// Where its frames go.
fn frames_of(project: &Project) -> PathBuf {
    project.blend.with_file_name("out")
}

/// A folder of this kind for a project, outside of it.
fn beside(project: &Project, kind: &str) -> PathBuf {
    let name = project.folder.file_name().unwrap().to_str().unwrap();
    project.folder.with_file_name(format!("{name}-{kind}"))
}
