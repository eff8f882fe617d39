//! The jobs that people will submit, and what is true of their frames though nobody in the farm knows it.

use std::time::Duration;

use tessera_model::{
    After, Blob, Device, FrameErrorKind, FrameSet, Job, JobId, JobSettings, Overrides, Requirement,
    Split, SplitBy, Step, StepIndex, StepKind,
};
use tessera_scheduler::NewJob;

use crate::desk::Part;
use crate::dice::{Concern, Dice, fate};
use crate::fault::Fault;
use crate::machine::{Machine, MachineIndex, TAGS, subset};
use crate::plan::Plan;

/// Number in the list of jobs to be submitted. Stands in the job's `client_note`, by which it is found again.
pub(crate) type WorkIndex = usize;

/// Resources that jobs name, and how many there are of each.
pub(crate) const RESOURCES: [(&str, u32); 2] = [("houdini", 5), ("vray", 20)];

/// Slots of the whole farm are busy for about so long with what is submitted, so that there is work while things go wrong.
const BUSY: Duration = Duration::from_secs(240);

/// But for so much longer that no more frames end in a second than one manager takes in beside all else.
const FRAMES_PER_SECOND_MAX: u64 = 800;

/// Who only few can work for has no more frames than these few render in so long: nobody learns from waiting for them.
const FEW_BUSY: Duration = Duration::from_secs(900);

/// The fastest machine renders a unit in no more than this: waiting for the slowest to render a long one tells nothing new.
const UNIT_TAKES_MAX: Duration = Duration::from_secs(90);

/// Jobs of no more frames than these are divided into more than two parts a frame.
const DIVIDED_FINELY_MAX: u32 = 50;

/// Frames of a job whose frames depend on their order: they are one unit, on one worker.
const IN_ORDER_FRAMES_MAX: u32 = 24;

/// A job to be submitted.
#[derive(Debug)]
pub(crate) struct Work {
    pub new: NewJob,
    /// Earlier ones it waits for, and whether frame by frame.
    pub after: Vec<(WorkIndex, bool)>,
    pub submit_at: Duration,
    /// A frame on the fastest machine, on average.
    pub frame: Duration,
    /// Opening its scene there.
    pub load: Duration,
    /// Bringing its files.
    pub fetch: Duration,
    /// Its files, by which scenes are told apart.
    pub scene: u64,
    /// Submitted under this number last.
    pub job: Option<JobId>,
    /// It always fails on this machine.
    pub bad_machine: Option<MachineIndex>,
    /// How uneven its frames are, 0 to 1: places take so much more and less than the mean.
    uneven: f64,
    seed: u64,
    poisoned: Vec<(u16, u32)>,
    lethal: Vec<(u16, u32)>,
}

/// A job as a scenario has it: all that a test does not say is plain.
pub(crate) struct Plain {
    pub new: NewJob,
    pub submit_at: Duration,
    pub frame: Duration,
    pub load: Duration,
    pub scene: u64,
    pub uneven: f64,
}

impl From<Plain> for Work {
    fn from(plain: Plain) -> Self {
        Self {
            new: plain.new,
            after: Vec::new(),
            submit_at: plain.submit_at,
            frame: plain.frame,
            load: plain.load,
            fetch: Duration::from_millis(500),
            scene: plain.scene,
            job: None,
            bad_machine: None,
            uneven: plain.uneven,
            seed: plain.scene,
            poisoned: Vec::new(),
            lethal: Vec::new(),
        }
    }
}

/// How a frame will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Rendered,
    Fails(FrameErrorKind),
    /// The whole worker dies.
    Kills,
}

/// What a part of a frame takes besides its pixels.
const SLICE_TAKES: Duration = Duration::from_millis(100);

/// What a range of its samples takes besides them: it is a file of the whole frame.
const RANGE_TAKES: Duration = Duration::from_millis(300);

/// How often places are dear and cheap again on the way through a frame.
const DEAR_TIMES: u32 = 3;

