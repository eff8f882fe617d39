//! The books: who holds what, and everything that is counted from it.
//!
//! A lease stands in `Scheduler::leases`, in its job's set and in its worker's list; its unit cannot be handed out while
//! it does; places of the job, its category, user and resources are counted with it. Only the functions here touch any
//! of that, so that all of it agrees at every moment.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{JobId, LeaseKey, StepIndex, WorkerId};

use crate::accounts::AccountId;
use crate::assign::ask_worker_again;
use crate::depend;
use crate::effects::Effects;
use crate::line;
use crate::pools;
use crate::scheduler::Scheduler;
use crate::usage;
use crate::worker::WorkerEntry;

/// Most leases of one unit: the one that was handed out first, and one more when a straggler is doubled.
const LEASES_OF_UNIT_MAX: usize = 2;

/// A unit in a worker's hands.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub worker: WorkerId,
    /// When it was last seen in its hands, or handed out.
    pub seen: Duration,
    /// Since when its present frame is being rendered.
    pub begun: Option<Duration>,
    /// Position being rendered.
    pub rendering: Option<u32>,
    /// Wanted frames of it not yet reported.
    pub left: u32,
    /// Positions of which no report is waited for any more: reported under this lease, or settled under another one. A
    /// report may come twice, when its answer is lost on the way.
    pub settled: BTreeSet<u32>,
    /// Whether it was asked back.
    pub recalled: bool,
    /// Whether it is the second lease of its unit.
    pub twin: bool,
    /// It is to begin before all else there, and has not begun.
    pub urgent: bool,
}

impl Held {
    /// Handed out, not begun, not reported, not asked back.
    pub(crate) fn lies_ready(&self) -> bool {
        // One that has no frame left to report is being delivered.
        self.rendering.is_none() && !self.recalled && self.left > 0
    }
}

/// Enters a lease of a unit of so many positions into the books. False, and nothing done, if its unit is not there, is over, or is in as many hands as it may be.
pub(crate) fn hold(
    scheduler: &mut Scheduler,
    now: Duration,
    key: LeaseKey,
    worker: WorkerId,
    span: u32,
) -> bool {
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return false;
    };
    if !scheduler.workers.contains_key(&worker) {
        return false;
    }
    let holders = entry.leases_of(key.unit).count();
    let elsewhere = entry.leases_of(key.unit).all(|other| {
        other.attempt != key.attempt
            && scheduler
                .leases
                .get(&other)
                .is_some_and(|held| held.worker != worker)
    });
    let Some(step) = entry.step_mut(key.unit.step) else {
        return false;
    };
    if key.unit.index >= step.taken.len()
        || holders >= LEASES_OF_UNIT_MAX
        || !elsewhere
        || !step.is_wanted(key.unit.index)
    {
        return false;
    }
    usage::accrue(scheduler, now, worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return false;
    };
    let Some(step) = entry.step_mut(key.unit.step) else {
        return false;
    };
    step.take(key.unit.index);
    step.cut(key.unit.index, span);
    step.advance();
    let highest = step.attempts.entry(key.unit.index).or_insert(key.attempt);
    *highest = key.attempt.max(*highest);
    let left = step.wanted(key.unit.index).count() as u32;
    // What is not wanted now is not in its hands, though a retry may make it wanted again.
    let unit = step.positions(key.unit.index);
    let settled = unit.filter(|&at| !step.wants(at)).collect();
    let twin = holders > 0;
    entry.leases.insert(key);
    if !twin {
        entry.leased += left;
    }
    entry.dispatched = entry.dispatched.saturating_add(left);
    entry.waiting_since = now;
    entry.starved = false;
    entry.room_asked = false;
    let held = Held {
        worker,
        seen: now,
        begun: None,
        rendering: None,
        left,
        settled,
        recalled: false,
        twin,
        urgent: false,
    };
    scheduler.leases.insert(key, held);
    count_in(scheduler, worker, key);
    line::refresh_job(scheduler, now, key.unit.job);
    refresh_lying(scheduler, key);
    pools::reindex(scheduler, worker);
    watch(scheduler, worker);
    true
}

