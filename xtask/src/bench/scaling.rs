//! What a second worker gives.
//!
//! Scene: the example, frames 1..24 at 16 samples (two seconds and more a frame on one thread). Command:
//! `tessera render tesserae.blend -f 1..24 --samples 16 -o OUT` on a farm of one manager and two workers with one slot
//! and one thread each; baseline: the same with one such worker. Homes are fresh each time. The clock runs from the
//! first frame begun, when scenes are loaded, to the last frame in the output folder.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tessera_model::JobId;
use tessera_wire::line::LineKind;

use super::Bench;
use super::table::{Aim, Figure};
use crate::farm::Home;

const FRAMES: &str = "1..24";
const SAMPLES: &str = "16";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let one = with_workers(bench, 1)?;
    let two = with_workers(bench, 2)?;
    let (alone, together) = (one.as_secs_f64(), two.as_secs_f64());
    Ok(vec![Figure {
        name: "two one-thread workers against one".into(),
        value: alone / together,
        unit: "×",
        aim: Aim::AtLeast(1.85),
        note: format!("{alone:.2} s against {together:.2} s for 24 frames"),
    }])
}

fn with_workers(bench: &Bench, workers: u32) -> Result<Duration> {
    let name = format!("scaling-{workers}");
    let home = Home::new(&bench.tessera, &bench.out.join(&name));
    let manager = home.manager(&[])?;
    let mut running = Vec::new();
    for worker in 1..=workers {
        let home = Home::new(
            &bench.tessera,
            &bench.out.join(format!("{name}-worker-{worker}")),
        );
        running.push(home.worker(&["--join", manager.link(), "--threads", "1"])?);
    }
    let out = bench.out.join(format!("{name}-frames"));
    let done = render(
        &home,
        &bench.scenes()?.example,
        FRAMES,
        &out,
        &["--samples", SAMPLES],
    )?;
    Ok(done.from_first_frame)
}

/// A finished `tessera render`.
pub(super) struct Done {
    /// Its job.
    pub job: JobId,
    /// From the first frame begun to the end of the command.
    pub from_first_frame: Duration,
    /// Of the whole command.
    pub whole: Duration,
}

/// Runs `tessera render` to its end.
pub(super) fn render(
    home: &Home,
    blend: &Path,
    frames: &str,
    out: &Path,
    more: &[&str],
) -> Result<Done> {
    let blend = blend.to_str().context("a path that is not valid Unicode")?;
    let out = out.to_str().context("a path that is not valid Unicode")?;
    let mut arguments = vec!["render", blend, "-f", frames, "-o", out];
    arguments.extend(more);
    let start = Instant::now();
    let mut process = home.start(&arguments)?;
    let job = process.wait(|line| match line {
        LineKind::Submitted { job, .. } => Some(*job),
        _ => None,
    })?;
    process.wait(|line| matches!(line, LineKind::Started { .. }).then_some(()))?;
    let first = Instant::now();
    process.finish()?;
    Ok(Done {
        job,
        from_first_frame: first.elapsed(),
        whole: start.elapsed(),
    })
}
