//! What workers say of the frames in their hands.

use std::time::Duration;

use tessera_model::{
    Change, FrameError, FrameResult, JobId, JobState, LeaseKey, StepIndex, WorkerId,
};

use super::{Applied, end_lease};
use crate::assign;
use crate::effects::{Effects, Order, Outcome, Refusal};
use crate::input::Now;
use crate::job::JobEntry;
use crate::lapse::lose;
use crate::scheduler::Scheduler;

pub(super) fn started(
    scheduler: &mut Scheduler,
    now: Now,
    worker: WorkerId,
    key: LeaseKey,
    position: u32,
    effects: &mut Effects,
) -> Applied {
    let Some(held) = scheduler
        .leases
        .get_mut(&key)
        .filter(|held| held.worker == worker)
    else {
        return Ok(Outcome::NotNeeded);
    };
    held.seen = now.elapsed;
    held.recalled = false;
    if held.rendering != Some(position) {
        held.rendering = Some(position);
        let job = key.unit.job;
        let frame = scheduler
            .jobs
            .get(&job)
            .and_then(|entry| frame_at(entry, key.unit.step, position));
        if let Some(frame) = frame {
            effects
                .started
                .push((job, key.unit.step, position, frame, worker));
        }
        effects.jobs.insert(job);
        effects.workers.insert(worker);
    }
    Ok(Outcome::Applied)
}

/// A lease has ended on its worker, with or without all of its frames reported.
pub(super) fn returned(
    scheduler: &mut Scheduler,
    now: Now,
    worker: WorkerId,
    key: LeaseKey,
    effects: &mut Effects,
) -> Applied {
    if scheduler
        .leases
        .get(&key)
        .is_none_or(|held| held.worker != worker)
    {
        return Ok(Outcome::NotNeeded);
    }
    if let Some(held) = scheduler.leases.get_mut(&key) {
        // Given back on purpose: not lost.
        held.rendering = None;
    }
    lose(scheduler, now, key, effects);
    Ok(Outcome::Applied)
}

pub(super) fn done(
    scheduler: &mut Scheduler,
    now: Now,
    mut result: Box<FrameResult>,
    effects: &mut Effects,
) -> Applied {
    let key = result.lease;
    let (position, worker) = (result.position, result.worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return Ok(Outcome::NotNeeded);
    };
    check_frame(entry, key, position, result.frame)?;
    let wanted = entry.state != JobState::Cancelled;
    let Some(step) = entry.step_mut(key.unit.step) else {
        return Ok(Outcome::NotNeeded);
    };
    if !wanted || step.done.get(position) {
        return Ok(Outcome::NotNeeded);
    }
    // Late is welcome, somebody else's is not: what a worker reports of it was once given to it.
    let granted = step.attempts.get(&key.unit.index).copied();
    let holder = scheduler.leases.get(&key).map(|held| held.worker);
    if granted.is_none_or(|latest| key.attempt > latest) || holder.is_some_and(|of| of != worker) {
        return Err(Refusal::Invalid(format!(
            "worker {worker} reports frame {} under a lease that it was not given",
            result.frame
        )));
    }
    step.done.set(position);
    step.given_up.clear(position);
    step.failures.remove(&position);
    let unit = key.unit.index;
    let unit_done = step.unit_done(unit);
    if unit_done {
        step.attempts.remove(&unit);
        step.lost.remove(&unit);
        step.taken.set(unit);
    }
    entry.trouble.remove(&worker);
    effects.jobs.insert(key.unit.job);
    effects.workers.insert(worker);
    result.at = now.wall;
    effects.changes.push(Change::FrameDone(result));
    reported(scheduler, key, position);
    if unit_done {
        effects.changes.push(Change::UnitClosed(key.unit));
        for other in leases_of_unit(scheduler, key) {
            // Whoever else is at it, by a lease that had lapsed in between, can stop.
            if other != key
                && let Some(held) = scheduler.leases.get(&other)
            {
                effects.orders.push((held.worker, Order::Cancel(other)));
            }
            end_lease(scheduler, other, effects);
        }
    } else {
        end_if_reported(scheduler, key, effects);
    }
    settle(scheduler, key.unit.job, effects);
    Ok(Outcome::Accepted)
}

