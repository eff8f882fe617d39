//! What the scheduler shows, as the network has it.

use tessera_model::JobState;
use tessera_scheduler::{self as scheduler, FrameView, HeldView, JobView, WorkerView};
use tessera_wire::api::{
    FramePhase, FrameStatus, Held, JobDetail, JobSummary, Phase, WorkerStatus,
};
use tessera_wire::why::{Why, WhyReason};

use crate::links::Links;

/// How a job stands, in a word for people.
pub(crate) fn phase(state: JobState, rendering: u32) -> Phase {
    match state {
        JobState::Active if rendering > 0 => Phase::Rendering,
        JobState::Active => Phase::Waiting,
        JobState::Paused => Phase::Paused,
        JobState::Cancelled => Phase::Cancelled,
        JobState::Done => Phase::Done,
        JobState::Failed => Phase::Failed,
    }
}

/// A job in a list.
pub(crate) fn job_summary(view: &JobView) -> JobSummary {
    JobSummary {
        id: view.job.id,
        owner: view.job.owner.clone(),
        settings: view.job.settings.clone(),
        state: view.state,
        phase: phase(view.state, view.rendering),
        frames: view.frames,
        done: view.done,
        failed: view.failed,
        places: view.places,
        places_done: view.places_done,
        growing: None,
        leased: view.leased,
        build: view.job.build.clone(),
        submitted_at: view.job.submitted_at,
    }
}

/// All about a job.
pub(crate) fn job_detail(view: JobView) -> JobDetail {
    JobDetail {
        summary: job_summary(&view),
        manifest: view.job.manifest,
        main_file: view.job.main_file,
        file_version: view.job.file_version,
        steps: view.job.steps,
        client_note: view.job.client_note,
        blocked_workers: view.blocked,
        waiting_because: view.waiting_because,
        fetched_at: view.fetched_at,
    }
}

/// Why nothing (more) happens.
pub(crate) fn why(why: &scheduler::Why) -> Why {
    let reasons = why.reasons.iter().map(|reason| WhyReason {
        code: reason.code().to_owned(),
        text: reason.to_string(),
    });
    Why {
        text: why.to_string(),
        reasons: reasons.collect(),
    }
}

/// A frame in a list.
pub(crate) fn frame_status(view: &FrameView) -> FrameStatus {
    let phase = if view.done {
        FramePhase::Done
    } else if view.rendering {
        FramePhase::Rendering
    } else if view.worker.is_some() {
        FramePhase::Queued
    } else if view.failed {
        FramePhase::Failed
    } else {
        FramePhase::Waiting
    };
    FrameStatus {
        step: view.step.0,
        position: view.position,
        frame: view.frame,
        phase,
        worker: view.worker,
        failures: view.failures,
    }
}

/// A worker. Its link is open if a socket is, whatever the scheduler was last told.
pub(crate) fn worker_status(view: &WorkerView, links: &Links) -> WorkerStatus {
    let link = links.find(view.record.id);
    let linked = link.is_some();
    let (address, machine) = link.unzip();
    WorkerStatus {
        id: view.record.id,
        name: view.record.name.clone(),
        facts: view.record.facts.clone(),
        mode: view.record.mode,
        linked,
        silent_ms: view.silent_ms,
        holds: view.holds.iter().map(held).collect(),
        address: address.map(|address| address.to_string()),
        machine: machine.flatten(),
        note: view.record.note.clone(),
    }
}

fn held(view: &HeldView) -> Held {
    Held {
        job: view.job,
        frame: view.frame,
        rendering: view.rendering,
        attempt: view.attempt,
    }
}
