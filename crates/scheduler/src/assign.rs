//! Which unit goes to which worker next.
//!
//! Workers with room are served one unit each in turn: first who has an empty slot, then who has least lying ready, of
//! equals the fastest. A worker is given the first unit it may have, in the order of the line, of
//!
//! 1. jobs that have not had their first frames,
//! 2. jobs that have waited for too long,
//! 3. the jobs whose scene it has open, as long as they stay within their part,
//! 4. jobs that have less than their part by a slot, or by less if nobody has its scene open,
//! 5. all jobs within their cap,
//! 6. all jobs.
//!
//! Limits hold throughout. Of workers that stand equal, the one that has the scene open, or the files, takes the unit.

use std::cmp::Reverse;
use std::time::Duration;

use tessera_model::{Attempt, Change, JobId, Lease, LeaseKey, StepIndex, WorkerId};

use crate::books::{hold, takes_a_place, weight_milli};
use crate::effects::{Effects, Order};
use crate::job::JobEntry;
use crate::line::{self, HALF_A_SLOT_MILLI, MOST_OF_A_SLOT_MILLI};
use crate::mask::Mask;
use crate::pools::{Hungry, Pool, reindex};
use crate::scheduler::Scheduler;
use crate::slicing;
use crate::timers::Timer;
use crate::worker::WorkerEntry;
use crate::{room, stragglers};

/// Workers that are refused everything ready before the rest waits for [`PASSED_AGAIN`]: bounds the time of one input.
const REFUSED_MAX: usize = 64;

/// Workers that were refused everything ready are asked again after this, if nothing about them changes before.
const PASSED_AGAIN: Duration = Duration::from_secs(1);

/// Units of a job that failed on a worker that are passed over in search of one that did not: more than a worker can
/// have failed without being blocked for the job, save in long runs.
const UNITS_PASSED_OVER_MAX: usize = 64;

/// Workers asked whether they are warm and have room, before the coldness of the first is accepted.
const WARM_ASKED_MAX: usize = 32;

/// From this many units a slot on, only units of known and short time are added, and those that go before all others.
pub(crate) const SHORT_ONLY_FROM: u32 = 2;

/// Least part of a slot with which a job may keep the whole of it for a while.
const SHARED_MIN_MILLI: i64 = 250;

/// A unit for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub job: JobId,
    pub step: StepIndex,
    pub unit: u32,
    /// It goes before what lies ready at the worker.
    pub urgent: bool,
}

/// Hands out all that can be handed out.
pub(crate) fn assign(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    if scheduler.line.order.is_empty() {
        return;
    }
    line::settle(scheduler, now);
    if std::mem::take(&mut scheduler.someone_new) {
        ask_again(scheduler, REFUSED_MAX);
    }
    fill(scheduler, now, effects);
    room::for_idle(scheduler, effects);
    room::for_first_frames(scheduler, now, effects);
    room::trim(scheduler, effects);
    if room::preempt(scheduler, now, effects) {
        fill(scheduler, now, effects);
    }
    stragglers::double(scheduler, now, effects);
}

fn fill(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    let mut refused = 0;
    while let Some(hungry) = next_hungry(scheduler) {
        match choose(scheduler, hungry.worker, hungry.level()) {
            Some(choice) => {
                let worker = warmest(scheduler, choice, hungry);
                give(scheduler, now, worker, choice, effects);
            }
            None => {
                pass_over(scheduler, now, hungry.worker);
                refused += 1;
                if refused == REFUSED_MAX {
                    return;
                }
            }
        }
    }
}

fn pass_over(scheduler: &mut Scheduler, now: Duration, worker: WorkerId) {
    if let Some(entry) = scheduler.workers.get_mut(&worker) {
        entry.passed = true;
    }
    if scheduler.passed.is_empty() {
        scheduler.timers.set(now + PASSED_AGAIN, Timer::Passed);
    }
    scheduler.passed.insert(worker);
    reindex(scheduler, worker);
}

/// Workers that were passed over may be asked again.
pub(crate) fn ask_again(scheduler: &mut Scheduler, most: usize) {
    for _ in 0..most {
        let Some(worker) = scheduler.passed.pop_first() else {
            return;
        };
        if let Some(entry) = scheduler.workers.get_mut(&worker) {
            entry.passed = false;
        }
        reindex(scheduler, worker);
    }
}

