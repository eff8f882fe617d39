//! What users do to jobs.

use tessera_model::{
    After, Build, Change, Chunking, FetchedMark, FrameBits, Job, JobEdit, JobId, JobSettings,
    JobState, MAX_FRAMES, PRIORITY_MAX, Series, SeriesRange, Step, StepIndex, StepKind, Timestamp,
    WorkerId, check_name,
};

use super::reports::{settle, take_back};
use super::{Applied, grow, no_job};
use crate::books::{recount, refresh_all_units};
use crate::effects::{Effects, Outcome, Refusal};
use crate::input::{JobCommand, NewJob, Now};
use crate::job::JobEntry;
use crate::need::criteria;
use crate::room::recall_where;
use crate::scheduler::Scheduler;
use crate::{depend, line, pools, slicing};

/// Longest texts, in characters: bounds what a list shows and the record keeps.
const NAME_MAX: usize = 200;
const COMMENT_MAX: usize = 10_000;
const TAGS_MAX: usize = 32;
/// Most attempts of a frame.
const ATTEMPTS_MAX: u32 = 100;
/// Longest note a client can leave, in bytes.
const NOTE_MAX: usize = 64 << 10;
/// Most steps of a job.
const STEPS_MAX: usize = 16;

/// Most resources a unit takes, most names of workers, most jobs waited for: more than anyone writes by hand.
const NAMES_MAX: usize = 64;

pub(super) fn submit(
    scheduler: &mut Scheduler,
    now: Now,
    new: NewJob,
    effects: &mut Effects,
) -> Applied {
    check_settings(&new.settings)?;
    let settings = &new.settings;
    check_names(
        Some(&settings.category),
        &settings.tags,
        &settings.resources,
    )?;
    check_new(&new)?;
    for after in &new.settings.after {
        if !scheduler.jobs.contains_key(&after.job) {
            return Err(Refusal::NoJob(after.job));
        }
    }
    check_opens(new.file_version, settings.requirement.blender)?;
    let build = pin(
        scheduler,
        new.file_version,
        new.settings.requirement.blender,
    )?;
    let id = JobId(scheduler.next_job);
    scheduler.next_job += 1;
    let mut job = Job {
        id,
        owner: new.owner,
        settings: new.settings,
        manifest: new.manifest,
        main_file: new.main_file,
        file_version: new.file_version,
        build: build.clone(),
        steps: new.steps,
        client_note: new.client_note,
        submitted_at: now.wall,
    };
    let undivided = pools::intern(scheduler, criteria(&job, 0));
    let slots = scheduler.pools.needs[undivided].slots;
    job.steps = slicing::plan(job.steps, slots);
    let need = pools::intern(scheduler, criteria(&job, 0));
    pools::release(scheduler, undivided);
    effects.changes.push(Change::JobAdded(job.clone()));
    effects.jobs.insert(id);
    let accounts = scheduler
        .accounts
        .of_job(&job.owner, &job.settings, &scheduler.settings);
    let preempts = job.settings.preempt;
    let waits = waits_for_frames(&job);
    scheduler
        .jobs
        .insert(id, JobEntry::new(job, need, accounts));
    depend::enter(scheduler, id);
    if waits {
        refresh_all_units(scheduler, now.elapsed, id);
    }
    if preempts {
        scheduler.preempting.insert(id);
    }
    line::enter(scheduler, now.elapsed, id);
    Ok(Outcome::Submitted(id, build))
}

fn waits_for_frames(job: &Job) -> bool {
    job.settings.after.iter().any(|after| after.frames)
        || job.steps.iter().any(|step| step.by_frame)
}

/// A job's state, and all that follows from it but its leases.
pub(super) fn set_state(
    scheduler: &mut Scheduler,
    now: std::time::Duration,
    id: JobId,
    state: JobState,
    effects: &mut Effects,
) {
    let Some(entry) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    if entry.state == state {
        return;
    }
    let was = std::mem::replace(&mut entry.state, state);
    entry.since = scheduler.wall;
    effects
        .changes
        .push(Change::JobState(id, state, scheduler.wall));
    effects.jobs.insert(id);
    if state == JobState::Active {
        if entry.job.settings.preempt {
            scheduler.preempting.insert(id);
        }
        line::enter(scheduler, now, id);
    } else {
        scheduler.preempting.remove(&id);
        line::leave(scheduler, id);
    }
    if was == JobState::Done || state == JobState::Done {
        depend::job_changed(scheduler, now, id);
    }
}

