//! `cargo xtask bench`: what Tessera costs and gains, each figure as a ratio against a baseline of the same run.
//!
//! One file per figure; each opens with the exact commands, threads, cache state and scene that it measures, and
//! the baseline's. Nothing here fails because something is slow: it prints what it saw beside what is aimed at.

mod alone;
mod delta;
mod elastic;
mod idle;
mod light;
mod manager;
mod memory;
mod merging;
mod packing;
mod scaling;
mod scenes;
mod scheduler;
mod still;
mod table;
mod transfer;
mod window;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use scenes::Scenes;
use table::Figure;

pub use manager::record_jobs;
pub use scheduler::Counting;

/// Measure: slot idle time, scaling, a still, farm-wide adaptive sampling, persistent data, overhead, bytes of an edit, transfer, memory, packing, merging,
/// Blender's window, the scheduler, the manager, its page in a browser
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The tessera program
    #[arg(long, default_value = "target/release/tessera")]
    tessera: PathBuf,
    /// Only figures whose name holds this
    #[arg(long)]
    only: Option<String>,
    /// Where scenes and frames go
    #[arg(long, default_value = "out/bench")]
    out: PathBuf,
    /// How large the farms of `scheduler` and `manager`, the project of `transfer` and the scene of `window` are, as a part of what is aimed at
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

/// What every figure gets.
struct Bench {
    tessera: PathBuf,
    out: PathBuf,
    scale: f64,
    scenes: OnceCell<Scenes>,
}

impl Bench {
    /// The scenes, made when they are first asked for: some figures need no Blender.
    fn scenes(&self) -> Result<&Scenes> {
        if let Some(scenes) = self.scenes.get() {
            return Ok(scenes);
        }
        let made = Scenes::make(&self.out.join("scenes"))?;
        Ok(self.scenes.get_or_init(|| made))
    }

    /// A number of workers, jobs and the like, as large as was asked for.
    fn scaled(&self, whole: u32) -> u32 {
        ((f64::from(whole) * self.scale) as u32).max(1)
    }
}

type Measure = fn(&Bench) -> Result<Vec<Figure>>;

const FIGURES: &[(&str, Measure)] = &[
    ("idle", idle::measure),
    ("scaling", scaling::measure),
    ("still", still::measure),
    ("elastic", elastic::measure),
    ("light", light::measure),
    ("alone", alone::measure),
    ("delta", delta::measure),
    ("transfer", transfer::measure),
    ("memory", memory::measure),
    ("packing", packing::measure),
    ("merging", merging::measure),
    ("window", window::measure),
    ("scheduler", scheduler::whole_farm),
    ("scheduler-frames", scheduler::frames_compared),
    ("scheduler-hungry", scheduler::hungry_farm),
    ("scheduler-memory", scheduler::one_great_job),
    ("manager", manager::measure),
    ("onlookers", manager::onlookers::measure),
    ("page", manager::page::measure),
];

/// Runs the benches.
///
/// # Errors
/// If something that is measured does not work at all.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let tessera = arguments.tessera.canonicalize().with_context(|| {
        format!(
            "no program at {}: run `make bench`",
            arguments.tessera.display()
        )
    })?;
    let out = crate::demo::fresh_folder(&arguments.out)?;
    let bench = Bench {
        tessera,
        out,
        scale: arguments.scale,
        scenes: OnceCell::new(),
    };
    let mut figures = Vec::new();
    for (name, measure) in FIGURES {
        if arguments
            .only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        println!("bench: {name}");
        let measured = measure(&bench).with_context(|| format!("measuring '{name}'"))?;
        for figure in &measured {
            println!("  {figure}");
        }
        figures.extend(measured);
    }
    println!("\n{}", table::of(&figures));
    Ok(ExitCode::SUCCESS)
}
