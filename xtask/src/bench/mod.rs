//! `cargo xtask bench`: what Tessera costs and gains, each figure as a ratio against a baseline of the same run.
//!
//! One file per figure; each opens with the exact commands, threads, cache state and scene that it measures, and
//! the baseline's. Nothing here fails because something is slow: it prints what it saw beside what is aimed at.

mod alone;
mod delta;
mod idle;
mod light;
mod memory;
mod scaling;
mod scenes;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use scenes::Scenes;
use table::Figure;

/// Measure: slot idle time, scaling, persistent data, overhead, bytes of an edit, memory
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
}

/// What every figure gets.
struct Bench {
    tessera: PathBuf,
    out: PathBuf,
    scenes: Scenes,
}

type Measure = fn(&Bench) -> Result<Vec<Figure>>;

const FIGURES: &[(&str, Measure)] = &[
    ("idle", idle::measure),
    ("scaling", scaling::measure),
    ("light", light::measure),
    ("alone", alone::measure),
    ("delta", delta::measure),
    ("memory", memory::measure),
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
    let scenes = Scenes::make(&out.join("scenes"))?;
    let bench = Bench {
        tessera,
        out,
        scenes,
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
