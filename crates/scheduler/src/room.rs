//! Making room: units that lie ready and have not begun are asked back for whoever has more need of them, and, only for
//! jobs that were submitted so, what is being rendered is ended.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{Change, JobId, LeaseKey, WorkerId};

use crate::assign::{Choice, give, try_job};
use crate::books::{Held, end_lease, set_recalled};
use crate::effects::{Effects, Order};
use crate::job::JobEntry;
use crate::line;
use crate::pools::PoolId;
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use crate::worker::WorkerEntry;

/// Workers looked at for one that can give something up; bounds the time of one input.
const ASKED_MAX: usize = 64;

/// Units that lie ready looked at for those that are asked back for an idle worker.
const LYING_MAX: usize = 256;

/// Units asked back at one input because their job has more than its part.
const TRIMMED_MAX: usize = 256;

/// Renders ended at one input for jobs that preempt.
const PREEMPTED_MAX: usize = 64;

/// A job that preempts and found nobody to end looks again after this, unless something about it changes before.
const PREEMPT_EVERY: Duration = Duration::from_secs(1);

/// A job whose turn it is first, and for which nobody had anything to give up, looks again after this, unless one more
/// comes to its turn before.
const SOUGHT_EVERY: Duration = Duration::from_secs(1);

/// What lies ready for less than this is begun before an answer could come.
const WORTH_ASKING_US: u64 = 1_000_000;

/// Asks a lease back.
pub(crate) fn recall(scheduler: &mut Scheduler, key: LeaseKey, effects: &mut Effects) {
    if let Some(held) = scheduler.leases.get(&key) {
        effects.orders.push((held.worker, Order::Recall(key)));
        set_recalled(scheduler, key, true);
    }
}

/// Asks back what has not begun of a job, at the workers named.
pub(crate) fn recall_where(
    scheduler: &mut Scheduler,
    job: JobId,
    at: impl Fn(WorkerId) -> bool,
    effects: &mut Effects,
) {
    let keys: Vec<LeaseKey> = scheduler
        .jobs
        .get(&job)
        .map(|entry| entry.leases.iter().copied().collect())
        .unwrap_or_default();
    for key in keys {
        let held = scheduler.leases.get(&key);
        if held.is_some_and(|held| at(held.worker) && held.rendering.is_none() && !held.recalled) {
            recall(scheduler, key, effects);
        }
    }
}

fn lies_ready(scheduler: &Scheduler, key: &LeaseKey) -> bool {
    scheduler.leases.get(key).is_some_and(Held::lies_ready)
}

/// Asks back one unit that has not begun for each slot that stays empty.
pub(crate) fn for_idle(scheduler: &mut Scheduler, effects: &mut Effects) {
    if !std::mem::take(&mut scheduler.pools.idle_news) || scheduler.pools.idle.is_empty() {
        return;
    }
    let mut ready: BTreeMap<PoolId, Vec<LeaseKey>> = BTreeMap::new();
    let mut wanted = idle_slots(scheduler).saturating_sub(scheduler.recalled);
    let idle = scheduler.pools.idle.iter().copied();
    for thief in idle.take(ASKED_MAX).collect::<Vec<_>>() {
        let Some(worker) = scheduler.workers.get(&thief) else {
            continue;
        };
        let (Some(spot), free) = (worker.spot, free_slots(worker)) else {
            continue;
        };
        let among = ready
            .entry(spot.pool)
            .or_insert_with(|| ready_for(scheduler, spot.pool));
        for _ in 0..free.min(wanted) {
            let may = |key: &LeaseKey| {
                scheduler.workers[&thief]
                    .leases
                    .iter()
                    .all(|own| own != key)
                    && lies_ready(scheduler, key)
                    && !scheduler.jobs[&key.unit.job].blocked.contains(&thief)
            };
            let Some(at) = among.iter().position(may) else {
                break;
            };
            let key = among.remove(at);
            recall(scheduler, key, effects);
            wanted -= 1;
        }
    }
}