/// Something about this worker changed: what was refused to it may not be now.
pub(crate) fn ask_worker_again(scheduler: &mut Scheduler, worker: WorkerId) {
    if scheduler.passed.remove(&worker) {
        if let Some(entry) = scheduler.workers.get_mut(&worker) {
            entry.passed = false;
        }
        reindex(scheduler, worker);
    }
}

/// The worker to serve next: of the pools that some ready job can use.
fn next_hungry(scheduler: &mut Scheduler) -> Option<Hungry> {
    let news = std::mem::take(&mut scheduler.line.news);
    if !news.is_empty() {
        scheduler.room_due = true;
        let pools = scheduler.pools.pools.iter();
        let shut = pools.filter(|(_, pool)| pool.nothing_from.is_some());
        let opened = shut.filter(|(_, pool)| pool.jobs.common(&news).next().is_some());
        for id in opened.map(|(&id, _)| id).collect::<Vec<_>>() {
            scheduler.pools.note_nothing(id, None);
        }
    }
    while let Some(&(hungry, id)) = scheduler.pools.turn.first() {
        let pool = scheduler.pools.pools.get(&id)?;
        if has_work(scheduler, pool, hungry.level()) {
            return Some(hungry);
        }
        let only_short = hungry.level() >= SHORT_ONLY_FROM;
        let from = if only_short { SHORT_ONLY_FROM } else { 0 };
        scheduler.pools.note_nothing(id, Some(from));
    }
    None
}

/// The jobs, 64 ranks at a step, that a pool's workers may have units of, limits heeded and caps not.
fn open_word(scheduler: &Scheduler, pool: &Pool, at: usize) -> u64 {
    let line = &scheduler.line;
    let mut word = line.ready.word(at) & pool.jobs.word(at);
    if word != 0 {
        for account in scheduler.accounts.exhausted() {
            word &= !account.jobs.word(at);
        }
    }
    word
}

pub(crate) fn has_work(scheduler: &Scheduler, pool: &Pool, level: u32) -> bool {
    let line = &scheduler.line;
    (0..line.ready.words()).any(|at| {
        let open = open_word(scheduler, pool, at);
        let first = line.fresh.word(at) | line.starved.word(at);
        open & (first | !line.long.word(at)) != 0 || (level < SHORT_ONLY_FROM && open != 0)
    })
}

/// The unit that a worker is to have next.
pub(crate) fn choose(scheduler: &Scheduler, worker: WorkerId, level: u32) -> Option<Choice> {
    let entry = scheduler.workers.get(&worker)?;
    let pool = scheduler.pools.pools.get(&entry.spot?.pool)?;
    let line = &scheduler.line;
    let first = |among: &dyn Fn(usize) -> u64| {
        (0..line.ready.words()).find_map(|at| {
            let mut word = among(at);
            while word != 0 {
                let rank = at as u32 * 64 + word.trailing_zeros();
                word &= word - 1;
                let choice = try_job(scheduler, entry, *line.order.get(rank as usize)?);
                if choice.is_some() {
                    return choice;
                }
            }
            None
        })
    };
    let open = |at: usize| open_word(scheduler, pool, at);
    // A job at its cap may still lie ready where it needs no further slot.
    let room_here = room_within_cap(scheduler, entry);
    let within_cap = |at: usize| open(at) & (!line.capped.word(at) | room_here.word(at));
    // Behind units that take long nobody would be first; something is asked back for who is to be.
    if level < SHORT_ONLY_FROM || !holds_long(scheduler, entry) {
        let before_all = first(&|at| within_cap(at) & line.fresh.word(at))
            .or_else(|| first(&|at| within_cap(at) & line.starved.word(at)));
        if let Some(choice) = before_all {
            let urgent = true;
            return Some(Choice { urgent, ..choice });
        }
    }
    let choice = stay(scheduler, entry, &within_cap, HALF_A_SLOT_MILLI - 1)
        .or_else(|| first(&|at| within_cap(at) & line.owed_whole.word(at)))
        .or_else(|| stay(scheduler, entry, &within_cap, MOST_OF_A_SLOT_MILLI - 1))
        .or_else(|| first(&|at| within_cap(at) & line.owed.word(at)))
        .or_else(|| first(&within_cap))
        .or_else(|| first(&open))?;
    // (Of a slot that two share the one that has its scene open keeps it until the next sample counts what it has too
    // much: it changes hands by time and not with every unit.)
    // Where enough lies ready nothing long is added, and nothing short in place of the long one whose turn it is.
    let rank = scheduler.jobs.get(&choice.job)?.rank?;
    (level < SHORT_ONLY_FROM || !line.long.get(rank)).then_some(choice)
}

