//! What linked workers hold, told from what went over their links: never from decisions that may yet fail to be recorded.
//! The same rules as the manager's own (crates/manager/src/engine/roster.rs).

use std::collections::{BTreeMap, BTreeSet};

use tessera_model::{LeaseKey, WorkerFacts, WorkerId};
use tessera_scheduler::{Input, Order};

use crate::network::LinkNumber;

#[derive(Debug)]
struct Entry {
    link: LinkNumber,
    facts: WorkerFacts,
    holds: BTreeSet<LeaseKey>,
    /// It said that it ends: what it still reports counts, but it gets nothing more.
    leaving: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    workers: BTreeMap<WorkerId, Entry>,
}

impl Roster {
    pub(super) fn enter(
        &mut self,
        worker: WorkerId,
        link: LinkNumber,
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

    /// The worker's present link.
    pub(crate) fn link(&self, worker: WorkerId) -> Option<LinkNumber> {
        self.workers.get(&worker).map(|entry| entry.link)
    }

    /// Whose present link this is.
    pub(super) fn owner(&self, worker: Option<WorkerId>, link: LinkNumber) -> Option<WorkerId> {
        worker.filter(|worker| self.link(*worker) == Some(link))
    }

    pub(super) fn is_leaving(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|entry| entry.leaving)
    }

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
        let greeting = |(&worker, entry): (&WorkerId, &Entry)| {
            let input = Input::Linked {
                worker,
                facts: entry.facts.clone(),
                holds: entry.holds.iter().copied().collect(),
            };
            (worker, input)
        };
        let staying = self.workers.iter().filter(|(_, entry)| !entry.leaving);
        staying.map(greeting).collect()
    }
}