/// The build for a file: of those at hand, else of those that are known; none if none is known at all.
fn pin(
    scheduler: &Scheduler,
    file: Series,
    range: Option<SeriesRange>,
) -> Result<Option<Build>, Refusal> {
    if let Some(build) = scheduler.builds.choose(file, range) {
        return Ok(Some(build.clone()));
    }
    match scheduler.builds.newest(range) {
        Some(newest) => Err(Refusal::NoBuild { file, newest }),
        None => Ok(None),
    }
}

/// Pins the jobs that waited for the first worker with a fitting Blender.
pub(super) fn pin_waiting(scheduler: &mut Scheduler, now: Now, effects: &mut Effects) {
    let waiting: Vec<JobId> = scheduler
        .pools
        .unpinned()
        .flat_map(|need| {
            scheduler
                .jobs
                .values()
                .filter(move |entry| entry.need == need && !entry.state.is_over())
        })
        .map(|entry| entry.job.id)
        .collect();
    for id in waiting {
        pin_one(scheduler, now, id, effects);
    }
}

/// Pins a job that has no build, if there is one for it now.
fn pin_one(scheduler: &mut Scheduler, now: Now, id: JobId, effects: &mut Effects) {
    let Some(job) = scheduler.jobs.get(&id).map(|entry| &entry.job) else {
        return;
    };
    let range = job.settings.requirement.blender;
    if job.build.is_some() {
        return;
    }
    let Ok(Some(build)) = pin(scheduler, job.file_version, range) else {
        return;
    };
    if let Some(entry) = scheduler.jobs.get_mut(&id) {
        entry.job.build = Some(build.clone());
        effects.changes.push(Change::JobPinned(id, build));
        effects.jobs.insert(id);
    }
    line::refresh_need(scheduler, now.elapsed, id);
}

fn check_new(new: &NewJob) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::Invalid(text));
    if new.steps.is_empty() || new.steps.len() > STEPS_MAX {
        return invalid(format!(
            "a job has 1 to {STEPS_MAX} steps, this one has {}",
            new.steps.len()
        ));
    }
    let frames: u64 = new
        .steps
        .iter()
        .map(|step| u64::from(step.frames.len()) * u64::from(step.places()))
        .sum();
    if frames > u64::from(MAX_FRAMES) {
        return invalid(format!(
            "a job has at most {MAX_FRAMES} frames, this one has {frames}: split it"
        ));
    }
    check_by_frame(&new.steps)?;
    if !new
        .steps
        .iter()
        .all(|step| matches!(step.kind, StepKind::Render(_)))
    {
        return invalid(
            "a job's steps render frames; how these are divided is the farm's to say".into(),
        );
    }
    for split in new.steps.iter().filter_map(|step| step.split) {
        split.check().map_err(Refusal::Invalid)?;
    }
    if new.client_note.len() > NOTE_MAX {
        return invalid(format!("the client's note is longer than {NOTE_MAX} bytes"));
    }
    if new.main_file.is_empty() {
        return invalid("the job names no .blend file".into());
    }
    Ok(())
}

