//! A farm around the scheduler: workers that take what they are given and report it, jobs that are replaced when they end.
//!
//! Time is data: a frame takes about a second of it, workers beat their hearts as real ones do, and usage is sampled as on
//! a real farm. Only calls of the scheduler are on the clock; what the farm around it does is not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tessera_model::{
    Blob, Build, BuildKind, Change, FarmSettings, FrameResult, FrameSet, Gpu, JobId, JobSettings,
    LeaseKey, Overrides, Requirement, ResultTimings, Step, StepKind, Timestamp, WorkerFacts,
    WorkerId,
};
use tessera_scheduler::{
    Effects, FrameOrder, Input, JobCommand, NewJob, Now, Order, Outcome, Scheduler,
};

use super::random::Random;
use super::stopwatch::{Purpose, Stopwatch};

/// What a frame takes.
const FRAME: Duration = Duration::from_secs(1);

/// What comes in between two looks at what is due: a full batch of the manager's.
const BATCH: u32 = 256;

const SEED: u64 = 7;

/// How large a farm is. Where it has several jobs, they have half to one and a half times the frames given, so that they do
/// not end all at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub workers: u32,
    pub jobs: u32,
    pub frames_per_job: u32,
}

#[derive(Debug)]
pub(super) struct World {
    size: Size,
    scheduler: Scheduler,
    pub(super) watch: Stopwatch,
    now: Duration,
    random: Random,
    /// What workers hold, by number - 1; they render the first of it.
    hands: Vec<VecDeque<(LeaseKey, FrameOrder)>>,
    /// Workers that have something new to render.
    to_start: Vec<WorkerId>,
    /// Which of the farm's sorts of jobs each one is.
    jobs: BTreeMap<JobId, u32>,
    inputs: u32,
    next_heartbeat: Duration,
    beating: u32,
}

impl World {
    /// A farm with all its workers and jobs, every worker's hands full.
    pub(super) fn filled(size: Size) -> Self {
        let mut world = Self {
            size,
            scheduler: Scheduler::new(FarmSettings::default()),
            watch: Stopwatch::default(),
            now: Duration::from_secs(1),
            random: Random::seeded(SEED),
            hands: vec![VecDeque::new(); size.workers as usize],
            to_start: Vec::new(),
            jobs: BTreeMap::new(),
            inputs: 0,
            next_heartbeat: Duration::ZERO,
            beating: 0,
        };
        // A farm with one worker has the Blender that jobs are pinned to.
        world.join(0);
        for number in 0..size.jobs {
            world.submit(number);
        }
        for number in 1..size.workers {
            world.join(number);
        }
        world
    }

    /// Workers render until so many units more are handed out.
    pub(super) fn drive(&mut self, units: u64) {
        let until = self.watch.units + units;
        while self.watch.units < until {
            self.go_on();
        }
    }

