//! The scheduler's state, and what others may see of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{FarmSettings, Job, JobId, LeaseKey, StepIndex, WorkerId};

use crate::assign;
use crate::effects::Effects;
use crate::input::{Input, Now};
use crate::job::JobEntry;
use crate::restore::Restored;
use crate::view::{FrameView, HeldView, JobView, WorkerView};
use crate::why::{self, Why};
use crate::worker::{Link, WorkerEntry};
use crate::{apply, lapse, restore};

/// A unit in a worker's hands.
#[derive(Debug)]
pub(crate) struct Held {
    pub worker: WorkerId,
    /// When it was handed out or last seen in its hands.
    pub seen: Duration,
    /// Position being rendered.
    pub rendering: Option<u32>,
    /// Wanted frames of it not yet reported.
    pub left: u32,
    /// Whether it was asked back.
    pub recalled: bool,
}

/// Everything that is decided about.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) settings: FarmSettings,
    pub(crate) jobs: BTreeMap<JobId, JobEntry>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerEntry>,
    pub(crate) leases: BTreeMap<LeaseKey, Held>,
    pub(crate) next_job: u64,
    pub(crate) next_worker: u32,
    /// When it was last decided who gets what. A frame whose time to be tried again came after that is still to be handed out.
    pub(crate) assigned_at: Duration,
}

impl Scheduler {
    /// A farm without jobs and workers.
    #[must_use]
    pub fn new(settings: FarmSettings) -> Self {
        Self {
            settings,
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            leases: BTreeMap::new(),
            next_job: 1,
            next_worker: 1,
            assigned_at: Duration::ZERO,
        }
    }

    /// The farm as recorded. What workers held stays theirs for [`FarmSettings::restart_grace_ms`], until they link.
    #[must_use]
    pub fn restore(settings: FarmSettings, now: Now, restored: Restored) -> Self {
        restore::restore(settings, now, restored)
    }

    /// Takes in what happened and decides. Total: what can not be done is refused and changes nothing.
    pub fn apply(&mut self, now: Now, input: Input) -> Effects {
        let mut effects = Effects::default();
        apply::apply(self, now, input, &mut effects);
        effects
    }

    /// How long until [`Input::Tick`] has to be applied, if nothing else is before.
    #[must_use]
    pub fn next_tick(&self, now: Now) -> Option<Duration> {
        let lapses = lapse::next(self);
        let retries = assign::next_retry(self, self.assigned_at);
        let at = lapses.into_iter().chain(retries).min()?;
        Some(at.saturating_sub(now.elapsed))
    }

    /// The farm's settings.
    #[must_use]
    pub fn settings(&self) -> &FarmSettings {
        &self.settings
    }

    /// Why a job is not rendered, or not by more workers; none if there is no such job.
    #[must_use]
    pub fn why_job(&self, now: Now, id: JobId) -> Option<Why> {
        why::job(self, now.elapsed, id)
    }

    /// Why a worker does nothing, or not more; none if there is no such worker.
    #[must_use]
    pub fn why_worker(&self, now: Now, id: WorkerId) -> Option<Why> {
        why::worker(self, now.elapsed, id)
    }

    /// A job by itself.
    #[must_use]
    pub fn job_ref(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id).map(|entry| &entry.job)
    }

    /// A job as it stands.
    #[must_use]
    pub fn job(&self, now: Now, id: JobId) -> Option<JobView> {
        let entry = self.jobs.get(&id)?;
        let (frames, done, failed) = entry.counts();
        let mut leased = 0;
        let mut rendering = 0;
        for key in &entry.leases {
            let step = entry.step(key.unit.step)?;
            leased += step.wanted(key.unit.index).count() as u32;
            rendering += u32::from(self.leases.get(key)?.rendering.is_some());
        }
        Some(JobView {
            job: entry.job.clone(),
            state: entry.state,
            frames,
            done,
            failed,
            leased,
            rendering,
            blocked: entry.blocked.iter().copied().collect(),
            waiting_because: assign::waiting_because(self, now.elapsed, entry),
        })
    }

    /// Up to `limit` jobs older than `after`, newest first.
    #[must_use]
    pub fn jobs(&self, now: Now, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        let end = after.unwrap_or(JobId(u64::MAX));
        self.jobs
            .range(..end)
            .rev()
            .take(limit)
            .filter_map(|(&id, _)| self.job(now, id))
            .collect()
    }

    /// Up to `limit` frames of a step from position `from` on; none if there is no such job or step.
    #[must_use]
    pub fn frames(&self, job: JobId, step: StepIndex, from: u32, limit: usize) -> Vec<FrameView> {
        let Some(entry) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let (Some(state), Some(model)) = (entry.step(step), entry.job.steps.get(step.0 as usize))
        else {
            return Vec::new();
        };
        let mut held = BTreeMap::new();
        for key in entry.leases.iter().filter(|key| key.unit.step == step) {
            held.insert(key.unit.index, (key, &self.leases[key]));
        }
        (from..state.done.len())
            .take(limit)
            .filter_map(|position| {
                let done = state.done.get(position);
                let holder = held.get(&state.unit_of(position)).filter(|_| !done);
                Some(FrameView {
                    step,
                    position,
                    frame: model.frames.at(position)?,
                    done,
                    failed: state.given_up.get(position),
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

    /// A worker as it stands.
    #[must_use]
    pub fn worker(&self, now: Now, id: WorkerId) -> Option<WorkerView> {
        let entry = self.workers.get(&id)?;
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
                .filter_map(|key| self.held_view(key))
                .collect(),
        })
    }

    /// All workers.
    #[must_use]
    pub fn workers(&self, now: Now) -> Vec<WorkerView> {
        self.workers
            .keys()
            .filter_map(|&id| self.worker(now, id))
            .collect()
    }

    /// Jobs that are not over.
    #[must_use]
    pub fn live_jobs(&self) -> usize {
        self.jobs
            .values()
            .filter(|entry| !entry.state.is_over())
            .count()
    }

    fn held_view(&self, key: &LeaseKey) -> Option<HeldView> {
        let held = self.leases.get(key)?;
        let entry = self.jobs.get(&key.unit.job)?;
        let step = entry.step(key.unit.step)?;
        let position = match held.rendering {
            Some(position) => position,
            None => step.wanted(key.unit.index).next()?,
        };
        Some(HeldView {
            job: key.unit.job,
            step: key.unit.step,
            attempt: key.attempt,
            frame: entry.job.steps[key.unit.step.0 as usize]
                .frames
                .at(position)?,
            position,
            rendering: held.rendering.is_some(),
        })
    }
}
