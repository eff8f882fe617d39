//! The `tessera` command: manager, worker and client in one program.
//!
//! `main` puts flags, environment and settings file together once, starts the runtime, runs one command and
//! turns what became of it into an exit status and at most one line on standard error. Everything
//! that lasts lies in the crates below; here is what a person sees.
//!
//! - [`flags`]: the command line as typed; [`settings`]: what is set, and where.
//! - [`commands`]: one file for each command.
//! - [`render`](mod@render): the way of a job seen from the one who waits for it; [`private_farm`]: a farm for one command.
//! - [`output`], [`progress`], [`table`], [`units`]: how things are shown; [`exit`]: how commands end.

mod commands;
mod context;
mod desktop;
mod exit;
mod farm;
mod flags;
mod growing;
mod interrupt;
mod log;
mod moment;
mod names;
mod output;
mod private_farm;
mod progress;
mod proxy;
mod render;
mod settings;
mod sheet;
mod table;
mod units;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use tessera_client::Folders;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, one_line, status_of, stop};
use crate::flags::{Command, Flags};
use crate::output::Output;
use crate::settings::{ConfigFile, Settings, Sources};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(log::panicked));
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(flags.global.json);
    // A panic in a task has been told by the hook; here it only becomes a status.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(flags, &output)));
    let status = match ended {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => told(&output, &error),
        Err(_) => Status::Failed,
    };
    status.into()
}

fn run(flags: Flags, output: &Output) -> Result<Status> {
    // Both providers are in the tree by way of dependencies' features: without a word nobody would know which one is meant.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed already");
    }
    let folders = Folders::from_env()?;
    let (settings, settings_fault) = settings(&flags, &folders)?;
    let reader = match flags.command {
        Command::Manager(_) | Command::Worker(_) => log::Reader::Keeper,
        _ => log::Reader::User,
    };
    log::start(settings.log.value.as_deref(), reader, output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start: the system gives no threads")?;
    let status = runtime.block_on(async {
        let context = Context {
            folders,
            settings,
            settings_fault,
            output: output.clone(),
            interrupt: interrupt::listen().context("cannot listen for signals")?,
        };
        commands::run(&context, flags.command).await
    });
    // What still runs on blocking threads is reading of files that nobody waits for any more.
    runtime.shutdown_background();
    status
}

/// What is set; and why the settings file is not, which only the doctor survives: it is there to find what is wrong.
fn settings(flags: &Flags, folders: &Folders) -> Result<(Settings, Option<String>)> {
    let environment = |name: &str| std::env::var(name).ok();
    let resolve = |file| {
        let sources = Sources::new(&environment, file);
        Ok(Settings::resolve(&flags.setting_flags(), sources)?)
    };
    let file = ConfigFile::read(&folders.config.join("tessera.toml"));
    match file.map_err(anyhow::Error::from).and_then(resolve) {
        Ok(settings) => Ok((settings, None)),
        Err(error) if matches!(flags.command, Command::Doctor(_)) => {
            // If it is not the file that is wrong, this ends in the same error.
            let without = resolve(ConfigFile::default())?;
            Ok((without, Some(one_line(&error))))
        }
        Err(error) => Err(error),
    }
}

/// Says an error, once and in one line.
fn told(output: &Output, error: &anyhow::Error) -> Status {
    let status = status_of(error);
    let message = one_line(error);
    output.note(format!("tessera: {message}"));
    output.line(LineKind::Error {
        message,
        status: status.number(),
    });
    status
}

/// A command line that clap refuses, or a question for help, which it answers.
fn not_understood(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A reader of the help that went away needs none.
            let _ = error.print();
            let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            if asked { Status::Done } else { Status::Usage }.into()
        }
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or(&text);
            let first = first.trim_start_matches("error: ").trim();
            let hint = text
                .split("\n\n")
                .find_map(|part| part.trim().strip_prefix("tip: "))
                .map(|tip| format!("; {tip}"))
                .unwrap_or_default();
            let json = std::env::args_os().any(|word| word == "--json");
            let error = stop(Status::Usage, format!("{first}{hint}; see --help"));
            told(&Output::new(json), &error).into()
        }
    }
}
