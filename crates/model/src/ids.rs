//! Typed ids: a number of one kind can not be handed in where another kind is meant.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that was meant to be an id and is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what} number: give the number that `tessera {list}` shows")]
pub struct IdError {
    /// What was expected: "job", "worker".
    pub what: &'static str,
    /// The command that lists valid ones.
    pub list: &'static str,
    /// What was given.
    pub text: String,
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($raw:ty), $what:literal, $list:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub $raw);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map($name).map_err(|_| IdError {
                    what: $what,
                    list: $list,
                    text: text.to_owned(),
                })
            }
        }
    };
}

number_id!(
    /// A job of one farm, counted from 1 and never used twice.
    JobId(u64), "job", "jobs"
);
number_id!(
    /// A worker of one farm, counted from 1 at pairing and never used twice.
    WorkerId(u32), "worker", "workers"
);

/// Position of a step in its job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct StepIndex(pub u16);

/// How many times a unit has been handed out, counted from 1. Together with the unit it makes every effect idempotent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// Number of the manager's leadership; a write of an older term is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

/// Wall-clock time in milliseconds since 1970-01-01 UTC. Only for records and display; the scheduler is given durations.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// What is handed to a worker as a whole: a chunk of frames, or a part of a divided one, of one step of one job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct UnitId {
    /// The job.
    pub job: JobId,
    /// The step in it.
    pub step: StepIndex,
    /// Which of the step: the number of a chunk as the step's layout has them ([`Chunking`](crate::Chunking)), or, where frames are
    /// divided, the position of its first place.
    pub index: u32,
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.job.0, self.step.0, self.index)
    }
}
