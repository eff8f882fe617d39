//! `tessera job`: shows and changes jobs.

mod edit;
mod show;
mod why;

use anyhow::Result;
use tessera_client::Api;
use tessera_model::JobId;
use tessera_wire::api::{JobAction, JobDetail, PAGE_MAX};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
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
}

pub(super) async fn run(context: &Context, command: &JobCommand) -> Result<Status> {
    let api = farm::need(context)?.api;
    match command {
        JobCommand::Show(selection) => show::show(context, &api, selection).await,
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
    for id in jobs {
        // Of all jobs, those it cannot be done to are not meant; a named one is, and the manager says what is wrong.
        if selection.all && !deed.applies_to(&api.job(id).await?) {
            continue;
        }
        match &deed {
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
    }
    Ok(Status::Done)
}