/// Takes a lease out of the books and frees what of its unit is still wanted. Recording it is the caller's part.
pub(crate) fn end_lease(
    scheduler: &mut Scheduler,
    now: Duration,
    key: LeaseKey,
    effects: &mut Effects,
) {
    set_rendering(scheduler, now, key, None);
    set_recalled(scheduler, key, false);
    let Some(worker) = scheduler.leases.get(&key).map(|held| held.worker) else {
        return;
    };
    usage::accrue(scheduler, now, worker);
    count_out(scheduler, key);
    let Some(held) = scheduler.leases.remove(&key) else {
        return;
    };
    effects.workers.insert(held.worker);
    pools::reindex(scheduler, held.worker);
    // With less in hand it may be given what was refused to it.
    ask_worker_again(scheduler, held.worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    entry.leases.remove(&key);
    entry.lying.remove(&key);
    effects.jobs.insert(key.unit.job);
    if !held.twin {
        entry.leased = entry.leased.saturating_sub(held.left);
        // Its twin is the only one now.
        let other = entry.leases_of(key.unit).next();
        if let Some(twin) = other.and_then(|other| scheduler.leases.get_mut(&other)) {
            twin.twin = false;
            entry.leased += twin.left;
        }
    }
    refresh_unit(scheduler, now, key.unit.job, key.unit.step, key.unit.index);
    line::refresh_job(scheduler, now, key.unit.job);
}

/// A frame of a lease was reported: delivered or failed.
pub(crate) fn reported(scheduler: &mut Scheduler, now: Duration, key: LeaseKey, position: u32) {
    let Some(held) = scheduler.leases.get_mut(&key) else {
        return;
    };
    if held.settled.insert(position) && held.left > 0 {
        held.left -= 1;
        if !held.twin
            && let Some(entry) = scheduler.jobs.get_mut(&key.unit.job)
        {
            entry.leased = entry.leased.saturating_sub(1);
        }
    }
    if held.rendering == Some(position) {
        set_rendering(scheduler, now, key, None);
    }
    refresh_lying(scheduler, key);
}

/// What a lease's worker renders of it.
pub(crate) fn set_rendering(
    scheduler: &mut Scheduler,
    now: Duration,
    key: LeaseKey,
    position: Option<u32>,
) {
    let Some(held) = scheduler.leases.get_mut(&key) else {
        return;
    };
    if held.rendering == position {
        return;
    }
    let worker = held.worker;
    usage::accrue(scheduler, now, worker);
    let Some(held) = scheduler.leases.get_mut(&key) else {
        return;
    };
    if let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) {
        entry.rendering -= u32::from(held.rendering.is_some());
        entry.rendering += u32::from(position.is_some());
    }
    held.rendering = position;
    held.begun = position.map(|_| now);
    held.urgent &= position.is_none();
    refresh_lying(scheduler, key);
}

/// Whether a lease lies ready may have changed.
fn refresh_lying(scheduler: &mut Scheduler, key: LeaseKey) {
    let (Some(held), Some(entry)) = (
        scheduler.leases.get(&key),
        scheduler.jobs.get_mut(&key.unit.job),
    ) else {
        return;
    };
    let changed = match held.lies_ready() {
        true => entry.lying.insert(key),
        false => entry.lying.remove(&key),
    };
    if changed {
        line::refresh_lying(scheduler, key.unit.job);
    }
}

/// A lease was asked back, or is not any more.
pub(crate) fn set_recalled(scheduler: &mut Scheduler, key: LeaseKey, to: bool) {
    let Some(held) = scheduler.leases.get_mut(&key) else {
        return;
    };
    if held.recalled == to {
        return;
    }
    held.recalled = to;
    if to {
        scheduler.recalled += 1;
    } else {
        scheduler.recalled -= 1;
        scheduler.pools.idle_news = true;
    }
    refresh_lying(scheduler, key);
}

