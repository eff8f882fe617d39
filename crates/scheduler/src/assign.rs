//! Which unit goes to which worker next, and why nothing does.
//!
//! Free places are filled in two rounds, first every slot of every worker, then what lies ready
//! behind it, so that no worker waits while another hoards. When nothing is left to hand out and a
//! slot is free, units that lie ready elsewhere and have not begun are asked back for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{Attempt, Change, JobId, JobState, Lease, LeaseKey, StepIndex, WorkerId};

use crate::apply::hold;
use crate::effects::{Effects, Order};
use crate::job::JobEntry;
use crate::scheduler::Scheduler;
use crate::worker::Unfit;

/// Hands out all that can be handed out.
pub(crate) fn assign(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    scheduler.assigned_at = now;
    if scheduler
        .jobs
        .values()
        .all(|entry| entry.state != JobState::Active)
    {
        return;
    }
    let deepest = 1 + scheduler.settings.queued_per_slot as usize;
    for depth in 1..=deepest {
        // One unit each in turn, so that the last units spread instead of piling up at the first worker.
        while assign_round(scheduler, now, depth, effects) {}
    }
    recall_for_idle(scheduler, now, effects);
}

/// Gives each worker with less than `depth` units a slot at most one more. Returns whether any got one.
fn assign_round(
    scheduler: &mut Scheduler,
    now: Duration,
    depth: usize,
    effects: &mut Effects,
) -> bool {
    let workers: Vec<WorkerId> = scheduler
        .workers
        .values()
        .filter(|worker| worker.is_linked() && worker.leases.len() < depth * worker.slots())
        .map(|worker| worker.record.id)
        .collect();
    let mut any = false;
    for worker in workers {
        any |= assign_one(scheduler, now, worker, effects);
    }
    any
}

fn assign_one(
    scheduler: &mut Scheduler,
    now: Duration,
    worker: WorkerId,
    effects: &mut Effects,
) -> bool {
    let Some((job, step, unit)) = choose(scheduler, now, worker) else {
        return false;
    };
    let Some(entry) = scheduler.jobs.get_mut(&job) else {
        return false;
    };
    let Some(state) = entry.step(step) else {
        return false;
    };
    let attempt = Attempt(state.attempts.get(&unit).map_or(0, |attempt| attempt.0) + 1);
    let key = LeaseKey {
        unit: entry.unit_id(step, unit),
        attempt,
    };
    let frames = entry.frames_of(step, unit);
    if !hold(scheduler, now, key, worker) {
        return false;
    }
    effects.changes.push(Change::Leased(Lease { key, worker }));
    effects.orders.push((worker, Order::Lease { key, frames }));
    effects.jobs.insert(job);
    effects.workers.insert(worker);
    true
}

/// The next unit for a worker: of the jobs it may work for, the one that holds least for its priority, the older one if equal.
fn choose(
    scheduler: &Scheduler,
    now: Duration,
    worker: WorkerId,
) -> Option<(JobId, StepIndex, u32)> {
    let entry = scheduler.workers.get(&worker)?;
    let mut best: Option<(u64, u64, (JobId, StepIndex, u32))> = None;
    for (&id, job) in &scheduler.jobs {
        if job.state != JobState::Active || entry.fits(job, &scheduler.settings, now).is_err() {
            continue;
        }
        let (held, priority) = (
            job.leases.len() as u64,
            u64::from(job.job.settings.priority),
        );
        // held / priority, compared without a fraction.
        if let Some((least, of, _)) = best
            && held * of >= least * priority
        {
            continue;
        }
        if let Some((step, unit)) = next_unit(scheduler, now, job, worker) {
            best = Some((held, priority, (id, step, unit)));
        }
    }
    best.map(|(_, _, unit)| unit)
}

/// The first free unit of a job that this worker may have: not backing off, and not one that failed here while others could have it.
fn next_unit(
    scheduler: &Scheduler,
    now: Duration,
    job: &JobEntry,
    worker: WorkerId,
) -> Option<(StepIndex, u32)> {
    let index = job.open_step()?;
    let step = job.step(index)?;
    let mut from = 0;
    while let Some(unit) = step.taken.first_clear(from) {
        let mut failures = step
            .failures
            .range(step.positions(unit))
            .map(|(_, failures)| failures);
        let held_back = failures.any(|failures| {
            failures.not_before > now
                || (failures.workers.contains(&worker)
                    && fitting(scheduler, now, job).any(|other| !failures.workers.contains(&other)))
        });
        if !held_back {
            return Some((index, unit));
        }
        from = unit + 1;
    }
    None
}

/// Workers that may get frames of a job.
fn fitting<'a>(
    scheduler: &'a Scheduler,
    now: Duration,
    job: &'a JobEntry,
) -> impl Iterator<Item = WorkerId> + 'a {
    scheduler
        .workers
        .values()
        .filter(move |worker| worker.fits(job, &scheduler.settings, now).is_ok())
        .map(|worker| worker.record.id)
}