fn check_settings(settings: &JobSettings) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::Invalid(text));
    let line = |text: &str| text.chars().count() <= NAME_MAX && !text.chars().any(char::is_control);
    if settings.name.trim().is_empty() || !line(&settings.name) {
        return invalid(format!(
            "a job's name is one line of 1 to {NAME_MAX} characters"
        ));
    }
    if settings.category.trim().is_empty() || !line(&settings.category) {
        return invalid(format!(
            "a category is one line of 1 to {NAME_MAX} characters"
        ));
    }
    if settings.tags.len() > TAGS_MAX
        || !settings.tags.iter().all(|tag| !tag.is_empty() && line(tag))
    {
        return invalid(format!(
            "a job has at most {TAGS_MAX} tags of 1 to {NAME_MAX} characters"
        ));
    }
    if settings.comment.chars().count() > COMMENT_MAX {
        return invalid(format!("a comment has at most {COMMENT_MAX} characters"));
    }
    if !(1..=PRIORITY_MAX).contains(&settings.priority) {
        return invalid(format!(
            "a priority is 1 to {PRIORITY_MAX}, not {}",
            settings.priority
        ));
    }
    if settings.chunk == 0 {
        return invalid("a chunk has at least 1 frame".into());
    }
    if !(1..=ATTEMPTS_MAX).contains(&settings.max_attempts) {
        return invalid(format!(
            "a frame is tried 1 to {ATTEMPTS_MAX} times, not {}",
            settings.max_attempts
        ));
    }
    for (what, names) in [
        ("resources", &settings.resources),
        ("names of workers", &settings.requirement.workers),
        ("receivers of notifications", &settings.notify),
    ] {
        if names.len() > NAMES_MAX || !names.iter().all(|name| !name.is_empty() && line(name)) {
            return invalid(format!(
                "a job has at most {NAMES_MAX} {what} of 1 to {NAME_MAX} characters"
            ));
        }
    }
    if settings.after.len() > NAMES_MAX {
        return invalid(format!("a job waits for at most {NAMES_MAX} others"));
    }
    Ok(())
}

/// Of what is new: a job that was taken in with another name keeps it.
fn check_names(
    category: Option<&String>,
    tags: &[String],
    resources: &[String],
) -> Result<(), Refusal> {
    let mut names = category.into_iter().chain(tags).chain(resources);
    names.try_for_each(|name| check_name(name).map_err(Refusal::Invalid))
}

/// A step that follows another frame by frame is rendered at the same time, so it must be fit for the same workers.
fn check_by_frame(steps: &[Step]) -> Result<(), Refusal> {
    for pair in steps.windows(2) {
        let devices = [&pair[0], &pair[1]].map(|step| &step.overrides().device);
        if (pair[1].by_frame || pair[1].beside) && devices[0] != devices[1] {
            return Err(Refusal::Invalid(
                "steps that are rendered at the same time render on the same device".into(),
            ));
        }
    }
    Ok(())
}

pub(super) fn command(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    command: JobCommand,
    effects: &mut Effects,
) -> Applied {
    let state = scheduler.jobs.get(&id).ok_or_else(|| no_job(id))?.state;
    match command {
        JobCommand::Edit(edit) => return edit_job(scheduler, now, id, edit, effects),
        JobCommand::Remove => return Ok(remove(scheduler, now, id, effects)),
        JobCommand::Expire { over_before } => {
            return expire(scheduler, now, id, over_before, effects);
        }
        JobCommand::Fetched { frames, step } => {
            return fetched(scheduler, now, id, (frames, step), effects);
        }
        JobCommand::Retry => return retry(scheduler, now, id, effects),
        JobCommand::Pause | JobCommand::Resume | JobCommand::Cancel => {}
    }
    let target = match (&command, state) {
        (_, JobState::Done) => return refuse(id, "done", "submit it again to render it again"),
        (JobCommand::Pause | JobCommand::Resume, JobState::Cancelled) => {
            return refuse(id, "cancelled", "`tessera job retry` takes it up again");
        }
        (JobCommand::Pause | JobCommand::Resume, JobState::Failed) => {
            return refuse(
                id,
                "failed",
                "`tessera job retry` tries its failed frames again",
            );
        }
        (JobCommand::Pause, _) => JobState::Paused,
        (JobCommand::Resume, _) => JobState::Active,
        _ => JobState::Cancelled,
    };
    set_state(scheduler, now.elapsed, id, target, effects);
    effects.jobs.insert(id);
    match target {
        JobState::Cancelled => take_back(scheduler, now.elapsed, id, effects),
        JobState::Paused => recall_where(scheduler, id, |_| true, effects),
        _ => {}
    }
    Ok(Outcome::Applied)
}

fn refuse(job: JobId, state: &'static str, hint: &'static str) -> Applied {
    Err(Refusal::JobState { job, state, hint })
}

