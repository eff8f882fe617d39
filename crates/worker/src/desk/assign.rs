//! Who does what next: free slots and leases that can begin, put together.

use std::cmp::Reverse;

use tessera_model::{Build, LeaseKey};

use super::lease::{Held, Stage, is_afresh, scene_of};
use super::{Busy, Desk, Effects, FrameOrder, Order, Resting, UNSENT_BYTES_MAX, UNSENT_FRAMES_MAX};

/// How well a slot suits a lease, best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Another Blender lives there and would have to go.
    OtherBuild,
    /// Nothing lives there.
    Empty,
    /// The right Blender lives there.
    Build,
    /// And has the scene open.
    Scene,
}

impl Desk {
    pub(super) fn assign(&mut self, effects: &mut Effects) {
        if self.closing {
            return;
        }
        if !self.is_full() {
            self.go_on(effects);
            while let Some((slot, key)) = self.best_pair() {
                self.begin(slot, key, effects);
            }
        }
        match self.resting {
            Resting::No => self.warm_up(effects),
            Resting::AfterFrame | Resting::Now => self.cool_down(effects),
        }
    }

    /// Frames and bytes rendered and not taken by the manager yet.
    pub(super) fn unsent(&self) -> (usize, u64) {
        let each = self.leases.values().map(|held| &held.unsent);
        each.fold((0, 0), |(frames, bytes), unsent| {
            (frames + unsent.len(), bytes + unsent.values().sum::<u64>())
        })
    }

    fn is_full(&self) -> bool {
        let (frames, bytes) = self.unsent();
        frames >= UNSENT_FRAMES_MAX || bytes >= UNSENT_BYTES_MAX
    }

    /// A lease that has begun goes on in its slot before anything else does.
    fn go_on(&mut self, effects: &mut Effects) {
        let begun = self
            .leases
            .iter()
            .filter_map(|(key, held)| match held.stage {
                Stage::Begun { slot } if self.slots[slot].busy == Busy::No => Some((slot, *key)),
                _ => None,
            });
        for (slot, key) in begun.collect::<Vec<_>>() {
            self.give(slot, key, effects);
        }
    }

    /// The free slot and the waiting lease that suit each other best; the lease that came first among equals.
    ///
    /// The farm sends leases in the order in which it wants them rendered, the more deserving ones first. What that order
    /// loses here is bounded: once its files are there, a lease waits for those that came before it, and for no more
    /// than [`PASSED_OVER_MAX`](super::PASSED_OVER_MAX) of those that came after it. Loading a scene can take minutes, and the frames it would be
    /// loaded between seconds, so letting a few past saves more than it costs. What the farm calls urgent lets none past
    /// that came after it, and is the next to begin unless something before it has waited its turn.
    fn best_pair(&self) -> Option<(usize, LeaseKey)> {
        let free: Vec<usize> = self.free_slots().collect();
        let waiting = self.leases.iter().filter(|(_, held)| self.can_begin(held));
        let pairs = waiting.flat_map(|lease| free.iter().map(move |slot| (*slot, lease)));
        let pairs = pairs.filter(|(slot, (_, held))| self.is_worth_it(*slot, held));
        let rank = |(slot, (_, held)): &(usize, (&LeaseKey, &Held))| {
            // Of those whose turn it is, the one that came first: however well others fit, they are not let past.
            let due = held.is_due().then_some(Reverse(held.arrived));
            (due, self.fit(*slot, held), Reverse((held.arrived, *slot)))
        };
        pairs.max_by_key(rank).map(|(slot, (key, _))| (slot, *key))
    }

    /// Slots that wait for an order and have nothing begun.
    fn free_slots(&self) -> impl Iterator<Item = usize> {
        let free = |slot: &usize| {
            let begun = |held: &Held| held.stage == Stage::Begun { slot: *slot };
            self.slots[*slot].busy == Busy::No && !self.leases.values().any(begun)
        };
        (0..self.slots.len()).filter(free)
    }

    fn can_begin(&self, held: &Held) -> bool {
        let ready = |manifest| self.shelf.is_ready(&manifest);
        held.stage == Stage::Waiting && held.needs_tree().is_some_and(ready)
    }

