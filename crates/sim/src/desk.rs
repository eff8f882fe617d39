//! What a worker's program has in its hands.
//!
//! The same rules as the real one's desk (crates/worker/src/desk): one frame is handed to a slot at a time, a lease that
//! has begun goes on in its slot, a slot takes first what its Blender has open, a lease ends with its last report, and what
//! has not begun is given back when asked for. Pure: it says what is to be done, and the world does it.

mod assign;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tessera_model::{FrameErrorKind, JobId, LeaseKey, WorkerMode};
use tessera_scheduler::FrameOrder;

use crate::work::WorkIndex;

/// Work as it reaches a worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Offer {
    pub key: LeaseKey,
    pub frames: Vec<FrameOrder>,
    pub in_order: bool,
    pub urgent: bool,
    pub work: WorkIndex,
    pub scene: u64,
    pub part: Part,
}

/// What is made of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// A run of its places.
    Places {
        first: u32,
        count: u32,
        of: u32,
    },
    /// So many of its samples.
    Samples {
        count: u32,
        of: u32,
    },
    /// The frame of its parts, if there is no noise left in it: in so many of its tiles there is.
    Assembled {
        noisy: u16,
    },
}

/// A frame that ended and whose report the manager has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub frame: i32,
    pub report: Report,
    /// Times it was sent: an answer is waited for after each.
    pub tries: u32,
}

/// What is told of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    Done,
    /// Not yet: so many tiles are to have more samples first.
    Noisy(u16),
    Failed(FrameErrorKind),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Say(FromWorker),
    /// Bring a scene's files.
    Fetch(WorkIndex, u64),
    /// A slot begins a frame; with `load`, its scene is opened first.
    Give {
        slot: usize,
        run: u64,
        offer: Arc<Offer>,
        frame: FrameOrder,
        load: bool,
    },
    /// A report is to be sent.
    Post(LeaseKey, u32),
}

/// From a worker to the manager, over its link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FromWorker {
    Started(LeaseKey, u32),
    Returned(LeaseKey),
    Finished(LeaseKey),
    Heartbeat(Vec<(LeaseKey, Option<u32>)>),
    Facts,
    Leaving,
}

impl fmt::Display for FromWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = |key: &LeaseKey| format!("{} attempt {}", key.unit, key.attempt.0);
        match self {
            Self::Started(key, position) => {
                write!(f, "begins position {position} of {}", lease(key))
            }
            Self::Returned(key) => write!(f, "gives back {}", lease(key)),
            Self::Finished(key) => write!(f, "has finished {}", lease(key)),
            Self::Heartbeat(holds) => write!(f, "lives, holding {}", holds.len()),
            Self::Facts => f.write_str("is something else now"),
            Self::Leaving => f.write_str("leaves"),
        }
    }
}

#[derive(Debug)]
struct Held {
    /// None for one of a former start of the program, of which only reports are left.
    offer: Option<Arc<Offer>>,
    arrived: u64,
    stage: Stage,
    /// How many of the offer's frames are behind it.
    next: usize,
    passed_over: u32,
    unsent: BTreeMap<u32, Unsent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun { slot: usize },
    Ended { finished: bool },
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// What its Blender has open.
    scene: Option<u64>,
    busy: Option<Busy>,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    key: LeaseKey,
    started: bool,
    run: u64,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Desk {
    mode: WorkerMode,
    closing: bool,
    leases: BTreeMap<LeaseKey, Held>,
    arrivals: u64,
    runs: u64,
    slots: Vec<Slot>,
    /// Scenes whose files lie on the disk, and those whose come.
    files: BTreeSet<u64>,
    coming: BTreeSet<u64>,
    pub loads: u64,
}

impl Desk {
    pub(crate) fn new(slots: u32, files: BTreeSet<u64>) -> Self {
        Self {
            mode: WorkerMode::Active,
            closing: false,
            leases: BTreeMap::new(),
            arrivals: 0,
            runs: 0,
            slots: vec![Slot::default(); slots as usize],
            files,
            coming: BTreeSet::new(),
            loads: 0,
        }
    }

    /// Takes up a report that outlived a former start.
    pub(crate) fn restore(&mut self, key: LeaseKey, position: u32, unsent: Unsent) {
        let held = self.leases.entry(key).or_insert_with(|| Held {
            offer: None,
            arrived: 0,
            stage: Stage::Ended { finished: false },
            next: 0,
            passed_over: 0,
            unsent: BTreeMap::new(),
        });
        held.unsent.insert(position, unsent);
    }

    /// Work came.
    pub(crate) fn lease(&mut self, offer: Offer) -> Vec<Act> {
        let mut acts = Vec::new();
        let key = offer.key;
        if !self.leases.contains_key(&key) {
            if self.mode != WorkerMode::Active || self.closing {
                return vec![Act::Say(FromWorker::Returned(key))];
            }
            self.arrivals += 1;
            self.want_files(&offer, &mut acts);
            let held = Held {
                offer: Some(Arc::new(offer)),
                arrived: self.arrivals,
                stage: Stage::Waiting,
                next: 0,
                passed_over: 0,
                unsent: BTreeMap::new(),
            };
            self.leases.insert(key, held);
        }
        self.go_on(&mut acts);
        acts
    }