fn remove(scheduler: &mut Scheduler, now: Now, id: JobId, effects: &mut Effects) -> Outcome {
    take_back(scheduler, now.elapsed, id, effects);
    let was_done = scheduler
        .jobs
        .get(&id)
        .is_some_and(|entry| entry.state == JobState::Done);
    if was_done {
        forget(scheduler, id, effects);
    }
    depend::leave(scheduler, id);
    line::leave(scheduler, id);
    scheduler.preempting.remove(&id);
    if let Some(entry) = scheduler.jobs.remove(&id) {
        pools::release(scheduler, entry.need);
        for worker in entry.loaded_at {
            if let Some(worker) = scheduler.workers.get_mut(&worker) {
                worker.loaded.retain(|job| *job != id);
            }
        }
    }
    depend::job_gone(scheduler, now.elapsed, id);
    effects.jobs.remove(&id);
    effects.removed_jobs.insert(id);
    effects.changes.push(Change::JobRemoved(id));
    Outcome::Applied
}

/// Notes that a client has all that was delivered, if that is so: what it did not know of is not fetched.
fn fetched(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    (frames, step): (u32, Option<StepIndex>),
    effects: &mut Effects,
) -> Applied {
    let entry = scheduler.jobs.get_mut(&id).ok_or_else(|| no_job(id))?;
    let (_, done, _) = entry.frame_counts();
    if !entry.state.is_over() {
        return refuse(
            id,
            "not over",
            "its frames are fetched when no more will come",
        );
    }
    // Of those that were made anew the number does not say which they are.
    let is_old = entry.job.steps.iter().any(|step| step.replaced)
        && step.is_none_or(|step| step != entry.last_frames());
    if frames != done || is_old {
        return Err(Refusal::Fetched {
            job: id,
            frames,
            delivered: done,
        });
    }
    if done > 0 && entry.fetched_at().is_none() {
        let mark = FetchedMark {
            frames,
            at: now.wall,
        };
        entry.fetched = Some(mark);
        effects.changes.push(Change::JobFetched(id, mark));
    }
    Ok(Outcome::Applied)
}

/// Removes a job, if nobody has taken it up again meanwhile.
fn expire(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    over_before: Timestamp,
    effects: &mut Effects,
) -> Applied {
    let entry = scheduler.jobs.get(&id).ok_or_else(|| no_job(id))?;
    if entry.is_kept_enough(over_before) {
        return Ok(remove(scheduler, now, id, effects));
    }
    refuse(
        id,
        "in use",
        "it is not over for long enough, or frames of it wait to be fetched",
    )
}

/// Those that waited for a job which is done need not wait for it when it is gone.
fn forget(scheduler: &mut Scheduler, id: JobId, effects: &mut Effects) {
    for waiting in scheduler.dependents.remove(&id).unwrap_or_default() {
        if let Some(entry) = scheduler.jobs.get_mut(&waiting) {
            let settings = &mut entry.job.settings;
            settings.after.retain(|after| after.job != id);
            effects
                .changes
                .push(Change::JobEdited(waiting, settings.clone()));
            effects.jobs.insert(waiting);
        }
    }
}

fn retry(scheduler: &mut Scheduler, now: Now, id: JobId, effects: &mut Effects) -> Applied {
    let entry = scheduler.jobs.get_mut(&id).ok_or_else(|| no_job(id))?;
    let (_, _, failed) = entry.counts();
    match entry.state {
        JobState::Done => return refuse(id, "done", "it has no failed frames"),
        JobState::Active | JobState::Paused if failed == 0 => return Ok(Outcome::Applied),
        _ => {}
    }
    for step in &mut entry.steps {
        step.given_up = FrameBits::new(step.done.len());
        step.failures.clear();
        step.lost.clear();
    }
    entry.trouble.clear();
    effects.changes.push(Change::FramesRetried(id));
    effects.jobs.insert(id);
    if entry.state.is_over() {
        set_state(scheduler, now.elapsed, id, JobState::Active, effects);
    }
    refresh_all_units(scheduler, now.elapsed, id);
    line::refresh_need(scheduler, now.elapsed, id);
    pin_one(scheduler, now, id, effects);
    settle(scheduler, now.elapsed, id, effects);
    Ok(Outcome::Applied)
}

