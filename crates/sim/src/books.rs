//! The checkers' own books: what the farm is, by the journal and by what was heard, counted without the scheduler.
//!
//! Fed with every change that is decided and every input that is applied. After a commit that failed, or a manager that
//! died, they are opened anew from the record, as the scheduler is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tessera_model::{
    Change, Chunking, FarmSettings, FetchedMark, FrameBits, Job, JobId, JobState, LeaseKey, Step,
    StepIndex, UnitId, WorkerId, WorkerRecord,
};
use tessera_scheduler::Input;
use tessera_state::Snapshot;

use crate::violation::Violation;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub farm: FarmSettings,
    pub jobs: BTreeMap<JobId, JobBook>,
    pub workers: BTreeMap<WorkerId, WorkerBook>,
    pub leases: BTreeMap<LeaseKey, LeaseBook>,
}

#[derive(Debug)]
pub(crate) struct JobBook {
    pub job: Job,
    pub state: JobState,
    /// The last mark that its results were fetched.
    pub fetched: Option<FetchedMark>,
    pub steps: Vec<StepBook>,
    pub blocked: BTreeSet<WorkerId>,
    pub leases: BTreeSet<LeaseKey>,
    /// Leases at each worker.
    pub at: BTreeMap<WorkerId, u32>,
    /// Per worker the smaller of its slots and the job's leases there, summed.
    pub slots: u32,
    /// Frames handed out, ever.
    pub dispatched: u64,
    /// When something of it was handed out last, or it could begin to wait.
    pub served: Duration,
    /// The same before that: how long what was handed out last had waited.
    pub waited_since: Duration,
    /// Something it was given first came to nothing since it was given anything.
    pub goes_first_again: bool,
}

#[derive(Debug)]
pub(crate) struct StepBook {
    pub chunking: Chunking,
    /// Positions of units that were cut as they were handed out.
    pub cuts: BTreeMap<u32, u32>,
    /// Its frames are divided: a unit is a run of places.
    pub is_divided: bool,
    /// Nobody waits for what it makes.
    is_replaced: bool,
    pub done: FrameBits,
    pub given_up: FrameBits,
    /// Failures since the last retry.
    pub failures: BTreeMap<u32, FailureBook>,
    /// Live leases of each unit that has any.
    pub held: BTreeMap<u32, u8>,
    /// All units before this one are over or held; where to look for a free one.
    pub free_from: u32,
}

/// How one frame failed.
#[derive(Debug, Default)]
pub(crate) struct FailureBook {
    pub count: u32,
    /// When, last; none if that was before the books were opened.
    pub at: Option<Duration>,
    /// Where.
    pub workers: BTreeSet<WorkerId>,
}

#[derive(Debug)]
pub(crate) struct WorkerBook {
    pub record: WorkerRecord,
    pub leases: BTreeSet<LeaseKey>,
    /// When it was heard last, if its link is open.
    pub heard: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct LeaseBook {
    pub worker: WorkerId,
    /// Positions whose failure was reported under it: the worker is done with them.
    pub failed: BTreeSet<u32>,
    /// It is the second of its unit.
    pub is_second: bool,
    /// Its job had waited for it longer than others may be served before.
    pub is_urgent: bool,
}

impl JobBook {
    fn new(job: Job, now: Duration) -> Self {
        let steps = job.steps.iter().map(|step| StepBook::new(&job, step));
        Self {
            steps: steps.collect(),
            job,
            state: JobState::Active,
            fetched: None,
            blocked: BTreeSet::new(),
            leases: BTreeSet::new(),
            at: BTreeMap::new(),
            slots: 0,
            dispatched: 0,
            served: now,
            waited_since: now,
            goes_first_again: false,
        }
    }

    /// Positions, delivered, given up.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        self.count(|_| true)
    }

    /// Frames that somebody waits for, delivered, given up.
    pub(crate) fn frame_counts(&self) -> (u32, u32, u32) {
        self.count(Step::makes_frames)
    }

