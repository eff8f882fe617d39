//! What time alone does: the units of workers that are gone are handed out again.

use std::time::Duration;

use tessera_model::{Change, FrameError, FrameErrorKind, LeaseKey, WorkerId};

use crate::apply::{end_lease, record_failure, settle};
use crate::effects::Effects;
use crate::input::Now;
use crate::scheduler::Scheduler;
use crate::worker::Link;

/// When the next worker's units lapse.
pub(crate) fn next(scheduler: &Scheduler) -> Option<Duration> {
    scheduler
        .workers
        .values()
        .filter_map(|worker| worker.lapses_at(&scheduler.settings))
        .min()
}

/// Takes back what is held by workers that are gone. Returns whether anything was.
pub(crate) fn lapse(scheduler: &mut Scheduler, now: Now, effects: &mut Effects) -> bool {
    let gone: Vec<WorkerId> = scheduler
        .workers
        .iter()
        .filter(|(_, worker)| {
            worker
                .lapses_at(&scheduler.settings)
                .is_some_and(|at| at <= now.elapsed)
        })
        .map(|(&id, _)| id)
        .collect();
    for &id in &gone {
        let Some(worker) = scheduler.workers.get_mut(&id) else {
            continue;
        };
        if !worker.is_linked() {
            worker.link = Link::Absent;
        }
        let keys: Vec<LeaseKey> = worker.leases.iter().copied().collect();
        effects.workers.insert(id);
        for key in keys {
            lose(scheduler, now, key, effects);
        }
    }
    !gone.is_empty()
}

/// A lease is gone with its worker. A frame that goes so too often may be what kills them: it is given up.
pub(crate) fn lose(scheduler: &mut Scheduler, now: Now, key: LeaseKey, effects: &mut Effects) {
    let rendering = scheduler
        .leases
        .get(&key)
        .and_then(|held| held.rendering.map(|at| (held.worker, at)));
    end_lease(scheduler, key, effects);
    effects.changes.push(Change::LeaseEnded(key));
    let Some((worker, position)) = rendering else {
        return;
    };
    let lost_max = scheduler.settings.lost_max;
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let Some(frame) = entry
        .job
        .steps
        .get(key.unit.step.0 as usize)
        .and_then(|step| step.frames.at(position))
    else {
        return;
    };
    let Some(step) = entry.step_mut(key.unit.step) else {
        return;
    };
    let lost = step.lost.entry(key.unit.index).or_default();
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
    settle(scheduler, key.unit.job, effects);
}
