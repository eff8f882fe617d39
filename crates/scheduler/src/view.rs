//! What others may see: plain copies, made on demand.

use tessera_model::{Attempt, Job, JobId, JobState, LeaseKey, StepIndex, WorkerId, WorkerRecord};

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// As submitted and edited.
    pub job: Job,
    /// State.
    pub state: JobState,
    /// Frames of all steps.
    pub frames: u32,
    /// Delivered.
    pub done: u32,
    /// Given up.
    pub failed: u32,
    /// Not delivered frames in workers' hands.
    pub leased: u32,
    /// Of these, being rendered.
    pub rendering: u32,
    /// Workers that get no more of it.
    pub blocked: Vec<WorkerId>,
    /// Why nothing of it is being rendered though it is active; empty otherwise.
    pub waiting_because: String,
}

/// A frame as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameView {
    /// Step.
    pub step: StepIndex,
    /// Position in the step's set.
    pub position: u32,
    /// Number in Blender.
    pub frame: i32,
    /// Delivered.
    pub done: bool,
    /// Given up.
    pub failed: bool,
    /// Who holds it.
    pub worker: Option<WorkerId>,
    /// Whether it is being rendered there.
    pub rendering: bool,
    /// The lease it is held under.
    pub lease: Option<LeaseKey>,
    /// Failures since the last retry.
    pub failures: u32,
}

/// Something a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldView {
    /// Of which job.
    pub job: JobId,
    /// Of which step.
    pub step: StepIndex,
    /// Attempt.
    pub attempt: Attempt,
    /// The frame being rendered, or the first one waiting.
    pub frame: i32,
    /// Its position.
    pub position: u32,
    /// Whether it is being rendered.
    pub rendering: bool,
}

/// A worker as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// As recorded.
    pub record: WorkerRecord,
    /// Whether its link is open.
    pub linked: bool,
    /// Milliseconds since it was last heard; none if not since the start.
    pub silent_ms: Option<u64>,
    /// What it holds.
    pub holds: Vec<HeldView>,
}