    fn count(&self, which: impl Fn(&Step) -> bool) -> (u32, u32, u32) {
        let steps = self.steps.iter().zip(&self.job.steps);
        let counted = steps.filter(|(_, model)| !model.replaced && which(model));
        counted.fold((0, 0, 0), |sum, (step, _)| {
            (
                sum.0 + step.done.len(),
                sum.1 + step.done.count(),
                sum.2 + step.given_up.count(),
            )
        })
    }
}

/// Units of a step: as recorded, else of the job's chunk; frames that depend on their order are one unit.
fn chunking(job: &Job, step: &tessera_model::Step) -> Chunking {
    let frames = step.frames.len();
    match &step.chunking {
        _ if step.divided().is_some() => Chunking::of(1),
        Some(chunking) => chunking.clone(),
        None if step.in_order => Chunking::of(frames),
        None => Chunking::of(job.settings.chunk),
    }
}

impl StepBook {
    fn new(job: &Job, step: &Step) -> Self {
        let frames = step.positions();
        Self {
            chunking: chunking(job, step),
            cuts: BTreeMap::new(),
            is_divided: step.divided().is_some(),
            is_replaced: step.replaced,
            done: FrameBits::new(frames),
            given_up: FrameBits::new(frames),
            failures: BTreeMap::new(),
            held: BTreeMap::new(),
            free_from: 0,
        }
    }

    /// Positions of a unit that still want a result.
    pub(crate) fn wanted(&self, unit: u32) -> impl Iterator<Item = u32> + '_ {
        self.positions(unit)
            .filter(|&at| !self.is_replaced && !self.done.get(at) && !self.given_up.get(at))
    }

    /// The positions of a unit.
    pub(crate) fn positions(&self, unit: u32) -> Range<u32> {
        match self.cuts.get(&unit) {
            Some(span) => unit..unit + span,
            None => self.chunking.positions(unit, self.done.len()),
        }
    }

    /// What a report of a position of a unit is about: where frames are divided, all of the unit.
    fn reported(&self, unit: u32, position: u32) -> Range<u32> {
        match self.is_divided {
            true => self.positions(unit),
            false => position..position + 1,
        }
    }

    /// The unit of a position.
    pub(crate) fn unit_of(&self, position: u32) -> u32 {
        let cut = self.cuts.range(..=position).next_back();
        match cut {
            Some((&unit, &span)) if position - unit < span => unit,
            _ => self.chunking.unit_of(position),
        }
    }

    pub(crate) fn units(&self) -> u32 {
        self.chunking.units(self.done.len())
    }

    /// Whether every frame is delivered or given up.
    pub(crate) fn is_over(&self) -> bool {
        self.is_replaced || self.done.count() + self.given_up.count() == self.done.len()
    }

    /// Units that want frames and that nobody has.
    pub(crate) fn free(&mut self) -> impl Iterator<Item = u32> + '_ {
        let first = self.next_free(self.free_from);
        self.free_from = first.unwrap_or(self.units());
        std::iter::successors(first, |&unit| self.next_free(self.after(unit)))
    }

    /// The first free unit from this one on.
    fn next_free(&self, from: u32) -> Option<u32> {
        // (What was looked for may lie within a unit that was cut since.)
        let mut unit = match self.is_divided && from < self.units() {
            true => self.unit_of(from),
            false => from,
        };
        if unit < from {
            unit = self.after(unit);
        }
        while unit < self.units() {
            if self.is_free(unit) {
                return Some(unit);
            }
            unit = self.after(unit);
        }
        None
    }

    /// The unit after one.
    fn after(&self, unit: u32) -> u32 {
        match self.is_divided {
            true => self.positions(unit).end,
            false => unit + 1,
        }
    }

    fn is_free(&self, unit: u32) -> bool {
        !self.held.contains_key(&unit) && self.wanted(unit).next().is_some()
    }
}

impl WorkerBook {
    pub(crate) fn slots(&self) -> u32 {
        self.record.facts.as_ref().map_or(0, |facts| facts.slots)
    }
}

