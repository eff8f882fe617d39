//! What `tessera render` costs on one machine that has no farm.
//!
//! Scene: the example, frames 1..24. Command: `tessera render tesserae.blend -f 1..24 -o OUT` with no farm, a fresh home, all
//! threads. Baseline: `blender -b --factory-startup tesserae.blend -o OUT/#### -s 1 -e 24 -a`, all threads. Whole commands.
//! The figure is what remains of ours after 1.05 times the baseline's, in seconds: aimed at 1.5.

use anyhow::{Result, ensure};
use tessera_merge::compare;

use super::Bench;
use super::table::{Aim, Figure};
use crate::baseline::Render;
use crate::farm::Home;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let local = bench.out.join("alone-local");
    let render = Render {
        blend: &bench.scenes()?.example,
        output: format!("{}/####", local.display()),
        frames: (1, 24),
        threads: None,
    };
    let plain = bench.scenes()?.blender.render(&render)?.as_secs_f64();
    let home = Home::new(&bench.tessera, &bench.out.join("alone"));
    let out = bench.out.join("alone-frames");
    let ours =
        super::scaling::render(&home, &bench.scenes()?.example, "1..24", &out, &["--local"])?;
    let ours = ours.whole.as_secs_f64();
    let report = compare::paths(&out, &local)?;
    ensure!(report.identical(), "the frames differ: {report}");
    let single = one_frame(bench)?;
    Ok(vec![
        Figure {
            name: "tessera render alone, beyond 1.05 × plain Blender".into(),
            value: ours - 1.05 * plain,
            unit: "s",
            aim: Aim::AtMost(1.5),
            note: format!("24 frames: {ours:.2} s against {plain:.2} s, identical in every pass"),
        },
        single,
    ])
}

/// One frame, where nothing can be gained between frames: the plain cost of packing, a second Blender, and delivery.
fn one_frame(bench: &Bench) -> Result<Figure> {
    let render = Render {
        blend: &bench.scenes()?.example,
        output: format!("{}/####", bench.out.join("single-local").display()),
        frames: (1, 1),
        threads: None,
    };
    let plain = bench.scenes()?.blender.render(&render)?.as_secs_f64();
    let home = Home::new(&bench.tessera, &bench.out.join("alone"));
    let out = bench.out.join("single-frames");
    let ours = super::scaling::render(&home, &bench.scenes()?.example, "1", &out, &["--local"])?;
    let ours = ours.whole.as_secs_f64();
    Ok(Figure {
        name: "  a single frame, beyond 1.05 × plain Blender".into(),
        value: ours - 1.05 * plain,
        unit: "s",
        aim: Aim::AtMost(1.5),
        note: format!("{ours:.2} s against {plain:.2} s"),
    })
}
