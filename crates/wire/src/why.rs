//! Why a job or a worker has no more to do just now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All that keeps a job or a worker from more work, most telling first; empty if nothing does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// All of it in one line, for people.
    pub text: String,
    /// Each for itself.
    pub reasons: Vec<WhyReason>,
}

/// One of the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhyReason {
    /// A word that stays the same over versions, for programs: "paused", "memory".
    pub code: String,
    /// The same for people, with what it would take.
    pub text: String,
}