impl Books {
    /// As recorded. Links are closed, as far as the record knows.
    pub(crate) fn open(snapshot: &Snapshot, now: Duration) -> Self {
        let mut books = Self {
            farm: snapshot.farm.clone().unwrap_or_default(),
            ..Self::default()
        };
        for worker in &snapshot.workers {
            books.set_worker(worker.clone());
        }
        for job in &snapshot.jobs {
            let mut book = JobBook::new(job.job.clone(), now);
            book.state = job.state;
            book.fetched = job.fetched;
            book.blocked = job.blocked.iter().copied().collect();
            for (step, recorded) in book.steps.iter_mut().zip(&job.steps) {
                step.done = recorded.done.clone();
                step.given_up = recorded.given_up.clone();
                let failures = recorded.failures.iter();
                let failure = |&count| FailureBook {
                    count,
                    ..FailureBook::default()
                };
                step.failures = failures.map(|(at, count)| (*at, failure(count))).collect();
            }
            books.jobs.insert(job.job.id, book);
        }
        for &(unit, _, span) in &snapshot.attempts {
            let job = books.jobs.get_mut(&unit.job);
            let step = job.and_then(|job| job.steps.get_mut(usize::from(unit.step.0)));
            if let Some(step) = step.filter(|step| step.is_divided && span > 1) {
                step.cuts.insert(unit.index, span);
            }
        }
        for lease in &snapshot.leases {
            books.begin(lease.key, lease.worker);
        }
        for (key, position, worker) in &snapshot.failed {
            let job = books.jobs.get(&key.unit.job);
            let step = job.and_then(|job| job.steps.get(usize::from(key.unit.step.0)));
            let reported = step.map(|step| step.reported(key.unit.index, *position));
            if let Some(lease) = books.leases.get_mut(key) {
                lease.failed.extend(reported.into_iter().flatten());
            }
            let job = books.jobs.get_mut(&key.unit.job);
            let step = job.and_then(|job| job.steps.get_mut(usize::from(key.unit.step.0)));
            // Failures before a retry are not counted any more.
            if let Some(failure) = step.and_then(|step| step.failures.get_mut(position)) {
                failure.workers.insert(*worker);
            }
        }
        books
    }

    /// Takes note of what is said, before it is decided on.
    pub(crate) fn hear(&mut self, now: Duration, input: &Input) {
        let (worker, heard) = match input {
            Input::Linked { worker, .. } | Input::Heartbeat { worker, .. } => (worker, Some(now)),
            Input::Unlinked(worker) => (worker, None),
            _ => return,
        };
        if let Some(book) = self.workers.get_mut(worker) {
            book.heard = heard;
        }
    }

