//! What time alone does: silent and lost workers, ended back-offs, samples.

use std::time::Duration;

use tessera_model::{Change, FrameError, FrameErrorKind, LeaseKey, WorkerId};

use crate::apply::{record_failure, settle};
use crate::books::{end_lease, refresh_unit, watch};
use crate::effects::Effects;
use crate::input::Now;
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use crate::worker::Link;
use crate::{assign, line, pools, usage};

/// When something is due next.
pub(crate) fn next(scheduler: &Scheduler) -> Option<Duration> {
    scheduler.timers.next()
}

/// Does all that is due.
pub(crate) fn lapse(scheduler: &mut Scheduler, now: Now, effects: &mut Effects) {
    while let Some(timer) = scheduler.timers.due(now.elapsed) {
        match timer {
            Timer::Worker(worker) => look_at(scheduler, now, worker, effects),
            Timer::Retry(job, step, unit) => {
                refresh_unit(scheduler, now.elapsed, job, step, unit);
                line::refresh_job(scheduler, now.elapsed, job);
            }
            Timer::Starved(job) => starved(scheduler, now.elapsed, job),
            Timer::Sample => usage::sample(scheduler, now.elapsed),
            Timer::Rerank => {
                scheduler.line.awaited = false;
                scheduler.line.stale = true;
            }
            Timer::Passed => {
                let all = scheduler.passed.len();
                assign::ask_again(scheduler, all);
            }
            // That it is time to decide again is all they say.
            Timer::Stragglers | Timer::Preempt => {}
        }
    }
}

fn starved(scheduler: &mut Scheduler, now: Duration, id: tessera_model::JobId) {
    let after = Duration::from_millis(scheduler.settings.starved_after_ms);
    let Some(job) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    job.watched = false;
    if job.waiting_since + after <= now {
        line::go_first(scheduler, id);
    } else {
        line::refresh_job(scheduler, now, id);
    }
}

/// A worker may have been silent for too long to get more, or to keep what it has.
fn look_at(scheduler: &mut Scheduler, now: Now, id: WorkerId, effects: &mut Effects) {
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    worker.watched_at = None;
    let is_past = |at: Duration| at <= now.elapsed;
    if worker
        .falls_silent_at(&scheduler.settings)
        .is_some_and(is_past)
    {
        worker.silent = true;
        effects.workers.insert(id);
        pools::leave(scheduler, id);
    }
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    if worker.lapses_at(&scheduler.settings).is_some_and(is_past) {
        if !worker.is_linked() {
            worker.link = Link::Absent;
        }
        effects.workers.insert(id);
        let keys = worker.leases.to_vec();
        lose(scheduler, now, keys, effects);
    }
    watch(scheduler, id);
}

/// Leases are gone with their worker. A frame that goes so too often may be what kills them: it is given up. Of those that
/// went together only the ones count that had gone most often before: a frame beside one that kills is not to pay for it.
pub(crate) fn lose(
    scheduler: &mut Scheduler,
    now: Now,
    keys: Vec<LeaseKey>,
    effects: &mut Effects,
) {
    let suspects: Vec<(LeaseKey, u32, u32)> = keys
        .iter()
        .filter_map(|key| {
            let position = scheduler.leases.get(key)?.rendering?;
            let step = scheduler.jobs.get(&key.unit.job)?.step(key.unit.step)?;
            Some((
                *key,
                position,
                step.lost.get(&position).copied().unwrap_or(0),
            ))
        })
        .collect();
    let most = suspects.iter().map(|(.., lost)| *lost).max();
    for key in keys {
        let blamed = suspects
            .iter()
            .find(|(of, _, lost)| *of == key && Some(*lost) == most);
        lose_one(scheduler, now, key, blamed.map(|(_, at, _)| *at), effects);
    }
}

fn lose_one(
    scheduler: &mut Scheduler,
    now: Now,
    key: LeaseKey,
    blamed: Option<u32>,
    effects: &mut Effects,
) {
    let held = scheduler.leases.get(&key);
    let worker = held.map(|held| held.worker);
    let was_urgent = held.is_some_and(|held| held.urgent);
    end_lease(scheduler, now.elapsed, key, effects);
    if was_urgent {
        line::go_first(scheduler, key.unit.job);
    }
    effects.changes.push(Change::LeaseEnded(key));
    let (Some(worker), Some(position)) = (worker, blamed) else {
        return;
    };
    let lost_max = scheduler.settings.lost_max;
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let Some(frame) = entry.frame_at(key.unit.step, position) else {
        return;
    };
    let Some(step) = entry.step_mut(key.unit.step) else {
        return;
    };
    let lost = step.lost.entry(position).or_default();
    *lost += 1;
    if *lost < lost_max {
        return;
    }
    let error = FrameError {
        lease: key,
        position,
        frame,
        worker,
        kind: FrameErrorKind::Worker,
        message: format!(
            "frame {frame} was lost {lost_max} times together with the worker that rendered it; it may be what stops them: look at its log, then `tessera job retry {}`",
            key.unit.job
        ),
        stdout: None,
        stderr: None,
        at: now.wall,
    };
    record_failure(scheduler, now, Box::new(error), true, effects);
    settle(scheduler, now.elapsed, key.unit.job, effects);
}