/// What it takes to put a frame together.
const ASSEMBLING_TAKES: Duration = Duration::from_millis(800);

impl Work {
    /// How long a frame takes on the fastest machine, or what is made of it.
    pub(crate) fn time(&self, step: StepIndex, position: u32, part: Part) -> Duration {
        let jitter = fate(&[self.seed, step.0.into(), position.into()]) % 100;
        let whole = self.frame * (50 + jitter as u32) / 100;
        match part {
            Part::Whole => whole,
            Part::Places { first, count, of } => {
                let upto = |place: u32| self.cost_upto(f64::from(place) / f64::from(of));
                whole.mul_f64(upto(first + count) - upto(first)) + SLICE_TAKES
            }
            Part::Samples { count, of } => {
                whole.mul_f64(f64::from(count) / f64::from(of)) + RANGE_TAKES
            }
            Part::Assembled { .. } => ASSEMBLING_TAKES,
        }
    }

    /// How much of what a frame takes is needed up to this part of its places. Corners are cheap, and what is dear comes several times.
    fn cost_upto(&self, part: f64) -> f64 {
        let turn = std::f64::consts::TAU * f64::from(DEAR_TIMES);
        part - self.uneven * (turn * part).sin() / turn
    }

    /// The frame, as it was asked for, that a position of the job is of: the farm may have divided the only step.
    pub(crate) fn origin(&self, job: &Job, step: StepIndex, position: u32) -> (StepIndex, u32) {
        if job.steps.len() == self.new.steps.len() {
            return (step, position);
        }
        let frame = job.steps[usize::from(step.0)].frame_at(position);
        let asked = frame.and_then(|frame| self.new.steps[0].frames.position(frame));
        (StepIndex(0), asked.unwrap_or(position))
    }

    /// Whether a frame can never be rendered, by anybody.
    pub(crate) fn is_doomed(&self, step: StepIndex, position: u32) -> bool {
        let at = (step.0, position);
        self.poisoned.contains(&at) || self.lethal.contains(&at)
    }

    /// What becomes of a frame on a machine in one attempt.
    pub(crate) fn fate(
        &self,
        step: StepIndex,
        position: u32,
        attempt: u32,
        machine: MachineIndex,
        is_flaky: bool,
    ) -> Fate {
        let at = (step.0, position);
        if self.lethal.contains(&at) {
            return Fate::Kills;
        }
        if self.poisoned.contains(&at) {
            return Fate::Fails(FrameErrorKind::Crash);
        }
        if self.bad_machine == Some(machine) {
            return Fate::Fails(FrameErrorKind::Memory);
        }
        let luck = fate(&[self.seed, step.0.into(), position.into(), attempt.into(), 1]);
        match luck % 60 {
            0 if is_flaky => Fate::Fails(FrameErrorKind::Hang),
            1 if is_flaky => Fate::Fails(FrameErrorKind::Scene),
            _ => Fate::Rendered,
        }
    }

    /// What it asks, for a trace.
    pub(crate) fn describe(&self) -> String {
        let steps = self.new.steps.iter().map(|step| {
            let order = if step.in_order { " in order" } else { "" };
            let follows = if step.by_frame { " by frame" } else { "" };
            format!("{}{order}{follows}", step.frames)
        });
        let settings = &self.new.settings;
        format!(
            "frames {}; chunk {}, priority {}, category {}, of {}, tags {:?}, needs {:?}, resources {:?}, attempts {}, Blender {}; {} ms a frame",
            steps.collect::<Vec<_>>().join(" then "),
            settings.chunk,
            settings.priority,
            settings.category,
            self.new.owner,
            settings.tags,
            settings.requirement,
            settings.resources,
            settings.max_attempts,
            self.new.file_version,
            self.frame.as_millis()
        )
    }

    /// Frames of all its steps.
    pub(crate) fn frames(&self) -> u32 {
        self.new.steps.iter().map(|step| step.frames.len()).sum()
    }