fn free_slots(worker: &WorkerEntry) -> usize {
    worker.slots().saturating_sub(worker.leases.len())
}

/// Empty slots, as far as it matters here: never less than the workers that have one.
fn idle_slots(scheduler: &Scheduler) -> usize {
    let idle = &scheduler.pools.idle;
    let free = idle
        .iter()
        .take(ASKED_MAX)
        .filter_map(|id| Some(free_slots(scheduler.workers.get(id)?)));
    free.sum::<usize>().max(idle.len())
}

/// Units that lie ready and that workers of this pool may have: of the workers with most of them first, and of each what
/// was handed out last.
fn ready_for(scheduler: &Scheduler, pool: PoolId) -> Vec<LeaseKey> {
    let Some(thieves) = scheduler.pools.pools.get(&pool) else {
        return Vec::new();
    };
    let may = |key: &LeaseKey| {
        let job = scheduler.jobs.get(&key.unit.job);
        job.and_then(|job| job.rank)
            .is_some_and(|rank| thieves.jobs.get(rank))
    };
    let spare_of = |key: &LeaseKey| {
        let owner = scheduler.leases.get(key)?.worker;
        let spare = scheduler.workers.get(&owner)?.spot?.spare;
        (spare > 0).then_some((Reverse(spare), owner))
    };
    let line = &scheduler.line;
    let lying = line
        .lying
        .common(&thieves.jobs)
        .filter_map(|rank| scheduler.jobs.get(line.order.get(rank as usize)?))
        .flat_map(|job| job.lying.iter().rev().take(ASKED_MAX));
    let owners: BTreeSet<(Reverse<u32>, WorkerId)> =
        lying.take(LYING_MAX).filter_map(spare_of).collect();
    // One of each first, so that no worker is stripped while another keeps all it has.
    let mut ranked: Vec<(Reverse<usize>, usize, LeaseKey)> = Vec::new();
    for (at, (_, owner)) in owners.into_iter().take(ASKED_MAX).enumerate() {
        let leases = scheduler.workers.get(&owner).map(|worker| &worker.leases);
        let mut ready: Vec<LeaseKey> = leases
            .into_iter()
            .flatten()
            .filter(|key| lies_ready(scheduler, key) && may(key))
            .copied()
            .collect();
        let keeps = scheduler.workers.get(&owner).map_or(0, WorkerEntry::slots);
        let renders = |key: &&LeaseKey| {
            let held = scheduler.leases.get(key);
            held.is_some_and(|held| held.rendering.is_some())
        };
        let begun = leases.into_iter().flatten().filter(renders).count();
        ready.drain(..keeps.saturating_sub(begun).min(ready.len()));
        let count = ready.len();
        for (left, key) in ready.into_iter().enumerate() {
            ranked.push((Reverse(left + 1), at * ASKED_MAX + count, key));
        }
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., key)| key).collect()
}

/// A job that has not had its first frames, or has waited for too long, and finds no room: one worker is asked for all that lies ready there.
pub(crate) fn for_first_frames(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    let sought = scheduler.room_sought_at;
    let due = std::mem::take(&mut scheduler.room_due);
    if !due && sought.is_some_and(|at| now < at + SOUGHT_EVERY) {
        return;
    }
    scheduler.room_sought_at = Some(now);
    let line = &scheduler.line;
    let first: Vec<JobId> = (0..line.ready.words())
        .flat_map(|at| {
            let word = line.ready.word(at) & (line.fresh.word(at) | line.starved.word(at));
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| at * 64 + bit)
        })
        .filter_map(|rank| line.order.get(rank).copied())
        .take(ASKED_MAX)
        .collect();
    for id in first {
        let Some(job) = scheduler.jobs.get(&id) else {
            continue;
        };
        if job.room_asked || is_exhausted(scheduler, job) {
            continue;
        }
        let Some(owner) = most_laden(scheduler, job) else {
            continue;
        };
        if let Some(job) = scheduler.jobs.get_mut(&id) {
            job.room_asked = true;
        }
        for key in scheduler.workers[&owner].leases.clone() {
            if key.unit.job != id
                && lies_ready(scheduler, &key)
                && is_worth_asking(scheduler, &key)
                && !is_urgent(scheduler, &key)
            {
                recall(scheduler, key, effects);
            }
        }
    }
}