fn edited(old: &JobSettings, edit: JobEdit) -> JobSettings {
    JobSettings {
        name: edit.name.unwrap_or_else(|| old.name.clone()),
        category: edit.category.unwrap_or_else(|| old.category.clone()),
        priority: edit.priority.unwrap_or(old.priority),
        tags: edit.tags.unwrap_or_else(|| old.tags.clone()),
        comment: edit.comment.unwrap_or_else(|| old.comment.clone()),
        chunk: edit.chunk.unwrap_or(old.chunk),
        max_attempts: edit.max_attempts.unwrap_or(old.max_attempts),
        requirement: edit.requirement.unwrap_or_else(|| old.requirement.clone()),
        resources: edit.resources.unwrap_or_else(|| old.resources.clone()),
        after: edit.after.unwrap_or_else(|| old.after.clone()),
        preempt: edit.preempt.unwrap_or(old.preempt),
        notify: edit.notify.unwrap_or_else(|| old.notify.clone()),
    }
}

fn edit_job(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    edit: JobEdit,
    effects: &mut Effects,
) -> Applied {
    let entry = scheduler.jobs.get(&id).ok_or_else(|| no_job(id))?;
    let old = entry.job.settings.clone();
    let (tags, resources) = (edit.tags.as_deref(), edit.resources.as_deref());
    check_names(
        edit.category.as_ref(),
        tags.unwrap_or_default(),
        resources.unwrap_or_default(),
    )?;
    let samples = edit.samples;
    let settings = edited(&old, edit);
    check_settings(&settings)?;
    check_range(&entry.job, settings.requirement.blender)?;
    check_after(scheduler, id, &old.after, &settings.after)?;
    let grows_to = match samples {
        Some(samples) => grow::check(entry, samples)?.then_some(samples),
        None => None,
    };
    effects.jobs.insert(id);
    if let Some(samples) = grows_to {
        grow::grow(scheduler, now, id, samples, effects);
    }
    if settings == old {
        return Ok(Outcome::Applied);
    }
    effects
        .changes
        .push(Change::JobEdited(id, settings.clone()));
    set_settings(scheduler, id, settings.clone());
    if settings.chunk != old.chunk {
        rechunk(scheduler, now, id, settings.chunk, effects);
    }
    if settings.after != old.after {
        refresh_all_units(scheduler, now.elapsed, id);
    }
    if settings.requirement.blender != old.requirement.blender
        || settings.requirement != old.requirement
        || settings.tags != old.tags
    {
        line::refresh_need(scheduler, now.elapsed, id);
        leave_unfit(scheduler, id, effects);
        pin_one(scheduler, now, id, effects);
    }
    if settings.after != old.after || settings.resources != old.resources {
        // What had not begun is handed out by the new rules.
        recall_where(scheduler, id, |_| true, effects);
    }
    let active = scheduler.jobs[&id].state == JobState::Active;
    if active && settings.preempt {
        scheduler.preempting.insert(id);
    } else {
        scheduler.preempting.remove(&id);
    }
    line::refresh_job(scheduler, now.elapsed, id);
    scheduler.line.stale = true;
    scheduler.someone_new = true;
    scheduler.preempt_due = true;
    Ok(Outcome::Applied)
}

/// A job keeps the Blender that its first frames are rendered with.
/// Some Blender of the range must be able to open the file.
fn check_opens(file: Series, range: Option<SeriesRange>) -> Result<(), Refusal> {
    match range {
        Some(range) if range.to.is_some_and(|newest| newest < file) => {
            Err(Refusal::Invalid(format!(
                "no Blender within {range} opens a file saved by Blender {file}: allow {file} or newer, or save the file with an older Blender"
            )))
        }
        _ => Ok(()),
    }
}

fn check_range(job: &Job, range: Option<SeriesRange>) -> Result<(), Refusal> {
    check_opens(job.file_version, range)?;
    match (&job.build, range) {
        (Some(build), Some(range)) if !range.contains(build.version.series()) => {
            Err(Refusal::Invalid(format!(
                "job {} is rendered with {build}, which is not within {range}, and a job keeps its Blender: submit it again",
                job.id
            )))
        }
        _ => Ok(()),
    }
}

