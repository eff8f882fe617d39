//! Words for things of the model, as people read them.

use tessera_model::{FrameErrorKind, JobState, WorkerMode};
use tessera_wire::api::{FramePhase, Phase};

/// How a job stands.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Rendering => "rendering",
        Phase::Paused => "paused",
        Phase::Cancelled => "cancelled",
        Phase::Done => "done",
        Phase::Failed => "failed",
    }
}

/// A job's recorded state.
pub(crate) fn state(state: JobState) -> &'static str {
    match state {
        JobState::Active => "active",
        JobState::Paused => "paused",
        JobState::Cancelled => "cancelled",
        JobState::Done => "done",
        JobState::Failed => "failed",
    }
}

/// How a frame stands.
pub(crate) fn frame_phase(phase: FramePhase) -> &'static str {
    match phase {
        FramePhase::Waiting => "waiting",
        FramePhase::Queued => "queued",
        FramePhase::Rendering => "rendering",
        FramePhase::Done => "done",
        FramePhase::Failed => "failed",
    }
}

/// What may be given to a worker.
pub(crate) fn mode(mode: WorkerMode) -> &'static str {
    match mode {
        WorkerMode::Active => "active",
        WorkerMode::Paused => "paused",
        WorkerMode::Draining => "draining",
        WorkerMode::Blocked => "blocked",
    }
}

/// Why a frame failed, in a word.
pub(crate) fn failure(kind: FrameErrorKind) -> &'static str {
    match kind {
        FrameErrorKind::Crash => "crash",
        FrameErrorKind::Hang => "hang",
        FrameErrorKind::Memory => "memory",
        FrameErrorKind::Scene => "scene",
        FrameErrorKind::Files => "files",
        FrameErrorKind::Disk => "disk",
        FrameErrorKind::Worker => "worker",
    }
}
