//! All that comes out: what to record first, what to do then, and what to answer.

use std::collections::BTreeSet;

use tessera_model::{
    BlenderVersion, Build, Change, FrameError, JobId, LeaseKey, Series, StepIndex, WorkerId,
    WorkerMode,
};

/// What follows from an input. The changes are recorded before anything else of it leaves the manager.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// To record, in this order, in one transaction.
    pub changes: Vec<Change>,
    /// To send, in this order. An order to a worker without a link is dropped: it will greet anew.
    pub orders: Vec<(WorkerId, Order)>,
    /// The answer to the input.
    pub outcome: Outcome,
    /// Jobs that look different now.
    pub jobs: BTreeSet<JobId>,
    /// Jobs that are gone.
    pub removed_jobs: BTreeSet<JobId>,
    /// Workers that look different now.
    pub workers: BTreeSet<WorkerId>,
    /// Frames that began: (job, step, position, frame, worker).
    pub started: Vec<(JobId, StepIndex, u32, i32, WorkerId)>,
    /// Failures recorded, and whether the frame was given up with it.
    pub failures: Vec<(Box<FrameError>, bool)>,
}

/// The answer to an input.
#[derive(Debug, Default, PartialEq)]
pub enum Outcome {
    /// It was taken in; nothing to say.
    #[default]
    Applied,
    /// The job's number and what it was pinned to.
    Submitted(JobId, Option<Build>),
    /// The worker's number and the name it got.
    Paired(WorkerId, String),
    /// The worker is in; these of the leases it holds nobody waits for.
    Linked {
        /// What may be given to it.
        mode: WorkerMode,
        /// To be dropped by it.
        drop: Vec<LeaseKey>,
    },
    /// The result or failure was recorded.
    Accepted,
    /// It is not needed (any more); nothing was recorded.
    NotNeeded,
    /// It can not be done.
    Refused(Refusal),
}

/// Why an input was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such job.
    #[error("there is no job {0}: `tessera jobs` lists them")]
    NoJob(JobId),
    /// No such worker.
    #[error("there is no worker {0}: `tessera workers` lists them")]
    NoWorker(WorkerId),
    /// The action does not fit the job's state.
    #[error("job {job} is {state}: {hint}")]
    JobState {
        /// Which.
        job: JobId,
        /// How it stands.
        state: &'static str,
        /// What can be done.
        hint: &'static str,
    },
    /// A client has not all that was delivered.
    #[error(
        "{frames} frames of job {job} were fetched and {delivered} are delivered: `tessera fetch {job}` brings all of them"
    )]
    Fetched {
        /// Which.
        job: JobId,
        /// Frames that the client has.
        frames: u32,
        /// Frames there are.
        delivered: u32,
    },
    /// No worker can open the file.
    #[error(
        "the file was saved by Blender {file}, and the newest Blender of this farm's workers is {newest}: install Blender {file} or newer on a worker"
    )]
    NoBuild {
        /// Who saved it.
        file: Series,
        /// The newest there is.
        newest: BlenderVersion,
    },
    /// Settings out of their bounds.
    #[error("{0}")]
    Invalid(String),
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// Render these.
    Lease {
        /// Unit and attempt; the job is in it.
        key: LeaseKey,
        /// Its positions, where frames are divided.
        span: u32,
        /// The frames in order; where they are divided, the one that it is of, at the first of its positions.
        frames: Vec<FrameOrder>,
        /// It begins before all that lies ready there, whatever scene is open.
        urgent: bool,
    },
    /// Give back unless begun.
    Recall(LeaseKey),
    /// Kill it.
    Cancel(LeaseKey),
    /// Its mode is now this.
    Mode(WorkerMode),
    /// It is no longer of the farm: close its link.
    Dismiss,
}

/// One frame of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameOrder {
    /// Position in the step's frame set.
    pub position: u32,
    /// Number in Blender.
    pub frame: i32,
    /// Whether its result is wanted (see the link's `FrameToRender`).
    pub wanted: bool,
}
