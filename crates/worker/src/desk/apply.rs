//! What follows from each thing that happens. Every rule ends in the same two steps: leases that are over are
//! taken off the desk, and what is free is put to work.

use tessera_blobs::Digest;
use tessera_model::{FrameErrorKind, LeaseKey, WorkerMode};
use tessera_wire::link::{FromWorker, LeaseOffer};

use super::lease::{Held, Stage, manifest_of};
use super::shelf::Beside;
use super::{Busy, Desk, EarlyFailure, Effects, FrameEnd, Input, LEASES_MAX, Resting, Slot, Warm};

impl Desk {
    /// Takes in one thing that happened and says what is to be done.
    pub(crate) fn apply(&mut self, input: Input) -> Effects {
        let mut effects = Effects::default();
        match input {
            Input::Lease(offer) => self.lease(*offer, &mut effects),
            Input::Recall(key) => self.recall(key, &mut effects),
            Input::Cancel(keys) => self.cancel(&keys, &mut effects),
            Input::Mode(mode) => self.set_mode(mode, &mut effects),
            Input::Rest(resting) => self.set_rest(resting, &mut effects),
            Input::TreeReady {
                manifest,
                bytes,
                took,
            } => self.shelf.ready(manifest, bytes, took),
            Input::TreeFailed {
                manifest,
                kind,
                message,
            } => self.tree_failed(manifest, kind, &message, &mut effects),
            Input::TreeAborted(manifest) => {
                self.shelf.gone(&manifest);
                self.want_again(&manifest, &mut effects);
            }
            Input::TreeRemoved(manifest) => self.tree_removed(manifest, &mut effects),
            Input::DiskFull => self.evict(true, &mut effects),
            Input::SlotIdle { slot, warm } => self.slot_idle(slot, warm),
            Input::Cooled { slot } => self.cooled(slot),
            Input::FrameStarted { slot, warm } => self.frame_started(slot, warm, &mut effects),
            Input::FrameEnded { slot, end, warm } => self.frame_ended(slot, end, warm),
            Input::Reported { key, position } => {
                if let Some(held) = self.leases.get_mut(&key) {
                    held.unsent.remove(&position);
                }
            }
            Input::Restored { key, position } => {
                let held = self.leases.entry(key).or_insert_with(Held::restored);
                held.unsent.insert(position, 0);
            }
            Input::Builds(builds) => self.builds = builds,
            Input::Close => {
                self.closing = true;
                effects.say.push(FromWorker::Leaving);
                self.give_back_all(true, &mut effects);
            }
        }
        self.settle(&mut effects);
        self.assign(&mut effects);
        effects
    }

    /// Whether it ends by itself: draining, and nothing is left in hand.
    pub(crate) fn is_drained(&self) -> bool {
        self.mode == WorkerMode::Draining && self.leases.is_empty() && self.is_still()
    }

    /// Whether no slot renders.
    pub(crate) fn is_still(&self) -> bool {
        let rendering = |slot: &Slot| matches!(slot.busy, Busy::Frame { .. });
        !self.slots.iter().any(rendering)
    }

    fn lease(&mut self, offer: LeaseOffer, effects: &mut Effects) {
        let key = offer.key;
        if self.leases.contains_key(&key) {
            return;
        }
        if !self.takes_new() || self.leases.len() >= LEASES_MAX {
            effects.say.push(FromWorker::Returned { key });
            return;
        }
        self.arrivals += 1;
        let mut held = Held::new(offer, self.arrivals);
        let offer = held.offer.as_ref().expect("a new lease has its offer");
        if !self.builds.contains(&offer.build) {
            let message = format!(
                "this worker has no {} any more: install it again, or remove the worker from the farm",
                offer.build
            );
            self.failed += fail_rest(&mut held, key, FrameErrorKind::Worker, &message, effects);
        } else if self.shelf.want(manifest_of(offer)) {
            effects.fetch.push(super::Fetch {
                manifest: offer.manifest,
                sources: offer.sources.clone(),
            });
        }
        self.leases.insert(key, held);
    }

    fn recall(&mut self, key: LeaseKey, effects: &mut Effects) {
        let waits = |held: &Held| held.stage == Stage::Waiting;
        if self.leases.get(&key).is_some_and(waits) {
            self.leases.remove(&key);
            effects.say.push(FromWorker::Returned { key });
        }
    }

    fn cancel(&mut self, keys: &[LeaseKey], effects: &mut Effects) {
        for key in keys {
            if self.leases.remove(key).is_some() {
                self.stop_slot_of(key, effects);
            }
        }
    }

    fn stop_slot_of(&self, key: &LeaseKey, effects: &mut Effects) {
        let has = |busy: &Busy| matches!(busy, Busy::Frame { key: of, .. } if of == key);
        let slots = self.slots.iter().enumerate();
        effects
            .stop
            .extend(slots.filter(|(_, slot)| has(&slot.busy)).map(|(at, _)| at));
    }

