//! The record as plain maps in memory: what `State` must be equal to, whatever is done to both.

use std::collections::{BTreeMap, BTreeSet};

use tessera_model::{
    Attempt, CertificateRecord, Change, Chunking, FarmSettings, FetchedMark, FrameBits, FrameError,
    FrameResult, Job, JobId, JobState, Lease, LeaseKey, PairingRecord, ReceiverRecord, SecretHash,
    StepIndex, Telling, Term, Timestamp, TokenRecord, UnitId, WorkerId, WorkerRecord,
};
use tessera_state::{JobSnapshot, Snapshot, StepSnapshot, WriteError};

#[derive(Debug, Clone, Default)]
pub struct Model {
    term: u64,
    next_job: u64,
    next_worker: u32,
    farm: Option<FarmSettings>,
    jobs: BTreeMap<JobId, JobModel>,
    leases: BTreeMap<LeaseKey, WorkerId>,
    attempts: BTreeMap<UnitId, (Attempt, u32)>,
    workers: BTreeMap<WorkerId, WorkerRecord>,
    tokens: BTreeMap<String, TokenRecord>,
    pairings: BTreeMap<SecretHash, PairingRecord>,
    certificates: BTreeMap<String, CertificateRecord>,
    receivers: BTreeMap<String, (ReceiverRecord, Telling)>,
}

#[derive(Debug, Clone)]
struct JobModel {
    added: Job,
    job: Job,
    state: JobState,
    since: Timestamp,
    fetched: Option<FetchedMark>,
    blocked: BTreeSet<WorkerId>,
    given_up: BTreeSet<(StepIndex, u32)>,
    failures: BTreeMap<(StepIndex, u32), u32>,
    results: BTreeMap<(StepIndex, u32), FrameResult>,
    errors: Vec<FrameError>,
    leases: u64,
}

type Outcome = Result<(), WriteError>;

impl Model {
    pub fn new() -> Self {
        Self {
            next_job: 1,
            next_worker: 1,
            ..Self::default()
        }
    }

    pub fn begin_term(&mut self) -> Term {
        self.term += 1;
        Term(self.term)
    }

