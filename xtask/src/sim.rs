//! `cargo xtask sim`: many simulated farms in which much goes wrong, and what must hold in them all the same.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use clap::Args;
use tessera_sim::{Campaign, DEFAULT_MINUTES, Failure, Faults, Plan, Summary, Trace, run, shrink};

/// It is told when so many more farms have ended.
const TOLD_EVERY: u64 = 20;

/// Simulate farms in which much goes wrong, and check what must hold.
///
/// Every seed is another farm. One that fails is said with the command that runs it again, made as small as it goes, and
/// shown with the end of its trace.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many farms.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// This one, or the first of several.
    #[arg(long)]
    seed: Option<u64>,
    /// Machines of each.
    #[arg(long, default_value_t = 20)]
    workers: u32,
    /// Frames of all its jobs together.
    #[arg(long, default_value_t = 1000)]
    frames: u32,
    /// Its jobs; as many as suit the frames if not said.
    #[arg(long)]
    jobs: Option<u32>,
    /// What goes wrong: all, none, or names with commas between.
    #[arg(long, default_value = "all")]
    faults: Faults,
    /// How long it goes wrong.
    #[arg(long, default_value_t = DEFAULT_MINUTES)]
    minutes: u32,
    /// Write what happens, line by line, to this file; - is the terminal. Of one seed.
    #[arg(long, requires = "seed")]
    trace: Option<String>,
    /// Farms at once; as many as there are processors if not said.
    #[arg(long)]
    threads: Option<usize>,
    /// Leave a failing farm as it is.
    #[arg(long)]
    no_shrink: bool,
}

/// Runs it. Exit status 1 if something did not hold.
///
/// # Errors
/// If the trace cannot be written.
pub fn run_all(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        jobs: arguments.jobs,
        faults: arguments.faults,
        minutes: arguments.minutes.max(1),
        ..Plan::new(
            arguments.seed.unwrap_or(1),
            arguments.workers,
            arguments.frames,
        )
    };
    if let Some(to) = &arguments.trace {
        return traced(plan, to);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let campaign = Campaign {
        first: plan,
        seeds: arguments.seeds,
        threads: arguments.threads.unwrap_or(processors),
    };
    let ended = AtomicU64::new(0);
    let one_more = |_: &Plan, _: &Summary| {
        let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
        if ended.is_multiple_of(TOLD_EVERY) && ended < campaign.seeds {
            eprintln!("{ended} of {} farms", campaign.seeds);
        }
    };
    let so_far = |plan: &Plan, so_far: &Summary| eprintln!("seed {}: {so_far}", plan.seed);
    match campaign.run(one_more, so_far) {
        Ok(summary) => {
            println!("{} farms: {summary}", arguments.seeds);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            report(*failure, !arguments.no_shrink);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn traced(plan: Plan, to: &str) -> anyhow::Result<ExitCode> {
    let out: Box<dyn Write + Send> = match to {
        "-" => Box::new(stdout()),
        path => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write the trace {path}"))?,
        )),
    };
    match run(plan, Trace::Full(out)).verdict {
        Ok(summary) => {
            println!("{summary}");
            Ok(ExitCode::SUCCESS)
        }
        Err(violation) => {
            eprintln!("{violation}\nagain: {plan}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn report(failure: Failure, smaller: bool) {
    let Failure { plan, violation } = failure;
    eprintln!("seed {}: {violation}\nagain: {plan}", plan.seed);
    let (plan, violation) = match smaller {
        true => {
            eprintln!("\nmaking it smaller ...");
            shrink(plan, violation)
        }
        false => (plan, violation),
    };
    eprintln!("\nthe end of it:");
    for line in run(plan, Trace::tail()).tail {
        eprintln!("{line}");
    }
    eprintln!("\n{violation}\nagain, line by line: {plan} --trace -");
}