/// Whether a lease is the first of its job for long, which nobody else's may push away.
fn is_urgent(scheduler: &Scheduler, key: &LeaseKey) -> bool {
    scheduler.leases.get(key).is_some_and(|held| held.urgent)
}

fn is_exhausted(scheduler: &Scheduler, job: &JobEntry) -> bool {
    job.accounts
        .iter()
        .any(|&account| scheduler.accounts.get(account).is_exhausted())
}

/// Whether what lies ready will still do so when the question arrives.
fn is_worth_asking(scheduler: &Scheduler, key: &LeaseKey) -> bool {
    scheduler.jobs.get(&key.unit.job).is_none_or(|job| {
        job.cost
            .frame_us
            .is_none_or(|frame| frame >= WORTH_ASKING_US)
    })
}

/// Of the workers a job could go to, the one with most lying ready.
fn most_laden(scheduler: &Scheduler, job: &JobEntry) -> Option<WorkerId> {
    let pools = scheduler.pools.pools.values();
    pools
        .filter(|pool| pool.meets(job.need))
        .filter_map(|pool| {
            let may = |&&(_, id): &&(u32, WorkerId)| !job.blocked.contains(&id);
            let &(most, _) = pool.spare.iter().rev().find(may)?;
            // The first of those that have as many.
            pool.spare.range((most, WorkerId(0))..).find(may)
        })
        .max_by_key(|&&(spare, id)| (spare, Reverse(id)))
        .map(|&(_, id)| id)
}

/// Asks back what lies ready of jobs that have more than their part while others have less: the next free place is theirs then.
pub(crate) fn trim(scheduler: &mut Scheduler, effects: &mut Effects) {
    if std::mem::take(&mut scheduler.trim_due) {
        let waits = |id: &&JobId| {
            scheduler.jobs.get(id).is_some_and(|job| {
                job.rank.is_some_and(|rank| scheduler.line.ready.get(rank))
                    && job.beyond_milli(job.held_milli) <= -line::MOST_OF_A_SLOT_MILLI
                    && !is_exhausted(scheduler, job)
            })
        };
        if !scheduler.line.order.iter().any(|id| waits(&id)) {
            return;
        }
        let beyond: Vec<JobId> = scheduler
            .line
            .order
            .iter()
            .filter(|id| {
                scheduler
                    .jobs
                    .get(id)
                    // By what it holds now: who had too much before, and has its turn at last, keeps it.
                    .is_some_and(|job| !job.trimmed && job.held_milli >= job.target_milli + 1000)
            })
            .copied()
            .collect();
        let mut left = TRIMMED_MAX;
        for id in beyond {
            trim_job(scheduler, id, &mut left, effects);
        }
    }
}

fn trim_job(scheduler: &mut Scheduler, id: JobId, left: &mut usize, effects: &mut Effects) {
    let Some(job) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    job.trimmed = true;
    let ready: Vec<LeaseKey> = job.leases.iter().copied().collect();
    for key in ready {
        if *left == 0 {
            return;
        }
        if lies_ready(scheduler, &key)
            && is_worth_asking(scheduler, &key)
            && !is_urgent(scheduler, &key)
        {
            *left -= 1;
            recall(scheduler, key, effects);
        }
    }
}