/// Whether something in a worker's hands takes long.
fn holds_long(scheduler: &Scheduler, worker: &WorkerEntry) -> bool {
    let is_long = |key: &LeaseKey| {
        let job = scheduler.jobs.get(&key.unit.job);
        job.is_some_and(|job| job.is_long(&scheduler.settings))
    };
    worker.leases.iter().any(is_long)
}

/// Ranks of the jobs at their cap that this worker could have more of without another slot of the farm being theirs.
fn room_within_cap(scheduler: &Scheduler, worker: &WorkerEntry) -> Mask {
    let mut ranks = Mask::default();
    for key in &worker.leases {
        let rank = scheduler.jobs.get(&key.unit.job).and_then(|job| job.rank);
        if let Some(rank) = rank
            && scheduler.line.capped.get(rank)
            // One that was alone and is beyond its cap gives its slots up one by one.
            && !scheduler.line.over.contains(&key.unit.job)
            && !takes_a_place(scheduler, worker.record.id, key.unit.job)
        {
            ranks.set(rank, true);
        }
    }
    ranks
}

/// A unit of a job whose scene the worker has open, if that job has no more than so much beyond its part.
fn stay(
    scheduler: &Scheduler,
    worker: &WorkerEntry,
    allowed: &dyn Fn(usize) -> u64,
    beyond_max_milli: i64,
) -> Option<Choice> {
    // First what it has most of in hand, so that each worker comes to work for one job and not two for both.
    let in_hand = |id: &JobId| {
        let leases = worker.leases.iter();
        leases.filter(|key| key.unit.job == *id).count()
    };
    let mut warm = worker.loaded.clone();
    warm.extend(worker.leases.iter().map(|key| key.unit.job));
    warm.sort_by_key(|id| Reverse(in_hand(id)));
    warm.dedup();
    warm.into_iter().find_map(|id| {
        let job = scheduler.jobs.get(&id)?;
        let rank = job.rank?;
        let is_allowed = allowed((rank / 64) as usize) >> (rank % 64) & 1 == 1;
        // Who has next to no part of a slot does not keep one.
        let own_milli = -job.beyond_milli(0);
        let beyond_max_milli = if own_milli >= SHARED_MIN_MILLI {
            beyond_max_milli
        } else {
            0
        };
        if !is_allowed || beyond_with_one_more(worker, job) > beyond_max_milli {
            return None;
        }
        try_job(scheduler, worker, id)
    })
}

/// Thousandths of slots by which a job would have more than its part with one more unit here.
fn beyond_with_one_more(worker: &WorkerEntry, job: &JobEntry) -> i64 {
    let (units, slots) = (worker.leases.len(), worker.slots());
    let own = worker
        .leases
        .iter()
        .filter(|key| key.unit.job == job.job.id);
    let own = own.count() as u64;
    let without = job
        .held_milli
        .saturating_sub(own * weight_milli(units, slots));
    job.beyond_milli(without + (own + 1) * weight_milli(units + 1, slots))
}

/// A unit of this job for this worker, if there is one.
pub(crate) fn try_job(scheduler: &Scheduler, worker: &WorkerEntry, id: JobId) -> Option<Choice> {
    let job = scheduler.jobs.get(&id)?;
    if job.blocked.contains(&worker.record.id) {
        return None;
    }
    let (step, unit) = next_unit(scheduler, job, worker)?;
    Some(Choice {
        job: id,
        step,
        unit,
        urgent: false,
    })
}

/// The first free unit of a job that this worker may have: not one that failed here while others could have it.
fn next_unit(
    scheduler: &Scheduler,
    job: &JobEntry,
    worker: &WorkerEntry,
) -> Option<(StepIndex, u32)> {
    let mut passed_over = 0;
    for index in job.open_steps() {
        let step = job.step(index)?;
        if slicing::leaves_to_others(scheduler, job, index, worker) {
            continue;
        }
        let mut from = 0;
        while let Some(unit) = step.next_free(from) {
            if !failed_here(scheduler, job, index, unit, worker.record.id) {
                return Some((index, unit));
            }
            passed_over += 1;
            if passed_over == UNITS_PASSED_OVER_MAX {
                return None;
            }
            from = unit + 1;
        }
    }
    None
}