    /// As many frames, divided among its steps evenly: one each at least.
    fn set_frames(&mut self, frames: u32) {
        let each = (frames / self.new.steps.len() as u32).max(1);
        for step in &mut self.new.steps {
            let first = step.frames.runs()[0];
            step.frames = numbered(first.start, each, first.step);
        }
    }
}

/// The jobs of a plan.
pub(crate) fn works(plan: &Plan, machines: &[Machine]) -> Vec<Work> {
    let mut dice = Dice::new(plan.seed, Concern::Jobs);
    let count = plan.job_count() as usize;
    let slots: u64 = machines
        .iter()
        .map(|machine| u64::from(machine.facts.slots))
        .sum();
    // What a frame takes on the fastest machine if the farm is to be busy; the others need 2.6 times that on average.
    let frames = u64::from(plan.frames.max(1));
    let busy_ms = (BUSY.as_millis() as u64).max(frames * 1000 / FRAMES_PER_SECOND_MAX);
    let mean_ms = busy_ms * slots / frames / 2;
    let frames = shares(&mut dice, plan.frames.max(1), count);
    let mut works = Vec::with_capacity(count);
    for (index, frames) in frames.into_iter().enumerate() {
        let work = work(&mut dice, plan, index, frames, mean_ms, machines);
        works.push(work);
    }
    leave_few_to_few(&mut works, machines);
    for kind in [Fault::Poison, Fault::Lethal, Fault::BadWorker] {
        if plan.faults.has(kind) {
            spoil(plan, kind, &mut works, machines.len());
        }
    }
    works
}

/// Moves frames from jobs that only few slots can work for to the others, evenly.
fn leave_few_to_few(works: &mut [Work], machines: &[Machine]) {
    let most: Vec<Option<u32>> = works
        .iter()
        .map(|work| {
            let slots = few_slots(&work.new.settings, works, machines)?;
            // (The others need 2.6 times what the fastest machine takes.)
            let most = FEW_BUSY.as_secs_f64() * slots / (work.frame.as_secs_f64() * 2.6);
            Some((most as u32).max(1))
        })
        .collect();
    let mut moved = 0;
    for (work, most) in works.iter_mut().zip(&most) {
        let frames = work.frames();
        if let Some(most) = most.filter(|most| *most < frames) {
            work.set_frames(most);
            moved += frames.saturating_sub(work.frames());
        }
    }
    // What depends on its order is one worker's.
    let takes =
        |(work, most): &(&mut Work, Option<u32>)| most.is_none() && !work.new.steps[0].in_order;
    let others: Vec<&mut Work> = works
        .iter_mut()
        .zip(most)
        .filter(takes)
        .map(|(work, _)| work)
        .collect();
    let share = moved / others.len().max(1) as u32;
    for work in others.into_iter().filter(|_| share > 0) {
        work.set_frames(work.frames() + share);
    }
}

/// Slots that can work for a job that names machines or resources, if only its equals want them too.
fn few_slots(settings: &JobSettings, works: &[Work], machines: &[Machine]) -> Option<f64> {
    let names = &settings.requirement.workers;
    let named = machines
        .iter()
        .filter(|machine| names.contains(&machine.name));
    let named = (!names.is_empty()).then(|| named.map(|machine| machine.facts.slots).sum::<u32>());
    let resources = settings.resources.iter().filter_map(|name| {
        let (_, count) = RESOURCES.iter().find(|(resource, _)| resource == name)?;
        let want = |work: &&Work| work.new.settings.resources.contains(name);
        Some(f64::from(*count) / works.iter().filter(want).count() as f64)
    });
    named
        .map(f64::from)
        .into_iter()
        .chain(resources)
        .min_by(f64::total_cmp)
}

/// Splits frames among jobs, unevenly; each has at least one.
fn shares(dice: &mut Dice, frames: u32, jobs: usize) -> Vec<u32> {
    let weights: Vec<u64> = (0..jobs).map(|_| dice.spread(1, 64)).collect();
    let all: u64 = weights.iter().sum();
    let spare = u64::from(frames) - (jobs as u64).min(u64::from(frames));
    weights
        .into_iter()
        .map(|weight| 1 + (spare * weight / all) as u32)
        .collect()
}

