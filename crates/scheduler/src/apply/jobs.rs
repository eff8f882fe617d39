//! What users do to jobs.

use tessera_model::{
    Build, Change, Job, JobEdit, JobId, JobSettings, JobState, MAX_FRAMES, Series, choose_build,
};

use super::reports::{settle, take_back};
use super::{Applied, no_job};
use crate::effects::{Effects, Order, Outcome, Refusal};
use crate::input::{JobCommand, NewJob, Now};
use crate::job::JobEntry;
use crate::scheduler::Scheduler;

/// Longest texts, in characters: bounds what a list shows and the record keeps.
const NAME_MAX: usize = 200;
const COMMENT_MAX: usize = 10_000;
const TAGS_MAX: usize = 32;
/// Largest priority: shares of 1 to 1000 say all that shares can say.
const PRIORITY_MAX: u32 = 1000;
/// Most attempts of a frame.
const ATTEMPTS_MAX: u32 = 100;
/// Longest note a client can leave, in bytes.
const NOTE_MAX: usize = 64 << 10;
/// Most steps of a job.
const STEPS_MAX: usize = 16;

pub(super) fn submit(
    scheduler: &mut Scheduler,
    now: Now,
    new: NewJob,
    effects: &mut Effects,
) -> Applied {
    check_settings(&new.settings)?;
    check_new(&new)?;
    let build = pin(scheduler, new.file_version)?;
    let id = JobId(scheduler.next_job);
    scheduler.next_job += 1;
    let job = Job {
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
    effects.changes.push(Change::JobAdded(job.clone()));
    effects.jobs.insert(id);
    scheduler.jobs.insert(id, JobEntry::new(job));
    Ok(Outcome::Submitted(id, build))
}

/// The build for a file: of those at hand, else of those that are known; none if none is known at all.
fn pin(scheduler: &Scheduler, file: Series) -> Result<Option<Build>, Refusal> {
    let builds = |linked: bool| {
        scheduler
            .workers
            .values()
            .filter(move |worker| !linked || worker.is_linked())
            .filter_map(|worker| worker.record.facts.as_ref())
            .flat_map(|facts| &facts.builds)
    };
    if let Some(build) =
        choose_build(file, builds(true)).or_else(|| choose_build(file, builds(false)))
    {
        return Ok(Some(build.clone()));
    }
    match builds(false).map(|build| build.version).max() {
        Some(newest) => Err(Refusal::NoBuild { file, newest }),
        None => Ok(None),
    }
}

/// Pins the jobs that waited for the first worker with a fitting Blender.
pub(super) fn pin_waiting(scheduler: &mut Scheduler, effects: &mut Effects) {
    let waiting: Vec<JobId> = scheduler
        .jobs
        .values()
        .filter(|entry| entry.job.build.is_none() && !entry.state.is_over())
        .map(|entry| entry.job.id)
        .collect();
    for id in waiting {
        let Some(file) = scheduler.jobs.get(&id).map(|entry| entry.job.file_version) else {
            continue;
        };
        let Ok(Some(build)) = pin(scheduler, file) else {
            continue;
        };
        if let Some(entry) = scheduler.jobs.get_mut(&id) {
            entry.job.build = Some(build.clone());
            effects.changes.push(Change::JobPinned(id, build));
            effects.jobs.insert(id);
        }
    }
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
        .map(|step| u64::from(step.frames.len()))
        .sum();
    if frames > u64::from(MAX_FRAMES) {
        return invalid(format!(
            "a job has at most {MAX_FRAMES} frames, this one has {frames}: split it"
        ));
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
    Ok(())
}

pub(super) fn command(
    scheduler: &mut Scheduler,
    id: JobId,
    command: JobCommand,
    effects: &mut Effects,
) -> Applied {
    let state = scheduler.jobs.get(&id).ok_or_else(|| no_job(id))?.state;
    match command {
        JobCommand::Edit(edit) => return edit_job(scheduler, id, edit, effects),
        JobCommand::Remove => return Ok(remove(scheduler, id, effects)),
        JobCommand::Retry => return retry(scheduler, id, effects),
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
    if target == state {
        return Ok(Outcome::Applied);
    }
    if let Some(entry) = scheduler.jobs.get_mut(&id) {
        entry.state = target;
    }
    effects.changes.push(Change::JobState(id, target));
    effects.jobs.insert(id);
    match target {
        JobState::Cancelled => take_back(scheduler, id, effects),
        JobState::Paused => recall_waiting(scheduler, |key| key.unit.job == id, effects),
        _ => {}
    }
    Ok(Outcome::Applied)
}

fn refuse(job: JobId, state: &'static str, hint: &'static str) -> Applied {
    Err(Refusal::JobState { job, state, hint })
}

/// Asks back what has not begun.
pub(super) fn recall_waiting(
    scheduler: &mut Scheduler,
    which: impl Fn(&tessera_model::LeaseKey) -> bool,
    effects: &mut Effects,
) {
    for (key, held) in &mut scheduler.leases {
        if which(key) && held.rendering.is_none() && !held.recalled {
            held.recalled = true;
            effects.orders.push((held.worker, Order::Recall(*key)));
        }
    }
}

fn remove(scheduler: &mut Scheduler, id: JobId, effects: &mut Effects) -> Outcome {
    take_back(scheduler, id, effects);
    scheduler.jobs.remove(&id);
    effects.jobs.remove(&id);
    effects.removed_jobs.insert(id);
    effects.changes.push(Change::JobRemoved(id));
    Outcome::Applied
}

fn retry(scheduler: &mut Scheduler, id: JobId, effects: &mut Effects) -> Applied {
    let entry = scheduler.jobs.get_mut(&id).ok_or_else(|| no_job(id))?;
    let (_, _, failed) = entry.counts();
    match entry.state {
        JobState::Done => return refuse(id, "done", "it has no failed frames"),
        JobState::Active | JobState::Paused if failed == 0 => return Ok(Outcome::Applied),
        _ => {}
    }
    let held: Vec<_> = entry
        .leases
        .iter()
        .map(|key| (key.unit.step, key.unit.index))
        .collect();
    for (index, step) in entry.steps.iter_mut().enumerate() {
        step.given_up = tessera_model::FrameBits::new(step.done.len());
        step.failures.clear();
        step.lost.clear();
        for unit in 0..step.taken.len() {
            let here = (tessera_model::StepIndex(index as u16), unit);
            if !held.contains(&here) {
                step.free_unless_over(unit);
            }
        }
    }
    entry.trouble.clear();
    effects.changes.push(Change::FramesRetried(id));
    if entry.state.is_over() {
        entry.state = JobState::Active;
        effects.changes.push(Change::JobState(id, JobState::Active));
    }
    effects.jobs.insert(id);
    settle(scheduler, id, effects);
    Ok(Outcome::Applied)
}

fn edit_job(scheduler: &mut Scheduler, id: JobId, edit: JobEdit, effects: &mut Effects) -> Applied {
    let entry = scheduler.jobs.get_mut(&id).ok_or_else(|| no_job(id))?;
    let old = &entry.job.settings;
    let settings = JobSettings {
        name: edit.name.unwrap_or_else(|| old.name.clone()),
        category: edit.category.unwrap_or_else(|| old.category.clone()),
        priority: edit.priority.unwrap_or(old.priority),
        tags: edit.tags.unwrap_or_else(|| old.tags.clone()),
        comment: edit.comment.unwrap_or_else(|| old.comment.clone()),
        chunk: old.chunk,
        max_attempts: edit.max_attempts.unwrap_or(old.max_attempts),
        requirement: edit.requirement.unwrap_or_else(|| old.requirement.clone()),
        resources: edit.resources.unwrap_or_else(|| old.resources.clone()),
        after: edit.after.unwrap_or_else(|| old.after.clone()),
        preempt: edit.preempt.unwrap_or(old.preempt),
    };
    check_settings(&settings)?;
    if settings != *old {
        effects
            .changes
            .push(Change::JobEdited(id, settings.clone()));
        entry.job.settings = settings;
    }
    effects.jobs.insert(id);
    Ok(Outcome::Applied)
}