/// Whether a unit failed on this worker and somebody else could have it.
fn failed_here(
    scheduler: &Scheduler,
    job: &JobEntry,
    step: StepIndex,
    unit: u32,
    worker: WorkerId,
) -> bool {
    let Some(step) = job.step(step) else {
        return false;
    };
    if step.failures.is_empty() {
        return false;
    }
    let mut failures = step
        .failures
        .range(step.positions(unit))
        .map(|(_, failures)| failures);
    failures.any(|failures| {
        failures.workers.contains(&worker) && someone_but(scheduler, job, &failures.workers)
    })
}

/// Whether some worker that can be given work, and is none of these, may have units of a job.
pub(crate) fn someone_but(
    scheduler: &Scheduler,
    job: &JobEntry,
    but: &std::collections::BTreeSet<WorkerId>,
) -> bool {
    let barred = but.union(&job.blocked).filter(|id| {
        scheduler.workers.get(id).is_some_and(|worker| {
            worker.spot.is_some_and(|spot| {
                scheduler
                    .pools
                    .pools
                    .get(&spot.pool)
                    .is_some_and(|pool| pool.meets(job.need))
            })
        })
    });
    let barred = barred.count() as u32;
    scheduler.pools.needs[job.need].workers > barred
}

/// Of the workers that stand as the first one does, one that has the job's scene open, else one that has its files, else the first one.
fn warmest(scheduler: &Scheduler, choice: Choice, first: Hungry) -> WorkerId {
    let Some(job) = scheduler.jobs.get(&choice.job) else {
        return first.worker;
    };
    let manifest = &job.job.manifest.digest;
    let Some(entry) = scheduler.workers.get(&first.worker) else {
        return first.worker;
    };
    if entry.has_loaded(choice.job) {
        return first.worker;
    }
    let stands_equal = |id: &&WorkerId| {
        scheduler.workers.get(id).is_some_and(|worker| {
            let level = worker.spot.and_then(|spot| spot.hungry);
            let meets = worker.spot.is_some_and(|spot| {
                scheduler
                    .pools
                    .pools
                    .get(&spot.pool)
                    .is_some_and(|pool| pool.meets(job.need))
            });
            level.is_some_and(|hungry| hungry.load == first.load)
                && meets
                // What is its turn goes before what is warm.
                && choose(scheduler, **id, first.level()) == Some(choice)
        })
    };
    let open = job.loaded_at.iter().take(WARM_ASKED_MAX);
    if let Some(&warm) = open.clone().find(stands_equal) {
        return warm;
    }
    if entry.has_files(manifest) {
        return first.worker;
    }
    let Some(pool) = entry
        .spot
        .and_then(|spot| scheduler.pools.pools.get(&spot.pool))
    else {
        return first.worker;
    };
    let equals = pool
        .hungry
        .iter()
        .take_while(|hungry| hungry.load == first.load)
        .take(WARM_ASKED_MAX)
        .map(|hungry| &hungry.worker);
    let has_files = |id: &&WorkerId| {
        scheduler
            .workers
            .get(id)
            .is_some_and(|worker| worker.has_files(manifest))
    };
    equals
        .filter(has_files)
        .find(stands_equal)
        .copied()
        .unwrap_or(first.worker)
}

/// Hands a unit to a worker.
pub(crate) fn give(
    scheduler: &mut Scheduler,
    now: Duration,
    worker: WorkerId,
    choice: Choice,
    effects: &mut Effects,
) {
    let Some(entry) = scheduler.jobs.get(&choice.job) else {
        return;
    };
    let Some(step) = entry.step(choice.step) else {
        return;
    };
    let latest = step
        .attempts
        .get(&choice.unit)
        .map_or(0, |attempt| attempt.0);
    let key = LeaseKey {
        unit: entry.unit_id(choice.step, choice.unit),
        attempt: Attempt(latest + 1),
    };
    // What was handed out before stays what it is.
    let span = if latest > 0 {
        step.span(choice.unit)
    } else {
        slicing::span(scheduler, now, choice.job, choice.step, choice.unit, worker)
    };
    let frames = scheduler
        .jobs
        .get(&choice.job)
        .map(|entry| entry.frames_of(choice.step, choice.unit))
        .unwrap_or_default();
    let held = hold(scheduler, now, key, worker, span);
    debug_assert!(held, "a free unit can be held");
    if !held {
        return;
    }
    effects
        .changes
        .push(Change::Leased(Lease { key, worker, span }));
    let urgent = choice.urgent;
    if let Some(held) = scheduler.leases.get_mut(&key) {
        held.urgent = urgent;
    }
    let order = Order::Lease {
        key,
        span,
        frames,
        urgent,
    };
    effects.orders.push((worker, order));
    effects.jobs.insert(choice.job);
    effects.workers.insert(worker);
}