    /// Enters one change.
    pub(crate) fn enter(&mut self, now: Duration, change: &Change) -> Result<(), Violation> {
        match change {
            Change::JobAdded(job) => {
                self.jobs.insert(job.id, JobBook::new(job.clone(), now));
            }
            Change::JobFetched(id, mark) => self.job(*id)?.fetched = Some(*mark),
            Change::JobRemoved(id) => {
                for key in self.job(*id)?.leases.clone() {
                    self.end(key);
                }
                self.jobs.remove(id);
            }
            Change::JobPinned(id, build) => self.job(*id)?.job.build = Some(build.clone()),
            Change::JobGrown(id, steps) => {
                let job = self.job(*id)?;
                job.job.steps.clone_from(steps);
                job.fetched = None;
                for (at, step) in steps.iter().enumerate() {
                    match job.steps.get_mut(at) {
                        Some(book) => book.is_replaced = step.replaced,
                        None => job.steps.push(StepBook::new(&job.job, step)),
                    }
                }
            }
            Change::JobEdited(id, settings) => self.job(*id)?.job.settings = settings.clone(),
            Change::JobChunked(id, chunkings) => self.rechunk(*id, chunkings)?,
            Change::JobState(id, state, _) => {
                let job = self.job(*id)?;
                job.state = *state;
                job.served = now;
            }
            Change::Leased(lease) => {
                let unit = lease.key.unit;
                let step = self.step(unit.job, unit.step)?;
                if step.is_divided && lease.span > 1 {
                    step.cuts.insert(unit.index, lease.span);
                }
                self.begin(lease.key, lease.worker);
            }
            Change::LeaseEnded(key) => self.end(*key),
            Change::UnitClosed(unit) => self.close(*unit),
            Change::FrameDone(result) => {
                let unit = result.lease.unit;
                let step = self.step(unit.job, unit.step)?;
                if !step.done.set(result.position) {
                    return Err(Violation::new(
                        "every wanted frame is delivered exactly once",
                        format!(
                            "position {} of step {} of job {} was accepted a second time",
                            result.position, unit.step.0, unit.job
                        ),
                    ));
                }
                step.given_up.clear(result.position);
                step.failures.remove(&result.position);
            }
            Change::FrameFailed(error) => {
                let unit = error.lease.unit;
                let step = self.step(unit.job, unit.step)?;
                let reported = step.reported(unit.index, error.position);
                if let Some(lease) = self.leases.get_mut(&error.lease) {
                    lease.failed.extend(reported);
                }
                let step = self.step(unit.job, unit.step)?;
                let failure = step.failures.entry(error.position).or_default();
                failure.count += 1;
                failure.at = Some(now);
                failure.workers.insert(error.worker);
            }
            Change::FrameGivenUp(key, position) => {
                let step = self.step(key.unit.job, key.unit.step)?;
                if !step.done.get(*position) {
                    step.given_up.set(*position);
                }
            }
            Change::FramesRetried(id) => {
                // What is wanted again is not in the hands of those who have the rest of its unit.
                let book = self.job(*id)?;
                let given_up: Vec<(LeaseKey, Vec<u32>)> = book
                    .leases
                    .iter()
                    .map(|key| {
                        let step = &book.steps[usize::from(key.unit.step.0)];
                        let positions = step.positions(key.unit.index);
                        (
                            *key,
                            positions.filter(|&at| step.given_up.get(at)).collect(),
                        )
                    })
                    .collect();
                for (key, positions) in given_up {
                    if let Some(lease) = self.leases.get_mut(&key) {
                        lease.failed.extend(positions);
                    }
                }
                for step in &mut self.job(*id)?.steps {
                    step.given_up = FrameBits::new(step.done.len());
                    step.failures.clear();
                    step.free_from = 0;
                }
            }
            Change::WorkerSet(record) => self.set_worker(record.clone()),
            Change::WorkerRemoved(id) => self.remove_worker(*id),
            Change::JobBlocked(job, worker) => {
                self.job(*job)?.blocked.insert(*worker);
            }
            Change::JobUnblocked(job, worker) => {
                self.job(*job)?.blocked.remove(worker);
            }
            Change::FarmSet(settings) => self.farm = (**settings).clone(),
            Change::TokenAdded(_)
            | Change::ReceiverSet(_)
            | Change::ReceiverTold(..)
            | Change::ReceiverRemoved(_)
            | Change::TokenRevoked(_)
            | Change::PairingAdded(_)
            | Change::PairingRemoved(_)
            | Change::CertificateIssued(_)
            | Change::CertificateRevoked(_) => {}
        }
        Ok(())
    }

    /// Frames of a job that workers still have to report; of a unit with two leases those of the first.
    pub(crate) fn leased(&self, job: &JobBook) -> u32 {
        let firsts = job.leases.iter().filter(|key| !self.leases[key].is_second);
        let left = firsts.map(|key| {
            let step = &job.steps[usize::from(key.unit.step.0)];
            let failed = &self.leases[key].failed;
            step.wanted(key.unit.index)
                .filter(|at| !failed.contains(at))
                .count() as u32
        });
        left.sum()
    }

    fn job(&mut self, id: JobId) -> Result<&mut JobBook, Violation> {
        self.jobs.get_mut(&id).ok_or_else(|| {
            Violation::new(
                "changes speak of what there is",
                format!("a change of job {id}, which is not there"),
            )
        })
    }

