//! Developer commands, run as `cargo xtask COMMAND`. One file per command; each has its arguments and a `run`.
//!
//! Exit status: 0 done, 1 the answer is no (frames differ), 2 usage or nothing could be done.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, compare, contact_sheet, demo, openapi, sim};

/// So that benches can tell what a structure holds in memory.
#[global_allocator]
static ALLOCATOR: bench::Counting = bench::Counting;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Developer commands of Tessera",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compare(compare::Arguments),
    ContactSheet(contact_sheet::Arguments),
    Demo(demo::Arguments),
    Bench(bench::Arguments),
    Sim(sim::Arguments),
    /// Print the OpenAPI document of the manager's API
    Openapi,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Compare(arguments) => compare::run(&arguments),
        Command::ContactSheet(arguments) => contact_sheet::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Sim(arguments) => sim::run_all(&arguments),
        Command::Openapi => openapi::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
