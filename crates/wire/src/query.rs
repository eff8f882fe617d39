//! What may stand behind the `?` of a path. A name that is not here is refused: a filter that is not understood would otherwise answer
//! with everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::JobId;

use crate::api::PreviewSize;
use crate::link::LogStream;

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// Only jobs older than this one: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<JobId>,
    /// Most entries; 100 if not said, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Where it begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Most entries; 100 if not said, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only what is about this job, and `resync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The last event that was seen: what came after it is told first. The header `Last-Event-ID` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// Which part of which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Which of the two.
    #[serde(default = "stdout")]
    pub stream: LogStream,
    /// From which byte on.
    #[serde(default)]
    pub from: u64,
}

fn stdout() -> LogStream {
    LogStream::Stdout
}

/// Which preview.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewQuery {
    /// How large.
    #[serde(default)]
    pub size: PreviewSize,
    /// Of the parts of a divided frame that the result at this position has, in place of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
}

/// How blocks are taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutQuery {
    /// Whether copies that are here already are looked at, and put anew if they are damaged.
    #[serde(default)]
    pub repair: bool,
}
