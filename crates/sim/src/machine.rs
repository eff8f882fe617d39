//! The machines of a farm, and what was given to each by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{Build, BuildKind, Gpu, LeaseKey, WorkerFacts, WorkerId};

use crate::desk::{Desk, Unsent};
use crate::dice::{Concern, Dice};
use crate::fault::Fault;
use crate::network::LinkNumber;
use crate::plan::Plan;

/// Labels that owners give.
pub(crate) const TAGS: [&str; 4] = ["fast", "lab", "night", "studio"];

/// Number in the list of machines.
pub(crate) type MachineIndex = usize;

/// A machine, switched on or not.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The name its owner wishes.
    pub name: String,
    pub facts: WorkerFacts,
    /// It needs so many percent of the time that the fastest needs.
    pub slowness: u64,
    /// When it is switched on first.
    pub joins_at: Duration,
    /// Its identity in the farm, once it is paired.
    pub worker: Option<WorkerId>,
    /// The worker's program, while it runs.
    pub process: Option<Process>,
    /// Counts the program's starts: what was planned for a former one does not happen.
    pub starts: u32,
    /// It stands still until then.
    pub frozen_until: Duration,
    /// No file can be brought until then.
    pub disk_full_until: Duration,
    /// Files that lie on its disk, by scene.
    pub files: BTreeSet<u64>,
    /// Reports that outlived the program.
    pub survivors: BTreeMap<(LeaseKey, u32), Unsent>,
    /// It is not switched on again until the farm is healed.
    pub is_gone: bool,
}

/// The worker's program.
#[derive(Debug)]
pub(crate) struct Process {
    pub desk: Desk,
    pub link: Link,
    /// Tries to link since the last one that worked.
    pub tries: u32,
}

/// The link as the worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Down,
    /// It has greeted and waits for the welcome.
    Greeting(LinkNumber),
    Up(LinkNumber),
}

impl Link {
    pub(crate) fn number(self) -> Option<LinkNumber> {
        match self {
            Self::Down => None,
            Self::Greeting(number) | Self::Up(number) => Some(number),
        }
    }
}

impl Machine {
    pub(crate) fn new(name: String, facts: WorkerFacts, slowness: u64, joins_at: Duration) -> Self {
        Self {
            name,
            facts,
            slowness,
            joins_at,
            worker: None,
            process: None,
            starts: 0,
            frozen_until: Duration::ZERO,
            disk_full_until: Duration::ZERO,
            files: BTreeSet::new(),
            survivors: BTreeMap::new(),
            is_gone: false,
        }
    }

    /// Its link's number, if it has one.
    pub(crate) fn link(&self) -> Option<LinkNumber> {
        self.process.as_ref()?.link.number()
    }

    /// Frames it renders now.
    pub(crate) fn rendering(&self) -> usize {
        self.process
            .as_ref()
            .map_or(0, |process| process.desk.rendering_count())
    }
}

/// The builds there are.
pub(crate) fn builds() -> Vec<Build> {
    let build = |version: &str, kind| Build {
        version: version.parse().expect("a version"),
        hash: "c0ffee".into(),
        kind,
    };
    vec![
        build("3.4.1", BuildKind::Executable),
        build("4.2.3", BuildKind::Executable),
        build("5.0.1", BuildKind::Module),
    ]
}

/// The GPUs there are.
fn gpus() -> Vec<Gpu> {
    let gpu = |interface: &str, name: &str, gigabytes: u64| Gpu {
        interface: interface.into(),
        name: name.into(),
        memory_bytes: Some(gigabytes << 30),
    };
    vec![
        gpu("optix", "NVIDIA GeForce RTX 4090", 24),
        gpu("cuda", "NVIDIA GeForce GTX 1080", 8),
        gpu("hip", "AMD Radeon RX 7900 XTX", 24),
    ]
}

/// The machines of a plan. The first has everything, so that most jobs have a place from the beginning.
pub(crate) fn machines(plan: &Plan) -> Vec<Machine> {
    let mut dice = Dice::new(plan.seed, Concern::Machines);
    let mut late = Dice::new(plan.seed, Concern::Fault(Fault::Late as u8));
    (0..plan.workers.max(1))
        .map(|index| {
            let facts = match index {
                0 => complete_facts("linux"),
                _ => facts(&mut dice),
            };
            let slowness = dice.spread(100, 1000);
            let is_late = late.percent(20) && plan.faults.has(Fault::Late);
            let joins_at = match is_late {
                true => Duration::from_millis(late.below(plan.trouble().as_millis() as u64)),
                // Machines are switched on one after another, if quickly.
                false => Duration::from_millis(dice.below(2000)),
            };
            Machine::new(format!("m{index}"), facts, slowness, joins_at)
        })
        .collect()
}

/// Machines that are bought when the farm is healed: for each system one and a few for large farms, with all there is.
pub(crate) fn bought(now: Duration, workers: u32) -> Vec<Machine> {
    (0..=workers / BOUGHT_FOR)
        .flat_map(|number| {
            ["linux", "macos", "windows"].map(|os| {
                let name = format!("new-{os}{number}");
                Machine::new(name, complete_facts(os), 100, now)
            })
        })
        .collect()
}

/// For so many machines that a farm had, one more of each system is bought.
const BOUGHT_FOR: u32 = 40;

pub(crate) fn complete_facts(os: &str) -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots: 4,
        threads: 16,
        cores: 128,
        memory_bytes: 1 << 40,
        os: os.into(),
        arch: "x86_64".into(),
        host: "host".into(),
        tags: TAGS.map(str::to_owned).to_vec(),
        builds: builds(),
        gpus: gpus(),
        version: "0".into(),
        rest: None,
    }
}

fn facts(dice: &mut Dice) -> WorkerFacts {
    let slots = dice.between(1, 4) as u32;
    let tags = match dice.percent(50) {
        true => Vec::new(),
        false => subset(dice, &TAGS.map(str::to_owned), 50),
    };
    let builds = match dice.percent(80) {
        true => builds(),
        false => subset(dice, &builds(), 60),
    };
    let gpus = match dice.percent(60) {
        true => Vec::new(),
        false => subset(dice, &gpus(), 50),
    };
    WorkerFacts {
        divides: true,
        slots,
        threads: 4,
        cores: dice.spread(4, 64) as u32,
        memory_bytes: dice.spread(8, 256) << 30,
        os: (*dice.pick(&["linux", "linux", "linux", "windows", "macos"])).into(),
        arch: "x86_64".into(),
        host: "host".into(),
        tags,
        builds,
        gpus,
        version: "0".into(),
        rest: None,
    }
}

pub(crate) fn subset<T: Clone>(dice: &mut Dice, of: &[T], percent: u64) -> Vec<T> {
    of.iter()
        .filter(|_| dice.percent(percent))
        .cloned()
        .collect()
}
