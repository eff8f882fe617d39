//! A farm in a nutshell: the scheduler, its record, and workers that do as they are told or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tessera_model::{
    Blob, Build, BuildKind, Device, FarmSettings, FrameError, FrameErrorKind, FrameResult, JobEdit,
    JobId, JobSettings, LeaseKey, Overrides, ResultTimings, Step, StepKind, Timestamp, WorkerFacts,
    WorkerId,
};

use super::audit::audit;
use super::record::Record;
use crate::{Effects, FrameOrder, Input, JobCommand, NewJob, Now, Order, Outcome, Scheduler};

pub(super) struct World {
    pub scheduler: Scheduler,
    pub record: Record,
    pub now: Duration,
    /// What each worker's program has in hand, oldest first; the first `slots` of them are being rendered.
    pub hands: BTreeMap<WorkerId, VecDeque<(LeaseKey, Vec<FrameOrder>)>>,
    pub linked: BTreeSet<WorkerId>,
    pub orders: Vec<(WorkerId, Order)>,
    facts: BTreeMap<WorkerId, WorkerFacts>,
    /// Leases whose present frame has begun, and its position.
    rendering: BTreeMap<LeaseKey, u32>,
    /// In which tiles noise is left, each time that a frame is put together of which that is asked.
    pub noisy: VecDeque<Vec<u16>>,
    /// In long runs only one in so many inputs is audited.
    pub audit_every: u64,
    inputs: u64,
}

pub(super) fn build(version: &str) -> Build {
    Build {
        version: version.parse().unwrap(),
        hash: "h".into(),
        kind: BuildKind::Executable,
    }
}

pub(super) fn facts(slots: u32, version: &str) -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots,
        threads: 1,
        cores: slots,
        memory_bytes: 1 << 30,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: "h".into(),
        tags: Vec::new(),
        builds: vec![build(version)],
        gpus: Vec::new(),
        version: "0".into(),
        rest: None,
    }
}

pub(super) fn job(frames: &str) -> NewJob {
    NewJob {
        owner: "ada".parse().unwrap(),
        settings: JobSettings {
            priority: 1,
            ..JobSettings::named("job")
        },
        manifest: blob(),
        main_file: "a.blend".into(),
        file_version: "3.4".parse().unwrap(),
        steps: vec![Step {
            kind: StepKind::Render(Overrides {
                device: Device::Cpu,
                ..Overrides::default()
            }),
            frames: frames.parse().unwrap(),
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }],
        client_note: String::new(),
    }
}

/// A job of these frames, with what is changed.
pub(super) fn with(frames: &str, change: impl FnOnce(&mut NewJob)) -> NewJob {
    let mut new = job(frames);
    change(&mut new);
    new
}

pub(super) fn prioritised(frames: &str, priority: u32) -> NewJob {
    with(frames, |new| new.settings.priority = priority)
}

