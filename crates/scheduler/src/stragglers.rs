//! The end of a job: when workers stand idle and the last units take long, a second lease of one of them may end sooner.
//!
//! What a unit still takes where it is follows from the job's measured cost and the worker's measured speed; one that
//! takes longer than expected is expected to take as long again as it is late (a straggler gives no better evidence).
//! The first result wins, the other lease is cancelled.

use std::time::Duration;

use tessera_model::{JobId, LeaseKey, WorkerId};

use crate::assign::{Choice, give};
use crate::depend::frames_are_there;
use crate::effects::Effects;
use crate::job::JobEntry;
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use crate::worker::WorkerEntry;

/// How often it is looked whether a second lease pays, while workers stand idle.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Leases and idle workers looked at each time.
const LOOKED_AT_MAX: usize = 64;

/// Hands out second leases that pay. At most at every [`LOOK_EVERY`].
pub(crate) fn double(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    let gain = scheduler.settings.duplicate_gain_ms.saturating_mul(1000);
    if gain == 0 || scheduler.pools.idle.is_empty() || scheduler.leases.is_empty() {
        return;
    }
    if scheduler
        .looked_for_stragglers
        .is_some_and(|at| now < at + LOOK_EVERY)
    {
        return;
    }
    scheduler.looked_for_stragglers = Some(now);
    let idle: Vec<WorkerId> = scheduler
        .pools
        .idle
        .iter()
        .copied()
        .take(LOOKED_AT_MAX)
        .collect();
    let mut waiting = false;
    for thief in idle {
        let (best, more) = best_for(scheduler, now, thief, gain);
        waiting |= more;
        if let Some(choice) = best {
            give(scheduler, now, thief, choice, effects);
        }
    }
    if waiting {
        scheduler.timers.set(now + LOOK_EVERY, Timer::Stragglers);
    }
}

/// The unit whose second lease at this worker gains most, and whether any may come to gain enough later.
fn best_for(
    scheduler: &Scheduler,
    now: Duration,
    thief: WorkerId,
    gain_us: u64,
) -> (Option<Choice>, bool) {
    let Some(worker) = scheduler.workers.get(&thief) else {
        return (None, false);
    };
    if worker.leases.len() >= worker.slots() {
        return (None, false);
    }
    let mut best: Option<(u64, Choice)> = None;
    let mut candidates = false;
    for &id in &scheduler.line.order {
        let Some(job) = scheduler.jobs.get(&id) else {
            continue;
        };
        if !may_double(scheduler, worker, id, job) {
            continue;
        }
        candidates |= !job.leases.is_empty();
        for key in job.leases.iter().take(LOOKED_AT_MAX) {
            let Some(gain) = gain(scheduler, now, worker, job, key) else {
                continue;
            };
            if gain >= gain_us && best.is_none_or(|(most, _)| gain > most) {
                let choice = Choice {
                    job: id,
                    step: key.unit.step,
                    unit: key.unit.index,
                    urgent: false,
                };
                best = Some((gain, choice));
            }
        }
    }
    (best.map(|(_, choice)| choice), candidates)
}

/// Whether a job is at its end, and this worker may have units of it.
fn may_double(scheduler: &Scheduler, worker: &WorkerEntry, id: JobId, job: &JobEntry) -> bool {
    let Some(pool) = worker
        .spot
        .and_then(|spot| scheduler.pools.pools.get(&spot.pool))
    else {
        return false;
    };
    job.rank
        .is_some_and(|rank| pool.jobs.get(rank) && !scheduler.line.capped.get(rank))
        && !job.has_free_unit()
        && !job.leases.is_empty()
        && !job.blocked.contains(&worker.record.id)
        && !worker.leases.iter().any(|key| key.unit.job == id)
        && !job
            .accounts
            .iter()
            .any(|&account| scheduler.accounts.get(account).is_exhausted())
}

/// Microseconds by which a second lease at this worker would end sooner.
fn gain(
    scheduler: &Scheduler,
    now: Duration,
    worker: &WorkerEntry,
    job: &JobEntry,
    key: &LeaseKey,
) -> Option<u64> {
    let held = scheduler.leases.get(key)?;
    let step = job.step(key.unit.step)?;
    let single = job.leases_of(key.unit).count() == 1;
    let unfit = step
        .failures
        .range(step.positions(key.unit.index))
        .any(|(_, failures)| {
            failures.not_before > now || failures.workers.contains(&worker.record.id)
        });
    let owner = scheduler.workers.get(&held.worker)?;
    // What was asked back and does not come, or lies at a silent worker, counts as begun when it was last seen there.
    let stays = held.recalled || owner.silent;
    let begun = held.begun.or(stays.then_some(held.seen))?;
    let waits = !frames_are_there(scheduler, job, key.unit.step, key.unit.index);
    if !single || unfit || waits || held.left == 0 {
        return None;
    }
    let expected = job.expect_us(key.unit.step, held.left, owner.speed)?;
    let since = now.saturating_sub(begun).as_micros() as u64;
    // What is left of the expected time, or as long again as it is late.
    let rest = expected.abs_diff(since);
    let load = if worker.has_loaded(job.job.id) {
        0
    } else {
        job.cost.load_us.unwrap_or(0)
    };
    let here = job.expect_us(key.unit.step, held.left, worker.speed)? + load;
    rest.checked_sub(here)
}
