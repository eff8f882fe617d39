//! `tessera worker-admin`: what workers are given.

use std::slice;

use anyhow::Result;
use tessera_wire::api::{WorkerAction, WorkerStatus};
use tessera_wire::line::LineKind;

use super::workers::{find, state};
use crate::context::Context;
use crate::exit::Status;
use crate::farm;
use crate::flags::{NoteFlags, WorkerAdminCommand};

pub(super) async fn run(context: &Context, command: &WorkerAdminCommand) -> Result<Status> {
    let (names, action) = match command {
        WorkerAdminCommand::Note(NoteFlags { worker, text, .. }) => {
            let text = text.clone();
            (slice::from_ref(worker), WorkerAction::Note { text })
        }
        WorkerAdminCommand::Pause(selection) => (selection.workers.as_slice(), WorkerAction::Pause),
        WorkerAdminCommand::Resume(selection) => {
            (selection.workers.as_slice(), WorkerAction::Resume)
        }
        WorkerAdminCommand::Drain(selection) => (selection.workers.as_slice(), WorkerAction::Drain),
        WorkerAdminCommand::Remove(selection) => {
            (selection.workers.as_slice(), WorkerAction::Remove)
        }
        WorkerAdminCommand::Block(block) => (
            block.selection.workers.as_slice(),
            WorkerAction::Block { job: block.job },
        ),
        WorkerAdminCommand::Unblock(block) => (
            block.selection.workers.as_slice(),
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
        let worker = connection.api.worker_act(worker.id, &action).await?;
        if action == WorkerAction::Remove {
            let text = format!("worker {} ({}) is removed", worker.id, worker.name);
            context
                .output
                .result(text, || LineKind::WorkerRemoved { worker: worker.id });
        } else {
            let text = format!(
                "worker {} ({}) {}",
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
        WorkerAction::Block { job: Some(job) } => format!("is blocked for job {job}"),
        WorkerAction::Unblock { job: Some(job) } => format!("is no longer blocked for job {job}"),
        WorkerAction::Note { .. } if worker.note.is_empty() => "has no note".to_owned(),
        WorkerAction::Note { .. } => format!("has the note: {}", worker.note),
        _ => format!("is {}", state(worker)),
    }
}
