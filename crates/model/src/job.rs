//! Jobs: what a user asks for, and how it stands.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Blob, Build, Chunking, FrameSet, JobId, Requirement, Series, Slice, Split, Timestamp, UserName,
};

/// The category of jobs that name none.
pub const DEFAULT_CATEGORY: &str = "default";

/// What to render on.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// As the file says, as Blender's command line would.
    #[default]
    File,
    /// The processor.
    Cpu,
    /// Any GPU, the best interface there is.
    Gpu,
    /// One of Cycles' interfaces, in lower case: "cuda", "optix", "hip", "oneapi", "metal".
    Interface(String),
}

/// What differs from the file's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(default)]
pub struct Overrides {
    /// The scene; the file's active one if none.
    pub scene: Option<String>,
    /// The engine's identifier, "CYCLES".
    pub engine: Option<String>,
    /// Samples a pixel.
    pub samples: Option<u32>,
    /// Device.
    pub device: Device,
    /// Multilayer EXR with every pass in place of the file's format.
    pub exr: bool,
    /// Scripts and drivers of the file may run.
    pub autoexec: bool,
}

/// All that a user sets of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSettings {
    /// What people call it.
    pub name: String,
    /// Shares are balanced between categories first.
    #[serde(default = "default_category")]
    pub category: String,
    /// Share against other jobs, at least 1; twice the number, twice the share.
    #[serde(default = "default_priority")]
    pub priority: u32,
    /// A job runs only where all its tags are.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(default)]
    pub comment: String,
    /// Frames handed out together, at least 1.
    #[serde(default = "default_chunk")]
    pub chunk: u32,
    /// How often a frame may fail, on whichever workers, before it counts as failed.
    #[serde(default = "default_attempts")]
    pub max_attempts: u32,
    /// What a worker must have.
    #[serde(default)]
    pub requirement: Requirement,
    /// Counted resources of the farm: each unit that is rendered takes one of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Jobs it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// Whether it may end what is rendered of jobs of lower priority, to have their slots at once.
    #[serde(default)]
    pub preempt: bool,
    /// Receivers of notifications, by name, that are told of this job beside those that are told of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<String>,
}

/// Priority of a job that names none: room for ten times less and ten times more.
pub const DEFAULT_PRIORITY: u32 = 100;

/// Attempts of a frame of a job that names none.
pub const DEFAULT_ATTEMPTS: u32 = 3;

fn default_category() -> String {
    DEFAULT_CATEGORY.into()
}

fn default_priority() -> u32 {
    DEFAULT_PRIORITY
}

fn default_chunk() -> u32 {
    1
}

fn default_attempts() -> u32 {
    DEFAULT_ATTEMPTS
}

impl JobSettings {
    /// What a job of this name gets if nothing else is said.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            category: default_category(),
            priority: DEFAULT_PRIORITY,
            tags: Vec::new(),
            comment: String::new(),
            chunk: default_chunk(),
            max_attempts: DEFAULT_ATTEMPTS,
            requirement: Requirement::default(),
            resources: Vec::new(),
            after: Vec::new(),
            preempt: false,
            notify: Vec::new(),
        }
    }
}

/// A job that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct After {
    /// Which.
    pub job: JobId,
    /// Frame by frame: each frame waits for the frame of the same number only. A frame that the other job does not have
    /// waits for nothing.
    #[serde(default)]
    pub frames: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Renders frames.
    Render(Overrides),
    /// Renders frames in slices, as the step's split says.
    Slices(Overrides),
    /// Makes frames out of the slices that the step before rendered.
    Assemble(Overrides),
}

/// One step of a job: the same work on a set of frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// To which frames.
    pub frames: FrameSet,
    /// Frames depend on their order: one worker renders the whole set from its first frame, and begins again if it is cut off.
    #[serde(default)]
    pub in_order: bool,
    /// Each frame waits for the frame of the same number of the step before, not for all of that step.
    #[serde(default)]
    pub by_frame: bool,
    /// It does not wait for the step before it.
    #[serde(default)]
    pub beside: bool,
    /// Of a step that renders frames: how each may be divided among workers, if the farm finds that it pays. Of one that renders
    /// slices: how each is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Of one that renders chosen tiles: their numbers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiles: Vec<u16>,
    /// How its frames are laid out in units; by the job's chunk if none. Set by the scheduler when the chunk is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunking: Option<Chunking>,
    /// Nobody waits for what it makes any more: its frames are made, or made anew, by a later step, with more samples. Of ranges of samples it
    /// says that they are all in the frame that the step after it put together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
}

impl Step {
    /// A step of this kind that waits for those before it.
    #[must_use]
    pub fn new(kind: StepKind, frames: FrameSet) -> Self {
        Self {
            kind,
            frames,
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }
    }