    /// Workers render until calls of the scheduler have taken so long.
    pub(super) fn drive_for(&mut self, time: Duration) {
        while self.watch.whole < time {
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        let at = self.random.below(self.hands.len());
        self.finish_frame(WorkerId(at as u32 + 1));
        self.now += FRAME / self.size.workers;
        self.beat();
    }

    pub(super) fn into_scheduler(self) -> Scheduler {
        self.scheduler
    }

    fn join(&mut self, number: u32) {
        let outcome = self.apply(Purpose::Turnover, Input::Paired(format!("w{number}")));
        let Outcome::Paired(worker, _) = outcome else {
            panic!("a worker was not taken in: {outcome:?}");
        };
        let linked = Input::Linked {
            worker,
            facts: facts(number),
            holds: Vec::new(),
        };
        self.apply(Purpose::Work, linked);
    }

    fn submit(&mut self, number: u32) {
        let mean = self.size.frames_per_job as usize;
        let frames = match self.size.jobs {
            1 => mean,
            _ => mean / 2 + self.random.below(mean.max(1)) + 1,
        };
        let outcome = self.apply(Purpose::Turnover, job(number, frames));
        let Outcome::Submitted(job, _) = outcome else {
            panic!("a job was not taken in: {outcome:?}");
        };
        self.jobs.insert(job, number);
    }

    fn finish_frame(&mut self, worker: WorkerId) {
        let Some((key, frame)) = self.hand(worker).pop_front() else {
            return;
        };
        let result = Input::Done(Box::new(result(worker, key, frame)));
        self.apply(Purpose::Work, result);
        self.apply(Purpose::Work, Input::Finished { worker, key });
        if !self.hand(worker).is_empty() {
            self.to_start.push(worker);
        }
        self.start_frames();
    }

    fn start_frames(&mut self) {
        while let Some(worker) = self.to_start.pop() {
            if let Some(&(key, frame)) = self.hand(worker).front() {
                let position = frame.position;
                let started = Input::Started {
                    worker,
                    key,
                    position,
                };
                self.apply(Purpose::Work, started);
            }
        }
    }

    /// Every worker in turn says that it is alive, each as often as real ones do.
    fn beat(&mut self) {
        while self.next_heartbeat <= self.now {
            self.next_heartbeat += tessera_wire::link::HEARTBEAT / self.size.workers;
            self.beating = self.beating % self.size.workers + 1;
            let worker = WorkerId(self.beating);
            let hand = self.hand(worker).iter().enumerate();
            let held = hand.map(|(at, (key, frame))| (*key, (at == 0).then_some(frame.position)));
            let holds = held.collect();
            self.apply(Purpose::Work, Input::Heartbeat { worker, holds });
        }
    }

    fn hand(&mut self, worker: WorkerId) -> &mut VecDeque<(LeaseKey, FrameOrder)> {
        &mut self.hands[worker.0 as usize - 1]
    }

    /// On the clock: the call itself, and now and then the question when time has to be told.
    fn apply(&mut self, purpose: Purpose, input: Input) -> Outcome {
        let now = Now {
            elapsed: self.now,
            wall: Timestamp(0),
        };
        let (scheduler, watch) = (&mut self.scheduler, &mut self.watch);
        let effects = watch.time(purpose, || scheduler.apply(now, input));
        self.inputs += 1;
        let mut outcome = self.carry_out(effects);
        if self.inputs.is_multiple_of(BATCH) {
            let (scheduler, watch) = (&mut self.scheduler, &mut self.watch);
            let due = watch.time(Purpose::Question, || scheduler.next_tick(now));
            if due.is_some_and(|due| due.is_zero()) {
                let effects = watch.time(Purpose::Work, || scheduler.apply(now, Input::Tick));
                self.carry_out(effects);
            }
        }
        std::mem::take(&mut outcome)
    }

    fn carry_out(&mut self, effects: Effects) -> Outcome {
        for (worker, order) in effects.orders {
            match order {
                Order::Lease { key, frames, .. } => {
                    self.watch.units += 1;
                    let hand = self.hand(worker);
                    hand.extend(frames.first().map(|&frame| (key, frame)));
                    if hand.len() == 1 {
                        self.to_start.push(worker);
                    }
                }
                Order::Recall(key) => self.give_back(worker, key),
                Order::Cancel(key) => {
                    let hand = self.hand(worker);
                    let was_first = hand.front().is_some_and(|(first, _)| *first == key);
                    hand.retain(|(held, _)| *held != key);
                    if was_first {
                        self.to_start.push(worker);
                    }
                }
                Order::Mode(_) | Order::Dismiss => {}
            }
        }
        for change in effects.changes {
            if let Change::JobState(job, state, _) = change
                && state.is_over()
            {
                self.replace(job);
            }
        }
        effects.outcome
    }

    fn give_back(&mut self, worker: WorkerId, key: LeaseKey) {
        let hand = self.hand(worker);
        let waiting = hand.iter().skip(1).any(|(held, _)| *held == key);
        if waiting {
            hand.retain(|(held, _)| *held != key);
            self.apply(Purpose::Work, Input::Returned { worker, key });
        }
    }

    /// One of the same sort takes its place.
    fn replace(&mut self, job: JobId) {
        self.apply(Purpose::Turnover, Input::Job(job, JobCommand::Remove));
        if let Some(number) = self.jobs.remove(&job) {
            self.submit(number);
        }
    }
}

fn build() -> Build {
    Build {
        version: "4.2.0".parse().expect("a version"),
        hash: "a51f293548ad".into(),
        kind: BuildKind::Executable,
    }
}

/// Four classes of machines: plain, with a GPU and its tag, large, and of another system.
fn facts(number: u32) -> WorkerFacts {
    let class = number % 4;
    let gpu = Gpu {
        interface: "optix".into(),
        name: "NVIDIA RTX 4090".into(),
        memory_bytes: Some(24 << 30),
    };
    WorkerFacts {
        divides: true,
        slots: 1,
        threads: 16,
        cores: [8, 16, 32, 8][class as usize],
        memory_bytes: [32 << 30, 64 << 30, 128 << 30, 32 << 30][class as usize],
        os: if class == 3 { "windows" } else { "linux" }.into(),
        arch: "x86_64".into(),
        host: format!("w{number}"),
        tags: (class == 1).then(|| "gpu".into()).into_iter().collect(),
        builds: vec![build()],
        gpus: (class == 1).then_some(gpu).into_iter().collect(),
        version: "0".into(),
        rest: None,
    }
}

/// Twenty users, four categories, four priorities; of five jobs two ask for nothing, one for the GPU's tag, one for much
/// memory, one for a system and many cores.
fn job(number: u32, frames: usize) -> Input {
    let mut settings = JobSettings::named(format!("job {number}"));
    settings.category = ["film", "advert", "stills", "tests"][number as usize % 4].into();
    settings.priority = [10, 50, 100, 200][number as usize / 4 % 4];
    match number % 5 {
        0 => settings.tags = vec!["gpu".into()],
        1 => settings.requirement.memory_bytes = Some(48 << 30),
        2 => {
            settings.requirement = Requirement {
                os: Some("linux".into()),
                cores: Some(16),
                ..Requirement::default()
            };
        }
        _ => {}
    }
    let owner = format!("user{}", number % 20);
    let frames: FrameSet = format!("1..{frames}").parse().expect("a range of frames");
    Input::Submit(Box::new(NewJob {
        owner: owner.parse().expect("a user's name"),
        settings,
        manifest: nothing(),
        main_file: "scene.blend".into(),
        file_version: "4.2".parse().expect("a series"),
        steps: vec![Step {
            kind: StepKind::Render(Overrides::default()),
            frames,
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }],
        client_note: String::new(),
    }))
}

fn nothing() -> Blob {
    Blob {
        digest: [0; 32],
        size: 0,
        depth: 0,
    }
}

fn result(worker: WorkerId, lease: LeaseKey, frame: FrameOrder) -> FrameResult {
    FrameResult {
        lease,
        position: frame.position,
        frame: frame.frame,
        worker,
        build: build(),
        device: "CPU".into(),
        persistent: true,
        files: Vec::new(),
        stdout: nothing(),
        stderr: nothing(),
        timings: ResultTimings::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(0),
    }
}