    /// All of `changes` or none.
    pub fn commit(&mut self, term: Term, changes: &[Change]) -> Outcome {
        if term.0 != self.term {
            return Err(WriteError::Fenced {
                have: term,
                current: Term(self.term),
            });
        }
        let mut next = self.clone();
        for change in changes {
            next.apply(change)?;
        }
        *self = next;
        Ok(())
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            term: Term(self.term),
            next_job: JobId(self.next_job),
            next_worker: WorkerId(self.next_worker),
            farm: self.farm.clone(),
            jobs: self.jobs.values().map(JobModel::snapshot).collect(),
            leases: self
                .leases
                .iter()
                .map(|(&key, &worker)| Lease {
                    key,
                    worker,
                    span: self.attempts[&key.unit].1,
                })
                .collect(),
            attempts: self
                .attempts
                .iter()
                .map(|(&unit, &(attempt, span))| (unit, attempt, span))
                .collect(),
            failed: self.failed(),
            workers: self.workers.values().cloned().collect(),
            tokens: self.tokens.values().cloned().collect(),
            pairings: self.pairings.values().cloned().collect(),
            certificates: self.certificates.values().cloned().collect(),
            receivers: self.receivers.values().cloned().collect(),
        }
    }

    /// Failures of units that are not closed, in order.
    fn failed(&self) -> Vec<(LeaseKey, u32, WorkerId)> {
        let errors = self.jobs.values().flat_map(|job| &job.errors);
        let mut failed: Vec<_> = errors
            .filter(|error| self.attempts.contains_key(&error.lease.unit))
            .map(|error| (error.lease, error.position, error.worker))
            .collect();
        failed.sort_unstable();
        failed
    }

    pub fn jobs(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    pub fn results(&self, job: JobId, step: StepIndex) -> Vec<FrameResult> {
        let all = self.jobs[&job].results.iter();
        all.filter(|((of, _), _)| *of == step)
            .map(|(_, result)| result.clone())
            .collect()
    }

    /// Leases and failures ever.
    pub fn tally(&self, job: JobId) -> (u64, u64) {
        let job = &self.jobs[&job];
        (job.leases, job.errors.len() as u64)
    }

    /// Newest first.
    pub fn errors(&self, job: JobId) -> Vec<FrameError> {
        self.jobs[&job].errors.iter().rev().cloned().collect()
    }

    fn job(&mut self, id: JobId) -> Result<&mut JobModel, WriteError> {
        self.jobs.get_mut(&id).ok_or(WriteError::NoSuchJob(id))
    }

    fn frame(
        &mut self,
        unit: UnitId,
        position: u32,
    ) -> Result<(&mut JobModel, (StepIndex, u32)), WriteError> {
        let missing = WriteError::NoSuchFrame {
            job: unit.job,
            step: unit.step,
            position,
        };
        match self.jobs.get_mut(&unit.job) {
            Some(job) if job.frames(unit.step).is_some_and(|len| position < len) => {
                Ok((job, (unit.step, position)))
            }
            _ => Err(missing),
        }
    }

    fn apply(&mut self, change: &Change) -> Outcome {
        match change {
            Change::JobAdded(job) => return self.add_job(job),
            Change::JobPinned(job, build) => self.job(*job)?.job.build = Some(build.clone()),
            Change::JobEdited(job, to) => self.job(*job)?.job.settings = to.clone(),
            Change::JobGrown(job, steps) => {
                let job = self.job(*job)?;
                let before = std::mem::replace(&mut job.job.steps, steps.clone());
                // Layouts are recorded for themselves.
                for (step, before) in job.job.steps.iter_mut().zip(before) {
                    step.chunking = before.chunking;
                }
                job.fetched = None;
            }
            Change::JobChunked(job, layout) => return self.job(*job)?.chunk(layout),
            Change::FarmSet(settings) => self.farm = Some((**settings).clone()),
            Change::JobState(job, state, since) => {
                let job = self.job(*job)?;
                (job.state, job.since) = (*state, *since);
            }
            Change::JobFetched(job, mark) => self.job(*job)?.fetched = Some(*mark),
            Change::JobRemoved(job) => {
                self.jobs.remove(job);
                self.leases.retain(|key, _| key.unit.job != *job);
                self.attempts.retain(|unit, _| unit.job != *job);
            }
            Change::Leased(lease) => return self.lease(lease),
            Change::LeaseEnded(key) => {
                self.leases.remove(key);
            }
            Change::UnitClosed(unit) => {
                self.leases.retain(|key, _| key.unit != *unit);
                self.attempts.remove(unit);
            }
            Change::FrameDone(result) => return self.accept(result),
            Change::FrameFailed(error) => {
                let (job, at) = self.frame(error.lease.unit, error.position)?;
                let told = |e: &FrameError| (e.lease, e.position);
                if !job.errors.iter().any(|e| told(e) == told(error)) {
                    job.errors.push((**error).clone());
                    *job.failures.entry(at).or_default() += 1;
                }
            }
            Change::FrameGivenUp(key, position) => {
                let (job, at) = self.frame(key.unit, *position)?;
                if !job.results.contains_key(&at) {
                    job.given_up.insert(at);
                }
            }
            Change::FramesRetried(job) => {
                let job = self.job(*job)?;
                job.given_up.clear();
                job.failures.clear();
            }
            Change::WorkerSet(worker) => return self.set_worker(worker),
            Change::WorkerRemoved(worker) => {
                self.workers.remove(worker);
                self.leases.retain(|_, of| of != worker);
                for job in self.jobs.values_mut() {
                    job.blocked.remove(worker);
                }
            }
            Change::JobBlocked(job, worker) => {
                let known = self.workers.contains_key(worker);
                let job = self.job(*job)?;
                if !known {
                    return Err(WriteError::NoSuchWorker(*worker));
                }
                job.blocked.insert(*worker);
            }
            Change::JobUnblocked(job, worker) => {
                if let Ok(job) = self.job(*job) {
                    job.blocked.remove(worker);
                }
            }
            Change::TokenAdded(token) => {
                let before = self.tokens.entry(token.id.clone());
                same(
                    before.or_insert_with(|| token.clone()),
                    token,
                    "token",
                    &token.id,
                )?;
            }
            Change::TokenRevoked(id) => {
                self.tokens.remove(id);
            }
            Change::ReceiverSet(record) => {
                let name = record.receiver.name.clone();
                let new = (**record).clone();
                let kept = self.receivers.remove(&name).map(|(_, telling)| telling);
                self.receivers.insert(name, (new, kept.unwrap_or_default()));
            }
            Change::ReceiverTold(name, telling) => {
                if let Some(receiver) = self.receivers.get_mut(name) {
                    receiver.1 = (**telling).clone();
                }
            }
            Change::ReceiverRemoved(name) => {
                self.receivers.remove(name);
            }
            Change::PairingAdded(code) => {
                let before = self
                    .pairings
                    .entry(code.hash)
                    .or_insert_with(|| code.clone());
                same(before, code, "pairing code", "with the same hash")?;
            }
            Change::PairingRemoved(hash) => {
                self.pairings.remove(hash);
            }
            Change::CertificateIssued(issued) => {
                let before = self.certificates.entry(issued.serial.clone());
                let before = before.or_insert_with(|| issued.clone());
                let unrevoked = |certificate: &CertificateRecord| CertificateRecord {
                    revoked: false,
                    ..certificate.clone()
                };
                same(
                    &unrevoked(before),
                    &unrevoked(issued),
                    "certificate",
                    &issued.serial,
                )?;
            }
            Change::CertificateRevoked(serial) => {
                if let Some(certificate) = self.certificates.get_mut(serial) {
                    certificate.revoked = true;
                }
            }
        }
        Ok(())
    }

    fn add_job(&mut self, job: &Job) -> Outcome {
        match self.jobs.get(&job.id) {
            Some(before) if before.added == *job => Ok(()),
            Some(_) => Err(WriteError::JobReused(job.id)),
            None if job.id.0 < self.next_job => Err(WriteError::JobReused(job.id)),
            None => {
                self.next_job = job.id.0 + 1;
                self.jobs.insert(job.id, JobModel::new(job));
                Ok(())
            }
        }
    }

    fn lease(&mut self, lease: &Lease) -> Outcome {
        let LeaseKey { unit, attempt } = lease.key;
        let known = self.jobs.get(&unit.job);
        if known.and_then(|job| job.frames(unit.step)).is_none() {
            return Err(WriteError::NoSuchUnit(unit));
        }
        let used = Err(WriteError::AttemptUsed { key: lease.key });
        if self.leases.get(&lease.key) == Some(&lease.worker) {
            return Ok(());
        }
        if self
            .attempts
            .get(&unit)
            .is_some_and(|&(had, _)| had > attempt)
        {
            return used;
        }
        if self.leases.contains_key(&lease.key) {
            return used;
        }
        if !self.workers.contains_key(&lease.worker) {
            return Err(WriteError::NoSuchWorker(lease.worker));
        }
        if self
            .attempts
            .get(&unit)
            .is_none_or(|&(had, _)| had != attempt)
        {
            self.attempts.insert(unit, (attempt, lease.span));
            self.job(unit.job)?.leases += 1;
        }
        self.leases.insert(lease.key, lease.worker);
        Ok(())
    }

    fn accept(&mut self, result: &FrameResult) -> Outcome {
        let unit = result.lease.unit;
        let (job, at) = self.frame(unit, result.position)?;
        if job.results.contains_key(&at) {
            return Err(WriteError::AlreadyDone {
                job: unit.job,
                step: unit.step,
                position: result.position,
            });
        }
        job.results.insert(at, result.clone());
        job.given_up.remove(&at);
        job.failures.remove(&at);
        Ok(())
    }

    fn set_worker(&mut self, worker: &WorkerRecord) -> Outcome {
        let known = self.workers.contains_key(&worker.id);
        if !known && worker.id.0 < self.next_worker {
            return Err(WriteError::WorkerReused(worker.id));
        }
        let mut others = self.workers.values().filter(|other| other.id != worker.id);
        if others.any(|other| other.name == worker.name) {
            return Err(WriteError::WorkerNameTaken(worker.name.clone()));
        }
        self.next_worker = self.next_worker.max(worker.id.0 + 1);
        self.workers.insert(worker.id, worker.clone());
        Ok(())
    }
}

