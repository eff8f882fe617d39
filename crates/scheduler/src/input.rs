//! All that the scheduler is ever told.

use std::time::Duration;

use tessera_model::{
    Blob, FarmSettings, FrameError, FrameResult, JobEdit, JobId, JobSettings, LeaseKey, Series,
    Step, StepIndex, Timestamp, UserName, WorkerFacts, WorkerId,
};

/// The time, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start, never going back: everything is decided by it.
    pub elapsed: Duration,
    /// Wall clock: only recorded.
    pub wall: Timestamp,
}

/// A job to take in. That its blobs are all in the store has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Whose.
    pub owner: UserName,
    /// What the owner set.
    pub settings: JobSettings,
    /// The file tree.
    pub manifest: Blob,
    /// The .blend's path in it.
    pub main_file: String,
    /// The Blender that saved it.
    pub file_version: Series,
    /// What to do; at least one step.
    pub steps: Vec<Step>,
    /// Kept for whoever fetches.
    pub client_note: String,
}

/// What a user does to a job.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made for each request and never kept"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum JobCommand {
    /// No new frames.
    Pause,
    /// On again.
    Resume,
    /// The end; running frames are killed.
    Cancel,
    /// Failed frames again.
    Retry,
    /// Other settings.
    Edit(JobEdit),
    /// Gone, with its results.
    Remove,
    /// The same, but only if it has been over for so long, and nothing of it waits to be fetched.
    Expire {
        /// Since before this moment.
        over_before: Timestamp,
    },
    /// A client has brought so many of its frames to a durable place. A mark, if these are all there are.
    Fetched {
        /// Frames, of all steps.
        frames: u32,
        /// The last step that any of them is of, if that was said.
        step: Option<StepIndex>,
    },
}

/// What a user does to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerCommand {
    /// No new work.
    Pause,
    /// Work again.
    Resume,
    /// No new work, and end once idle.
    Drain,
    /// No work, of one job or at all; what runs is taken back.
    Block(Option<JobId>),
    /// Undoes it.
    Unblock(Option<JobId>),
    /// This is to be known of it; nothing, if empty.
    Note(String),
    /// Forgotten.
    Remove,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A user submits.
    Submit(Box<NewJob>),
    /// A user acts on a job.
    Job(JobId, JobCommand),
    /// A user acts on a worker.
    Worker(WorkerId, WorkerCommand),
    /// A machine was paired under this wished name.
    Paired(String),
    /// A worker's link is open; it holds these leases. A link it had before is gone with this.
    Linked {
        /// Who.
        worker: WorkerId,
        /// What it is.
        facts: WorkerFacts,
        /// What it says it holds.
        holds: Vec<LeaseKey>,
    },
    /// A worker's link was closed from its side or broke.
    Unlinked(WorkerId),
    /// A worker is alive; it holds these, rendering the position given.
    Heartbeat {
        /// Who.
        worker: WorkerId,
        /// What it holds.
        holds: Vec<(LeaseKey, Option<u32>)>,
    },
    /// A worker said something new of itself.
    Facts {
        /// Who.
        worker: WorkerId,
        /// What.
        facts: WorkerFacts,
    },
    /// A frame has begun.
    Started {
        /// Where.
        worker: WorkerId,
        /// Of which lease.
        key: LeaseKey,
        /// Its position.
        position: u32,
    },
    /// A lease was given back unfinished.
    Returned {
        /// By whom.
        worker: WorkerId,
        /// Which.
        key: LeaseKey,
    },
    /// All frames of a lease have been reported.
    Finished {
        /// By whom.
        worker: WorkerId,
        /// Which.
        key: LeaseKey,
    },
    /// A frame is rendered and its files are in the store.
    Done(Box<FrameResult>),
    /// A frame failed.
    Failed(Box<FrameError>),
    /// Other settings of the farm.
    Settings(Box<FarmSettings>),
    /// Nothing but time passed.
    Tick,
}