fn work(
    dice: &mut Dice,
    plan: &Plan,
    index: WorkIndex,
    frames: u32,
    mean_ms: u64,
    machines: &[Machine],
) -> Work {
    let frame = Duration::from_millis(dice.spread(mean_ms / 8, mean_ms * 2).clamp(20, 120_000));
    let submit_at = match dice.percent(50) {
        true => Duration::from_millis(dice.below(3000)),
        false => Duration::from_millis(dice.below(plan.trouble().as_millis() as u64 / 2 + 1)),
    };
    // Several jobs may be of one scene.
    let scene = match dice.percent(20) && index > 0 {
        true => dice.below(index as u64),
        false => index as u64,
    };
    let after = match dice.percent(15) && index > 0 {
        true => vec![(dice.below(index as u64) as usize, dice.percent(50))],
        false => Vec::new(),
    };
    let owner = *dice.pick(&["ada", "bo", "cy", "dee"]);
    let steps = steps(dice, frames);
    let settings = settings(dice, index, machines, &steps);
    let unit = match steps[0].in_order {
        true => steps[0].frames.len(),
        false => settings.chunk,
    };
    let frame = frame.min(UNIT_TAKES_MAX / unit);
    let new = NewJob {
        owner: owner.parse().expect("a user's name"),
        settings,
        manifest: Blob {
            digest: [scene as u8; 32],
            size: 1000 + scene,
            depth: 0,
        },
        main_file: format!("scene{scene}.blend"),
        file_version: dice
            .pick(&["3.4", "4.0", "4.2", "5.0"])
            .parse()
            .expect("a series"),
        steps,
        client_note: index.to_string(),
    };
    Work {
        new,
        after,
        submit_at,
        frame,
        load: dice.span(Duration::from_millis(200), Duration::from_secs(20)),
        fetch: dice.span(Duration::from_millis(100), Duration::from_secs(30)),
        scene,
        job: None,
        bad_machine: None,
        uneven: dice.between(0, 9) as f64 / 10.0,
        seed: fate(&[plan.seed, index as u64]),
        poisoned: Vec::new(),
        lethal: Vec::new(),
    }
}

fn settings(
    dice: &mut Dice,
    index: WorkIndex,
    machines: &[Machine],
    steps: &[Step],
) -> JobSettings {
    let tags = match dice.percent(70) {
        true => Vec::new(),
        false => subset(dice, &TAGS.map(str::to_owned), 30),
    };
    let requirement = match dice.percent(75) {
        true => Requirement::default(),
        false => requirement(dice, machines),
    };
    let mut requirement = requirement;
    let overrides = steps[0].overrides();
    if matches!(overrides.device, Device::Interface(_)) {
        // Another maker's GPU would not have the interface.
        requirement.gpu = requirement.gpu.map(|_| "rtx 4090".into());
    }
    let names = RESOURCES.map(|(name, _)| name.to_owned());
    JobSettings {
        category: (*dice.pick(&["default", "film", "tests"])).into(),
        priority: *dice.pick(&[10, 50, 100, 100, 100, 200, 1000]),
        tags,
        chunk: match dice.percent(60) {
            true => 1,
            false => dice.between(2, 10) as u32,
        },
        max_attempts: dice.between(2, 5) as u32,
        requirement,
        resources: match dice.percent(85) {
            true => Vec::new(),
            false => vec![dice.pick(&names).clone()],
        },
        preempt: dice.percent(5),
        ..JobSettings::named(format!("job {index}"))
    }
}