/// Whether some worker other than this one may get frames of a job.
pub(crate) fn someone_else(
    scheduler: &Scheduler,
    now: Duration,
    job: JobId,
    worker: WorkerId,
) -> bool {
    scheduler
        .jobs
        .get(&job)
        .is_some_and(|entry| fitting(scheduler, now, entry).any(|other| other != worker))
}

/// Asks back one unit that has not begun for each slot that stays empty.
fn recall_for_idle(scheduler: &mut Scheduler, now: Duration, effects: &mut Effects) {
    let asked = scheduler
        .leases
        .values()
        .filter(|held| held.recalled)
        .count();
    let mut idle: Vec<WorkerId> = Vec::new();
    for worker in scheduler
        .workers
        .values()
        .filter(|worker| worker.is_linked())
    {
        let free = worker.slots().saturating_sub(worker.leases.len());
        idle.extend(std::iter::repeat_n(worker.record.id, free));
    }
    for thief in idle.into_iter().skip(asked) {
        let Some(key) = waiting_elsewhere(scheduler, now, thief) else {
            continue;
        };
        let Some(held) = scheduler.leases.get_mut(&key) else {
            continue;
        };
        held.recalled = true;
        effects.orders.push((held.worker, Order::Recall(key)));
    }
}

/// A unit that lies behind the slots of another worker: of the worker with most of them, the one handed out last.
fn waiting_elsewhere(scheduler: &Scheduler, now: Duration, thief: WorkerId) -> Option<LeaseKey> {
    let thief = scheduler.workers.get(&thief)?;
    let mut most: Option<(usize, LeaseKey)> = None;
    for owner in scheduler.workers.values() {
        let spare = owner.leases.len().saturating_sub(owner.slots());
        if spare == 0 || most.is_some_and(|(best, _)| spare <= best) {
            continue;
        }
        let waiting = owner.leases.iter().rev().find(|key| {
            let held = &scheduler.leases[key];
            let fits = scheduler.jobs.get(&key.unit.job).is_some_and(|job| {
                job.state == JobState::Active && thief.fits(job, &scheduler.settings, now).is_ok()
            });
            // One that has no frame left to report is being delivered.
            held.rendering.is_none() && !held.recalled && held.left > 0 && fits
        });
        if let Some(&key) = waiting {
            most = Some((spare, key));
        }
    }
    most.map(|(_, key)| key)
}

/// When the next frame may be tried again, of those that might not at this time.
pub(crate) fn next_retry(scheduler: &Scheduler, since: Duration) -> Option<Duration> {
    scheduler
        .jobs
        .values()
        .filter(|job| job.state == JobState::Active)
        .flat_map(|job| &job.steps)
        .flat_map(|step| step.failures.values())
        .map(|failures| failures.not_before)
        .filter(|&at| at > since)
        .min()
}

/// Why nothing of an active job is being rendered; empty if something is or the job is not active.
pub(crate) fn waiting_because(scheduler: &Scheduler, now: Duration, job: &JobEntry) -> String {
    if job.state != JobState::Active || !job.leases.is_empty() {
        return String::new();
    }
    if scheduler.workers.is_empty() {
        return "no worker has joined this farm yet: run `tessera worker` on a machine".into();
    }
    let mut reasons: BTreeMap<Unfit, u32> = BTreeMap::new();
    let mut fit = 0;
    for worker in scheduler.workers.values() {
        match worker.fits(job, &scheduler.settings, now) {
            Ok(()) => fit += 1,
            Err(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    if fit > 0 {
        return if next_retry(scheduler, scheduler.assigned_at).is_some() {
            "its failed frames are tried again in a moment".into()
        } else {
            format!(
                "{} busy with other jobs",
                workers(fit, "that can render it is", "that can render it are")
            )
        };
    }
    let told: Vec<String> = reasons
        .into_iter()
        .map(|(reason, n)| tell(reason, n, job))
        .collect();
    told.join("; ")
}

fn workers(n: u32, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 worker {one}")
    } else {
        format!("{n} workers {many}")
    }
}

fn tell(reason: Unfit, n: u32, job: &JobEntry) -> String {
    let build = || match &job.job.build {
        Some(build) => build.to_string(),
        None => format!("Blender {} or newer", job.job.file_version),
    };
    match reason {
        Unfit::Away => workers(n, "is not connected", "are not connected"),
        Unfit::Silent => workers(n, "does not answer", "do not answer"),
        Unfit::Held => workers(
            n,
            "is paused, draining or blocked",
            "are paused, draining or blocked",
        ),
        Unfit::Build => format!("{} {}", workers(n, "lacks", "lack"), build()),
        Unfit::Tags => {
            format!(
                "{} {}",
                workers(n, "lacks one of the tags", "lack one of the tags"),
                job.job.settings.tags.join(", ")
            )
        }
        Unfit::Device => workers(n, "has no such device", "have no such device"),
        Unfit::Blocked => workers(
            n,
            "is blocked for this job after failures",
            "are blocked for this job after failures",
        ),
    }
}
