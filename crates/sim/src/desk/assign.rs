//! Free slots and leases that can begin, put together.

use std::cmp::Reverse;

use tessera_model::{LeaseKey, WorkerMode};
use tessera_scheduler::FrameOrder;

use super::{Act, Busy, Desk, FromWorker, Held, Stage};

/// A lease that could begin is passed over this often for one whose scene is loaded already; then it is its turn.
const PASSED_OVER_MAX: u32 = 4;

/// Most frames rendered and not yet taken by the manager; above it no new frame begins.
const UNSENT_MAX: usize = 1024;

impl Held {
    /// The next frame to render: one that is wanted, or that a wanted one after it depends on.
    pub(super) fn next_frame(&self) -> Option<(usize, FrameOrder)> {
        let offer = self.offer.as_ref()?;
        let mut ahead = offer.frames.iter().copied().enumerate().skip(self.next);
        if offer.in_order {
            let needed = ahead.clone().any(|(_, frame)| frame.wanted);
            ahead.next().filter(|_| needed)
        } else {
            ahead.find(|(_, frame)| frame.wanted)
        }
    }

    /// Whom a failure of the frame at `index` is reported under.
    pub(super) fn blame(&self, index: usize) -> Option<FrameOrder> {
        let offer = self.offer.as_ref()?;
        offer.frames[index..]
            .iter()
            .copied()
            .find(|frame| frame.wanted)
    }

    fn is_urgent(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.urgent)
    }

    fn scene(&self) -> Option<u64> {
        self.offer.as_ref().map(|offer| offer.scene)
    }
}

impl Desk {
    /// Takes off the desk what is over, and puts to work what is free.
    pub(super) fn go_on(&mut self, acts: &mut Vec<Act>) {
        self.settle(acts);
        let unsent: usize = self.leases.values().map(|held| held.unsent.len()).sum();
        if self.closing || unsent >= UNSENT_MAX {
            return;
        }
        let idle = self
            .leases
            .iter()
            .filter_map(|(key, held)| match held.stage {
                Stage::Begun { slot } if self.slots[slot].busy.is_none() => Some((slot, *key)),
                _ => None,
            });
        for (slot, key) in idle.collect::<Vec<_>>() {
            self.give(slot, key, acts);
        }
        while let Some((slot, key)) = self.best_pair() {
            self.begin(slot, key, acts);
        }
    }

    /// Whether a lease that has begun goes on to its next frame.
    fn continues(&self, held: &Held) -> bool {
        let in_order = held.offer.as_ref().is_some_and(|offer| offer.in_order);
        match self.mode {
            WorkerMode::Active => true,
            WorkerMode::Paused | WorkerMode::Draining => in_order,
            WorkerMode::Blocked => false,
        }
    }

    pub(super) fn settle(&mut self, acts: &mut Vec<Act>) {
        let keys: Vec<LeaseKey> = self.leases.keys().copied().collect();
        for key in keys {
            let on_it = |slot: &super::Slot| slot.busy.is_some_and(|busy| busy.key == key);
            let rendering = self.slots.iter().any(on_it);
            let held = &self.leases[&key];
            let mut stage = held.stage;
            if matches!(stage, Stage::Begun { .. } | Stage::Waiting) && !rendering {
                if held.next_frame().is_none() {
                    stage = Stage::Ended { finished: true };
                } else if stage != Stage::Waiting && !self.continues(held) {
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
                acts.push(Act::Say(match finished {
                    true => FromWorker::Finished(key),
                    false => FromWorker::Returned(key),
                }));
            }
        }
    }

    /// The free slot and the waiting lease that suit each other best; the lease that came first among equals.
    fn best_pair(&self) -> Option<(usize, LeaseKey)> {
        let free = |slot: &usize| {
            let begun = |held: &Held| held.stage == Stage::Begun { slot: *slot };
            self.slots[*slot].busy.is_none() && !self.leases.values().any(begun)
        };
        let free: Vec<usize> = (0..self.slots.len()).filter(free).collect();
        let waiting = self.leases.iter().filter(|(_, held)| self.can_begin(held));
        let pairs = waiting.flat_map(|lease| free.iter().map(move |slot| (*slot, lease)));
        let rank = |(slot, (_, held)): &(usize, (&LeaseKey, &Held))| {
            let is_due = held.is_urgent() || held.passed_over >= PASSED_OVER_MAX;
            let due = is_due.then_some(Reverse(held.arrived));
            let warm = self.slots[*slot].scene == held.scene();
            (due, warm, Reverse((held.arrived, *slot)))
        };
        pairs.max_by_key(rank).map(|(slot, (key, _))| (slot, *key))
    }

    fn can_begin(&self, held: &Held) -> bool {
        let lies = |scene| self.files.contains(&scene);
        held.stage == Stage::Waiting && held.scene().is_some_and(lies)
    }

    fn begin(&mut self, slot: usize, key: LeaseKey, acts: &mut Vec<Act>) {
        let arrived = self.leases[&key].arrived;
        let passed = |held: &Held| held.arrived < arrived && self.can_begin(held);
        let keys = self.leases.iter().filter(|(_, held)| passed(held));
        for key in keys.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.leases.get_mut(&key).expect("was listed").passed_over += 1;
        }
        self.leases.get_mut(&key).expect("was chosen").stage = Stage::Begun { slot };
        self.give(slot, key, acts);
    }

    /// Hands the lease's next frame to the slot.
    fn give(&mut self, slot: usize, key: LeaseKey, acts: &mut Vec<Act>) {
        let held = &self.leases[&key];
        let Some((index, frame)) = held.next_frame() else {
            return;
        };
        let offer = held.offer.clone().expect("only what has an offer begins");
        let afresh = offer.in_order && index == 0;
        let load = afresh || self.slots[slot].scene != Some(offer.scene);
        self.runs += 1;
        self.loads += u64::from(load);
        self.slots[slot].busy = Some(Busy {
            key,
            started: false,
            run: self.runs,
        });
        acts.push(Act::Give {
            slot,
            run: self.runs,
            offer,
            frame,
            load,
        });
    }
}
