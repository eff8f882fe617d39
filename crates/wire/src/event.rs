//! What the farm tells those who watch: server-sent events, `id` the sequence number, `data` one [`Event`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{FarmSettings, FrameError, FrameResult, JobId, StepIndex, Timestamp, WorkerId};

use crate::api::{JobSummary, WorkerStatus};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Counts up by one within one run of the manager.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Sorts of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// The watcher missed events (it was away too long, or the manager restarted): read everything anew, then go on.
    Resync,
    /// A job is new or stands differently.
    Job {
        /// How it is now.
        job: JobSummary,
    },
    /// A job is gone.
    JobRemoved {
        /// Which.
        job: JobId,
    },
    /// A frame is being rendered.
    FrameStarted {
        /// Of which job.
        job: JobId,
        /// Of which step.
        step: StepIndex,
        /// Position in the step's set.
        position: u32,
        /// Number in Blender.
        frame: i32,
        /// By whom.
        worker: WorkerId,
    },
    /// A frame was delivered.
    FrameDone {
        /// With what.
        result: Box<FrameResult>,
    },
    /// A frame failed once.
    FrameFailed {
        /// How.
        error: Box<FrameError>,
        /// Whether no more tries are left.
        given_up: bool,
    },
    /// A worker is new or stands differently.
    Worker {
        /// How it is now.
        worker: WorkerStatus,
    },
    /// A worker is gone for good.
    WorkerRemoved {
        /// Which.
        worker: WorkerId,
    },
    /// The farm's settings are other ones.
    Settings {
        /// All of them.
        settings: Box<FarmSettings>,
    },
}
