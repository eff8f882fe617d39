//! What manager and worker hold in memory at rest.
//!
//! A manager and a worker that have rendered the light scene's frames 1..24 and have nothing to do; resident memory of
//! each process (`VmRSS` of `/proc/PID/status`), Blender's processes aside.

use anyhow::{Context as _, Result};

use super::Bench;
use super::table::{Aim, Figure};
use crate::farm::Home;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let home = Home::new(&bench.tessera, &bench.out.join("memory"));
    let manager = home.manager(&[])?;
    let worker = Home::new(&bench.tessera, &bench.out.join("memory-worker"));
    let worker = worker.worker(&["--join", manager.link()])?;
    let out = bench.out.join("memory-frames");
    super::scaling::render(&home, &bench.scenes()?.light, "1..24", &out, &[])?;
    let figure = |name: &str, pid: u32| -> Result<Figure> {
        Ok(Figure {
            name: name.into(),
            value: resident_mb(pid)?,
            unit: "MB",
            aim: Aim::AtMost(60.0),
            note: String::new(),
        })
    };
    Ok(vec![
        figure("memory of the manager at rest", manager.process.pid())?,
        figure("memory of the worker at rest", worker.pid())?,
    ])
}

/// `VmRSS` of a process.
pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    status_mb(pid, "VmRSS")
}

/// An amount of memory in the status of a process.
pub(super) fn status_mb(pid: u32, name: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(':'))
        })
        .with_context(|| format!("no {name}"))?;
    let kilobytes: f64 = line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?;
    Ok(kilobytes / 1000.0 * 1.024)
}
