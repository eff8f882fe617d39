//! Workers that come, speak, go, and what people do to them.

use std::time::Duration;

use tessera_model::{
    Change, JobId, JobState, LeaseKey, WorkerFacts, WorkerId, WorkerMode, WorkerRecord,
};

use super::jobs::pin_waiting;
use super::{Applied, no_job};
use crate::assign::ask_worker_again;
use crate::books::{end_lease, hold, recount, set_rendering, unloaded, watch};
use crate::effects::{Effects, Order, Outcome, Refusal};
use crate::input::{Now, WorkerCommand};
use crate::lapse::lose;
use crate::room::recall;
use crate::scheduler::Scheduler;
use crate::worker::{Link, WorkerEntry};
use crate::{builds, line, pools};

/// Longest name of a worker, in characters.
const NAME_MAX: usize = 100;

/// Longest note about a worker, which stands in lists.
const NOTE_MAX_BYTES: usize = 500;

/// Names "w-2", "w-3", … that are tried in turn before the worker's own number is taken.
const SAME_NAME_MAX: u32 = 100;

pub(super) fn paired(
    scheduler: &mut Scheduler,
    now: Now,
    wished: &str,
    effects: &mut Effects,
) -> Applied {
    let wished: String = wished
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_MAX)
        .collect();
    let wished = if wished.is_empty() {
        "worker".to_owned()
    } else {
        wished
    };
    // Of so many of one name one has the number of the new worker, which nobody had before.
    let numbered = |n: u32| format!("{wished}-{n}");
    let name = std::iter::once(wished.clone())
        .chain((2..=SAME_NAME_MAX).map(numbered))
        .chain((scheduler.next_worker..).map(numbered))
        .find(|name| !scheduler.names.contains(name))
        .unwrap_or_else(|| wished.clone());
    scheduler.names.insert(name.clone());
    let id = WorkerId(scheduler.next_worker);
    scheduler.next_worker += 1;
    let record = WorkerRecord {
        id,
        name: name.clone(),
        facts: None,
        mode: WorkerMode::Active,
        paired_at: now.wall,
        note: String::new(),
    };
    effects.changes.push(Change::WorkerSet(record.clone()));
    effects.workers.insert(id);
    scheduler.workers.insert(id, WorkerEntry::new(record));
    Ok(Outcome::Paired(id, name))
}

pub(super) fn linked(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    facts: WorkerFacts,
    holds: &[LeaseKey],
    effects: &mut Effects,
) -> Applied {
    let worker = scheduler
        .workers
        .get_mut(&id)
        .ok_or(Refusal::NoWorker(id))?;
    worker.link = Link::Open(now.elapsed);
    worker.silent = false;
    effects.workers.insert(id);
    if worker.record.mode == WorkerMode::Draining {
        // Its program was started anew after it had drained: that is its owner's word to work again.
        worker.record.mode = WorkerMode::Active;
        effects
            .changes
            .push(Change::WorkerSet(worker.record.clone()));
    }
    let gone: Vec<LeaseKey> = worker
        .leases
        .iter()
        .filter(|key| !holds.contains(key))
        .copied()
        .collect();
    let mode = worker.record.mode;
    if holds.is_empty() {
        // Most likely its program was started anew: no scene is open there.
        unloaded(scheduler, id);
    }
    builds::recount(scheduler, id);
    set_facts(scheduler, now, id, facts, effects);
    pools::place(scheduler, id);
    lose(scheduler, now, gone, effects);
    let drop = holds
        .iter()
        .filter(|&&key| !keep(scheduler, now, id, key, true, effects))
        .copied()
        .collect();
    watch(scheduler, id);
    Ok(Outcome::Linked { mode, drop })
}

/// Whether a worker may go on with what it says it holds: its own lease, or one that had lapsed and that nobody else has taken.
fn keep(
    scheduler: &mut Scheduler,
    now: Now,
    worker: WorkerId,
    key: LeaseKey,
    adopt: bool,
    effects: &mut Effects,
) -> bool {
    if let Some(held) = scheduler.leases.get_mut(&key) {
        held.seen = now.elapsed;
        return held.worker == worker;
    }
    let wanted = scheduler.jobs.get(&key.unit.job).is_some_and(|entry| {
        let Some(step) = entry.step(key.unit.step) else {
            return false;
        };
        let latest = step.attempts.get(&key.unit.index);
        let has_holder = entry.leases_of(key.unit).next().is_some();
        // What has failed may have done so under this very lease, and would be reported again.
        let has_failed = step
            .failures
            .range(step.positions(key.unit.index))
            .next()
            .is_some();
        !entry.state.is_over()
            && latest == Some(&key.attempt)
            && !has_holder
            && !has_failed
            && !entry.blocked.contains(&worker)
    });
    let active = scheduler
        .workers
        .get(&worker)
        .is_some_and(|entry| entry.record.mode != WorkerMode::Blocked);
    let span = scheduler
        .jobs
        .get(&key.unit.job)
        .and_then(|entry| entry.step(key.unit.step))
        .map_or(1, |step| step.span(key.unit.index));
    if !adopt || !wanted || !active || !hold(scheduler, now.elapsed, key, worker, span) {
        return false;
    }
    effects
        .changes
        .push(Change::Leased(tessera_model::Lease { key, worker, span }));
    effects.jobs.insert(key.unit.job);
    true
}