    /// What it changes of the file's settings.
    #[must_use]
    pub fn overrides(&self) -> &Overrides {
        match &self.kind {
            StepKind::Render(overrides)
            | StepKind::Slices(overrides)
            | StepKind::Assemble(overrides) => overrides,
        }
    }

    /// The same, to be changed.
    pub fn overrides_mut(&mut self) -> &mut Overrides {
        match &mut self.kind {
            StepKind::Render(overrides)
            | StepKind::Slices(overrides)
            | StepKind::Assemble(overrides) => overrides,
        }
    }

    /// Whether what it makes are frames that a user waits for, and not parts of such.
    #[must_use]
    pub fn makes_frames(&self) -> bool {
        !self.replaced && !self.makes_parts()
    }

    /// Whether what it makes are parts of frames.
    #[must_use]
    pub fn makes_parts(&self) -> bool {
        matches!(self.kind, StepKind::Slices(_))
    }

    /// How its frames are divided, if they are.
    #[must_use]
    pub fn divided(&self) -> Option<&Split> {
        self.split.as_ref().filter(|_| self.makes_parts())
    }

    /// What is rendered for a run of places of a frame, if it is divided.
    #[must_use]
    pub fn slices(&self, places: Range<u32>) -> Vec<Slice> {
        self.divided()
            .map_or_else(Vec::new, |split| split.slices(places, &self.tiles))
    }

    /// Positions of each frame: one, unless it is divided.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.divided().map_or(1, |split| split.places().max(1))
    }

    /// Positions of all frames.
    #[must_use]
    pub fn positions(&self) -> u32 {
        self.frames.len().saturating_mul(self.places())
    }

    /// The number in Blender of the frame that a position is of.
    #[must_use]
    pub fn frame_at(&self, position: u32) -> Option<i32> {
        self.frames.at(position / self.places())
    }

    /// The positions of a frame.
    #[must_use]
    pub fn positions_of(&self, frame: i32) -> Option<Range<u32>> {
        let places = self.places();
        let first = self.frames.position(frame)?.checked_mul(places)?;
        Some(first..first + places)
    }
}

/// How a job stands. Whether an active job is rendering or waiting follows from its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Gets workers.
    Active,
    /// Held by a user.
    Paused,
    /// Ended by a user; what is done stays.
    Cancelled,
    /// Every frame is there.
    Done,
    /// Nothing is left to try and some frames are missing.
    Failed,
}

impl JobState {
    /// Whether nothing more will happen unless a user acts.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Cancelled | Self::Done | Self::Failed)
    }
}

/// A client has brought all that was delivered of a job to a durable place of its own.
///
/// A delivered frame never goes and never changes, so a number of frames says which they were: the mark counts for as long as no
/// more are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedMark {
    /// Frames that were delivered, all of them.
    pub frames: u32,
    /// When.
    pub at: Timestamp,
}

/// A job as submitted, with what the manager fixed at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Whose it is.
    pub owner: UserName,
    /// What the owner set.
    pub settings: JobSettings,
    /// The file tree.
    pub manifest: Blob,
    /// The .blend's path in the tree.
    pub main_file: String,
    /// The series of the Blender that saved the file.
    pub file_version: Series,
    /// The build it is pinned to; none until some worker has a fitting one.
    pub build: Option<Build>,
    /// What it does.
    pub steps: Vec<Step>,
    /// Opaque to the farm: what the client wants to find again when it fetches (output paths, node folders).
    pub client_note: String,
    /// When.
    pub submitted_at: Timestamp,
}

/// A change of settings; what is none stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobEdit {
    /// See [`JobSettings::name`].
    pub name: Option<String>,
    /// See [`JobSettings::category`].
    pub category: Option<String>,
    /// See [`JobSettings::priority`].
    pub priority: Option<u32>,
    /// See [`JobSettings::tags`].
    pub tags: Option<Vec<String>>,
    /// See [`JobSettings::comment`].
    pub comment: Option<String>,
    /// See [`JobSettings::max_attempts`].
    pub max_attempts: Option<u32>,
    /// See [`JobSettings::chunk`]: holds for what was not handed out yet.
    pub chunk: Option<u32>,
    /// See [`JobSettings::requirement`], as a whole. The Blender stays the one the job is pinned to.
    pub requirement: Option<Requirement>,
    /// See [`JobSettings::resources`].
    pub resources: Option<Vec<String>>,
    /// See [`JobSettings::after`].
    pub after: Option<Vec<After>>,
    /// See [`JobSettings::preempt`].
    pub preempt: Option<bool>,
    /// See [`JobSettings::notify`].
    pub notify: Option<Vec<String>>,
    /// Samples of a pixel, of frames that are divided by their samples: those that are not there yet are rendered, and put together
    /// with what is.
    pub samples: Option<u32>,
}
