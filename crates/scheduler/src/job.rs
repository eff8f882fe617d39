//! What the scheduler knows of a job: bitmaps over its frames, and lists only of what is out of the ordinary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{
    Attempt, Device, FrameBits, Job, JobState, LeaseKey, Step, StepIndex, StepKind, UnitId,
    WorkerId,
};

use crate::effects::FrameOrder;

/// A job in work.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub job: Job,
    pub state: JobState,
    pub steps: Vec<StepEntry>,
    /// Workers that get nothing of it.
    pub blocked: BTreeSet<WorkerId>,
    /// Failures on a worker since it last delivered a frame of this job.
    pub trouble: BTreeMap<WorkerId, u32>,
    /// Leases that have not ended.
    pub leases: BTreeSet<LeaseKey>,
}

/// The frames of a step.
#[derive(Debug)]
pub(crate) struct StepEntry {
    /// Frames of one unit.
    pub chunk: u32,
    /// Delivered positions.
    pub done: FrameBits,
    /// Given-up positions.
    pub given_up: FrameBits,
    /// Units that are in a worker's hands or need no more work.
    pub taken: FrameBits,
    /// Failures of positions since the last retry.
    pub failures: BTreeMap<u32, Failures>,
    /// Highest attempt of units handed out and not closed.
    pub attempts: BTreeMap<u32, Attempt>,
    /// How often a unit was lost together with its worker while it was being rendered.
    pub lost: BTreeMap<u32, u32>,
}

/// How one frame failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub count: u32,
    /// Not to be handed out before this.
    pub not_before: Duration,
    /// Where, as far as known since the manager's start.
    pub workers: BTreeSet<WorkerId>,
}

impl StepEntry {
    pub(crate) fn new(step: &Step, chunk: u32) -> Self {
        let frames = step.frames.len();
        Self::restored(step, chunk, FrameBits::new(frames), FrameBits::new(frames))
    }

    pub(crate) fn restored(step: &Step, chunk: u32, done: FrameBits, given_up: FrameBits) -> Self {
        let frames = step.frames.len();
        // Frames that depend on their order are one unit, whatever the chunk.
        let chunk = if step.in_order {
            frames
        } else {
            chunk.clamp(1, frames)
        };
        let mut entry = Self {
            chunk,
            done,
            given_up,
            taken: FrameBits::new(frames.div_ceil(chunk)),
            failures: BTreeMap::new(),
            attempts: BTreeMap::new(),
            lost: BTreeMap::new(),
        };
        for unit in 0..entry.taken.len() {
            entry.free_unless_over(unit);
        }
        entry
    }

    /// The unit that position belongs to.
    pub(crate) fn unit_of(&self, position: u32) -> u32 {
        position / self.chunk
    }

    /// The positions of a unit.
    pub(crate) fn positions(&self, unit: u32) -> std::ops::Range<u32> {
        let start = unit * self.chunk;
        start..(start + self.chunk).min(self.done.len())
    }

    /// Positions of a unit that still want a result.
    pub(crate) fn wanted(&self, unit: u32) -> impl Iterator<Item = u32> + '_ {
        self.positions(unit)
            .filter(|&at| !self.done.get(at) && !self.given_up.get(at))
    }

    /// Whether every frame of a unit was delivered.
    pub(crate) fn unit_done(&self, unit: u32) -> bool {
        self.positions(unit).all(|at| self.done.get(at))
    }

    /// Marks a unit free to be handed out, or taken if nothing of it is wanted.
    pub(crate) fn free_unless_over(&mut self, unit: u32) {
        if self.wanted(unit).next().is_some() {
            self.taken.clear(unit);
        } else {
            self.taken.set(unit);
        }
    }

    /// Whether every frame was delivered or given up.
    pub(crate) fn is_over(&self) -> bool {
        // A position is never in both sets.
        self.done.count() + self.given_up.count() == self.done.len()
    }
}

impl JobEntry {
    pub(crate) fn new(job: Job) -> Self {
        let steps = job
            .steps
            .iter()
            .map(|step| StepEntry::new(step, job.settings.chunk))
            .collect();
        Self {
            job,
            state: JobState::Active,
            steps,
            blocked: BTreeSet::new(),
            trouble: BTreeMap::new(),
            leases: BTreeSet::new(),
        }
    }

    /// The step whose units can be handed out: steps follow one another.
    pub(crate) fn open_step(&self) -> Option<StepIndex> {
        let open = self.steps.iter().position(|step| !step.is_over())?;
        Some(StepIndex(open as u16))
    }

    pub(crate) fn step(&self, index: StepIndex) -> Option<&StepEntry> {
        self.steps.get(index.0 as usize)
    }

    pub(crate) fn step_mut(&mut self, index: StepIndex) -> Option<&mut StepEntry> {
        self.steps.get_mut(index.0 as usize)
    }

    pub(crate) fn unit_id(&self, step: StepIndex, index: u32) -> UnitId {
        UnitId {
            job: self.job.id,
            step,
            index,
        }
    }

    /// Frames, delivered, given up; over all steps.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        self.steps
            .iter()
            .fold((0, 0, 0), |(frames, done, failed), step| {
                (
                    frames + step.done.len(),
                    done + step.done.count(),
                    failed + step.given_up.count(),
                )
            })
    }

    /// The frames of a lease. Where order matters every frame is rendered, wanted or not, and none after the last wanted one.
    pub(crate) fn frames_of(&self, step: StepIndex, unit: u32) -> Vec<FrameOrder> {
        let (Some(entry), Some(model)) = (self.step(step), self.job.steps.get(step.0 as usize))
        else {
            return Vec::new();
        };
        let last = entry.wanted(unit).last();
        entry
            .positions(unit)
            .take_while(|&at| Some(at) <= last)
            .filter_map(|position| {
                let wanted = !entry.done.get(position) && !entry.given_up.get(position);
                let frame = model.frames.at(position)?;
                (wanted || model.in_order).then_some(FrameOrder {
                    position,
                    frame,
                    wanted,
                })
            })
            .collect()
    }

    /// The device its open step asks for.
    pub(crate) fn device(&self, step: StepIndex) -> Option<&Device> {
        self.job
            .steps
            .get(step.0 as usize)
            .map(|step| match &step.kind {
                StepKind::Render(overrides) => &overrides.device,
            })
    }
}
