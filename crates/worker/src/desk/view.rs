//! What the desk tells others of itself.

use tessera_model::{Blob, LeaseKey, WorkerMode};
use tessera_wire::link::Holding;

use super::lease::{Held, Stage, is_afresh, scene_of};
use super::{Busy, Desk};
use crate::status::SlotStatus;

impl Desk {
    /// Every lease in hand, those included of which only reports are left.
    pub(crate) fn holds(&self) -> Vec<LeaseKey> {
        self.leases.keys().copied().collect()
    }

    /// The same with what is rendered of each.
    pub(crate) fn holdings(&self) -> Vec<Holding> {
        let holding = |key: &LeaseKey| Holding {
            key: *key,
            rendering: self.rendering(key),
        };
        self.leases.keys().map(holding).collect()
    }

    /// The trees that leases in hand still need.
    pub(crate) fn needed_trees(&self) -> Vec<Blob> {
        let needs = |held: &Held| {
            held.needs_tree()?;
            held.offer.as_ref().map(|offer| offer.manifest)
        };
        let mut trees: Vec<Blob> = Vec::new();
        for tree in self.leases.values().filter_map(needs) {
            if !trees.contains(&tree) {
                trees.push(tree);
            }
        }
        trees
    }

    /// Position of the lease's frame that renders now.
    fn rendering(&self, key: &LeaseKey) -> Option<u32> {
        let renders =
            |busy: &Busy| matches!(busy, Busy::Frame { key: of, started: true } if of == key);
        let held = self.leases.get(key)?;
        self.slots.iter().find(|slot| renders(&slot.busy))?;
        held.next_frame().map(|(_, frame)| frame.position)
    }

    /// Whether somebody still waits for reports of this lease.
    pub(crate) fn is_held(&self, key: &LeaseKey) -> bool {
        self.leases.contains_key(key)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(crate) fn mode(&self) -> WorkerMode {
        self.mode
    }

    /// Leases that have not begun.
    pub(crate) fn waiting(&self) -> usize {
        let waits = |stage: Stage| stage == Stage::Waiting;
        self.leases
            .values()
            .filter(|held| waits(held.stage))
            .count()
    }

    /// Frames whose reports the manager has not taken.
    pub(crate) fn unsent_frames(&self) -> usize {
        self.unsent().0
    }

    /// Frames rendered, and failed, since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.done, self.failed)
    }

    pub(crate) fn slots(&self) -> Vec<SlotStatus> {
        self.slots.iter().map(|slot| self.slot(slot)).collect()
    }

    fn slot(&self, slot: &super::Slot) -> SlotStatus {
        match &slot.busy {
            Busy::Absent | Busy::Cooling => SlotStatus::Idle { warm: None },
            Busy::No => SlotStatus::Idle {
                warm: slot.warm.build.clone(),
            },
            Busy::Warming(build) => SlotStatus::Starting {
                build: build.clone(),
            },
            Busy::Frame { key, started } => {
                let held = self.leases.get(key);
                let offer = held.and_then(|held| held.offer.as_ref());
                let job = offer.map_or_else(String::new, |offer| offer.job_name.clone());
                // What is open already is not loaded again: between two frames nothing happens that a person could see.
                let goes_on = |index: usize| {
                    offer.is_some_and(|offer| {
                        !is_afresh(offer, index)
                            && slot.warm.scene.as_ref() == Some(&scene_of(offer))
                    })
                };
                match held.and_then(|held| held.next_frame()) {
                    Some((index, frame)) if *started || goes_on(index) => SlotStatus::Rendering {
                        job,
                        frame: frame.frame,
                    },
                    _ => SlotStatus::Loading { job },
                }
            }
        }
    }
}