    fn set_mode(&mut self, mode: WorkerMode, effects: &mut Effects) {
        self.mode = mode;
        match mode {
            WorkerMode::Active => {}
            WorkerMode::Paused | WorkerMode::Draining => self.give_back_all(false, effects),
            WorkerMode::Blocked => self.give_back_all(true, effects),
        }
    }

    /// The owner wants the machine from now on, or no more: as a pause that the worker sets itself.
    fn set_rest(&mut self, resting: Resting, effects: &mut Effects) {
        self.resting = resting;
        if resting != Resting::No {
            self.give_back_all(resting == Resting::Now, effects);
        }
    }

    /// Whether it may be given anything.
    fn takes_new(&self) -> bool {
        self.mode == WorkerMode::Active && self.resting == Resting::No && !self.closing
    }

    /// What has not begun goes back at once. What has begun goes back after its present frame, or, with `kill`, now;
    /// frames that depend on their order are only torn apart by a kill.
    fn give_back_all(&mut self, kill: bool, effects: &mut Effects) {
        let mut begun = Vec::new();
        self.leases.retain(|key, held| match held.stage {
            Stage::Waiting => {
                effects.say.push(FromWorker::Returned { key: *key });
                false
            }
            Stage::Begun { .. } => {
                begun.push(*key);
                true
            }
            Stage::Ended { .. } => true,
        });
        for key in begun {
            let held = self.leases.get_mut(&key).expect("was just seen");
            if kill {
                held.stage = Stage::Ended { finished: false };
                self.stop_slot_of(&key, effects);
            }
        }
    }

    /// Whether a lease that has begun goes on to its next frame.
    fn goes_on(&self, held: &Held) -> bool {
        let in_order = held.offer.as_ref().is_some_and(|offer| offer.in_order);
        match self.mode {
            WorkerMode::Active => match self.resting {
                Resting::No => true,
                Resting::AfterFrame => in_order,
                Resting::Now => false,
            },
            WorkerMode::Paused | WorkerMode::Draining => in_order,
            WorkerMode::Blocked => false,
        }
    }

    fn tree_failed(
        &mut self,
        manifest: Digest,
        kind: FrameErrorKind,
        message: &str,
        effects: &mut Effects,
    ) {
        self.shelf.gone(&manifest);
        if kind == FrameErrorKind::Disk {
            self.evict(true, effects);
            if self.shelf.is_any_going() {
                self.starved.insert(manifest);
                return;
            }
        }
        for (key, held) in &mut self.leases {
            if held.needs_tree() == Some(manifest) {
                self.failed += fail_rest(held, *key, kind, message, effects);
            }
        }
    }

    fn tree_removed(&mut self, manifest: Digest, effects: &mut Effects) {
        self.shelf.gone(&manifest);
        self.want_again(&manifest, effects);
        if !self.shelf.is_any_going() {
            for starved in std::mem::take(&mut self.starved) {
                self.want_again(&starved, effects);
            }
        }
    }

    /// A tree has gone; if somebody came to need it meanwhile, it is brought again.
    fn want_again(&mut self, manifest: &Digest, effects: &mut Effects) {
        let needs = |held: &&Held| held.needs_tree() == Some(*manifest);
        let offer = self
            .leases
            .values()
            .find(needs)
            .and_then(|held| held.offer.clone());
        if let Some(offer) = offer
            && self.shelf.want(*manifest)
        {
            effects.fetch.push(super::Fetch {
                manifest: offer.manifest,
                sources: offer.sources.clone(),
            });
        }
    }

    fn slot_idle(&mut self, slot: usize, warm: Warm) {
        let slot = &mut self.slots[slot];
        slot.warm = warm;
        if let Busy::Warming(build) = std::mem::replace(&mut slot.busy, Busy::No) {
            slot.cold = slot.warm.build != Some(build);
        }
    }

    /// A slot without an order has lost its Blender. What frames before left in it for those after them has gone with it.
    fn cooled(&mut self, slot: usize) {
        self.slots[slot].warm = Warm::default();
        for held in self.leases.values_mut() {
            let in_order = held.offer.as_ref().is_some_and(|offer| offer.in_order);
            if held.stage == (Stage::Begun { slot }) && in_order {
                held.stage = Stage::Ended { finished: false };
            }
        }
    }

    fn frame_started(&mut self, slot: usize, warm: Warm, effects: &mut Effects) {
        self.slots[slot].warm = warm;
        let Busy::Frame { key, started } = &mut self.slots[slot].busy else {
            return;
        };
        *started = true;
        let key = *key;
        let Some(held) = self.leases.get(&key) else {
            return;
        };
        if let Some((_, frame)) = held.next_frame() {
            effects.say.push(FromWorker::Started {
                key,
                position: frame.position,
            });
        }
    }

