//! What linked workers hold, told from what went over their links: never from decisions that may yet fail to be recorded.
//!
//! When a commit fails the scheduler is built anew from the record, which knows no links; this is what it is then told.

use std::collections::{BTreeMap, BTreeSet};

use tessera_model::{LeaseKey, WorkerFacts, WorkerId};
use tessera_scheduler::{Input, Order};

use crate::links::LinkId;

/// A linked worker.
#[derive(Debug, Clone)]
struct Entry {
    link: LinkId,
    facts: WorkerFacts,
    holds: BTreeSet<LeaseKey>,
    /// It said that it ends: what it still reports counts, but it gets nothing more.
    leaving: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    workers: BTreeMap<WorkerId, Entry>,
}

impl Roster {
    /// A worker greeted; what it had before is forgotten.
    pub(super) fn enter(
        &mut self,
        worker: WorkerId,
        link: LinkId,
        facts: WorkerFacts,
        holds: &[LeaseKey],
    ) {
        let entry = Entry {
            link,
            facts,
            holds: holds.iter().copied().collect(),
            leaving: false,
        };
        self.workers.insert(worker, entry);
    }

    /// Whether this is the worker's present link.
    pub(super) fn is_current(&self, worker: WorkerId, link: LinkId) -> bool {
        self.workers
            .get(&worker)
            .is_some_and(|entry| entry.link == link)
    }

    /// The worker's present link.
    pub(super) fn link(&self, worker: WorkerId) -> Option<LinkId> {
        self.workers.get(&worker).map(|entry| entry.link)
    }

    /// Whether the worker said that it ends.
    pub(super) fn is_leaving(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|entry| entry.leaving)
    }

    /// A worker's link is gone.
    pub(super) fn leave(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }

    /// A worker told this.
    pub(super) fn heard(&mut self, worker: WorkerId, input: &Input) {
        let Some(entry) = self.workers.get_mut(&worker) else {
            return;
        };
        match input {
            Input::Unlinked(_) => entry.leaving = true,
            Input::Facts { facts, .. } => entry.facts = facts.clone(),
            Input::Returned { key, .. } | Input::Finished { key, .. } => {
                entry.holds.remove(key);
            }
            _ => {}
        }
    }

    /// A worker was sent this.
    pub(super) fn sent(&mut self, worker: WorkerId, order: &Order) {
        let Some(entry) = self.workers.get_mut(&worker) else {
            return;
        };
        match order {
            Order::Lease { key, .. } => {
                entry.holds.insert(*key);
            }
            Order::Cancel(key) => {
                entry.holds.remove(key);
            }
            Order::Recall(_) | Order::Mode(_) | Order::Dismiss => {}
        }
    }

    /// A worker was told to drop these.
    pub(super) fn dropped(&mut self, worker: WorkerId, keys: &[LeaseKey]) {
        if let Some(entry) = self.workers.get_mut(&worker) {
            for key in keys {
                entry.holds.remove(key);
            }
        }
    }

    /// Everyone's greeting, as they would say it now.
    pub(super) fn greetings(&self) -> Vec<(WorkerId, Input)> {
        self.workers
            .iter()
            .filter(|(_, entry)| !entry.leaving)
            .map(|(&worker, entry)| {
                let input = Input::Linked {
                    worker,
                    facts: entry.facts.clone(),
                    holds: entry.holds.iter().copied().collect(),
                };
                (worker, input)
            })
            .collect()
    }
}
