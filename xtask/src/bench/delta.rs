//! How much travels when a large scene was edited a little.
//!
//! Scene: about 60 MB, saved raw by Blender 3.4.1. Commands, on a farm of one manager: `tessera submit light.blend -f 1`; then the
//! camera is moved and the file saved again, in one Blender session; then `tessera submit light.blend -f 1` again. Counted:
//! every byte of the bodies that the second command sends to the manager, lists of blocks, questions and the job
//! itself included. Baseline: the file's size.

use std::path::Path;

use anyhow::{Context as _, Result};
use tessera_wire::line::LineKind;

use super::Bench;
use super::table::{Aim, Figure};
use crate::farm::Home;

const EDIT: &str = "
import bpy, sys
blend, edited = sys.argv[-2:]
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False)
bpy.ops.wm.save_as_mainfile(filepath=blend, compress=False, copy=True)
camera = bpy.context.scene.camera
camera.animation_data_clear()
camera.location.x += 0.25
bpy.ops.wm.save_as_mainfile(filepath=edited, compress=False, copy=True)
";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = bench.out.join("delta");
    std::fs::create_dir_all(&folder)?;
    let (blend, edited) = (&bench.scenes()?.heavy, folder.join("edited.blend"));
    let script = folder.join("edit.py");
    std::fs::write(&script, EDIT)?;
    bench
        .scenes()?
        .blender
        .script(&script, &[text(blend)?, text(&edited)?])?;
    let size = std::fs::metadata(blend)?.len();

    let home = Home::new(&bench.tessera, &folder.join("home"));
    let _manager = home.manager(&[])?;
    let first = submit(&home, blend)?;
    std::fs::rename(&edited, blend)?;
    let second = submit(&home, blend)?;
    let third = submit(&home, blend)?;
    let share = |bytes: u64| bytes as f64 / size as f64 * 100.0;
    let note = format!("{second} of {size} bytes; the whole file the first time: {first} bytes");
    Ok(vec![
        Figure {
            name: "sent after the camera of a 60 MB file moved".into(),
            value: share(second),
            unit: "%",
            aim: Aim::AtMost(0.5),
            note,
        },
        Figure {
            name: "  sent for an unchanged file".into(),
            value: share(third),
            unit: "%",
            aim: Aim::None,
            note: format!("{third} bytes"),
        },
    ])
}

fn submit(home: &Home, blend: &Path) -> Result<u64> {
    let lines = home.run(&["submit", text(blend)?, "-f", "1"])?;
    lines
        .iter()
        .rev()
        .find_map(|line| match line {
            LineKind::Sending { sent_bytes, .. } => Some(*sent_bytes),
            _ => None,
        })
        .context("`tessera submit --json` did not say how much it sent")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not valid Unicode")
}
