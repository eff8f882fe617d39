//! One file for each command; [`run`] hands each its flags.

mod cert;
mod config;
mod connect;
mod doctor;
mod farms;
mod fetch;
mod job;
mod jobs;
mod logs;
mod manager;
mod merge;
mod notify;
mod pack;
mod render;
mod settings;
mod store;
mod submit;
mod token;
mod watch;
mod web;
mod worker;
mod worker_admin;
mod workers;

use anyhow::Result;

use crate::context::Context;
use crate::exit::{Status, interrupted};
use crate::flags::Command;

/// Runs a command to its end.
///
/// Commands that bring about something lasting end in order when they are interrupted, and know how;
/// all others are simply dropped.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Status> {
    match command {
        Command::Render(flags) => render::run(context, &flags).await,
        Command::Manager(_) => manager::run(context).await,
        Command::Worker(_) => worker::run(context).await,
        Command::Web(flags) => web::run(context, &flags).await,
        Command::Watch(flags) => watch::run(context, &flags).await,
        other => {
            tokio::select! {
                biased;
                () = context.interrupt.token().cancelled() => Err(interrupted("interrupted")),
                status = run_droppable(context, other) => status,
            }
        }
    }
}

async fn run_droppable(context: &Context, command: Command) -> Result<Status> {
    match command {
        Command::Connect(flags) => connect::run(context, &flags).await,
        Command::Farms => farms::run(context).await,
        Command::Submit(flags) => submit::run(context, &flags).await,
        Command::Pack(flags) => pack::run(context, &flags).await,
        Command::Fetch(flags) => fetch::run(context, &flags).await,
        Command::Jobs(flags) => jobs::run(context, &flags).await,
        Command::Job(job) => job::run(context, &job).await,
        Command::Workers(flags) => workers::run(context, &flags).await,
        Command::Settings(flags) => settings::run(context, &flags).await,
        Command::Store(flags) => store::run(context, &flags).await,
        Command::WorkerAdmin(admin) => worker_admin::run(context, &admin).await,
        Command::Token(token) => token::run(context, &token).await,
        Command::Notify(notify) => notify::run(context, &notify).await,
        Command::Cert(cert) => cert::run(context, &cert).await,
        Command::Merge(flags) => merge::run(context, flags).await,
        Command::Logs(flags) => logs::run(context, &flags).await,
        Command::Doctor(_) => doctor::run(context).await,
        Command::Config => Ok(config::run(context)),
        Command::Render(_)
        | Command::Manager(_)
        | Command::Worker(_)
        | Command::Web(_)
        | Command::Watch(_) => unreachable!("these end in order by themselves"),
    }
}
