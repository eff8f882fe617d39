//! `tessera fetch`: brings finished frames of a job into a folder, from any machine that is connected.

mod previews;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tessera_client::{Api, Fetcher, OutputPlan, Sources};
use tessera_model::{FrameSet, JobState};
use tessera_wire::api::JobDetail;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::FetchFlags;
use crate::progress::Progress;
use crate::render::{Brought, Delivery, Follow, FollowError, Outages, tell_fetched};
use crate::{farm, names, units};

pub(super) async fn run(context: &Context, flags: &FetchFlags) -> Result<Status> {
    let connection = farm::need(context)?;
    if let Some(folder) = &flags.previews {
        return previews::run(context, flags, &connection.api, folder).await;
    }
    let detail = connection.api.job(flags.job).await?;
    let plan = plan(&connection.api, &detail, flags).await?;
    plan.check_writable()
        .map_err(|error| stop(Status::Usage, error.to_string()))?;
    let Some(frames) = detail.frames() else {
        let message = format!("job {} has no frames", flags.job);
        return Err(stop(Status::Failed, message));
    };
    let sources = Arc::new(Sources::of_job(&connection.api, &detail.manifest).await?);
    let fetcher = |api: &Api| Fetcher::new(api, plan.clone()).sparing(sources.clone());
    let wanted = wanted(&frames, flags)?;
    let mut progress = Progress::new(&context.output);
    let workers = connection.api.workers().await?.items;
    progress.name_workers(workers.into_iter().map(|worker| (worker.id, worker.name)));
    progress.begin(wanted.len(), 0);
    let mut outages = Outages::new();
    let api = match flags.wait {
        true => outages.patient(&connection.api),
        false => connection.api.clone(),
    };
    let brought = Brought::of(frames.clone());
    let mut delivery = Delivery::start(fetcher(&api), None, brought.clone());
    if !flags.wait {
        progress.only_bringing();
    }
    let mut follow = Follow::new(
        api,
        flags.job,
        frames,
        wanted.clone(),
        &mut outages,
        &mut progress,
    );
    let state = match flags.wait {
        true => follow.run(&mut delivery).await?,
        false => follow.take_what_is_there(&mut delivery).await?,
    };
    delivery.finish().await.map_err(FollowError::from)?;
    tell_fetched(&connection.api, flags.job, &brought, &context.output).await;
    progress.end();
    finish(context, flags, &plan, &progress, (wanted.len(), state))
}

/// The frames asked for, as far as the job has them.
fn wanted(frames: &FrameSet, flags: &FetchFlags) -> Result<FrameSet> {
    let Some(asked) = &flags.frames else {
        return Ok(frames.clone());
    };
    let in_job = asked
        .iter()
        .filter(|frame| frames.position(*frame).is_some());
    FrameSet::of(in_job).map_err(|_| {
        let message = format!(
            "job {} has none of these frames: it has {frames}",
            flags.job
        );
        stop(Status::Usage, message)
    })
}

fn finish(
    context: &Context,
    flags: &FetchFlags,
    plan: &OutputPlan,
    progress: &Progress,
    (wanted, state): (u32, JobState),
) -> Result<Status> {
    let (done, failed) = progress.counts();
    let job = flags.job;
    let of = match done == wanted {
        true => format!("All {}", units::frames(done)),
        false => format!("{done} of {}", units::frames(wanted)),
    };
    let text = format!("{of} of job {job} are in {}", plan.directory.display());
    context.output.result(text, || LineKind::Finished {
        job,
        state,
        done,
        failed,
        seconds: progress.elapsed().as_secs_f64(),
    });
    let missing = wanted - done;
    if missing == 0 {
        return Ok(Status::Done);
    }
    Err(match state.is_over() {
        true => {
            let state = names::state(state);
            let message = format!("job {job} is {state}: `tessera job show {job}` says more");
            stop(Status::Failed, message)
        }
        false => stop(
            Status::Incomplete,
            format!(
                "{} of job {job} {} not there yet: `tessera fetch {job} --wait` stays until all are",
                units::frames(missing),
                if missing == 1 { "is" } else { "are" }
            ),
        ),
    })
}

/// Where the frames go: where the job was submitted to leave them, or as is asked for here.
///
/// The folder in a job is its owner's word. Someone else's is not written to: it could be any folder of this user's.
async fn plan(api: &Api, detail: &JobDetail, flags: &FetchFlags) -> Result<OutputPlan> {
    let id = flags.job;
    let noted = OutputPlan::from_note(&detail.client_note);
    let Some(output) = &flags.output else {
        let owner = &detail.summary.owner;
        if *owner != api.farm().await?.user {
            return Err(stop(
                Status::Usage,
                format!("job {id} is {owner}'s: say with -o where its frames shall go"),
            ));
        }
        return noted.map_err(|error| stop(Status::Usage, error.to_string()));
    };
    let cwd =
        std::env::current_dir().context("the current folder is gone: change to one that exists")?;
    let plan = noted.unwrap_or_else(|_| OutputPlan {
        directory: cwd.clone(),
        names: Vec::new(),
        views: BTreeMap::new(),
        nodes: Vec::new(),
        overwrite: true,
        placeholder: false,
    });
    plan.redirect(output, &cwd)
        .map_err(|error| stop(Status::Usage, error.to_string()))
}
