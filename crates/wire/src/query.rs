//! What may stand behind the `?` of a path. A name that is not here is refused: a filter that is not understood would otherwise answer
//! with everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{JobId, StepIndex, UserName, WorkerMode};

use crate::api::{Phase, PreviewSize};
use crate::link::LogStream;

/// How a job stands, where jobs are chosen by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateFilter {
    /// Gets workers: waiting or rendering.
    Active,
    /// Active, nothing is being rendered.
    Waiting,
    /// Active, frames are being rendered.
    Rendering,
    /// Held by a user.
    Paused,
    /// Ended by a user.
    Cancelled,
    /// Every frame is there.
    Done,
    /// Nothing is left to try and some frames are missing.
    Failed,
    /// Cancelled, done or failed.
    Over,
}

impl StateFilter {
    /// Whether a job that stands so is meant.
    #[must_use]
    pub fn fits(self, phase: Phase) -> bool {
        match self {
            Self::Active => matches!(phase, Phase::Waiting | Phase::Rendering),
            Self::Waiting => phase == Phase::Waiting,
            Self::Rendering => phase == Phase::Rendering,
            Self::Paused => phase == Phase::Paused,
            Self::Cancelled => phase == Phase::Cancelled,
            Self::Done => phase == Phase::Done,
            Self::Failed => phase == Phase::Failed,
            Self::Over => matches!(phase, Phase::Cancelled | Phase::Done | Phase::Failed),
        }
    }
}

/// Whether a name holds what is searched for, in whatever case.
#[must_use]
pub fn name_holds(name: &str, search: &str) -> bool {
    name.to_lowercase().contains(&search.to_lowercase())
}

/// Which jobs. Of several filters all have to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// Only jobs older than this one: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<JobId>,
    /// Most entries; 100 if not said, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only jobs that stand so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFilter>,
    /// Only jobs of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// Only jobs of this category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only jobs with this tag, maybe among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only jobs whose name holds this text, in whatever case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// Which workers. Of several filters all have to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkersQuery {
    /// Where the list begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Most entries; 1000 if not said, at most 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only workers to which this may be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<WorkerMode>,
    /// Only workers whose link is open, or is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<bool>,
    /// Only workers whose name holds this text, in whatever case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

/// Which part of a list that is short as a rule: one page of it holds more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongPageQuery {
    /// Where it begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Most entries; 1000 if not said, at most 1000.
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
    /// The step of that result; the last one with parts of the frame if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepIndex>,
}

/// Of which file of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PyramidQuery {
    /// As the frame's result names it; its first EXR if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Which bytes of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileQuery {
    /// From which byte on.
    #[serde(default)]
    pub from: u64,
    /// How many; all that follow if not said, or if there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

/// How blocks are taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutQuery {
    /// Whether copies that are here already are looked at, and put anew if they are damaged.
    #[serde(default)]
    pub repair: bool,
}