pub(super) fn blob() -> Blob {
    Blob {
        digest: [7; 32],
        size: 1,
        depth: 0,
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            scheduler: Scheduler::new(FarmSettings::default()),
            record: Record::default(),
            now: Duration::ZERO,
            hands: BTreeMap::new(),
            linked: BTreeSet::new(),
            orders: Vec::new(),
            facts: BTreeMap::new(),
            rendering: BTreeMap::new(),
            noisy: VecDeque::new(),
            audit_every: 1,
            inputs: 0,
        }
    }

    pub(super) fn clock(&self) -> Now {
        Now {
            elapsed: self.now,
            wall: Timestamp(self.now.as_millis() as i64),
        }
    }

    pub(super) fn input(&mut self, input: Input) -> Effects {
        let effects = self.scheduler.apply(self.clock(), input);
        for change in &effects.changes {
            self.record.apply(change);
        }
        for (worker, order) in &effects.orders {
            self.orders.push((*worker, order.clone()));
            if self.linked.contains(worker) {
                self.obey(*worker, order);
            }
        }
        self.inputs += 1;
        if self.inputs.is_multiple_of(self.audit_every) {
            self.check();
        }
        effects
    }

    fn obey(&mut self, worker: WorkerId, order: &Order) {
        let hands = self.hands.entry(worker).or_default();
        match order {
            Order::Lease { key, frames, .. } => {
                if hands.iter().all(|(held, _)| held != key) {
                    hands.push_back((*key, frames.clone()));
                }
            }
            Order::Cancel(key) => hands.retain(|(held, _)| held != key),
            Order::Dismiss => {
                hands.clear();
                self.linked.remove(&worker);
            }
            // Answered when the test says so: `answer_recalls`.
            Order::Recall(_) | Order::Mode(_) => {}
        }
    }

    pub(super) fn join(&mut self, slots: u32) -> WorkerId {
        let Outcome::Paired(worker, _) = self.input(Input::Paired("w".into())).outcome else {
            panic!("not paired")
        };
        self.facts.insert(worker, facts(slots, "3.4.1"));
        self.link(worker);
        worker
    }

    pub(super) fn link(&mut self, worker: WorkerId) {
        let holds: Vec<LeaseKey> = self
            .hands
            .entry(worker)
            .or_default()
            .iter()
            .map(|(key, _)| *key)
            .collect();
        self.linked.insert(worker);
        let facts = self.facts[&worker].clone();
        let outcome = self
            .input(Input::Linked {
                worker,
                facts,
                holds,
            })
            .outcome;
        match outcome {
            Outcome::Linked { drop, .. } => {
                self.hands
                    .entry(worker)
                    .or_default()
                    .retain(|(key, _)| !drop.contains(key));
            }
            _ => {
                self.linked.remove(&worker);
            }
        }
    }

    pub(super) fn cut(&mut self, worker: WorkerId) {
        if self.linked.remove(&worker) {
            self.input(Input::Unlinked(worker));
        }
    }

    /// A worker says something new of itself.
    pub(super) fn say(&mut self, worker: WorkerId, change: impl FnOnce(&mut WorkerFacts)) {
        let facts = self.facts.get_mut(&worker).unwrap();
        change(facts);
        let facts = facts.clone();
        if self.linked.contains(&worker) {
            self.input(Input::Facts { worker, facts });
        }
    }

    pub(super) fn set(&mut self, change: impl FnOnce(&mut FarmSettings)) {
        let mut settings = self.scheduler.settings().clone();
        change(&mut settings);
        let outcome = self.input(Input::Settings(Box::new(settings))).outcome;
        assert_eq!(outcome, Outcome::Applied);
    }

    pub(super) fn edit(&mut self, job: JobId, edit: JobEdit) -> Outcome {
        self.input(Input::Job(job, JobCommand::Edit(edit))).outcome
    }

    pub(super) fn submit(&mut self, job: NewJob) -> JobId {
        match self.input(Input::Submit(Box::new(job))).outcome {
            Outcome::Submitted(job, _) => job,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }

    pub(super) fn heartbeat(&mut self, worker: WorkerId) {
        let holds = self
            .hands
            .entry(worker)
            .or_default()
            .iter()
            .map(|(key, _)| (*key, self.rendering.get(key).copied()));
        let holds = holds.collect();
        self.input(Input::Heartbeat { worker, holds });
    }

    /// A worker begins the first frame of the lease at `at` in its hands.
    pub(super) fn start(&mut self, worker: WorkerId, at: usize) -> LeaseKey {
        let (key, frames) = self.hands[&worker][at].clone();
        let position = frames[0].position;
        self.rendering.insert(key, position);
        self.input(Input::Started {
            worker,
            key,
            position,
        });
        key
    }

    /// A worker renders the first frame of the lease at `at` in its hands. Returns what became of it.
    pub(super) fn render(&mut self, worker: WorkerId, at: usize) -> Option<Outcome> {
        let (key, order) = self.take(worker, at)?;
        let outcome = if order.wanted {
            self.deliver(worker, key, order)
        } else {
            Outcome::Applied
        };
        Some(outcome)
    }

    pub(super) fn fail(&mut self, worker: WorkerId, at: usize) -> Option<Outcome> {
        let (key, order) = self.take(worker, at)?;
        let error = FrameError {
            lease: key,
            position: order.position,
            frame: order.frame,
            worker,
            kind: FrameErrorKind::Crash,
            message: "it crashed".into(),
            stdout: None,
            stderr: None,
            at: Timestamp(0),
        };
        let outcome = self.input(Input::Failed(Box::new(error))).outcome;
        Some(outcome)
    }

    fn take(&mut self, worker: WorkerId, at: usize) -> Option<(LeaseKey, FrameOrder)> {
        let hands = self.hands.get_mut(&worker)?;
        let (key, frames) = hands.get_mut(at)?;
        let key = *key;
        let order = frames.remove(0);
        if frames.is_empty() {
            hands.remove(at);
        }
        self.rendering.remove(&key);
        if self.linked.contains(&worker) {
            self.input(Input::Started {
                worker,
                key,
                position: order.position,
            });
        }
        Some((key, order))
    }

    pub(super) fn deliver(
        &mut self,
        worker: WorkerId,
        key: LeaseKey,
        order: FrameOrder,
    ) -> Outcome {
        let noisy = match self.puts_together(key) {
            true => self.noisy.pop_front().unwrap_or_default(),
            false => Vec::new(),
        };
        let result = FrameResult {
            lease: key,
            position: order.position,
            frame: order.frame,
            worker,
            build: build("3.4.1"),
            device: "CPU".into(),
            persistent: true,
            files: Vec::new(),
            stdout: blob(),
            stderr: blob(),
            timings: ResultTimings::default(),
            previews: None,
            notes: Vec::new(),
            noisy,
            at: Timestamp(0),
        };
        self.input(Input::Done(Box::new(result))).outcome
    }

    /// Whether under a lease a frame is put together that gets samples where there is noise.
    fn puts_together(&self, key: LeaseKey) -> bool {
        let job = self.scheduler.job_ref(key.unit.job);
        job.is_some_and(|job| {
            let step = &job.steps[usize::from(key.unit.step.0)];
            let mut splits = job.steps.iter().filter_map(Step::divided);
            !step.makes_parts() && splits.any(|split| split.noise.is_some())
        })
    }

    /// Every worker gives back what it was asked for, and its hands do not hold it any more.
    pub(super) fn answer_recalls(&mut self) {
        for (worker, order) in std::mem::take(&mut self.orders) {
            let Order::Recall(key) = order else { continue };
            let hands = self.hands.entry(worker).or_default();
            let before = hands.len();
            hands.retain(|(held, _)| *held != key);
            if hands.len() != before && self.linked.contains(&worker) {
                self.input(Input::Returned { worker, key });
            }
        }
    }

    /// The manager dies and comes back; all links are gone, what workers hold they still hold.
    pub(super) fn restart(&mut self) {
        let clock = self.clock();
        self.scheduler =
            Scheduler::restore(self.record.farm.clone(), clock, self.record.restored());
        self.linked.clear();
        self.orders.clear();
        self.check();
    }

    /// All workers link and work well until nothing is left to do. Panics if that does not end.
    pub(super) fn finish(&mut self) {
        let workers: Vec<WorkerId> = self.facts.keys().copied().collect();
        for &worker in &workers {
            self.hands.entry(worker).or_default().clear();
            self.link(worker);
        }
        for _ in 0..10_000 {
            let mut idle = true;
            for &worker in &workers {
                self.heartbeat(worker);
                idle &= self.render(worker, 0).is_none();
            }
            self.answer_recalls();
            if idle {
                if self.scheduler.live_jobs() == 0 {
                    return;
                }
                self.pass(Duration::from_secs(5));
            }
        }
        panic!("work is left and nobody gets it: {:#?}", self.scheduler);
    }

    fn check(&self) {
        audit(&self.scheduler, self.now);
        assert!(self.record.accepts.values().all(|&accepts| accepts == 1));
        self.check_restored();
    }

    /// What the record gives back is what the scheduler holds.
    fn check_restored(&self) {
        let clock = self.clock();
        let again = Scheduler::restore(self.record.farm.clone(), clock, self.record.restored());
        assert_eq!(
            again.leases.keys().collect::<BTreeSet<_>>(),
            self.scheduler.leases.keys().collect::<BTreeSet<_>>()
        );
        audit(&again, self.now);
        assert_eq!(again.jobs.len(), self.scheduler.jobs.len());
        for (id, job) in self.scheduler.jobs.iter() {
            let other = &again.jobs[id];
            assert_eq!((&job.job, job.state), (&other.job, other.state));
            assert_eq!(job.blocked, other.blocked);
            for (one, two) in job.steps.iter().zip(&other.steps) {
                assert_eq!((&one.done, &one.given_up), (&two.done, &two.given_up));
                assert_eq!(
                    (&one.chunking, &one.attempts, &one.cuts),
                    (&two.chunking, &two.attempts, &two.cuts)
                );
                let counts = |step: &crate::job::StepEntry| {
                    step.failures
                        .iter()
                        .map(|(at, f)| (*at, f.count))
                        .collect::<Vec<_>>()
                };
                assert_eq!(counts(one), counts(two));
            }
        }
    }
}