/// Gives jobs that may preempt the slots of jobs of lower priority. Returns whether any slot changed hands.
pub(crate) fn preempt(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) -> bool {
    if scheduler.preempting.is_empty() {
        return false;
    }
    let looked = scheduler.preempted_at;
    if !scheduler.preempt_due && looked.is_some_and(|at| now < at + PREEMPT_EVERY) {
        return false;
    }
    scheduler.preempt_due = false;
    scheduler.preempted_at = Some(now);
    let mut any = false;
    for id in scheduler.preempting.clone() {
        for _ in 0..PREEMPTED_MAX {
            let Some((worker, choice)) = victim(scheduler, id) else {
                break;
            };
            let priority = scheduler.jobs[&id].job.settings.priority;
            end_lower(scheduler, now, worker, priority, effects);
            let urgent = true;
            give(scheduler, now, worker, Choice { urgent, ..choice }, effects);
            any = true;
        }
    }
    let waits = |id: &JobId| {
        let rank = scheduler.jobs.get(id).and_then(|job| job.rank);
        rank.is_some_and(|rank| scheduler.line.ready.get(rank))
    };
    if scheduler.preempting.iter().any(waits) {
        scheduler.timers.set(now + PREEMPT_EVERY, Timer::Preempt);
    }
    any
}

/// A worker that renders something of lower priority, and the unit it could have instead: the lowest priority first, of
/// equals what was begun last, so that least is lost.
fn victim(scheduler: &Scheduler, id: JobId) -> Option<(WorkerId, Choice)> {
    let job = scheduler.jobs.get(&id)?;
    let rank = job.rank?;
    let cap = line::cap(scheduler, job);
    if !scheduler.line.ready.get(rank) || job.places >= cap || is_exhausted(scheduler, job) {
        return None;
    }
    let mut best: Option<((u32, Reverse<Duration>), WorkerId, Choice)> = None;
    for other in scheduler
        .line
        .order
        .iter()
        .filter_map(|id| scheduler.jobs.get(id))
    {
        let priority = other.job.settings.priority;
        if priority >= job.job.settings.priority
            || best
                .as_ref()
                .is_some_and(|((lowest, _), ..)| priority > *lowest)
        {
            continue;
        }
        for key in &other.leases {
            let Some(held) = scheduler.leases.get(key) else {
                continue;
            };
            let rank = (priority, Reverse(held.begun.unwrap_or(held.seen)));
            if best.as_ref().is_some_and(|(known, ..)| rank >= *known) {
                continue;
            }
            let Some(worker) = scheduler.workers.get(&held.worker) else {
                continue;
            };
            let meets = worker
                .spot
                .and_then(|spot| scheduler.pools.pools.get(&spot.pool))
                .is_some_and(|pool| pool.meets(job.need));
            if meets && let Some(choice) = try_job(scheduler, worker, id) {
                best = Some((rank, held.worker, choice));
            }
        }
    }
    best.map(|(_, worker, choice)| (worker, choice))
}

/// Ends one render of lower priority at a worker, and takes back what lies ready there and would take its slot: of
/// whatever priority, but for what may preempt itself.
fn end_lower(
    scheduler: &mut Scheduler,
    now: Duration,
    worker: WorkerId,
    priority: u32,
    effects: &mut Effects,
) {
    let lower = |key: &&LeaseKey| {
        scheduler
            .jobs
            .get(&key.unit.job)
            .is_some_and(|job| job.job.settings.priority < priority)
    };
    let stays = |key: &LeaseKey| {
        scheduler.jobs.get(&key.unit.job).is_some_and(|job| {
            let settings = &job.job.settings;
            settings.preempt && settings.priority >= priority
        })
    };
    let begun = |key: &LeaseKey| scheduler.leases.get(key).and_then(|held| held.begun);
    let leases = &scheduler.workers[&worker].leases;
    let last_begun = leases
        .iter()
        .filter(lower)
        .filter_map(|key| Some((begun(key)?, *key)))
        .max()
        .map(|(_, key)| key);
    let ended: Vec<LeaseKey> = leases
        .iter()
        .filter(|key| match begun(key) {
            Some(_) => Some(**key) == last_begun,
            None => !stays(key),
        })
        .copied()
        .collect();
    for key in ended {
        effects.orders.push((worker, Order::Cancel(key)));
        end_lease(scheduler, now, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}