    /// Whether a lease should begin in this slot rather than wait: not while a Blender for it is being started elsewhere, which
    /// will be there sooner than one that is started now.
    fn is_worth_it(&self, slot: usize, held: &Held) -> bool {
        let Some(offer) = &held.offer else {
            return true;
        };
        if held.is_due() || self.fit(slot, held) >= Fit::Build {
            return true;
        }
        let for_it =
            |slot: &&super::Slot| matches!(&slot.busy, Busy::Warming(of) if *of == offer.build);
        let started = self.slots.iter().filter(for_it).count();
        if started == 0 {
            return true;
        }
        let rival = |held: &&Held| {
            let build = held.offer.as_ref().map(|offer| &offer.build);
            build == Some(&offer.build) && self.can_begin(held)
        };
        self.leases.values().filter(rival).count() > started
    }

    fn fit(&self, slot: usize, held: &Held) -> Fit {
        let warm = &self.slots[slot].warm;
        let Some(offer) = &held.offer else {
            return Fit::OtherBuild;
        };
        match &warm.build {
            None => Fit::Empty,
            Some(build) if *build != offer.build => Fit::OtherBuild,
            Some(_) if warm.scene.as_ref() == Some(&scene_of(offer)) => Fit::Scene,
            Some(_) => Fit::Build,
        }
    }

    fn begin(&mut self, slot: usize, key: LeaseKey, effects: &mut Effects) {
        let arrived = self.leases[&key].arrived;
        let waiting: Vec<LeaseKey> = self
            .leases
            .iter()
            .filter(|(_, held)| held.arrived < arrived && self.can_begin(held))
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            self.leases
                .get_mut(&key)
                .expect("was just listed")
                .passed_over += 1;
        }
        self.leases.get_mut(&key).expect("was just chosen").stage = Stage::Begun { slot };
        self.give(slot, key, effects);
    }

    /// Hands the lease's next frame to the slot.
    fn give(&mut self, slot: usize, key: LeaseKey, effects: &mut Effects) {
        let held = &self.leases[&key];
        let Some((index, frame)) = held.next_frame() else {
            return;
        };
        let offer = held.offer.clone().expect("only what has an offer begins");
        let scene = scene_of(&offer);
        let transfer = self.shelf.charge(&scene.manifest);
        self.slots[slot].busy = Busy::Frame {
            key,
            started: false,
        };
        self.slots[slot].tree = Some(scene.manifest);
        let order = FrameOrder {
            frame,
            blame: held.blame(index).unwrap_or(frame),
            afresh: is_afresh(&offer, index),
            scene,
            offer,
            transfer,
        };
        effects.orders.push((slot, Order::Frame(Box::new(order))));
    }

    /// While files are on their way, free slots start the Blenders that will want them.
    fn warm_up(&mut self, effects: &mut Effects) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.busy == Busy::No
                && let Some(build) = slot.prewarm.take()
            {
                slot.busy = Busy::Warming(build.clone());
                effects.orders.push((at, Order::Warm(build)));
            }
        }
        let coming = self.leases.values().filter(|held| {
            let lies = |manifest| self.shelf.is_ready(&manifest);
            held.stage == Stage::Waiting && !held.needs_tree().is_none_or(lies)
        });
        let builds = coming.filter_map(|held| held.offer.as_ref().map(|offer| offer.build.clone()));
        for build in builds.collect::<Vec<_>>() {
            self.warm_one(&build, effects);
        }
    }

    /// Blenders that nobody will use before long let go of their memory.
    fn cool_down(&mut self, effects: &mut Effects) {
        for slot in self.free_slots().collect::<Vec<_>>() {
            if self.slots[slot].warm.build.is_some() {
                self.slots[slot].busy = Busy::Cooling;
                effects.orders.push((slot, Order::Cool));
            }
        }
    }

    fn warm_one(&mut self, build: &Build, effects: &mut Effects) {
        let lives = |slot: &super::Slot| match &slot.busy {
            Busy::No => slot.warm.build.as_ref() == Some(build),
            Busy::Warming(other) => other == build,
            Busy::Absent | Busy::Cooling | Busy::Frame { .. } => false,
        };
        let asked = |held: &&Held| {
            let offer = held.offer.as_ref();
            held.stage == Stage::Waiting && offer.is_some_and(|offer| offer.build == *build)
        };
        let needed = self.leases.values().filter(asked).count();
        if self.slots.iter().filter(|slot| lives(slot)).count() >= needed {
            return;
        }
        let free = self.slots.iter_mut().enumerate().find(|(_, slot)| {
            slot.busy == Busy::No && !slot.cold && slot.warm.build.as_ref() != Some(build)
        });
        if let Some((at, slot)) = free {
            slot.busy = Busy::Warming(build.clone());
            effects.orders.push((at, Order::Warm(build.clone())));
        }
    }
}
