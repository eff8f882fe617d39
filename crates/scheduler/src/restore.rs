//! The scheduler out of the record: what it would be had it never stopped, but for links.

use std::time::Duration;

use crate::apply::hold;
use crate::input::Now;
use crate::job::{Failures, JobEntry, StepEntry};
use crate::scheduler::Scheduler;
use crate::worker::{Link, WorkerEntry};
use tessera_model::{
    Attempt, FarmSettings, FrameBits, Job, JobId, JobState, Lease, UnitId, WorkerId, WorkerRecord,
};

/// All the record holds that matters here.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Jobs.
    pub jobs: Vec<RestoredJob>,
    /// Workers.
    pub workers: Vec<WorkerRecord>,
    /// Leases that have not ended.
    pub leases: Vec<Lease>,
    /// Highest attempt of every unit that is not closed and was ever handed out.
    pub attempts: Vec<(UnitId, Attempt)>,
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
        scheduler
            .workers
            .insert(record.id, WorkerEntry::new(record));
    }
    for job in restored.jobs {
        scheduler.jobs.insert(job.job.id, restore_job(job, now));
    }
    for (job, worker) in restored.blocked {
        if let Some(entry) = scheduler.jobs.get_mut(&job) {
            entry.blocked.insert(worker);
        }
    }
    for (unit, attempt) in restored.attempts {
        if let Some(step) = scheduler
            .jobs
            .get_mut(&unit.job)
            .and_then(|job| job.step_mut(unit.step))
        {
            step.attempts.insert(unit.index, attempt);
        }
    }
    let until = now.elapsed + Duration::from_millis(scheduler.settings.restart_grace_ms);
    for lease in restored.leases {
        if hold(&mut scheduler, now.elapsed, lease.key, lease.worker)
            && let Some(worker) = scheduler.workers.get_mut(&lease.worker)
        {
            worker.link = Link::Awaited(until);
        }
    }
    scheduler
}

fn restore_job(restored: RestoredJob, now: Now) -> JobEntry {
    let RestoredJob { job, state, steps } = restored;
    let mut entry = JobEntry::new(job);
    entry.state = state;
    for (index, step) in steps.into_iter().enumerate() {
        let Some(model) = entry.job.steps.get(index) else {
            continue;
        };
        let mut given_up = step.given_up;
        for at in step.done.iter() {
            given_up.clear(at);
        }
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
    entry
}
