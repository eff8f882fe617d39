//! What a restart needs: everything the scheduler, the authentication and the notifications hold in memory.

use std::collections::BTreeMap;

use tessera_model::{
    Attempt, CertificateRecord, FarmSettings, FetchedMark, FrameBits, Job, JobId, JobState, Lease,
    LeaseKey, PairingRecord, ReceiverRecord, Telling, Term, Timestamp, TokenRecord, UnitId,
    WorkerId, WorkerRecord,
};

/// The whole record but for results and errors, as of one moment. Every list is in the order of its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The current leadership, 0 before the first.
    pub term: Term,
    /// The number of the next new job: higher than any ever used, removed ones included.
    pub next_job: JobId,
    /// The number of the next new worker: higher than any ever used, removed ones included.
    pub next_worker: WorkerId,
    /// The settings of the running farm; none if they were never set.
    pub farm: Option<FarmSettings>,
    /// Jobs.
    pub jobs: Vec<JobSnapshot>,
    /// Leases that have not ended.
    pub leases: Vec<Lease>,
    /// The highest attempt ever handed out, of each unit that is not closed, and its positions if it was cut then.
    pub attempts: Vec<(UnitId, Attempt, u32)>,
    /// Failures of units that are not closed, as far as the record keeps them: under which lease, at which position, where.
    pub failed: Vec<(LeaseKey, u32, WorkerId)>,
    /// Workers.
    pub workers: Vec<WorkerRecord>,
    /// Tokens that are not void (expired ones included).
    pub tokens: Vec<TokenRecord>,
    /// Pairing codes that were not removed (expired ones included).
    pub pairings: Vec<PairingRecord>,
    /// Certificates, the revoked ones too.
    pub certificates: Vec<CertificateRecord>,
    /// Receivers of notifications, each with what waits for it.
    pub receivers: Vec<(ReceiverRecord, Telling)>,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSnapshot {
    /// With the settings, the build and the layout in units it has now.
    pub job: Job,
    /// How it stands.
    pub state: JobState,
    /// Since when.
    pub since: Timestamp,
    /// The last mark that its results were fetched.
    pub fetched: Option<FetchedMark>,
    /// One for each of the job's steps, in order.
    pub steps: Vec<StepSnapshot>,
    /// Workers that get no more frames of it.
    pub blocked: Vec<WorkerId>,
}

/// A step's frames, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSnapshot {
    /// Accepted.
    pub done: FrameBits,
    /// Out of attempts since the last retry.
    pub given_up: FrameBits,
    /// Failures since the last retry, of each frame that has any.
    pub failures: BTreeMap<u32, u32>,
}
