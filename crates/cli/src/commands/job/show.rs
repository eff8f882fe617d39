//! `tessera job show`: everything about a job on one sheet.

use anyhow::Result;
use tessera_client::Api;
use tessera_model::{After, DEFAULT_ATTEMPTS, FrameError, Requirement, SplitBy, Step, StepKind};
use tessera_wire::api::{FramePhase, FrameStatus, JobDetail, PAGE_MAX};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::JobSelection;
use crate::sheet::Sheet;
use crate::table::printable;
use crate::units::Bytes;
use crate::{moment, names, units};

/// Most failures and frames in hand that `job show` prints: a screen; programs use the API for all of them.
const SHOWN_MAX: usize = 20;

pub(super) async fn show(context: &Context, api: &Api, selection: &JobSelection) -> Result<Status> {
    let jobs = super::selected(api, selection).await?;
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
        let journal = api.journal(id).await?;
        let job = Box::new(job);
        context.output.line(LineKind::JobDetail {
            job,
            errors,
            frames,
            journal,
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

/// The whole of it for people.
fn text(job: &JobDetail, errors: &[FrameError], frames: &[FrameStatus]) -> String {
    let name = printable(&job.summary.settings.name);
    let mut sheet = Sheet::new(format!("Job {}  {name}", job.summary.id));
    how_it_stands(&mut sheet, job);
    what_was_asked(&mut sheet, job);
    for frame in frames {
        let worker = frame
            .worker
            .map(|worker| format!(" on worker {worker}"))
            .unwrap_or_default();
        sheet.say(
            "frame",
            format!(
                "{} is {}{worker}",
                frame.frame,
                names::frame_phase(frame.phase)
            ),
        );
    }
    for error in errors {
        sheet.say(
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
    sheet.text()
}

fn how_it_stands(sheet: &mut Sheet, job: &JobDetail) {
    let summary = &job.summary;
    let because = match job.waiting_because.as_str() {
        "" => String::new(),
        because => format!(": {because}"),
    };
    sheet.say("state", format!("{}{because}", names::phase(summary.phase)));
    let failed = match summary.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    sheet.say(
        "frames",
        format!("{} of {} done{failed}", summary.done, summary.frames),
    );
    let parts = summary.percent_of_parts();
    let parts = parts.map(|percent| format!("{percent} % of the frames divided among workers"));
    sheet.say("parts", parts.unwrap_or_default());
    sheet.say("fetched", fetched(job));
    let blender = match &summary.build {
        Some(build) => build.to_string(),
        None => "no worker has one that can open the file".to_owned(),
    };
    sheet.say("blender", blender);
    let blocked: Vec<String> = job
        .blocked_workers
        .iter()
        .map(ToString::to_string)
        .collect();
    sheet.say("blocked", blocked.join(", "));
}

/// Whether somebody has what was delivered, once no more will come.
fn fetched(job: &JobDetail) -> String {
    let summary = &job.summary;
    match job.fetched_at {
        Some(at) => format!(
            "{} ({})",
            moment::absolute(at),
            moment::relative(at, moment::now())
        ),
        None if summary.state.is_over() && summary.done > 0 => format!(
            "not yet: the farm keeps its frames until `tessera fetch {}` has brought them",
            summary.id
        ),
        None => String::new(),
    }
}

fn what_was_asked(sheet: &mut Sheet, job: &JobDetail) {
    let summary = &job.summary;
    let settings = &summary.settings;
    // Of divided frames one line says all.
    for step in job.steps.iter().filter(|step| step.makes_frames()) {
        let overrides = step.overrides();
        let order = if step.in_order {
            ", in order (unbaked physics)"
        } else {
            ""
        };
        let divided = match step.kind {
            StepKind::Assemble(_) => divided(job),
            _ => String::new(),
        };
        sheet.say(
            "renders",
            format!("{}{}{order}{divided}", step.frames, overridden(overrides)),
        );
    }
    sheet.say("samples", samples(job));
    let file = format!("{} (saved by Blender {})", job.main_file, job.file_version);
    sheet.say("file", file);
    sheet.say("owner", summary.owner.to_string());
    let submitted = format!(
        "{} ({})",
        moment::absolute(summary.submitted_at),
        moment::relative(summary.submitted_at, moment::now())
    );
    sheet.say("submitted", submitted);
    sheet.say("priority", settings.priority.to_string());
    sheet.say("category", &settings.category);
    sheet.say("tags", settings.tags.join(";"));
    sheet.say("needs", needed(&settings.requirement));
    sheet.say("resources", settings.resources.join(";"));
    sheet.say("after", awaited(&settings.after));
    sheet.say("notify", settings.notify.join(";"));
    if settings.preempt {
        sheet.say("preempts", "frames of jobs of lower priority");
    }
    if settings.chunk > 1 {
        sheet.say("chunk", units::frames(settings.chunk));
    }
    if settings.max_attempts != DEFAULT_ATTEMPTS {
        sheet.say("attempts", settings.max_attempts.to_string());
    }
    sheet.say("comment", &settings.comment);
}

/// How many samples frames have that are divided by them, and can have.
fn samples(job: &JobDetail) -> String {
    let split = job.steps.iter().rev().find_map(Step::divided);
    if split.is_some_and(|split| split.noise.is_some()) {
        return by_noise(job);
    }
    let split = split.filter(|split| split.by == SplitBy::Samples);
    let Some(split) = split else {
        return String::new();
    };
    let has = split.samples;
    let id = job.summary.id;
    match split.grows_to.filter(|&most| most > has) {
        Some(most) => {
            format!("{has}; `tessera job edit {id} --samples +N` adds some, up to {most} in all")
        }
        None => has.to_string(),
    }
}

/// Samples of the pixels of frames that get them where there is noise, by now.
fn by_noise(job: &JobDetail) -> String {
    let splits = || job.steps.iter().filter_map(Step::divided);
    let first = splits().find(|split| split.first == 0);
    let Some(first) = first else {
        return String::new();
    };
    let frames = splits().filter(|split| split.first == 0).count();
    // Each tile has what each of its rounds gave it.
    let all: f64 = splits()
        .map(|split| f64::from(split.ranged()) * f64::from(split.places()))
        .sum();
    let tiles = f64::from(first.tile_count()) * frames as f64;
    let (least, most) = (first.samples, first.grows_to.unwrap_or(first.samples));
    let has = splits().map(|split| split.samples).max().unwrap_or(least);
    format!(
        "{:.1} on average, {least} to {has} where noise is left, of at most {most}",
        all / tiles
    )
}

/// How frames are divided, to follow what they are.
fn divided(job: &JobDetail) -> String {
    let split = job.steps.iter().find_map(Step::divided);
    let how = match split.map(|split| split.by) {
        Some(SplitBy::Samples) => " by their samples".to_owned(),
        Some(SplitBy::Grid { columns, rows }) => format!(" into {columns}x{rows} tiles"),
        Some(SplitBy::Halvings(_) | SplitBy::Chosen { .. }) => " into tiles".to_owned(),
        None => String::new(),
    };
    format!(", divided among workers{how}")
}

/// What a worker must have, in words.
fn needed(requirement: &Requirement) -> String {
    let Requirement {
        memory_bytes,
        cores,
        gpu,
        gpu_memory_bytes,
        os,
        blender,
        workers,
    } = requirement;
    let mut parts = Vec::new();
    parts.extend(memory_bytes.map(|bytes| format!("{} of memory", Bytes(bytes))));
    parts.extend(cores.map(|cores| format!("{cores} cores")));
    parts.extend(gpu.as_ref().map(|gpu| format!("GPU '{gpu}'")));
    parts.extend(gpu_memory_bytes.map(|bytes| format!("{} of GPU memory", Bytes(bytes))));
    parts.extend(os.clone());
    parts.extend(blender.map(|range| format!("Blender {range}")));
    if !workers.is_empty() {
        parts.push(format!("worker {}", workers.join(" or ")));
    }
    parts.join(", ")
}

/// What a job waits for, in words.
fn awaited(after: &[After]) -> String {
    let parts = after.iter().map(|after| match after.frames {
        false => format!("job {}", after.job),
        true => format!("job {} frame by frame", after.job),
    });
    parts.collect::<Vec<_>>().join(", ")
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