    fn want_files(&mut self, offer: &Offer, acts: &mut Vec<Act>) {
        if !self.files.contains(&offer.scene) && self.coming.insert(offer.scene) {
            acts.push(Act::Fetch(offer.work, offer.scene));
        }
    }

    /// Give back unless begun.
    pub(crate) fn recall(&mut self, key: LeaseKey) -> Vec<Act> {
        let waits = |held: &Held| held.stage == Stage::Waiting;
        if self.leases.get(&key).is_some_and(waits) {
            self.leases.remove(&key);
            return vec![Act::Say(FromWorker::Returned(key))];
        }
        Vec::new()
    }

    /// Stop, and say nothing of it.
    pub(crate) fn cancel(&mut self, keys: &[LeaseKey]) -> Vec<Act> {
        for key in keys {
            if self.leases.remove(key).is_some() {
                self.kill(*key);
            }
        }
        let mut acts = Vec::new();
        self.go_on(&mut acts);
        acts
    }

    fn kill(&mut self, key: LeaseKey) {
        for slot in &mut self.slots {
            if slot.busy.is_some_and(|busy| busy.key == key) {
                *slot = Slot::default();
            }
        }
    }

    pub(crate) fn set_mode(&mut self, mode: WorkerMode) -> Vec<Act> {
        self.mode = mode;
        let mut acts = Vec::new();
        match mode {
            WorkerMode::Active => {}
            WorkerMode::Paused | WorkerMode::Draining => self.give_back(false, &mut acts),
            WorkerMode::Blocked => self.give_back(true, &mut acts),
        }
        self.go_on(&mut acts);
        acts
    }

    /// The program ends, in good order.
    pub(crate) fn close(&mut self) -> Vec<Act> {
        self.closing = true;
        let mut acts = vec![Act::Say(FromWorker::Leaving)];
        self.give_back(true, &mut acts);
        self.settle(&mut acts);
        acts
    }

    fn give_back(&mut self, kill: bool, acts: &mut Vec<Act>) {
        let mut begun = Vec::new();
        self.leases.retain(|key, held| match held.stage {
            Stage::Waiting => {
                acts.push(Act::Say(FromWorker::Returned(*key)));
                false
            }
            Stage::Begun { .. } => {
                begun.push(*key);
                true
            }
            Stage::Ended { .. } => true,
        });
        for key in begun {
            if kill {
                self.kill(key);
                let held = self.leases.get_mut(&key).expect("was just seen");
                held.stage = Stage::Ended { finished: false };
            }
        }
    }

    /// Files lie there, or could not be brought.
    pub(crate) fn fetched(&mut self, scene: u64, found: Result<(), FrameErrorKind>) -> Vec<Act> {
        let mut acts = Vec::new();
        self.coming.remove(&scene);
        match found {
            Ok(()) => {
                self.files.insert(scene);
            }
            Err(kind) => self.fail_all(scene, kind, &mut acts),
        }
        self.go_on(&mut acts);
        acts
    }

    /// Whether it ends by itself: draining, and nothing is left in hand.
    pub(crate) fn is_drained(&self) -> bool {
        self.mode == WorkerMode::Draining && self.leases.is_empty()
    }

    /// Whether somebody still waits for reports of this lease.
    pub(crate) fn unsent(&self, key: LeaseKey, position: u32) -> Option<&Unsent> {
        self.leases.get(&key)?.unsent.get(&position)
    }

    pub(crate) fn unsent_mut(&mut self, key: LeaseKey, position: u32) -> Option<&mut Unsent> {
        self.leases.get_mut(&key)?.unsent.get_mut(&position)
    }

    /// All reports that wait for an answer.
    pub(crate) fn all_unsent(&self) -> impl Iterator<Item = (LeaseKey, u32, Unsent)> + '_ {
        self.leases.iter().flat_map(|(key, held)| {
            let unsent = held.unsent.iter();
            unsent.map(|(position, unsent)| (*key, *position, *unsent))
        })
    }

    /// Every lease in hand.
    pub(crate) fn holds(&self) -> Vec<LeaseKey> {
        self.leases.keys().copied().collect()
    }

    /// The same with what is rendered of each.
    pub(crate) fn holdings(&self) -> Vec<(LeaseKey, Option<u32>)> {
        let rendering = |key: &LeaseKey| {
            let is_on = |slot: &&Slot| slot.busy.is_some_and(|on| on.key == *key && on.started);
            self.slots.iter().find(is_on)?;
            self.leases[key]
                .next_frame()
                .map(|(_, frame)| frame.position)
        };
        let holds = self.leases.keys();
        holds.map(|key| (*key, rendering(key))).collect()
    }

    /// Whether a slot is still at what it was given.
    pub(crate) fn is_on(&self, slot: usize, run: u64) -> bool {
        self.slots[slot].busy.is_some_and(|busy| busy.run == run)
    }

    /// Jobs that slots have a frame of, one for each slot.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = JobId> + '_ {
        let busy = self.slots.iter().filter_map(|slot| slot.busy);
        busy.map(|busy| busy.key.unit.job)
    }

    /// Slots that have a frame.
    pub(crate) fn rendering_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.busy.is_some()).count()
    }
}