    fn frame_ended(&mut self, slot: usize, end: FrameEnd, warm: Warm) {
        let at = &mut self.slots[slot];
        at.warm = warm;
        at.tree = None;
        at.cold = false;
        let busy = std::mem::replace(&mut at.busy, Busy::No);
        let Busy::Frame { key, .. } = busy else {
            return;
        };
        match end {
            FrameEnd::Rendered { .. } => self.done += 1,
            FrameEnd::Failed => self.failed += 1,
            FrameEnd::Unwanted | FrameEnd::Stopped => {}
        }
        let has_begun = |held: &&mut Held| held.stage != Stage::Waiting;
        let Some(held) = self.leases.get_mut(&key).filter(has_begun) else {
            return;
        };
        let Some((index, frame)) = held.next_frame() else {
            return;
        };
        let in_order = held.offer.as_ref().is_some_and(|offer| offer.in_order);
        match end {
            FrameEnd::Rendered { bytes } => {
                held.unsent.insert(frame.position, bytes);
            }
            FrameEnd::Failed => {
                let blame = held.blame(index).unwrap_or(frame);
                held.unsent.insert(blame.position, 0);
                if in_order {
                    // Those after it depend on it: the farm begins again from the first one.
                    held.stage = Stage::Ended { finished: false };
                }
            }
            FrameEnd::Unwanted => {}
            FrameEnd::Stopped => held.stage = Stage::Ended { finished: false },
        }
        held.next = index + 1;
    }

    /// Takes off the desk what is over, and lets go of trees that nobody needs.
    fn settle(&mut self, effects: &mut Effects) {
        let keys: Vec<LeaseKey> = self.leases.keys().copied().collect();
        for key in keys {
            let rendering = self.is_rendering(&key);
            let held = &self.leases[&key];
            let mut stage = held.stage;
            if matches!(stage, Stage::Begun { .. } | Stage::Waiting) && !rendering {
                if held.next_frame().is_none() {
                    stage = Stage::Ended { finished: true };
                } else if held.stage != Stage::Waiting && !self.goes_on(held) {
                    stage = Stage::Ended { finished: false };
                }
            }
            let held = self.leases.get_mut(&key).expect("is one of the keys");
            held.stage = stage;
            let Stage::Ended { finished } = stage else {
                continue;
            };
            if held.unsent.is_empty() && !rendering {
                self.leases.remove(&key);
                effects.say.push(match finished {
                    true => FromWorker::Finished { key },
                    false => FromWorker::Returned { key },
                });
            }
        }
        let leases = &self.leases;
        let needed = |manifest: &Digest| {
            let needs = |held: &Held| held.needs_tree().as_ref() == Some(manifest);
            leases.values().any(needs)
        };
        effects.abort.extend(self.shelf.unwanted(needed));
        self.evict(false, effects);
    }

    fn is_rendering(&self, key: &LeaseKey) -> bool {
        let has = |busy: &Busy| matches!(busy, Busy::Frame { key: of, .. } if of == key);
        self.slots.iter().any(|slot| has(&slot.busy))
    }

    /// Lets go of trees: those above the bounds, the one unused longest first, or, with `all`, every one that no lease
    /// needs. What an idle Blender has open stays, unless all go: it finds the same files again when they come back.
    fn evict(&mut self, all: bool, effects: &mut Effects) {
        let (leases, slots) = (&self.leases, &self.slots);
        let in_use = |manifest: &Digest| {
            let needs = |held: &Held| held.needs_tree().as_ref() == Some(manifest);
            let renders = |slot: &Slot| slot.tree.as_ref() == Some(manifest);
            let is_open = |slot: &Slot| {
                let scene = slot.warm.scene.as_ref();
                scene.is_some_and(|scene| scene.manifest == *manifest)
            };
            leases.values().any(needs)
                || slots
                    .iter()
                    .any(|slot| renders(slot) || (!all && is_open(slot)))
        };
        let own = slots.iter().filter_map(|slot| slot.warm.own_tree_bytes);
        let beside = own.fold(Beside::default(), |beside, bytes| Beside {
            trees: beside.trees + 1,
            bytes: beside.bytes + bytes,
        });
        effects
            .remove_trees
            .extend(self.shelf.evict(in_use, beside, all));
    }
}

/// Every frame that is left of a lease fails for one reason. How many those are.
fn fail_rest(
    held: &mut Held,
    key: LeaseKey,
    kind: FrameErrorKind,
    message: &str,
    effects: &mut Effects,
) -> u64 {
    let Some(offer) = held.offer.clone() else {
        return 0;
    };
    let before = effects.fail.len();
    for frame in offer.frames[held.next..]
        .iter()
        .filter(|frame| frame.wanted)
    {
        held.unsent.insert(frame.position, 0);
        effects.fail.push(EarlyFailure {
            key,
            frame: *frame,
            kind,
            message: message.to_owned(),
        });
    }
    held.next = offer.frames.len();
    held.stage = Stage::Ended { finished: true };
    (effects.fail.len() - before) as u64
}