fn requirement(dice: &mut Dice, machines: &[Machine]) -> Requirement {
    let mut requirement = Requirement::default();
    match dice.below(7) {
        0 => requirement.memory_bytes = Some(dice.spread(8, 256) << 30),
        1 => requirement.cores = Some(dice.spread(4, 64) as u32),
        2 => requirement.gpu = Some((*dice.pick(&["rtx 4090", "NVIDIA", "radeon"])).into()),
        3 => requirement.gpu_memory_bytes = Some(dice.between(4, 24) << 30),
        4 => requirement.os = Some((*dice.pick(&["linux", "windows", "macos"])).into()),
        5 => {
            let range = dice.pick(&["3.4..", "4.2..5.0", "5.0"]);
            requirement.blender = Some(range.parse().expect("a range of series"));
        }
        _ => {
            let named = (0..dice.between(1, 4)).map(|_| dice.pick(machines).name.clone());
            requirement.workers = named.collect();
        }
    }
    requirement
}

/// So many frames, from this one on.
fn numbered(start: i32, count: u32, stride: u32) -> FrameSet {
    let end = start + ((count - 1) * stride) as i32;
    FrameSet::range(start, end, stride).expect("a range within Blender's")
}

fn steps(dice: &mut Dice, frames: u32) -> Vec<Step> {
    let in_order = frames <= IN_ORDER_FRAMES_MAX && dice.percent(20);
    let count = match frames >= 8 && dice.percent(20) {
        true => dice.between(2, 3) as u32,
        false => 1,
    };
    let start = dice.below(40) as i32 - 20;
    let stride = if dice.percent(20) { 3 } else { 1 };
    let device = match dice.below(10) {
        0 => Device::Gpu,
        1 => Device::Interface("optix".into()),
        2 => Device::File,
        _ => Device::Cpu,
    };
    let each = (frames / count).max(1);
    let by_frame = dice.percent(50);
    // One job of five may be divided among workers.
    let mut split = dice.percent(20).then(|| Split {
        width: 1920,
        height: 1080,
        samples: dice.between(1, 256) as u32,
        first: 0,
        grows_to: Some(1024),
        noise: None,
        by: match dice.percent(30) {
            // (Many frames are many parts already.)
            _ if frames > DIVIDED_FINELY_MAX => SplitBy::Halvings(1),
            true => SplitBy::Samples,
            false => SplitBy::Halvings(dice.between(2, 5) as u8),
        },
    });
    // Some of those get samples where there is noise.
    if let Some(split) = &mut split
        && matches!(split.by, SplitBy::Halvings(2..))
        && split.samples.is_multiple_of(2)
    {
        split.noise = Some(10_000);
    }
    (0..count)
        .map(|step| Step {
            kind: StepKind::Render(Overrides {
                device: device.clone(),
                ..Overrides::default()
            }),
            frames: numbered(start, each, stride),
            in_order,
            by_frame: step > 0 && by_frame,
            beside: false,
            split,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        })
        .collect()
}

/// Makes frames fail for good.
fn spoil(plan: &Plan, kind: Fault, works: &mut [Work], machines: usize) {
    let mut dice = Dice::new(plan.seed, Concern::Fault(kind as u8));
    for work in works {
        let one_in = if kind == Fault::Lethal { 20 } else { 6 };
        if dice.below(one_in) != 0 {
            continue;
        }
        if kind == Fault::BadWorker {
            work.bad_machine = Some(dice.below(machines as u64) as usize);
            continue;
        }
        for _ in 0..dice.between(1, 2) {
            let step = dice.below(work.new.steps.len() as u64) as u16;
            let frames = work.new.steps[usize::from(step)].frames.len();
            let at = (step, dice.below(frames.into()) as u32);
            match kind {
                Fault::Lethal => work.lethal.push(at),
                _ => work.poisoned.push(at),
            }
        }
    }
}

/// What a job waits for, of those that have a number by now.
pub(crate) fn after(works: &[Work], index: WorkIndex) -> Vec<After> {
    works[index]
        .after
        .iter()
        .filter_map(|&(other, frames)| {
            Some(After {
                job: works[other].job?,
                frames,
            })
        })
        .collect()
}
