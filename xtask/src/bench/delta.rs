//! How much travels when a large scene was edited a little.
//!
//! Scenes: `heavy.blend`, about 60 MB, and `many.blend`, 8,000 objects with a mesh each, 36 MB; both saved raw by Blender 3.4.1.
//! Commands, on a farm of one manager: `tessera submit FILE -f 1`; then the file is changed, and the same command again. Counted:
//! every byte of the bodies that the second command sends to the manager, lists of blocks, questions and the job itself
//! included. Baseline: the file's size, which is what copying it would send.
//!
//! Changes: none; the camera moved and saved in the session that saved the file first; the camera moved in a session that opened it
//! (3.4 writes other addresses then, into every block); an object added in such a session.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tessera_wire::line::LineKind;

use super::Bench;
use super::table::{Aim, Figure};
use crate::baseline::Baseline;
use crate::farm::Home;

/// Begins every change: the file is open, and where it is saved is known.
const OPEN: &str = "
import bpy, sys
blend, edited = sys.argv[-2:]
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False)
camera = bpy.context.scene.camera
";
const SAVE_FIRST: &str = "
bpy.ops.wm.save_as_mainfile(filepath=blend, compress=False, copy=True)
";
const MOVE_CAMERA: &str = "
camera.animation_data_clear()
camera.location.x += 0.25
";
const ADD_OBJECT: &str = "
bpy.ops.mesh.primitive_monkey_add(location=(1, 2, 3))
";
const SAVE: &str = "
bpy.ops.wm.save_as_mainfile(filepath=edited, compress=False, copy=True)
";

/// 8,000 objects with a mesh each. Points and places are random, so that nothing compresses which would not in a scene of somebody's.
const MANY: &str = "
import bpy, random, sys
numbers = random.Random(8000)
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.camera = bpy.data.objects.new('Camera', bpy.data.cameras.new('Camera'))
scene.collection.objects.link(scene.camera)
scene.render.engine = 'CYCLES'
corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
for number in range(8000):
    mesh = bpy.data.meshes.new(f'Mesh {number}')
    mesh.from_pydata([[at + numbers.random() for at in corner] for corner in corners], [], faces)
    made = bpy.data.objects.new(f'Object {number}', mesh)
    made.location = [300 * numbers.random() for _ in range(3)]
    scene.collection.objects.link(made)
bpy.context.preferences.filepaths.save_version = 0
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1], compress=False)
";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = bench.out.join("delta");
    std::fs::create_dir_all(&folder)?;
    let scenes = bench.scenes()?;
    let home = Home::new(&bench.tessera, &folder.join("home"));
    let _manager = home.manager(&[])?;
    let edits = Edits {
        blender: &scenes.blender,
        home: &home,
        folder: &folder,
    };
    let many = folder.join("many.blend");
    edits.script("many", MANY, &[text(&many)?])?;

    let in_session = [OPEN, SAVE_FIRST, MOVE_CAMERA, SAVE].concat();
    let reopened = [OPEN, MOVE_CAMERA, SAVE].concat();
    let added = [OPEN, ADD_OBJECT, SAVE].concat();
    let mut figures = edits.of(
        &scenes.heavy,
        "the camera of a 60 MB file moved",
        &in_session,
        0.1,
    )?;
    figures.extend(edits.of(
        &scenes.heavy,
        "an object was added to it, opened again",
        &added,
        5.0,
    )?);
    let moved = "the camera moved in a file of 8,000 objects, opened again";
    figures.extend(edits.of(&many, moved, &reopened, 8.0)?);
    Ok(figures)
}

/// What every change is made with.
struct Edits<'a> {
    blender: &'a Baseline,
    home: &'a Home,
    folder: &'a Path,
}

impl Edits<'_> {
    /// Submits a file, changes it, submits it, and once more unchanged.
    fn of(&self, blend: &Path, what: &str, change: &str, aim: f64) -> Result<Vec<Figure>> {
        let edited = self.folder.join("edited.blend");
        self.script("change", change, &[text(blend)?, text(&edited)?])?;
        let size = std::fs::metadata(blend)?.len();
        self.submit(blend)?;
        std::fs::rename(&edited, blend)?;
        let second = self.submit(blend)?;
        let third = self.submit(blend)?;
        let share = |bytes: u64| bytes as f64 / size as f64 * 100.0;
        let note = format!("{second} of {size} bytes");
        Ok(vec![
            Figure {
                name: format!("sent after {what}"),
                value: share(second),
                unit: "%",
                aim: Aim::AtMost(aim),
                note,
            },
            Figure {
                name: "  sent for the same once more, unchanged".into(),
                value: share(third),
                unit: "%",
                aim: Aim::None,
                note: format!("{third} bytes: the job and one question, no block"),
            },
        ])
    }

    fn script(&self, name: &str, code: &str, arguments: &[&str]) -> Result<()> {
        let script: PathBuf = self.folder.join(format!("{name}.py"));
        std::fs::write(&script, code)?;
        self.blender.script(&script, arguments)?;
        Ok(())
    }

    fn submit(&self, blend: &Path) -> Result<u64> {
        let lines = self.home.run(&["submit", text(blend)?, "-f", "1"])?;
        lines
            .iter()
            .rev()
            .find_map(|line| match line {
                LineKind::Sending { sent_bytes, .. } => Some(*sent_bytes),
                _ => None,
            })
            .context("`tessera submit --json` did not say how much it sent")
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not valid Unicode")
}
