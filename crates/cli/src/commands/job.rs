//! `tessera job`: shows and changes jobs.

mod edit;
mod show;
mod times;
mod why;

use anyhow::Result;
use tessera_client::{Api, ApiError};
use tessera_model::JobId;
use tessera_wire::api::{JobAction, JobDetail, PAGE_MAX};
use tessera_wire::line::LineKind;
use tessera_wire::problem::ProblemKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::{JobCommand, JobSelection};
use crate::{farm, names};

/// What is to be done to jobs, and which of all jobs it applies to.
enum Deed {
    Act(JobAction),
    Remove,
}

impl Deed {
    fn applies_to(&self, job: &JobDetail) -> bool {
        use tessera_model::JobState::{Active, Paused};
        match self {
            Self::Act(JobAction::Pause) => job.summary.state == Active,
            Self::Act(JobAction::Resume) => job.summary.state == Paused,
            Self::Act(JobAction::Cancel) => !job.summary.state.is_over(),
            Self::Act(JobAction::Retry) => job.summary.failed > 0,
            Self::Remove => true,
        }
    }

    fn done(&self) -> &'static str {
        match self {
            Self::Act(JobAction::Pause) => "paused",
            Self::Act(JobAction::Resume) => "resumed",
            Self::Act(JobAction::Cancel) => "cancelled",
            Self::Act(JobAction::Retry) => "tried again",
            Self::Remove => "removed",
        }
    }
}

pub(super) async fn run(context: &Context, command: &JobCommand) -> Result<Status> {
    let api = farm::need(context)?.api;
    match command {
        JobCommand::Show(selection) => show::show(context, &api, selection).await,
        JobCommand::Times(selection) => times::times(context, &api, selection).await,
        JobCommand::Why(selection) => why::why(context, &api, selection).await,
        JobCommand::Pause(selection) => {
            change(context, &api, selection, Deed::Act(JobAction::Pause)).await
        }
        JobCommand::Resume(selection) => {
            change(context, &api, selection, Deed::Act(JobAction::Resume)).await
        }
        JobCommand::Cancel(selection) => {
            change(context, &api, selection, Deed::Act(JobAction::Cancel)).await
        }
        JobCommand::Retry(selection) => {
            change(context, &api, selection, Deed::Act(JobAction::Retry)).await
        }
        JobCommand::Remove(selection) => change(context, &api, selection, Deed::Remove).await,
        JobCommand::Edit(flags) => edit::edit(context, &api, flags).await,
    }
}

/// The named jobs, or every one of them; as an artist, every own one.
async fn selected(api: &Api, selection: &JobSelection) -> Result<Vec<JobId>> {
    if !selection.all {
        return Ok(selection.jobs.clone());
    }
    let farm = api.farm().await?;
    let mut jobs = Vec::new();
    let mut after = None;
    loop {
        let page = api.jobs(after, PAGE_MAX).await?;
        let mine = |owner| farm.role == tessera_model::Role::Admin || owner == &farm.user;
        jobs.extend(
            page.items
                .iter()
                .filter(|job| mine(&job.owner))
                .map(|job| job.id),
        );
        match page.next {
            Some(next) => after = Some(JobId(next)),
            None => return Ok(jobs),
        }
    }
}

async fn change(
    context: &Context,
    api: &Api,
    selection: &JobSelection,
    deed: Deed,
) -> Result<Status> {
    let jobs = selected(api, selection).await?;
    let mut not_done = Vec::new();
    for &id in &jobs {
        match one(context, api, id, selection.all, &deed).await {
            Ok(()) => {}
            // What is wrong with one job is not in the way of the others.
            Err(error) if jobs.len() > 1 && is_of_one(&error) => {
                context.output.warn(format!("job {id}: {error}"));
                not_done.push(id.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    if not_done.is_empty() {
        return Ok(Status::Done);
    }
    let message = format!(
        "{} of {} jobs could not be {}: {}",
        not_done.len(),
        jobs.len(),
        deed.done(),
        not_done.join(", ")
    );
    Err(stop(Status::Failed, message))
}

/// Whether the next job may fare better.
fn is_of_one(error: &ApiError) -> bool {
    use ProblemKind::{Conflict, Forbidden, Invalid, NotFound};
    matches!(
        error.kind(),
        Some(NotFound | Conflict | Invalid | Forbidden)
    )
}

async fn one(
    context: &Context,
    api: &Api,
    id: JobId,
    of_all: bool,
    deed: &Deed,
) -> Result<(), ApiError> {
    // Of all jobs, those it cannot be done to are not meant; a named one is, and the manager says what is wrong.
    if of_all && !deed.applies_to(&api.job(id).await?) {
        return Ok(());
    }
    match deed {
        Deed::Act(action) => {
            let job = Box::new(api.act(id, action.clone()).await?.summary);
            let text = format!("job {id} is {}", names::phase(job.phase));
            context.output.result(text, || LineKind::Job { job });
        }
        Deed::Remove => {
            api.remove(id).await?;
            let text = format!("job {id} is removed");
            context
                .output
                .result(text, || LineKind::JobRemoved { job: id });
        }
    }
    Ok(())
}
