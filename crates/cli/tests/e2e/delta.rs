//! What travels of a scene that was sent before: all bodies of the second submission are counted, lists and questions too.
//!
//! `cargo xtask bench --only delta` measures it on a scene of 60 MB; here, on one of 10 MB, of which what is not the mesh is a larger part, it
//! is held that it stays of that order.

use tessera_wire::line::LineKind;
use xtask::farm::Home;

use crate::world::{Project, World, on_both, text};

on_both!(second_submissions);

/// Saved twice in one session, the camera moved between.
const MOVED: &str = "
import bpy, sys
blend = sys.argv[-1]
bpy.context.preferences.filepaths.save_version = 0
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False)
bpy.ops.wm.save_mainfile(compress=False)
bpy.ops.wm.save_as_mainfile(filepath=blend + '.before', compress=False, copy=True)
bpy.context.scene.camera.animation_data_clear()
bpy.context.scene.camera.location.x += 0.25
bpy.ops.wm.save_mainfile(compress=False)
";

/// Opened again, an object more.
const ADDED: &str = "
import bpy, sys
bpy.context.preferences.filepaths.save_version = 0
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1], load_ui=False)
bpy.ops.mesh.primitive_monkey_add(location=(1, 2, 3))
bpy.ops.wm.save_mainfile(compress=False)
";

fn second_submissions(world: &World) {
    let project = world.heavy("heavy", 10);
    edit(world, &project, MOVED);
    let moved = project.blend.with_extension("moved");
    std::fs::rename(&project.blend, &moved).unwrap();
    std::fs::rename(project.path("main.blend.before"), &project.blend).unwrap();
    let size = std::fs::metadata(&project.blend).unwrap().len();
    let share = |parts: u64| size * parts / 1000;

    let boss = world.home("boss");
    let _manager = boss.manager(&[]).unwrap();
    let (_, blocks) = submit(&boss, &project);
    assert!(blocks > share(500), "most of it the first time: {blocks}");
    let (sent, blocks) = submit(&boss, &project);
    assert!(blocks == 0 && sent < 4 << 10, "unchanged: {sent}, {blocks}");

    std::fs::rename(&moved, &project.blend).unwrap();
    let (sent, _) = submit(&boss, &project);
    // As blocks it would be the changed ones and their lists, some 20 KB.
    assert!(sent < 8 << 10, "the camera moved: {sent} of {size}");

    edit(world, &project, ADDED);
    let (sent, _) = submit(&boss, &project);
    assert!(sent < share(150), "an object added: {sent} of {size}");
    let (sent, blocks) = submit(&boss, &project);
    assert!(blocks == 0 && sent < 4 << 10, "unchanged: {sent}, {blocks}");
}

/// Changes the file in Blender.
fn edit(world: &World, project: &Project, code: &str) {
    let script = world.path("edit.py");
    std::fs::write(&script, code).unwrap();
    world
        .blender
        .script(&script, &[text(&project.blend)])
        .unwrap();
}

/// Hands it in: the bytes of all bodies sent, and the plain bytes of the blocks that the farm lacked.
fn submit(boss: &Home, project: &Project) -> (u64, u64) {
    let lines = boss.run(&["submit", project.file(), "-f", "1"]).unwrap();
    let last = lines.iter().rev().find_map(|line| match line {
        LineKind::Sending {
            sent_bytes,
            done_bytes,
            total_bytes,
            ..
        } => {
            assert_eq!(done_bytes, total_bytes, "all of it arrived");
            Some((*sent_bytes, *total_bytes))
        }
        _ => None,
    });
    last.unwrap_or_else(|| panic!("nothing is said of what was sent: {lines:?}"))
}
