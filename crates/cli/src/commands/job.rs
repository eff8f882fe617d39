//! `tessera job`: shows and changes jobs.

use anyhow::Result;
use tessera_client::Api;
use tessera_model::{FrameError, JobEdit, JobId, StepKind};
use tessera_wire::api::{FramePhase, FrameStatus, JobAction, JobDetail, PAGE_MAX};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::{EditFlags, JobCommand, JobSelection};
use crate::table::printable;
use crate::{farm, moment, names};

/// Most failures and frames in hand that `job show` prints: a screen; programs use the API for all of them.
const SHOWN_MAX: usize = 20;

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
        JobCommand::Show(selection) => show(context, &api, selection).await,
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
        JobCommand::Edit(flags) => edit(context, &api, flags).await,
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

async fn edit(context: &Context, api: &Api, flags: &EditFlags) -> Result<Status> {
    let none_if_empty =
        |tags: &Vec<String>| tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
    let edit = JobEdit {
        name: flags.name.clone(),
        category: flags.category.clone(),
        priority: flags.priority.map(u32::from),
        tags: flags.tags.as_ref().map(none_if_empty),
        comment: flags.comment.clone(),
        max_attempts: flags.attempts.map(u32::from),
    };
    let job = Box::new(api.edit(flags.job, &edit).await?.summary);
    let text = format!("job {} is changed", flags.job);
    context.output.result(text, || LineKind::Job { job });
    Ok(Status::Done)
}

async fn show(context: &Context, api: &Api, selection: &JobSelection) -> Result<Status> {
    let jobs = selected(api, selection).await?;
    if jobs.is_empty() {
        return Err(stop(Status::Usage, "there are no jobs to show"));
    }
    for (place, id) in jobs.into_iter().enumerate() {
        let job = api.job(id).await?;
        let mut errors = api.errors(id).await?.items;
        errors.truncate(SHOWN_MAX);
        let frames = notable(api, &job).await?;
        if place > 0 {
            context.output.text("");
        }
        context.output.text(&text(&job, &errors, &frames));
        let job = Box::new(job);
        context.output.line(LineKind::JobDetail {
            job,
            errors,
            frames,
        });
    }
    Ok(Status::Done)
}

/// Frames being rendered and frames given up: the first few.
async fn notable(api: &Api, job: &JobDetail) -> Result<Vec<FrameStatus>> {
    let mut found = Vec::new();
    let expected = (job.summary.leased + job.summary.failed) as usize;
    let mut from = 0;
    while found.len() < expected.min(SHOWN_MAX) {
        let page = api.frames(job.summary.id, from, PAGE_MAX).await?;
        let notable =
            |frame: &FrameStatus| matches!(frame.phase, FramePhase::Rendering | FramePhase::Failed);
        found.extend(page.items.into_iter().filter(notable));
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    found.truncate(SHOWN_MAX);
    Ok(found)
}

fn text(job: &JobDetail, errors: &[FrameError], frames: &[FrameStatus]) -> String {
    let summary = &job.summary;
    let settings = &summary.settings;
    let mut lines = vec![format!("Job {}  {}", summary.id, printable(&settings.name))];
    let mut say = |what: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {what:<10} {}", printable(&value)));
        }
    };
    let because = match job.waiting_because.as_str() {
        "" => String::new(),
        because => format!(": {because}"),
    };
    say("state", format!("{}{because}", names::phase(summary.phase)));
    let failed = if summary.failed > 0 {
        format!(", {} failed", summary.failed)
    } else {
        String::new()
    };
    say(
        "frames",
        format!("{} of {} done{failed}", summary.done, summary.frames),
    );
    for step in &job.steps {
        let StepKind::Render(overrides) = &step.kind;
        let order = if step.in_order {
            ", in order (unbaked physics)"
        } else {
            ""
        };
        say(
            "renders",
            format!("{}{}{order}", step.frames, overridden(overrides)),
        );
    }
    say("owner", summary.owner.to_string());
    say(
        "submitted",
        format!(
            "{} ({})",
            moment::absolute(summary.submitted_at),
            moment::relative(summary.submitted_at, moment::now())
        ),
    );
    say(
        "file",
        format!(
            "{} (saved by Blender {})",
            job.main_file,
            names::series(job.file_version)
        ),
    );
    say(
        "blender",
        summary.build.as_ref().map_or_else(
            || "no worker has one that can open the file".to_owned(),
            ToString::to_string,
        ),
    );
    say("priority", settings.priority.to_string());
    say("category", settings.category.clone());
    say("tags", settings.tags.join(";"));
    say("comment", settings.comment.clone());
    let blocked: Vec<String> = job
        .blocked_workers
        .iter()
        .map(ToString::to_string)
        .collect();
    say("blocked", blocked.join(", "));
    for frame in frames {
        let worker = frame
            .worker
            .map(|worker| format!(" on worker {worker}"))
            .unwrap_or_default();
        say(
            "frame",
            format!(
                "{} is {}{worker}",
                frame.frame,
                names::frame_phase(frame.phase)
            ),
        );
    }
    for error in errors {
        say(
            "error",
            format!(
                "frame {} on worker {}, {} ({}): {}",
                error.frame,
                error.worker,
                moment::relative(error.at, moment::now()),
                names::failure(error.kind),
                error.message
            ),
        );
    }
    lines.join("\n")
}

fn overridden(overrides: &tessera_model::Overrides) -> String {
    let mut parts = Vec::new();
    parts.extend(
        overrides
            .scene
            .as_ref()
            .map(|scene| format!("scene {scene}")),
    );
    parts.extend(overrides.engine.clone());
    parts.extend(
        overrides
            .samples
            .map(|samples| format!("{samples} samples")),
    );
    parts.extend(overrides.exr.then(|| "multilayer EXR".to_owned()));
    parts.extend(overrides.autoexec.then(|| "scripts allowed".to_owned()));
    match parts.is_empty() {
        true => String::new(),
        false => format!(" with {}", parts.join(", ")),
    }
}
