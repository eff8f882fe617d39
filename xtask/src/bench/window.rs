//! How alive Blender's window is while a scene is sent from it.
//!
//! Scene: `examples/make_light.py --heavy-mesh 500`, about 500 MB, saved raw. Command: `python3 addon/tests/lateness.py`: the add-on's
//! button "Send Job" in Blender 3.4.1's own window under Xvfb; a manager and two workers of one thread on this machine, all at their own
//! priorities. Twice: first nothing is known to the farm, then the same blocks. How late a timer comes that wants to be called every
//! 10 ms, from the end of the saving until the farm has the job; Blender's own saving is said apart.
//! Baseline: the same timer in the same window in the second before. `--scale` makes the scene smaller.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Bench;
use super::table::{Aim, Figure};

#[derive(Deserialize)]
struct Seen {
    bytes: u64,
    idle: Lateness,
    sending: Lateness,
    saving_ms: f64,
}

#[derive(Deserialize)]
struct Lateness {
    p99_ms: f64,
    worst_ms: f64,
    ticks: u64,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let output = Command::new("python3")
        .arg("addon/tests/lateness.py")
        .arg("--tessera")
        .arg(&bench.tessera)
        .args(["--megabytes", &bench.scaled(500).to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("running python3: run scripts/setup test")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "addon/tests/lateness.py: {}\n{said}",
        output.status
    );
    let mut figures = Vec::new();
    for (line, when) in said.lines().zip(["first", "again"]) {
        let seen: Seen =
            serde_json::from_str(line).with_context(|| format!("not understood: {line}"))?;
        figures.extend(figures_of(&seen, when));
    }
    ensure!(figures.len() == 6, "not two lines: {said}");
    Ok(figures)
}

fn figures_of(seen: &Seen, when: &str) -> [Figure; 3] {
    let figure = |name: &str, value, aim, note| Figure {
        name: format!("{name}, {when}"),
        value,
        unit: "ms",
        aim,
        note,
    };
    [
        figure(
            "lateness of Blender's window while sending, p99",
            seen.sending.p99_ms,
            Aim::AtMost(50.0),
            format!(
                "{} ms before it; {} ticks; {} bytes",
                seen.idle.p99_ms, seen.sending.ticks, seen.bytes
            ),
        ),
        figure(
            "lateness of Blender's window while sending, worst",
            seen.sending.worst_ms,
            Aim::AtMost(250.0),
            format!("{} ms before it", seen.idle.worst_ms),
        ),
        figure(
            "  Blender's own saving",
            seen.saving_ms,
            Aim::None,
            String::new(),
        ),
    ]
}
