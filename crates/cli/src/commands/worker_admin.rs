//! `tessera worker-admin`: what workers are given.

use anyhow::Result;
use tessera_model::WorkerId;
use tessera_wire::api::{WorkerAction, WorkerStatus};
use tessera_wire::line::LineKind;

use super::workers::state;
use crate::context::Context;
use crate::exit::{Status, stop};
use crate::farm;
use crate::flags::WorkerAdminCommand;

pub(super) async fn run(context: &Context, command: &WorkerAdminCommand) -> Result<Status> {
    let (names, action) = match command {
        WorkerAdminCommand::Pause(selection) => (&selection.workers, WorkerAction::Pause),
        WorkerAdminCommand::Resume(selection) => (&selection.workers, WorkerAction::Resume),
        WorkerAdminCommand::Drain(selection) => (&selection.workers, WorkerAction::Drain),
        WorkerAdminCommand::Remove(selection) => (&selection.workers, WorkerAction::Remove),
        WorkerAdminCommand::Block(block) => (
            &block.selection.workers,
            WorkerAction::Block { job: block.job },
        ),
        WorkerAdminCommand::Unblock(block) => (
            &block.selection.workers,
            WorkerAction::Unblock { job: block.job },
        ),
    };
    let connection = farm::need(context)?;
    let known = connection.api.workers().await?.items;
    // All names are looked up before anything is done: a mistyped one changes nothing.
    let chosen = names
        .iter()
        .map(|name| find(&known, name))
        .collect::<Result<Vec<_>>>()?;
    for worker in chosen {
        let worker = connection.api.worker_act(worker, &action).await?;
        if action == WorkerAction::Remove {
            let text = format!("worker {} ({}) is removed", worker.id, worker.name);
            context
                .output
                .result(text, || LineKind::WorkerRemoved { worker: worker.id });
        } else {
            let text = format!(
                "worker {} ({}) is {}",
                worker.id,
                worker.name,
                said(&action, &worker)
            );
            let worker = Box::new(worker);
            context.output.result(text, || LineKind::Worker { worker });
        }
    }
    Ok(Status::Done)
}

fn said(action: &WorkerAction, worker: &WorkerStatus) -> String {
    match action {
        WorkerAction::Block { job: Some(job) } => format!("blocked for job {job}"),
        WorkerAction::Unblock { job: Some(job) } => format!("no longer blocked for job {job}"),
        _ => state(worker),
    }
}

/// By number, or by name if exactly one has it.
fn find(known: &[WorkerStatus], name: &str) -> Result<WorkerId> {
    let number = name.parse().ok();
    let found = known
        .iter()
        .find(|worker| Some(worker.id) == number)
        .or_else(|| known.iter().find(|worker| worker.name == name));
    found.map(|worker| worker.id).ok_or_else(|| {
        stop(
            Status::Usage,
            format!("there is no worker '{name}': `tessera workers` lists them"),
        )
    })
}