fn same<T: PartialEq>(before: &T, now: &T, what: &'static str, id: &str) -> Outcome {
    if before == now {
        return Ok(());
    }
    Err(WriteError::Conflict {
        what,
        id: id.to_owned(),
    })
}

impl JobModel {
    fn new(job: &Job) -> Self {
        Self {
            added: job.clone(),
            job: job.clone(),
            state: JobState::Active,
            since: job.submitted_at,
            fetched: None,
            blocked: BTreeSet::new(),
            given_up: BTreeSet::new(),
            failures: BTreeMap::new(),
            results: BTreeMap::new(),
            errors: Vec::new(),
            leases: 0,
        }
    }

    fn chunk(&mut self, layout: &[Chunking]) -> Outcome {
        for (step, chunking) in (0u16..).map(StepIndex).zip(layout) {
            let of = self.job.steps.get_mut(usize::from(step.0));
            let job = self.job.id;
            let of = of.ok_or(WriteError::NoSuchStep { job, step })?;
            of.chunking = Some(chunking.clone());
        }
        Ok(())
    }

    fn frames(&self, step: StepIndex) -> Option<u32> {
        let step = self.job.steps.get(usize::from(step.0))?;
        Some(step.positions())
    }

    fn snapshot(&self) -> JobSnapshot {
        let steps = (0u16..).map(StepIndex).zip(&self.job.steps);
        JobSnapshot {
            job: self.job.clone(),
            state: self.state,
            since: self.since,
            fetched: self.fetched,
            steps: steps
                .map(|(index, step)| {
                    let bits = |positions: &mut dyn Iterator<Item = &(StepIndex, u32)>| {
                        let mut bits = FrameBits::new(step.positions());
                        for &(_, position) in positions.filter(|(of, _)| *of == index) {
                            bits.set(position);
                        }
                        bits
                    };
                    StepSnapshot {
                        done: bits(&mut self.results.keys()),
                        given_up: bits(&mut self.given_up.iter()),
                        failures: self
                            .failures
                            .iter()
                            .filter(|((of, _), _)| *of == index)
                            .map(|(&(_, position), &count)| (position, count))
                            .collect(),
                    }
                })
                .collect(),
            blocked: self.blocked.iter().copied().collect(),
        }
    }
}
