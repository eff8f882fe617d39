//! The scheduler out of the record: what it would be had it never stopped, but for links.

use tessera_model::{
    Attempt, FrameBits, Job, JobId, JobState, Lease, UnitId, WorkerId, WorkerRecord,
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
