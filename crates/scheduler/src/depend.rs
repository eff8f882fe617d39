//! What waits for what: jobs for jobs, frames for frames of the same number.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{After, JobId, JobState, StepIndex};

use crate::books::{refresh_all_units, refresh_unit};
use crate::job::JobEntry;
use crate::line;
use crate::scheduler::Scheduler;

/// Jobs waited for as a whole that are not done. One that is gone without having been done is waited for in vain.
pub(crate) fn unmet(scheduler: &Scheduler, after: &[After]) -> BTreeSet<JobId> {
    let is_done = |id: &JobId| {
        scheduler
            .jobs
            .get(id)
            .is_some_and(|job| job.state == JobState::Done)
    };
    after
        .iter()
        .filter(|after| !after.frames)
        .map(|after| after.job)
        .filter(|id| !is_done(id))
        .collect()
}

/// Whether the frames that a unit's frames wait for are delivered.
pub(crate) fn frames_are_there(
    scheduler: &Scheduler,
    job: &JobEntry,
    step: StepIndex,
    unit: u32,
) -> bool {
    let at = step.0 as usize;
    let by_frame = at > 0 && job.job.steps[at].by_frame;
    let mut others = job
        .job
        .settings
        .after
        .iter()
        .filter(|after| after.frames)
        .peekable();
    if !by_frame && others.peek().is_none() {
        return true;
    }
    let others: Vec<Option<&JobEntry>> =
        others.map(|after| scheduler.jobs.get(&after.job)).collect();
    // Of a frame to which samples were added, parts are in several steps.
    let awaited = |before: &usize| before + 1 == at || job.job.steps[*before].makes_parts();
    job.steps[at].wanted(unit).all(|position| {
        let Some(frame) = job.frame_at(step, position) else {
            return true;
        };
        let mut before = (0..at).filter(awaited);
        (!by_frame || before.all(|before| step_has(job, before, frame)))
            && others.iter().all(|other| {
                other.is_some_and(|other| {
                    (0..other.steps.len()).all(|step| step_has(other, step, frame))
                })
            })
    })
}

/// Whether a step has delivered a frame, or has no such frame that somebody waits for.
fn step_has(job: &JobEntry, step: usize, frame: i32) -> bool {
    let positions = job.job.steps[step].positions_of(frame);
    let state = &job.steps[step];
    state.replaced || positions.is_none_or(|positions| state.has_all(positions))
}

/// A frame was delivered: what waited for it may be free now.
pub(crate) fn frame_done(
    scheduler: &mut Scheduler,
    now: Duration,
    job: JobId,
    step: StepIndex,
    frame: i32,
) {
    let following: Vec<usize> = scheduler.jobs.get(&job).map_or_else(Vec::new, |entry| {
        let later = entry.job.steps.iter().enumerate();
        let later = later.skip(step.0 as usize + 1);
        later
            .filter(|(_, step)| step.by_frame && !step.replaced)
            .map(|(at, _)| at)
            .collect()
    });
    for next in following {
        refresh_frame(scheduler, now, job, next, frame);
    }
    for waiting in waiting_for(scheduler, job) {
        let steps = scheduler
            .jobs
            .get(&waiting)
            .map_or(0, |entry| entry.steps.len());
        for step in 0..steps {
            refresh_frame(scheduler, now, waiting, step, frame);
        }
    }
}

fn refresh_frame(scheduler: &mut Scheduler, now: Duration, job: JobId, step: usize, frame: i32) {
    let units = scheduler.jobs.get(&job).and_then(|entry| {
        let positions = entry.job.steps.get(step)?.positions_of(frame)?;
        let units: BTreeSet<u32> = positions
            .map(|position| entry.steps[step].unit_of(position))
            .collect();
        Some(units)
    });
    let Some(units) = units else {
        return;
    };
    for unit in units {
        refresh_unit(scheduler, now, job, StepIndex(step as u16), unit);
    }
    line::refresh_job(scheduler, now, job);
}

fn waiting_for(scheduler: &Scheduler, job: JobId) -> Vec<JobId> {
    scheduler
        .dependents
        .get(&job)
        .map(|jobs| jobs.iter().copied().collect())
        .unwrap_or_default()
}

/// A job is over, or came to life again: who waits for it as a whole is told.
pub(crate) fn job_changed(scheduler: &mut Scheduler, now: Duration, job: JobId) {
    for waiting in waiting_for(scheduler, job) {
        let Some(after) = scheduler
            .jobs
            .get(&waiting)
            .map(|entry| entry.job.settings.after.clone())
        else {
            continue;
        };
        let unmet = unmet(scheduler, &after);
        if let Some(entry) = scheduler.jobs.get_mut(&waiting) {
            entry.waits_for = unmet;
        }
        line::refresh_job(scheduler, now, waiting);
    }
}

/// A job is gone without having been done: who waits for its frames waits in vain.
pub(crate) fn job_gone(scheduler: &mut Scheduler, now: Duration, job: JobId) {
    for waiting in waiting_for(scheduler, job) {
        refresh_all_units(scheduler, now, waiting);
    }
    job_changed(scheduler, now, job);
}

/// Takes over what a job waits for.
pub(crate) fn enter(scheduler: &mut Scheduler, job: JobId) {
    let Some(after) = scheduler
        .jobs
        .get(&job)
        .map(|entry| entry.job.settings.after.clone())
    else {
        return;
    };
    for other in &after {
        scheduler
            .dependents
            .entry(other.job)
            .or_default()
            .insert(job);
    }
    let unmet = unmet(scheduler, &after);
    if let Some(entry) = scheduler.jobs.get_mut(&job) {
        entry.waits_for = unmet;
    }
}

/// Forgets what a job waits for.
pub(crate) fn leave(scheduler: &mut Scheduler, job: JobId) {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return;
    };
    for after in &entry.job.settings.after {
        if let Some(jobs) = scheduler.dependents.get_mut(&after.job) {
            jobs.remove(&job);
            if jobs.is_empty() {
                scheduler.dependents.remove(&after.job);
            }
        }
    }
}

/// Whether `job` would wait for itself if it waited for these.
pub(crate) fn is_circular(scheduler: &Scheduler, job: JobId, after: &[After]) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<JobId> = after.iter().map(|after| after.job).collect();
    while let Some(next) = open.pop() {
        if next == job {
            return true;
        }
        if seen.insert(next)
            && let Some(entry) = scheduler.jobs.get(&next)
        {
            open.extend(entry.job.settings.after.iter().map(|after| after.job));
        }
    }
    false
}