fn check_after(
    scheduler: &Scheduler,
    id: JobId,
    old: &[After],
    new: &[After],
) -> Result<(), Refusal> {
    for after in new.iter().filter(|after| !old.contains(after)) {
        if !scheduler.jobs.contains_key(&after.job) {
            return Err(Refusal::NoJob(after.job));
        }
    }
    if depend::is_circular(scheduler, id, new) {
        return Err(Refusal::Invalid(format!(
            "job {id} would wait for itself: one of the jobs it shall wait for waits for it"
        )));
    }
    Ok(())
}

/// Takes over settings, and who is counted by them.
fn set_settings(scheduler: &mut Scheduler, id: JobId, settings: JobSettings) {
    depend::leave(scheduler, id);
    let Some(entry) = scheduler.jobs.get(&id) else {
        return;
    };
    let owner = entry.job.owner.clone();
    let mut workers: Vec<WorkerId> = entry
        .leases
        .iter()
        .filter_map(|key| Some(scheduler.leases.get(key)?.worker))
        .collect();
    workers.sort_unstable();
    workers.dedup();
    let accounts = scheduler
        .accounts
        .of_job(&owner, &settings, &scheduler.settings);
    recount(scheduler, &workers, |scheduler| {
        if let Some(entry) = scheduler.jobs.get_mut(&id) {
            entry.accounts = accounts;
            entry.job.settings = settings;
        }
    });
    depend::enter(scheduler, id);
}

/// Another chunk for all that was not handed out yet.
fn rechunk(scheduler: &mut Scheduler, now: Now, id: JobId, chunk: u32, effects: &mut Effects) {
    let Some(entry) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    for (model, step) in entry.job.steps.iter_mut().zip(&mut entry.steps) {
        let frames = step.done.len();
        model.chunking.get_or_insert_with(|| step.chunking.clone());
        if model.in_order || step.places.is_some() {
            continue;
        }
        // What was ever handed out, is over, or has failed keeps its unit: reports and leases name it.
        let touched = step.attempts.last_key_value().map(|(&unit, _)| unit);
        let over = (0..step.taken.len()).rev().find(|&unit| {
            step.positions(unit)
                .any(|at| step.done.get(at) || step.given_up.get(at))
        });
        let failed = step
            .failures
            .last_key_value()
            .map(|(&at, _)| step.unit_of(at));
        let first = [touched, over, failed]
            .into_iter()
            .flatten()
            .max()
            .map_or(0, |unit| unit + 1);
        if first >= step.taken.len()
            || !step.chunking.rechunk(first, chunk.clamp(1, frames), frames)
        {
            continue;
        }
        let mut taken = FrameBits::new(step.chunking.units(frames));
        for unit in step.taken.iter().take_while(|&unit| unit < first) {
            taken.set(unit);
        }
        step.taken = taken;
        step.first_free = 0;
        model.chunking = Some(step.chunking.clone());
    }
    let layouts: Vec<Chunking> = entry
        .steps
        .iter()
        .map(|step| step.chunking.clone())
        .collect();
    effects.changes.push(Change::JobChunked(id, layouts));
    if waits_for_frames(&entry.job) {
        refresh_all_units(scheduler, now.elapsed, id);
    }
}

/// What lies ready at workers that may not have it any more is asked back. What renders there is finished.
fn leave_unfit(scheduler: &mut Scheduler, id: JobId, effects: &mut Effects) {
    let Some(need) = scheduler.jobs.get(&id).map(|entry| entry.need) else {
        return;
    };
    let criteria = scheduler.pools.needs[need].criteria.clone();
    let unfit: Vec<WorkerId> = scheduler
        .workers
        .values()
        .filter(|worker| !criteria.iter().all(|one| one.is_met(&worker.record)))
        .map(|worker| worker.record.id)
        .collect();
    recall_where(
        scheduler,
        id,
        |worker| unfit.binary_search(&worker).is_ok(),
        effects,
    );
}
