//! What others may see: plain copies, made on demand.

use std::collections::BTreeMap;

use tessera_model::{
    Attempt, Job, JobId, JobState, LeaseKey, StepIndex, Timestamp, WorkerId, WorkerRecord,
};

use crate::input::Now;
use crate::scheduler::Scheduler;
use crate::why;
use crate::worker::Link;

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// As submitted and edited.
    pub job: Job,
    /// State.
    pub state: JobState,
    /// Since when.
    pub since: Timestamp,
    /// When all that is delivered by now was fetched; none if some of it was not.
    pub fetched_at: Option<Timestamp>,
    /// Frames that somebody waits for, of all steps.
    pub frames: u32,
    /// Delivered.
    pub done: u32,
    /// Given up.
    pub failed: u32,
    /// Places of frames that are divided among workers.
    pub places: u32,
    /// Of these, delivered.
    pub places_done: u32,
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
    /// Jobs whose scene it has open, the latest first.
    pub loaded: Vec<JobId>,
    /// Its measured speed in thousandths of the average.
    pub speed_milli: u32,
}

pub(crate) fn job(scheduler: &Scheduler, now: Now, id: JobId) -> Option<JobView> {
    let entry = scheduler.jobs.get(&id)?;
    let (frames, done, failed) = entry.frame_counts();
    let (places, places_done) = entry.place_counts();
    let because = if entry.state == JobState::Active && entry.leases.is_empty() {
        why::job(scheduler, now.elapsed, id).map(|why| why.to_string())
    } else {
        None
    };
    Some(JobView {
        job: entry.job.clone(),
        state: entry.state,
        since: entry.since,
        fetched_at: entry.fetched_at(),
        frames,
        done,
        failed,
        places,
        places_done,
        leased: entry.leased,
        rendering: entry.rendering,
        blocked: entry.blocked.iter().copied().collect(),
        waiting_because: because.unwrap_or_default(),
    })
}

pub(crate) fn frames(
    scheduler: &Scheduler,
    job: JobId,
    step: StepIndex,
    from: u32,
    limit: usize,
) -> Vec<FrameView> {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return Vec::new();
    };
    let (Some(state), Some(model)) = (entry.step(step), entry.job.steps.get(step.0 as usize))
    else {
        return Vec::new();
    };
    // Of two leases of a unit the one that renders, else the first, is shown.
    let mut held = BTreeMap::new();
    for key in entry.leases.iter().filter(|key| key.unit.step == step) {
        let lease = &scheduler.leases[key];
        let shown = held.entry(key.unit.index).or_insert((key, lease));
        if shown.1.rendering.is_none() && lease.rendering.is_some() {
            *shown = (key, lease);
        }
    }
    (from..state.done.len())
        .take(limit)
        .filter_map(|position| {
            let (done, failed) = (state.done.get(position), state.given_up.get(position));
            // A lease of its unit is one of the others there.
            let holder = held
                .get(&state.unit_of(position))
                .filter(|_| !done && !failed);
            Some(FrameView {
                step,
                position,
                frame: model.frame_at(position)?,
                done,
                failed,
                worker: holder.map(|(_, held)| held.worker),
                rendering: holder.is_some_and(|(_, held)| held.rendering == Some(position)),
                lease: holder.map(|(key, _)| **key),
                failures: state
                    .failures
                    .get(&position)
                    .map_or(0, |failures| failures.count),
            })
        })
        .collect()
}

pub(crate) fn worker(scheduler: &Scheduler, now: Now, id: WorkerId) -> Option<WorkerView> {
    let entry = scheduler.workers.get(&id)?;
    let silent = match entry.link {
        Link::Open(heard) => Some(now.elapsed.saturating_sub(heard)),
        _ => None,
    };
    Some(WorkerView {
        record: entry.record.clone(),
        linked: entry.is_linked(),
        silent_ms: silent.map(|silent| silent.as_millis() as u64),
        holds: entry
            .leases
            .iter()
            .filter_map(|key| held_view(scheduler, key))
            .collect(),
        loaded: entry.loaded.clone(),
        speed_milli: entry.speed.0,
    })
}

fn held_view(scheduler: &Scheduler, key: &LeaseKey) -> Option<HeldView> {
    let held = scheduler.leases.get(key)?;
    let entry = scheduler.jobs.get(&key.unit.job)?;
    let step = entry.step(key.unit.step)?;
    let position = match held.rendering {
        Some(position) => position,
        None => step.wanted(key.unit.index).next()?,
    };
    Some(HeldView {
        job: key.unit.job,
        step: key.unit.step,
        attempt: key.attempt,
        frame: entry.frame_at(key.unit.step, position)?,
        position,
        rendering: held.rendering.is_some(),
    })
}
