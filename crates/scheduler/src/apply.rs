//! One function per input.
//!
//! The functions keep three books in step: a lease stands in `Scheduler::leases`, in its job's and in
//! its worker's set, and its unit's bit in `StepEntry::taken` is set; [`hold`] and [`end_lease`] are the
//! only places that touch them.

mod jobs;
mod reports;
mod workers;

pub(crate) use reports::{record_failure, settle};

use std::time::Duration;

use tessera_model::{Change, FarmSettings, JobId, LeaseKey, WorkerId};

use crate::assign;
use crate::effects::{Effects, Outcome, Refusal};
use crate::input::{Input, Now};
use crate::lapse;
use crate::scheduler::{Held, Scheduler};

pub(crate) fn apply(scheduler: &mut Scheduler, now: Now, input: Input, effects: &mut Effects) {
    lapse::lapse(scheduler, now, effects);
    let outcome = match input {
        Input::Submit(new) => jobs::submit(scheduler, now, *new, effects),
        Input::Job(job, command) => jobs::command(scheduler, job, command, effects),
        Input::Worker(worker, command) => workers::command(scheduler, worker, command, effects),
        Input::Paired(name) => workers::paired(scheduler, now, &name, effects),
        Input::Linked {
            worker,
            facts,
            holds,
        } => workers::linked(scheduler, now, worker, facts, &holds, effects),
        Input::Unlinked(worker) => workers::unlinked(scheduler, now, worker, effects),
        Input::Heartbeat { worker, holds } => {
            workers::heartbeat(scheduler, now, worker, &holds, effects)
        }
        Input::Facts { worker, facts } => workers::facts(scheduler, worker, facts, effects),
        Input::Started {
            worker,
            key,
            position,
        } => reports::started(scheduler, now, worker, key, position, effects),
        Input::Returned { worker, key } | Input::Finished { worker, key } => {
            reports::returned(scheduler, now, worker, key, effects)
        }
        Input::Done(result) => reports::done(scheduler, now, result, effects),
        Input::Failed(error) => reports::failed(scheduler, now, error, effects),
        Input::Settings(settings) => self::settings(scheduler, *settings, effects),
        Input::Tick => Ok(Outcome::Applied),
    };
    match outcome {
        Ok(outcome) => effects.outcome = outcome,
        Err(refusal) => effects.outcome = Outcome::Refused(refusal),
    }
    assign::assign(scheduler, now.elapsed, effects);
}

fn settings(scheduler: &mut Scheduler, settings: FarmSettings, effects: &mut Effects) -> Applied {
    settings.check().map_err(Refusal::Invalid)?;
    if settings != scheduler.settings {
        scheduler.settings = settings.clone();
        effects.changes.push(Change::FarmSet(Box::new(settings)));
    }
    Ok(Outcome::Applied)
}

type Applied = Result<Outcome, Refusal>;

fn no_job(job: JobId) -> Refusal {
    Refusal::NoJob(job)
}

/// Enters a lease into the books. False, and nothing done, if its unit is not there or in somebody's hands.
pub(crate) fn hold(
    scheduler: &mut Scheduler,
    now: Duration,
    key: LeaseKey,
    worker: WorkerId,
) -> bool {
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return false;
    };
    let Some(holder) = scheduler.workers.get_mut(&worker) else {
        return false;
    };
    let Some(step) = entry.step_mut(key.unit.step) else {
        return false;
    };
    if key.unit.index >= step.taken.len() || !step.taken.set(key.unit.index) {
        return false;
    }
    let highest = step.attempts.entry(key.unit.index).or_insert(key.attempt);
    *highest = key.attempt.max(*highest);
    let left = step.wanted(key.unit.index).count() as u32;
    entry.leases.insert(key);
    holder.leases.insert(key);
    let held = Held {
        worker,
        seen: now,
        rendering: None,
        left,
        recalled: false,
    };
    scheduler.leases.insert(key, held);
    true
}

/// Takes a lease out of the books and frees what of its unit is still wanted. Recording it is the caller's part.
pub(crate) fn end_lease(scheduler: &mut Scheduler, key: LeaseKey, effects: &mut Effects) {
    let Some(held) = scheduler.leases.remove(&key) else {
        return;
    };
    if let Some(worker) = scheduler.workers.get_mut(&held.worker) {
        worker.leases.remove(&key);
        effects.workers.insert(held.worker);
    }
    if let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) {
        entry.leases.remove(&key);
        effects.jobs.insert(key.unit.job);
        if let Some(step) = entry.step_mut(key.unit.step) {
            step.free_unless_over(key.unit.index);
        }
    }
}
