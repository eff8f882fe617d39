//! What merging costs, against Python and against reading alone.
//!
//! 16 ranges of four samples of a frame of 1920×1080 with 39 channels (32-bit, ZIP, one part, noise as of few samples), written just before, so
//! they lie in the page cache for all. Ours: `tessera merge`, the whole command. Baselines of the same run: `parts.py merge`
//! (OpenEXR and numpy of `scripts/tools-venv`, its own threads), the whole command; and reading the same files one after the other, all
//! channels, with the `exr` crate and its own threads, nothing done with them. Two rounds, taking turns; the better one of each counts.
//! Memory: the most that the process of `tessera merge` had resident (`VmHWM`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Bench;
use super::memory::status_mb;
use super::table::{Aim, Figure};

const PARTS: u32 = 16;
const SAMPLES: u32 = 4;
const SIZE: (u32, u32) = (1920, 1080);
const ROUNDS: u32 = 2;

/// How often the memory of a process is looked at: its greatest is remembered by the system, so only the last look matters.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = bench.out.join("merging");
    let (width, height) = (bench.scaled(SIZE.0), bench.scaled(SIZE.1));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/merging/parts.py");
    let python = |arguments: &[&str]| {
        let mut command = Command::new(tools()?.join("bin/python"));
        command.arg(&script).args(arguments);
        timed(&mut command)
    };
    let place = folder.to_str().context("a path that is not Unicode")?;
    let count = PARTS.to_string();
    python(&[
        "make",
        place,
        &count,
        &width.to_string(),
        &height.to_string(),
    ])?;
    let files: Vec<PathBuf> = (0..PARTS)
        .map(|part| folder.join(format!("{part}.exr")))
        .collect();
    let (mut ours, mut theirs, mut reading) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut peak_mb = 0.0f64;
    for _ in 0..ROUNDS {
        let out = folder.join("python.exr");
        let out = out.to_str().context("a path that is not Unicode")?;
        theirs = theirs.min(python(&["merge", place, &count, out])?.0);

        let began = Instant::now();
        for file in &files {
            read(file)?;
        }
        reading = reading.min(began.elapsed());

        let mut command = Command::new(&bench.tessera);
        command.arg("merge");
        for (part, file) in (0..).zip(&files) {
            let file = file.to_str().context("a path that is not Unicode")?;
            command.arg(format!("{file}@{}+{SAMPLES}", part * SAMPLES));
        }
        command.arg("-o").arg(folder.join("ours.exr"));
        let (took, peak) = timed(&mut command)?;
        ours = ours.min(took);
        peak_mb = peak_mb.max(peak);
    }
    let bytes: u64 = files
        .iter()
        .map(|file| std::fs::metadata(file).map_or(0, |facts| facts.len()))
        .sum();
    std::fs::remove_dir_all(&folder)?;
    let seconds = |took: Duration| took.as_secs_f64();
    Ok(vec![
        Figure {
            name: "merging of 16 parts, against Python".into(),
            value: seconds(theirs) / seconds(ours),
            unit: "×",
            aim: Aim::AtLeast(3.0),
            note: format!(
                "{:.2} s against {:.2} s; {} MB of files",
                seconds(ours),
                seconds(theirs),
                bytes / 1_000_000
            ),
        },
        Figure {
            name: "merging of 16 parts, against reading them".into(),
            value: seconds(ours) / seconds(reading),
            unit: "×",
            aim: Aim::AtMost(1.5),
            note: format!("{:.2} s of reading", seconds(reading)),
        },
        Figure {
            name: "memory while merging".into(),
            value: peak_mb,
            unit: "MB",
            aim: Aim::AtMost(300.0),
            note: String::new(),
        },
    ])
}

fn read(file: &Path) -> Result<()> {
    let image = exr::prelude::read_all_data_from_file(file)
        .with_context(|| format!("reading {}", file.display()))?;
    std::hint::black_box(image);
    Ok(())
}

/// What `scripts/tools-venv` has made.
fn tools() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let tools = cache.context("no HOME")?.join("tessera/tools");
    if !tools.join("bin/python").exists() {
        bail!("{} is missing: run scripts/tools-venv", tools.display());
    }
    Ok(tools)
}

/// Runs a command to its end: how long it took, and the most memory it had.
fn timed(command: &mut Command) -> Result<(Duration, f64)> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut peak_mb = 0.0f64;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may have ended in between.
        peak_mb = peak_mb.max(status_mb(child.id(), "VmHWM").unwrap_or(0.0));
        std::thread::sleep(LOOK_EVERY);
    };
    let took = began.elapsed();
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok((took, peak_mb))
}
