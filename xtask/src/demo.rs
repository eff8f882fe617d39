//! `cargo xtask demo`: a farm on this machine renders the example, and the result is held against plain Blender.
//!
//! What it does is what a user would do: start a manager, pair two workers with it by a code, render.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tessera_merge::compare;
use tessera_wire::line::LineKind;

use crate::baseline::{Baseline, Render};
use crate::contact_sheet;
use crate::farm::Home;

/// Frames of the example.
const FRAMES: i32 = 24;

/// Render the example on a farm of two workers and compare it with a local render
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The tessera program
    #[arg(long, default_value = "target/release/tessera")]
    tessera: PathBuf,
    /// Where frames and picture go
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
}

/// Runs the demo.
///
/// # Errors
/// If a part of it fails: with what that part said.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let tessera = arguments.tessera.canonicalize().with_context(|| {
        format!(
            "no program at {}: run `make demo`",
            arguments.tessera.display()
        )
    })?;
    let out = fresh_folder(&arguments.out)?;
    let blender = Baseline::executable()?;

    say("making the example scene");
    let example = Path::new("examples/make_scene.py");
    ensure!(
        example.exists(),
        "run this from the project's folder: there is no {}",
        example.display()
    );
    let project = out.join("project");
    blender.script(example, &[path(&project)?])?;
    let blend = project.join("tesserae.blend");

    say("one Blender alone, one thread: blender -b tesserae.blend -t 1 -a");
    let local = out.join("local");
    let render = Render {
        blend: &blend,
        output: format!("{}/####", local.display()),
        frames: (1, FRAMES),
        threads: Some(1),
    };
    let alone = blender.render(&render)?;
    say(&format!("  {:.1} s", alone.as_secs_f64()));

    let farm = out.join("farm");
    let together = render_on_farm(&tessera, &blend, &out, &farm)?;

    let report = compare::paths(&farm, &local)?;
    println!("{report}");
    ensure!(
        report.identical(),
        "the farm's frames differ from the local ones"
    );
    let sheet = arguments.out.join("contact-sheet.png");
    contact_sheet::make(&farm, &sheet)?;

    println!();
    println!(
        "  plain Blender, one thread      {:7.1} s   {:5.2} frames/s",
        alone.as_secs_f64(),
        rate(alone)
    );
    println!(
        "  Tessera, two one-thread workers{:7.1} s   {:5.2} frames/s",
        together.as_secs_f64(),
        rate(together)
    );
    println!(
        "  speed-up                       {:7.2} ×   packing, sending, loading and fetching included",
        alone.as_secs_f64() / together.as_secs_f64()
    );
    println!("  identical to local: {FRAMES}/{FRAMES} frames, all passes");
    println!(
        "  frames in {}, all on one picture: {}",
        arguments.out.join("farm").display(),
        sheet.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Starts manager and workers, renders, and ends them. The time is that of `tessera render` as its user waits for it.
fn render_on_farm(tessera: &Path, blend: &Path, out: &Path, frames: &Path) -> Result<Duration> {
    let home = Home::new(tessera, &out.join("home"));
    say("starting a manager");
    let manager = home.manager(&["--name", "Demo"])?;
    let mut workers = Vec::new();
    for name in ["anna", "ben"] {
        say(&format!(
            "starting worker {name}, paired by the manager's code"
        ));
        let home = Home::new(tessera, &out.join(name));
        workers.push(home.worker(&["--join", manager.link(), "--name", name, "--threads", "1"])?);
    }
    say("tessera render tesserae.blend");
    let start = Instant::now();
    let range = format!("1..{FRAMES}");
    let mut render = home.start(&["render", path(blend)?, "-f", &range, "-o", path(frames)?])?;
    let mut done = 0;
    while done < FRAMES {
        let (frame, worker) = render.wait(|line| match line {
            LineKind::Frame { frame, worker, .. } => Some((*frame, *worker)),
            _ => None,
        })?;
        done += 1;
        println!("  frame {frame:2} by worker {worker}   {done}/{FRAMES}");
    }
    render.finish()?;
    Ok(start.elapsed())
}

fn rate(time: Duration) -> f64 {
    f64::from(FRAMES) / time.as_secs_f64()
}

fn say(text: &str) {
    println!("demo: {text}");
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not valid Unicode", path.display()))
}

/// An empty folder in the place of whatever was there.
pub(crate) fn fresh_folder(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}