    fn step(&mut self, job: JobId, step: StepIndex) -> Result<&mut StepBook, Violation> {
        let book = self.job(job)?;
        Ok(&mut book.steps[usize::from(step.0)])
    }

    fn rechunk(&mut self, id: JobId, chunkings: &[Chunking]) -> Result<(), Violation> {
        let book = self.job(id)?;
        for (at, chunking) in chunkings.iter().enumerate() {
            book.job.steps[at].chunking = Some(chunking.clone());
            book.steps[at].chunking = chunking.clone();
            book.steps[at].free_from = 0;
        }
        Ok(())
    }

    fn begin(&mut self, key: LeaseKey, worker: WorkerId) {
        let Some(holder) = self.workers.get_mut(&worker) else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&key.unit.job) else {
            return;
        };
        let held = &job.steps[usize::from(key.unit.step.0)].held;
        let lease = LeaseBook {
            worker,
            failed: BTreeSet::new(),
            is_second: held.contains_key(&key.unit.index),
            is_urgent: false,
        };
        if self.leases.insert(key, lease).is_some() {
            return;
        }
        holder.leases.insert(key);
        job.leases.insert(key);
        let at = job.at.entry(worker).or_default();
        *at += 1;
        if *at <= holder.slots() {
            job.slots += 1;
        }
        let step = &mut job.steps[usize::from(key.unit.step.0)];
        *step.held.entry(key.unit.index).or_default() += 1;
    }

    fn end(&mut self, key: LeaseKey) {
        let Some(lease) = self.leases.remove(&key) else {
            return;
        };
        let slots = self.workers.get_mut(&lease.worker).map(|holder| {
            holder.leases.remove(&key);
            holder.slots()
        });
        let Some(job) = self.jobs.get_mut(&key.unit.job) else {
            return;
        };
        job.leases.remove(&key);
        let step = &job.steps[usize::from(key.unit.step.0)];
        job.goes_first_again |= lease.is_urgent && step.wanted(key.unit.index).next().is_some();
        if let Some(other) = job.leases.iter().find(|other| other.unit == key.unit)
            && let Some(other) = self.leases.get_mut(other)
        {
            other.is_second = false;
        }
        if let Some(at) = job.at.get_mut(&lease.worker) {
            if *at <= slots.unwrap_or(0) {
                job.slots -= 1;
            }
            *at -= 1;
            if *at == 0 {
                job.at.remove(&lease.worker);
            }
        }
        let step = &mut job.steps[usize::from(key.unit.step.0)];
        if let Some(held) = step.held.get_mut(&key.unit.index) {
            *held -= 1;
            if *held == 0 {
                step.held.remove(&key.unit.index);
                step.free_from = step.free_from.min(key.unit.index);
            }
        }
    }

    fn close(&mut self, unit: UnitId) {
        let Some(job) = self.jobs.get(&unit.job) else {
            return;
        };
        let of = job.leases.iter().filter(|key| key.unit == unit);
        for key in of.copied().collect::<Vec<_>>() {
            self.end(key);
        }
    }

    fn set_worker(&mut self, record: WorkerRecord) {
        let id = record.id;
        let before = self.workers.get(&id).map(WorkerBook::slots);
        let book = self.workers.entry(id).or_insert_with(|| WorkerBook {
            record: record.clone(),
            leases: BTreeSet::new(),
            heard: None,
        });
        book.record = record;
        let after = book.slots();
        if before.is_some_and(|before| before != after) {
            for job in self.jobs.values_mut() {
                let at = job.at.get(&id).copied().unwrap_or(0);
                job.slots += at.min(after);
                job.slots -= at.min(before.unwrap_or(0));
            }
        }
    }

    fn remove_worker(&mut self, id: WorkerId) {
        let Some(book) = self.workers.get(&id) else {
            return;
        };
        for key in book.leases.clone() {
            self.end(key);
        }
        self.workers.remove(&id);
        for job in self.jobs.values_mut() {
            job.blocked.remove(&id);
        }
    }
}
