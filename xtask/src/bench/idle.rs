//! How long a slot waits between two frames of one job.
//!
//! Scene: light, frames 1..500. Command: `tessera render light.blend -f 1..500 -o OUT` on a farm of one manager and one
//! worker with one slot and one thread, all on this machine, nothing cached. The wait is measured by the driver inside
//! Blender, from the end of one frame to the start of the next; writing the EXR is not in it and shown apart.
//! There is no baseline: the figure is a time of its own, aimed at 5 ms (median) and 50 ms (99 of 100).

use anyhow::Result;

use super::Bench;
use super::table::{Aim, Figure, quantile};
use crate::farm::Home;

const FRAMES: u32 = 500;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let home = Home::new(&bench.tessera, &bench.out.join("idle"));
    let manager = home.manager(&[])?;
    let worker = Home::new(&bench.tessera, &bench.out.join("idle-worker"));
    let _worker = worker.worker(&["--join", manager.link(), "--threads", "1"])?;
    let out = bench.out.join("idle-frames");
    let range = format!("1..{FRAMES}");
    let job = super::scaling::render(&home, &bench.scenes()?.light, &range, &out, &[])?.job;
    let results = home.results(job)?;
    let ms = |us: u64| us as f64 / 1000.0;
    // The first frame of the slot has no frame before it.
    let idle: Vec<f64> = results
        .iter()
        .map(|result| ms(result.timings.idle_us))
        .filter(|&idle| idle > 0.0)
        .collect();
    let write: Vec<f64> = results
        .iter()
        .map(|result| ms(result.timings.write_us))
        .collect();
    let render: Vec<f64> = results
        .iter()
        .map(|result| ms(result.timings.sync_us + result.timings.render_us))
        .collect();
    let note = format!("{} gaps between {} frames", idle.len(), results.len());
    let figure = |name: &str, value, aim, note: &str| Figure {
        name: name.into(),
        value,
        unit: "ms",
        aim,
        note: note.into(),
    };
    Ok(vec![
        figure(
            "slot idle between frames, median",
            quantile(&idle, 0.5),
            Aim::AtMost(5.0),
            &note,
        ),
        figure(
            "slot idle between frames, p99",
            quantile(&idle, 0.99),
            Aim::AtMost(50.0),
            &note,
        ),
        figure(
            "  writing the EXR, median",
            quantile(&write, 0.5),
            Aim::None,
            "",
        ),
        figure(
            "  sync and render, median",
            quantile(&render, 0.5),
            Aim::None,
            "",
        ),
    ])
}
