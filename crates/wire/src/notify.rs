//! Receivers of notifications, as administrators see and set them. Secrets go in and never come out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{NoticeEvent, Receiver, TellingError, Timestamp, Way, WhoseJobs};

/// Of what a receiver is told if nobody says: how jobs end, and what somebody should look at.
pub const DEFAULT_EVENTS: [NoticeEvent; 5] = [
    NoticeEvent::JobDone,
    NoticeEvent::JobFailed,
    NoticeEvent::FrameGivenUp,
    NoticeEvent::WorkerLost,
    NoticeEvent::StoreFull,
];

fn default_events() -> Vec<NoticeEvent> {
    DEFAULT_EVENTS.into()
}

/// A receiver that is to be so from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiverInput {
    /// How it is told.
    pub way: Way,
    /// Of what.
    #[serde(default = "default_events")]
    pub events: Vec<NoticeEvent>,
    /// Of whose jobs. Jobs that name the receiver are always among them; workers and the store are nobody's.
    #[serde(default)]
    pub jobs: WhoseJobs,
    /// Its secret, which the way says the meaning of. If none, the one it has stays, unless it would go somewhere else than it was
    /// given for; an empty one takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A receiver, and how it goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiverInfo {
    /// All but its secret.
    #[serde(flatten)]
    pub receiver: Receiver,
    /// Whether it has a secret.
    pub has_secret: bool,
    /// Notices that it is still to be told.
    pub waiting: u32,
    /// When something arrived last; none if nothing ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// What did not arrive last, and why. Tried again unless it is among `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TellingError>,
    /// Notices that it was never told: given up after many tries, or too many waited.
    pub lost: u64,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// What it answered, or what went wrong.
    pub answer: String,
}