fn set_facts(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    facts: WorkerFacts,
    effects: &mut Effects,
) {
    let Some(worker) = scheduler.workers.get(&id) else {
        return;
    };
    if worker.record.facts.as_ref() != Some(&facts) {
        if worker.slots() != facts.slots as usize {
            // Other slots are other Blenders.
            unloaded(scheduler, id);
        }
        // What it holds is counted by its slots.
        recount(scheduler, &[id], |scheduler| {
            pools::leave(scheduler, id);
            if let Some(worker) = scheduler.workers.get_mut(&id) {
                worker.record.facts = Some(facts);
                worker.meets.clear();
                worker.looked_at = 0;
                effects
                    .changes
                    .push(Change::WorkerSet(worker.record.clone()));
            }
        });
        effects.workers.insert(id);
        builds::recount(scheduler, id);
        pools::place(scheduler, id);
        ask_worker_again(scheduler, id);
    }
    pin_waiting(scheduler, now, effects);
}

pub(super) fn facts(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    facts: WorkerFacts,
    effects: &mut Effects,
) -> Applied {
    if !scheduler.workers.contains_key(&id) {
        return Err(Refusal::NoWorker(id));
    }
    let rests = facts.rest.is_some();
    set_facts(scheduler, now, id, facts, effects);
    if rests {
        recall_waiting(scheduler, id, effects);
    }
    Ok(Outcome::Applied)
}

/// Asks back what has not begun at a worker.
fn recall_waiting(scheduler: &mut Scheduler, id: WorkerId, effects: &mut Effects) {
    let keys = scheduler
        .workers
        .get(&id)
        .map(|worker| worker.leases.clone())
        .unwrap_or_default();
    for key in keys {
        let held = scheduler.leases.get(&key);
        if held.is_some_and(|held| held.rendering.is_none() && !held.recalled) {
            recall(scheduler, key, effects);
        }
    }
}

pub(super) fn unlinked(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    effects: &mut Effects,
) -> Applied {
    let worker = scheduler
        .workers
        .get_mut(&id)
        .ok_or(Refusal::NoWorker(id))?;
    if worker.is_linked() {
        worker.link = Link::Closed(now.elapsed);
        worker.silent = false;
        effects.workers.insert(id);
        builds::recount(scheduler, id);
        pools::leave(scheduler, id);
        watch(scheduler, id);
    }
    Ok(Outcome::Applied)
}

