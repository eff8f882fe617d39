//! The scheduler out of the record: what it would be had it never stopped, but for links.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{
    Attempt, FarmSettings, FetchedMark, FrameBits, Job, JobId, JobState, Lease, LeaseKey,
    Timestamp, UnitId, WorkerId, WorkerRecord,
};

use crate::books::{hold, refresh_all_units, reported, watch};
use crate::input::Now;
use crate::job::{Failures, JobEntry, StepEntry};
use crate::need::criteria;
use crate::scheduler::Scheduler;
use crate::worker::{Link, WorkerEntry};
use crate::{builds, depend, line, pools};

/// All the record holds that matters here.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Jobs.
    pub jobs: Vec<RestoredJob>,
    /// Workers.
    pub workers: Vec<WorkerRecord>,
    /// Leases that have not ended.
    pub leases: Vec<Lease>,
    /// Highest attempt of every unit that is not closed and was ever handed out, and its positions if it was cut then.
    pub attempts: Vec<(UnitId, Attempt, u32)>,
    /// Failures of units that are not closed: under which lease, at which position, where.
    pub failed: Vec<(LeaseKey, u32, WorkerId)>,
    /// Workers that get nothing of a job.
    pub blocked: Vec<(JobId, WorkerId)>,
    /// The next job gets this number.
    pub next_job: u64,
    /// The next worker gets this number.
    pub next_worker: u32,
}

/// A job.
#[derive(Debug, Clone)]
pub struct RestoredJob {
    /// As recorded.
    pub job: Job,
    /// State.
    pub state: JobState,
    /// Since when it stands so.
    pub since: Timestamp,
    /// The last mark that its results were fetched.
    pub fetched: Option<FetchedMark>,
    /// One per step of the job.
    pub steps: Vec<RestoredStep>,
}

/// A step's frames.
#[derive(Debug, Clone)]
pub struct RestoredStep {
    /// Delivered positions.
    pub done: FrameBits,
    /// Given-up positions.
    pub given_up: FrameBits,
    /// Failures of positions since the last retry.
    pub failures: Vec<(u32, u32)>,
}

pub(crate) fn restore(settings: FarmSettings, now: Now, restored: Restored) -> Scheduler {
    let mut scheduler = Scheduler::new(settings);
    scheduler.next_job = restored.next_job.max(1);
    scheduler.next_worker = restored.next_worker.max(1);
    for record in restored.workers {
        scheduler.names.insert(record.name.clone());
        let id = record.id;
        scheduler.workers.insert(id, WorkerEntry::new(record));
        builds::recount(&mut scheduler, id);
    }
    let ids: Vec<JobId> = restored.jobs.iter().map(|job| job.job.id).collect();
    for job in restored.jobs {
        restore_job(&mut scheduler, now, job);
    }
    for (job, worker) in restored.blocked {
        if let Some(entry) = scheduler.jobs.get_mut(&job) {
            entry.blocked.insert(worker);
        }
    }
    let held: BTreeSet<UnitId> = restored.leases.iter().map(|lease| lease.key.unit).collect();
    for (unit, attempt, span) in restored.attempts {
        let Some(job) = scheduler.jobs.get_mut(&unit.job) else {
            continue;
        };
        let Some(step) = job.step_mut(unit.step) else {
            continue;
        };
        step.attempts.insert(unit.index, attempt);
        step.cut(unit.index, span);
        // Frames that are over are counted already, and those of a lease when it is held.
        if !held.contains(&unit) {
            let wanted = step.wanted(unit.index).count() as u32;
            job.dispatched = job.dispatched.saturating_add(wanted);
        }
    }
    let until = now.elapsed + Duration::from_millis(scheduler.settings.restart_grace_ms);
    for lease in restored.leases {
        if let Some(worker) = scheduler.workers.get_mut(&lease.worker) {
            worker.link = Link::Awaited(until);
        }
        hold(
            &mut scheduler,
            now.elapsed,
            lease.key,
            lease.worker,
            lease.span,
        );
        watch(&mut scheduler, lease.worker);
    }
    for (key, position, worker) in restored.failed {
        let step = scheduler
            .jobs
            .get(&key.unit.job)
            .and_then(|job| job.step(key.unit.step));
        let covered = step.map(|step| step.covered(key.unit.index, position));
        for at in covered.into_iter().flatten() {
            reported(&mut scheduler, now.elapsed, key, at);
        }
        let step = scheduler
            .jobs
            .get_mut(&key.unit.job)
            .and_then(|job| job.step_mut(key.unit.step));
        // Failures before a retry are not counted any more.
        if let Some(failures) = step.and_then(|step| step.failures.get_mut(&position)) {
            failures.workers.insert(worker);
        }
    }
    // Only now is it known of every job whether it is done: who waits for whom follows from that.
    for &id in &ids {
        depend::enter(&mut scheduler, id);
    }
    for id in ids {
        let Some(job) = scheduler.jobs.get(&id) else {
            continue;
        };
        let waits = job.job.settings.after.iter().any(|after| after.frames)
            || job.job.steps.iter().any(|step| step.by_frame);
        if waits {
            refresh_all_units(&mut scheduler, now.elapsed, id);
        }
        if job_is_active(&scheduler, id) {
            line::enter(&mut scheduler, now.elapsed, id);
        }
    }
    scheduler
}

fn job_is_active(scheduler: &Scheduler, id: JobId) -> bool {
    scheduler
        .jobs
        .get(&id)
        .is_some_and(|job| job.state == JobState::Active)
}

fn restore_job(scheduler: &mut Scheduler, now: Now, restored: RestoredJob) {
    let RestoredJob {
        job,
        state,
        since,
        fetched,
        steps,
    } = restored;
    let need = pools::intern(scheduler, criteria(&job, 0));
    let accounts = scheduler
        .accounts
        .of_job(&job.owner, &job.settings, &scheduler.settings);
    let preempts = job.settings.preempt && state == JobState::Active;
    let mut entry = JobEntry::new(job, need, accounts);
    entry.state = state;
    entry.since = since;
    entry.fetched = fetched;
    for (index, step) in steps.into_iter().enumerate() {
        let Some(model) = entry.job.steps.get(index) else {
            continue;
        };
        let mut given_up = step.given_up;
        for at in step.done.iter() {
            given_up.clear(at);
        }
        entry.dispatched = entry
            .dispatched
            .saturating_add(step.done.count() + given_up.count());
        let mut state = StepEntry::restored(model, entry.job.settings.chunk, step.done, given_up);
        for (position, count) in step.failures {
            state.failures.insert(
                position,
                Failures {
                    count,
                    not_before: now.elapsed,
                    ..Failures::default()
                },
            );
        }
        entry.steps[index] = state;
    }
    let id = entry.job.id;
    if preempts {
        scheduler.preempting.insert(id);
    }
    scheduler.jobs.insert(id, entry);
    line::refresh_need(scheduler, now.elapsed, id);
}
