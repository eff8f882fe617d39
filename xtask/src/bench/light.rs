//! What keeping the scene's data between frames gives.
//!
//! Scene: light, frames 1..24, only the camera moves. Command: `tessera render light.blend -f 1..24 -o OUT` with no farm: a
//! private manager and worker, all threads of the machine, a fresh home (so even looking for Blenders is in it).
//! Baseline: `blender -b --factory-startup light.blend -o OUT/#### -s 1 -e 24 -a`, all threads. The clock is that of both
//! commands from start to end. The file has persistent data off, as Blender's default is. Frames are compared.

use anyhow::{Result, ensure};
use tessera_merge::compare;

use super::Bench;
use super::table::{Aim, Figure};
use crate::baseline::Render;
use crate::farm::Home;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let local = bench.out.join("light-local");
    let render = Render {
        blend: &bench.scenes()?.light,
        output: format!("{}/####", local.display()),
        frames: (1, 24),
        threads: None,
    };
    let plain = bench.scenes()?.blender.render(&render)?.as_secs_f64();
    let home = Home::new(&bench.tessera, &bench.out.join("light"));
    let out = bench.out.join("light-frames");
    let ours = super::scaling::render(&home, &bench.scenes()?.light, "1..24", &out, &["--local"])?;
    let ours = ours.whole.as_secs_f64();
    let report = compare::paths(&out, &local)?;
    ensure!(report.identical(), "the frames differ: {report}");
    Ok(vec![Figure {
        name: "24 light frames against plain Blender".into(),
        value: plain / ours,
        unit: "×",
        aim: Aim::AtLeast(4.0),
        note: format!("{plain:.2} s against {ours:.2} s, identical in every pass"),
    }])
}
