//! Notifications: what is worth telling people who do not look on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{JobId, JobState, Timestamp, UserName};

/// What a notification is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// Every frame of a job is there.
    JobDone,
    /// Nothing of a job is left to try, and frames are missing.
    JobFailed,
    /// A frame of a job failed for the first time since it was submitted or retried.
    FirstError,
    /// A frame of a job is given up, the first one since it was submitted or retried.
    FrameGivenUp,
    /// A worker gets no more of a job, as it failed on it too often.
    WorkerBlocked,
    /// A worker went without a word and did not come back.
    WorkerLost,
    /// What the farm may store is nearly used up, or is.
    StoreFull,
    /// Somebody tries a receiver.
    Test,
}

impl NoticeEvent {
    /// Those that a receiver can be told of.
    pub const ALL: [Self; 7] = [
        Self::JobDone,
        Self::JobFailed,
        Self::FirstError,
        Self::FrameGivenUp,
        Self::WorkerBlocked,
        Self::WorkerLost,
        Self::StoreFull,
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JobDone => "job_done",
            Self::JobFailed => "job_failed",
            Self::FirstError => "first_error",
            Self::FrameGivenUp => "frame_given_up",
            Self::WorkerBlocked => "worker_blocked",
            Self::WorkerLost => "worker_lost",
            Self::StoreFull => "store_full",
            Self::Test => "test",
        }
    }
}

/// One notification, complete: as it waits in the record, and as it is posted to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Random, the same whenever it is sent again: who was told twice knows it by this.
    pub id: String,
    /// What happened.
    pub event: NoticeEvent,
    /// When.
    pub at: Timestamp,
    /// Name of the farm.
    pub farm: String,
    /// It in a line.
    pub title: String,
    /// More, in lines for people.
    pub text: String,
    /// The job it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<NoticeJob>,
    /// Names of the workers it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
    /// The page in the browser that shows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A job as it stood then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeJob {
    /// Number.
    pub id: JobId,
    /// Name.
    pub name: String,
    /// Whose.
    pub owner: UserName,
    /// How it stands.
    pub state: JobState,
    /// Frames of all steps.
    pub frames: u32,
    /// Of these, delivered.
    pub done: u32,
    /// Given up.
    pub failed: u32,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}