/// Whether a unit can be handed out follows from its frames, its leases, its failures and what it waits for.
pub(crate) fn refresh_unit(
    scheduler: &mut Scheduler,
    now: Duration,
    job: JobId,
    step: StepIndex,
    unit: u32,
) {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return;
    };
    let Some(state) = entry.step(step) else {
        return;
    };
    let backs_off = || {
        state
            .failures
            .range(state.positions(unit))
            .any(|(&at, failures)| failures.not_before > now && state.wants(at))
    };
    let held = entry.leases_of(entry.unit_id(step, unit)).next().is_some();
    // What is within another unit is handed out with it.
    let free = !held
        && !state.is_within_another(unit)
        && state.is_wanted(unit)
        && !backs_off()
        && depend::frames_are_there(scheduler, entry, step, unit);
    if let Some(state) = scheduler
        .jobs
        .get_mut(&job)
        .and_then(|entry| entry.step_mut(step))
    {
        if free {
            state.free(unit);
        } else {
            state.take(unit);
        }
    }
}

/// All units of a job anew: after something that may concern any of them.
pub(crate) fn refresh_all_units(scheduler: &mut Scheduler, now: Duration, job: JobId) {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return;
    };
    let units: Vec<u32> = entry.steps.iter().map(|step| step.taken.len()).collect();
    for (step, units) in (0..).zip(units) {
        for unit in 0..units {
            refresh_unit(scheduler, now, job, StepIndex(step), unit);
        }
    }
    line::refresh_job(scheduler, now, job);
}

/// Units of a worker: of this job, and for each of its accounts.
fn held_here(
    scheduler: &Scheduler,
    worker: WorkerId,
    job: JobId,
) -> (usize, Vec<(AccountId, usize)>) {
    let accounts = scheduler
        .jobs
        .get(&job)
        .map(|entry| entry.accounts.clone())
        .unwrap_or_default();
    let mut counted: Vec<(AccountId, usize)> =
        accounts.into_iter().map(|account| (account, 0)).collect();
    let mut of_job = 0;
    let leases = scheduler
        .workers
        .get(&worker)
        .map_or(&[][..], |entry| &entry.leases);
    for key in leases {
        if key.unit.job == job {
            of_job += 1;
            for (_, count) in &mut counted {
                *count += 1;
            }
        } else if let Some(other) = scheduler.jobs.get(&key.unit.job) {
            for (account, count) in &mut counted {
                *count += usize::from(other.accounts.contains(account));
            }
        }
    }
    (of_job, counted)
}

/// Whether one more unit of a job on this worker could come to use one more slot.
pub(crate) fn takes_a_place(scheduler: &Scheduler, worker: WorkerId, job: JobId) -> bool {
    scheduler.workers.get(&worker).is_some_and(|entry| {
        let here = entry.leases.iter().filter(|key| key.unit.job == job);
        here.count() < entry.slots()
    })
}

/// Thousandths of a slot that each of so many units at a worker counts for.
pub(crate) fn weight_milli(units: usize, slots: usize) -> u64 {
    (1000 * slots / units.max(slots).max(1)) as u64
}

/// Counts what a worker holds for the jobs in its hands, or not any more.
fn weigh(scheduler: &mut Scheduler, worker: WorkerId, sign: i64) {
    let Some(entry) = scheduler.workers.get(&worker) else {
        return;
    };
    let weight = weight_milli(entry.leases.len(), entry.slots()) as i64 * sign;
    let mut jobs: Vec<JobId> = entry.leases.iter().map(|key| key.unit.job).collect();
    for id in &jobs {
        if let Some(job) = scheduler.jobs.get_mut(id) {
            job.held_milli = job.held_milli.saturating_add_signed(weight);
        }
    }
    jobs.dedup();
    for id in jobs {
        line::refresh_part(scheduler, id);
    }
}

fn count_in(scheduler: &mut Scheduler, worker: WorkerId, key: LeaseKey) {
    let job = key.unit.job;
    let (of_job, accounts) = held_here(scheduler, worker, job);
    let Some(slots) = scheduler.workers.get(&worker).map(WorkerEntry::slots) else {
        return;
    };
    weigh(scheduler, worker, -1);
    if let Some(entry) = scheduler.workers.get_mut(&worker) {
        entry.leases.push(key);
    }
    weigh(scheduler, worker, 1);
    if of_job < slots
        && let Some(entry) = scheduler.jobs.get_mut(&job)
    {
        entry.places += 1;
    }
    for (account, count) in accounts {
        if count < slots {
            scheduler.accounts.get_mut(account).places += 1;
        }
    }
}