pub(super) fn heartbeat(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    holds: &[(LeaseKey, Option<u32>)],
    effects: &mut Effects,
) -> Applied {
    let worker = scheduler
        .workers
        .get_mut(&id)
        .ok_or(Refusal::NoWorker(id))?;
    let was_away = worker.silent || !worker.is_linked();
    worker.link = Link::Open(now.elapsed);
    worker.silent = false;
    if was_away {
        effects.workers.insert(id);
        builds::recount(scheduler, id);
        pools::place(scheduler, id);
    }
    for &(key, rendering) in holds {
        // One that waits or is being delivered may have been settled while the heartbeat was on its way.
        if keep(scheduler, now, id, key, rendering.is_some(), effects) {
            let held = scheduler.leases.get(&key);
            if held.is_some_and(|held| held.rendering != rendering) {
                set_rendering(scheduler, now.elapsed, key, rendering);
                effects.jobs.insert(key.unit.job);
            }
        } else if scheduler
            .jobs
            .get(&key.unit.job)
            .is_none_or(|job| job.state.is_over())
        {
            // A cancellation got lost on the way.
            effects.orders.push((id, Order::Cancel(key)));
        } else if rendering.is_none() {
            // It lapsed. What has begun may still deliver; what has not is somebody else's now.
            effects.orders.push((id, Order::Recall(key)));
        }
    }
    // What was handed out and is not there after a while got lost on the way.
    let unheld_after = Duration::from_millis(scheduler.settings.unheld_after_ms);
    let lost: Vec<LeaseKey> = scheduler.workers[&id]
        .leases
        .iter()
        .filter(|key| now.elapsed.saturating_sub(scheduler.leases[key].seen) > unheld_after)
        .copied()
        .collect();
    for key in lost {
        end_lease(scheduler, now.elapsed, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
    watch(scheduler, id);
    Ok(Outcome::Applied)
}

pub(super) fn command(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    command: WorkerCommand,
    effects: &mut Effects,
) -> Applied {
    if !scheduler.workers.contains_key(&id) {
        return Err(Refusal::NoWorker(id));
    }
    effects.workers.insert(id);
    match command {
        WorkerCommand::Pause => set_mode(scheduler, id, WorkerMode::Paused, effects),
        WorkerCommand::Resume | WorkerCommand::Unblock(None) => {
            set_mode(scheduler, id, WorkerMode::Active, effects);
        }
        WorkerCommand::Drain => set_mode(scheduler, id, WorkerMode::Draining, effects),
        WorkerCommand::Note(text) => return note(scheduler, id, &text, effects),
        WorkerCommand::Block(None) => {
            set_mode(scheduler, id, WorkerMode::Blocked, effects);
            cancel_held(scheduler, now, id, |_| true, effects);
        }
        WorkerCommand::Block(Some(job)) => return block(scheduler, now, id, job, effects),
        WorkerCommand::Unblock(Some(job)) => return unblock(scheduler, id, job, effects),
        WorkerCommand::Remove => {
            cancel_held(scheduler, now, id, |_| true, effects);
            unloaded(scheduler, id);
            pools::leave(scheduler, id);
            scheduler.passed.remove(&id);
            if let Some(entry) = scheduler.workers.remove(&id) {
                builds::forget(scheduler, &entry);
                scheduler.names.remove(&entry.record.name);
            }
            for entry in scheduler.jobs.values_mut() {
                entry.blocked.remove(&id);
                entry.trouble.remove(&id);
            }
            effects.changes.push(Change::WorkerRemoved(id));
            effects.orders.push((id, Order::Dismiss));
        }
    }
    Ok(Outcome::Applied)
}

fn note(scheduler: &mut Scheduler, id: WorkerId, text: &str, effects: &mut Effects) -> Applied {
    let text = text.trim();
    if text.len() > NOTE_MAX_BYTES || text.contains(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "a note about a worker is one line of at most {NOTE_MAX_BYTES} bytes"
        )));
    }
    let worker = scheduler.workers.get_mut(&id);
    let worker = worker.ok_or(Refusal::NoWorker(id))?;
    if worker.record.note != text {
        text.clone_into(&mut worker.record.note);
        let record = worker.record.clone();
        effects.changes.push(Change::WorkerSet(record));
    }
    Ok(Outcome::Applied)
}

fn set_mode(scheduler: &mut Scheduler, id: WorkerId, mode: WorkerMode, effects: &mut Effects) {
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    if worker.record.mode == mode {
        return;
    }
    worker.record.mode = mode;
    effects
        .changes
        .push(Change::WorkerSet(worker.record.clone()));
    effects.orders.push((id, Order::Mode(mode)));
    if matches!(mode, WorkerMode::Paused | WorkerMode::Draining) {
        recall_waiting(scheduler, id, effects);
    }
    pools::place(scheduler, id);
}

fn cancel_held(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    which: impl Fn(&LeaseKey) -> bool,
    effects: &mut Effects,
) {
    let Some(worker) = scheduler.workers.get(&id) else {
        return;
    };
    let keys: Vec<LeaseKey> = worker
        .leases
        .iter()
        .filter(|key| which(key))
        .copied()
        .collect();
    for key in keys {
        effects.orders.push((id, Order::Cancel(key)));
        end_lease(scheduler, now.elapsed, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}

fn block(
    scheduler: &mut Scheduler,
    now: Now,
    id: WorkerId,
    job: JobId,
    effects: &mut Effects,
) -> Applied {
    let entry = scheduler.jobs.get_mut(&job).ok_or_else(|| no_job(job))?;
    if entry.blocked.insert(id) {
        effects.changes.push(Change::JobBlocked(job, id));
        effects.jobs.insert(job);
    }
    cancel_held(scheduler, now, id, |key| key.unit.job == job, effects);
    line::refresh_cap(scheduler, job);
    Ok(Outcome::Applied)
}

fn unblock(scheduler: &mut Scheduler, id: WorkerId, job: JobId, effects: &mut Effects) -> Applied {
    let entry = scheduler.jobs.get_mut(&job).ok_or_else(|| no_job(job))?;
    entry.trouble.remove(&id);
    if entry.blocked.remove(&id) {
        effects.changes.push(Change::JobUnblocked(job, id));
        effects.jobs.insert(job);
    }
    debug_assert!(entry.state != JobState::Done || entry.leases.is_empty());
    line::refresh_cap(scheduler, job);
    ask_worker_again(scheduler, id);
    Ok(Outcome::Applied)
}
