//! The record as the scheduler's contract understands it: the plainest thing that takes changes and gives them back.

use std::collections::{BTreeMap, BTreeSet};

use tessera_model::{
    Attempt, Change, FarmSettings, FrameBits, JobId, Lease, LeaseKey, StepIndex, UnitId, WorkerId,
    WorkerRecord,
};

use crate::{Restored, RestoredJob, RestoredStep};

#[derive(Default)]
pub(super) struct Record {
    jobs: BTreeMap<JobId, RestoredJob>,
    failures: BTreeMap<(JobId, StepIndex, u32), u32>,
    workers: BTreeMap<WorkerId, WorkerRecord>,
    leases: BTreeMap<LeaseKey, Lease>,
    attempts: BTreeMap<UnitId, (Attempt, u32)>,
    failed: Vec<(LeaseKey, u32, WorkerId)>,
    blocked: BTreeSet<(JobId, WorkerId)>,
    next_job: u64,
    next_worker: u32,
    /// Settings of the farm.
    pub farm: FarmSettings,
    /// Accepts of every frame ever, removed jobs aside.
    pub accepts: BTreeMap<(JobId, StepIndex, u32), u32>,
}

impl Record {
    pub(super) fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::JobAdded(job) => {
                self.next_job = self.next_job.max(job.id.0 + 1);
                let steps = job.steps.iter().map(|step| RestoredStep {
                    done: FrameBits::new(step.positions()),
                    given_up: FrameBits::new(step.positions()),
                    failures: Vec::new(),
                });
                let steps = steps.collect();
                let entry = RestoredJob {
                    since: job.submitted_at,
                    fetched: None,
                    job,
                    state: tessera_model::JobState::Active,
                    steps,
                };
                assert!(self.jobs.insert(entry.job.id, entry).is_none());
            }
            Change::JobPinned(id, build) => self.job(id).job.build = Some(build),
            Change::JobEdited(id, settings) => self.job(id).job.settings = settings,
            Change::JobState(id, state, since) => {
                self.job(id).state = state;
                self.job(id).since = since;
            }
            Change::JobFetched(id, mark) => self.job(id).fetched = Some(mark),
            Change::JobRemoved(id) => {
                self.jobs.remove(&id);
                self.failures.retain(|key, _| key.0 != id);
                self.leases.retain(|key, _| key.unit.job != id);
                self.attempts.retain(|unit, _| unit.job != id);
                self.blocked.retain(|(job, _)| *job != id);
            }
            Change::Leased(lease) => {
                self.attempts
                    .insert(lease.key.unit, (lease.key.attempt, lease.span));
                assert!(self.leases.insert(lease.key, lease).is_none());
            }
            Change::LeaseEnded(key) => assert!(self.leases.remove(&key).is_some(), "{key:?}"),
            Change::UnitClosed(unit) => {
                self.leases.retain(|key, _| key.unit != unit);
                self.attempts.remove(&unit);
            }
            Change::FrameDone(result) => {
                let key = (
                    result.lease.unit.job,
                    result.lease.unit.step,
                    result.position,
                );
                *self.accepts.entry(key).or_default() += 1;
                self.failures.remove(&key);
                let step = &mut self.job(key.0).steps[key.1.0 as usize];
                assert!(step.done.set(key.2), "accepted twice: {key:?}");
                step.given_up.clear(key.2);
            }
            Change::FrameFailed(error) => {
                let key = (error.lease.unit.job, error.lease.unit.step, error.position);
                *self.failures.entry(key).or_default() += 1;
                self.failed
                    .push((error.lease, error.position, error.worker));
            }
            Change::FrameGivenUp(key, position) => {
                let step = &mut self.job(key.unit.job).steps[key.unit.step.0 as usize];
                assert!(step.given_up.set(position));
            }
            Change::FramesRetried(id) => {
                self.failures.retain(|key, _| key.0 != id);
                for step in &mut self.job(id).steps {
                    step.given_up = FrameBits::new(step.done.len());
                }
            }
            Change::WorkerSet(record) => {
                self.next_worker = self.next_worker.max(record.id.0 + 1);
                self.workers.insert(record.id, record);
            }
            Change::WorkerRemoved(id) => {
                self.workers.remove(&id);
                self.blocked.retain(|(_, worker)| *worker != id);
            }
            Change::JobBlocked(job, worker) => {
                self.blocked.insert((job, worker));
            }
            Change::JobUnblocked(job, worker) => {
                self.blocked.remove(&(job, worker));
            }
            Change::JobChunked(id, layouts) => {
                for (step, layout) in self.job(id).job.steps.iter_mut().zip(layouts) {
                    step.chunking = Some(layout);
                }
            }
            Change::JobGrown(id, steps) => {
                let job = self.job(id);
                let new = steps.iter().skip(job.steps.len());
                job.steps.extend(new.map(|step| RestoredStep {
                    done: FrameBits::new(step.positions()),
                    given_up: FrameBits::new(step.positions()),
                    failures: Vec::new(),
                }));
                job.job.steps = steps;
                job.fetched = None;
            }
            Change::FarmSet(settings) => self.farm = *settings,
            other => panic!("the scheduler does not make {other:?}"),
        }
    }

    fn job(&mut self, id: JobId) -> &mut RestoredJob {
        self.jobs.get_mut(&id).unwrap()
    }

    pub(super) fn restored(&self) -> Restored {
        let mut jobs: Vec<RestoredJob> = self.jobs.values().cloned().collect();
        for job in &mut jobs {
            for ((_, step, position), count) in self
                .failures
                .iter()
                .filter(|((id, ..), _)| *id == job.job.id)
            {
                job.steps[step.0 as usize]
                    .failures
                    .push((*position, *count));
            }
        }
        Restored {
            jobs,
            workers: self.workers.values().cloned().collect(),
            leases: self.leases.values().cloned().collect(),
            attempts: self
                .attempts
                .iter()
                .map(|(unit, (attempt, span))| (*unit, *attempt, *span))
                .collect(),
            failed: self
                .failed
                .iter()
                .filter(|(key, ..)| self.attempts.contains_key(&key.unit))
                .copied()
                .collect(),
            blocked: self.blocked.iter().copied().collect(),
            next_job: self.next_job,
            next_worker: self.next_worker,
        }
    }
}