fn count_out(scheduler: &mut Scheduler, key: LeaseKey) {
    let Some(worker) = scheduler.leases.get(&key).map(|held| held.worker) else {
        return;
    };
    let job = key.unit.job;
    let (of_job, accounts) = held_here(scheduler, worker, job);
    let Some(slots) = scheduler.workers.get(&worker).map(WorkerEntry::slots) else {
        return;
    };
    weigh(scheduler, worker, -1);
    if let Some(entry) = scheduler.workers.get_mut(&worker) {
        entry.leases.retain(|held| *held != key);
    }
    weigh(scheduler, worker, 1);
    if of_job <= slots
        && let Some(entry) = scheduler.jobs.get_mut(&job)
    {
        entry.places -= 1;
    }
    for (account, count) in accounts {
        if count <= slots {
            let account = scheduler.accounts.get_mut(account);
            let was_exhausted = account.is_exhausted();
            account.places -= 1;
            if was_exhausted && !account.is_exhausted() {
                scheduler.line.news.add(&account.jobs);
            }
        }
    }
}

/// Changes something that places are counted by, on these workers: their slots, or the accounts of a job they hold.
pub(crate) fn recount(
    scheduler: &mut Scheduler,
    workers: &[WorkerId],
    change: impl FnOnce(&mut Scheduler),
) {
    let held: Vec<(WorkerId, Vec<LeaseKey>)> = workers
        .iter()
        .filter_map(|id| Some((*id, scheduler.workers.get(id)?.leases.clone())))
        .collect();
    for (_, leases) in &held {
        for key in leases.iter().rev() {
            count_out(scheduler, *key);
        }
    }
    change(scheduler);
    for (worker, leases) in held {
        for key in leases {
            count_in(scheduler, worker, key);
            line::refresh_cap(scheduler, key.unit.job);
        }
        pools::reindex(scheduler, worker);
    }
}

/// A worker has a job's scene open now, instead of the one it had open longest.
pub(crate) fn loaded(scheduler: &mut Scheduler, worker: WorkerId, job: JobId) {
    let Some(entry) = scheduler.workers.get_mut(&worker) else {
        return;
    };
    if let Some(manifest) = scheduler.jobs.get(&job).map(|job| job.job.manifest.digest) {
        entry.brought(manifest);
    }
    if entry.loaded.first() == Some(&job) {
        return;
    }
    entry.loaded.retain(|known| *known != job);
    entry.loaded.insert(0, job);
    let forgotten = entry
        .loaded
        .split_off(entry.slots().max(1).min(entry.loaded.len()));
    for other in forgotten {
        if let Some(other) = scheduler.jobs.get_mut(&other) {
            other.loaded_at.remove(&worker);
        }
    }
    if let Some(job) = scheduler.jobs.get_mut(&job) {
        job.loaded_at.insert(worker);
    }
}

/// A worker's Blenders are not the ones they were.
pub(crate) fn unloaded(scheduler: &mut Scheduler, worker: WorkerId) {
    let Some(entry) = scheduler.workers.get_mut(&worker) else {
        return;
    };
    for job in std::mem::take(&mut entry.loaded) {
        if let Some(job) = scheduler.jobs.get_mut(&job) {
            job.loaded_at.remove(&worker);
        }
    }
}

/// Sees to it that a worker is looked at when its silence has lasted too long.
pub(crate) fn watch(scheduler: &mut Scheduler, id: WorkerId) {
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    let lapses = worker.lapses_at(&scheduler.settings);
    let silent = worker.falls_silent_at(&scheduler.settings);
    let Some(at) = lapses.into_iter().chain(silent).min() else {
        return;
    };
    if worker.watched_at.is_none_or(|watched| at < watched) {
        worker.watched_at = Some(at);
        scheduler.timers.set(at, crate::timers::Timer::Worker(id));
    }
}