pub(super) fn failed(
    scheduler: &mut Scheduler,
    now: Now,
    error: Box<FrameError>,
    effects: &mut Effects,
) -> Applied {
    let key = error.lease;
    let (position, worker) = (error.position, error.worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return Ok(Outcome::NotNeeded);
    };
    check_frame(entry, key, position, error.frame)?;
    let live = scheduler
        .leases
        .get(&key)
        .is_some_and(|held| held.worker == worker);
    let step = entry.step(key.unit.step);
    let missing = step.is_some_and(|step| !step.done.get(position) && !step.given_up.get(position));
    // A failure under a lease that has ended was counted when it ended, or is nobody's business any more.
    if !live || !missing || entry.state.is_over() {
        return Ok(Outcome::NotNeeded);
    }
    let in_order = entry.job.steps[key.unit.step.0 as usize].in_order;
    record_failure(scheduler, now, error, false, effects);
    reported(scheduler, key, position);
    if in_order && scheduler.leases.contains_key(&key) {
        end_lease(scheduler, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    } else {
        end_if_reported(scheduler, key, effects);
    }
    settle(scheduler, key.unit.job, effects);
    Ok(Outcome::Accepted)
}

/// Counts a failure of a frame, gives the frame up at the bound (or at once), and draws the conclusions for worker and job.
pub(crate) fn record_failure(
    scheduler: &mut Scheduler,
    now: Now,
    mut error: Box<FrameError>,
    give_up: bool,
    effects: &mut Effects,
) {
    let key = error.lease;
    let (position, worker) = (error.position, error.worker);
    let settings = scheduler.settings.clone();
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let max = entry.job.settings.max_attempts;
    let in_order = entry.job.steps[key.unit.step.0 as usize].in_order;
    let Some(step) = entry.step_mut(key.unit.step) else {
        return;
    };
    let failures = step.failures.entry(position).or_default();
    failures.count += 1;
    failures.workers.insert(worker);
    let back_off =
        Duration::from_millis(settings.retry_after_ms) * (1 << (failures.count - 1).min(16));
    failures.not_before =
        now.elapsed + back_off.min(Duration::from_millis(settings.retry_after_max_ms));
    let give_up = give_up || failures.count >= max;
    error.at = now.wall;
    effects.changes.push(Change::FrameFailed(error.clone()));
    if give_up {
        // Where order matters nothing after this frame can be rendered either.
        let last = if in_order {
            step.done.len()
        } else {
            position + 1
        };
        for at in position..last {
            if !step.done.get(at) && step.given_up.set(at) {
                effects.changes.push(Change::FrameGivenUp(key, at));
            }
        }
        if scheduler.leases.keys().all(|live| live.unit != key.unit) {
            step.free_unless_over(key.unit.index);
        }
    }
    effects.failures.push((error, give_up));
    effects.jobs.insert(key.unit.job);
    let trouble = entry.trouble.entry(worker).or_default();
    *trouble += 1;
    let troubled = *trouble >= settings.block_after_failures;
    if troubled
        && assign::someone_else(scheduler, now.elapsed, key.unit.job, worker)
        && let Some(entry) = scheduler.jobs.get_mut(&key.unit.job)
        && entry.blocked.insert(worker)
    {
        effects
            .changes
            .push(Change::JobBlocked(key.unit.job, worker));
    }
}

/// Brings a job's state in line with its frames.
pub(crate) fn settle(scheduler: &mut Scheduler, job: JobId, effects: &mut Effects) {
    let hopeless_after = scheduler.settings.hopeless_after;
    let Some(entry) = scheduler.jobs.get_mut(&job) else {
        return;
    };
    let (frames, done, failed) = entry.counts();
    let state = if done == frames {
        JobState::Done
    } else if done + failed == frames || (done == 0 && failed >= hopeless_after) {
        JobState::Failed
    } else {
        return;
    };
    if entry.state == state || (entry.state.is_over() && state == JobState::Failed) {
        return;
    }
    entry.state = state;
    effects.changes.push(Change::JobState(job, state));
    effects.jobs.insert(job);
    take_back(scheduler, job, effects);
}

/// Kills what is rendered of a job.
pub(super) fn take_back(scheduler: &mut Scheduler, job: JobId, effects: &mut Effects) {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return;
    };
    for key in entry.leases.clone() {
        if let Some(held) = scheduler.leases.get(&key) {
            effects.orders.push((held.worker, Order::Cancel(key)));
        }
        end_lease(scheduler, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}

fn reported(scheduler: &mut Scheduler, key: LeaseKey, position: u32) {
    if let Some(held) = scheduler.leases.get_mut(&key) {
        held.left = held.left.saturating_sub(1);
        if held.rendering == Some(position) {
            held.rendering = None;
        }
    }
}

fn end_if_reported(scheduler: &mut Scheduler, key: LeaseKey, effects: &mut Effects) {
    if scheduler
        .leases
        .get(&key)
        .is_some_and(|held| held.left == 0)
    {
        end_lease(scheduler, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}

fn leases_of_unit(scheduler: &Scheduler, key: LeaseKey) -> Vec<LeaseKey> {
    scheduler
        .jobs
        .get(&key.unit.job)
        .map(|entry| {
            entry
                .leases
                .iter()
                .filter(|live| live.unit == key.unit)
                .copied()
                .collect()
        })
        .unwrap_or_default()
}

fn frame_at(entry: &JobEntry, step: StepIndex, position: u32) -> Option<i32> {
    entry.job.steps.get(step.0 as usize)?.frames.at(position)
}

/// A report must speak of a frame that exists, and of the unit it belongs to.
fn check_frame(entry: &JobEntry, key: LeaseKey, position: u32, frame: i32) -> Result<(), Refusal> {
    let unit = entry.step(key.unit.step).map(|step| step.unit_of(position));
    if unit == Some(key.unit.index) && frame_at(entry, key.unit.step, position) == Some(frame) {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "the report names frame {frame} at position {position} of unit {}, which is not a frame of that unit",
        key.unit
    )))
}
