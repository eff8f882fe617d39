//! Which workers have which job's files, or are getting them: whom a lease names beside the manager.
//!
//! Nobody reports what a worker has. Who was given work of a tree fetches it, so it is counted from then on; one that has lost its
//! files since says so when it is asked, and costs a question. Among many workers each is told of some: as many as it can ask at
//! once, chosen so that all of them hang together and no few are asked by everybody.

use std::collections::{HashMap, VecDeque};

use tessera_model::{Blob, WorkerId};

use crate::links::LinkId;

/// Workers named to one. Each piece of a tree is fetched from the manager by one of those that know each other, so of a farm that
/// begins a job at one moment the manager sends about one copy for each seventeen workers.
pub(crate) const NAMED_MAX: usize = 16;

/// Workers of one tree that may be named: of more, those that came first are named no more.
const SHARERS_MAX: usize = 512;

/// Trees remembered: of more, the one unused longest is forgotten.
const TREES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sharers {
    trees: HashMap<[u8; 32], Sharing>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Sharing {
    /// Each worker with its link when others were named to it.
    named_over: HashMap<WorkerId, LinkId>,
    /// Those that may be named. The one that came last is last.
    latest: VecDeque<WorkerId>,
    used: u64,
}

impl Sharers {
    /// A worker is given work that needs this tree, over this link. Whether others are to be named to it: once for each link, as it may
    /// have been started anew.
    pub(super) fn enter(&mut self, worker: WorkerId, link: LinkId, tree: &Blob) -> bool {
        self.uses += 1;
        if self.trees.len() >= TREES_MAX && !self.trees.contains_key(&tree.digest) {
            let oldest = self.trees.iter().min_by_key(|(_, sharing)| sharing.used);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.trees.remove(&oldest);
            }
        }
        let sharing = self.trees.entry(tree.digest).or_default();
        sharing.used = self.uses;
        if sharing.named_over.insert(worker, link) == Some(link) {
            return false;
        }
        if !sharing.latest.contains(&worker) {
            if sharing.latest.len() >= SHARERS_MAX {
                sharing.latest.pop_front();
            }
            sharing.latest.push_back(worker);
        }
        true
    }

    /// Others that a worker may ask for this tree, of those that are `there`.
    pub(super) fn named(
        &self,
        worker: WorkerId,
        tree: &Blob,
        there: impl Fn(WorkerId) -> bool,
    ) -> Vec<WorkerId> {
        let Some(sharing) = self.trees.get(&tree.digest) else {
            return Vec::new();
        };
        let mut others: Vec<WorkerId> = sharing.latest.iter().copied().collect();
        others.sort_unstable_by_key(|other| mixed(worker, *other));
        others
            .into_iter()
            .filter(|other| *other != worker && there(*other))
            .take(NAMED_MAX)
            .collect()
    }

    /// The farm has let this worker go.
    pub(super) fn remove(&mut self, worker: WorkerId) {
        for sharing in self.trees.values_mut() {
            if sharing.named_over.remove(&worker).is_some() {
                sharing.latest.retain(|other| *other != worker);
            }
        }
    }
}

/// A number made of two workers in which neither can be recognised: the last step of splitmix64.
fn mixed(one: WorkerId, other: WorkerId) -> u64 {
    let mut mixed =
        (u64::from(one.0) << 32 | u64::from(other.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Links;

    fn tree(number: u8) -> Blob {
        Blob {
            digest: [number; 32],
            size: 1,
            depth: 0,
        }
    }

    #[test]
    fn everybody_is_told_of_some_others_that_are_there() {
        let links = Links::default();
        let link = links.next_id();
        let mut sharers = Sharers::default();
        for number in 0..100 {
            assert!(sharers.enter(WorkerId(number), link, &tree(1)));
        }
        assert!(!sharers.enter(WorkerId(5), link, &tree(1)));
        let newer = links.next_id();
        assert!(sharers.enter(WorkerId(5), newer, &tree(1)));
        assert!(!sharers.enter(WorkerId(5), newer, &tree(1)));
        let there = |worker: WorkerId| !worker.0.is_multiple_of(2);
        let mut asked = HashMap::<WorkerId, usize>::new();
        for number in 0..100 {
            let named = sharers.named(WorkerId(number), &tree(1), there);
            assert_eq!(named.len(), NAMED_MAX);
            for other in named {
                assert!(there(other) && other != WorkerId(number));
                *asked.entry(other).or_default() += 1;
            }
        }
        assert!(asked.len() > 45, "only {} of 50 are asked", asked.len());
        assert!(asked.values().all(|count| *count < 60), "{asked:?}");
        assert!(sharers.named(WorkerId(1), &tree(2), |_| true).is_empty());
        sharers.remove(WorkerId(7));
        let all = |sharers: &Sharers| sharers.trees[&tree(1).digest].latest.clone();
        assert!(!all(&sharers).contains(&WorkerId(7)));
        for number in 0..2 * TREES_MAX as u32 {
            let tree = Blob {
                size: 2,
                depth: 0,
                digest: std::array::from_fn(|at| (number >> (8 * (at % 4))) as u8),
            };
            sharers.enter(WorkerId(1), link, &tree);
            assert!(sharers.trees.len() <= TREES_MAX);
        }
        for number in 0..2 * SHARERS_MAX as u32 {
            sharers.enter(WorkerId(number), link, &tree(1));
        }
        assert_eq!(all(&sharers).len(), SHARERS_MAX);
        let last = WorkerId(2 * SHARERS_MAX as u32 - 1);
        assert_eq!(all(&sharers).back(), Some(&last));
        // Who is named no more is still known, and told nothing twice.
        assert!(!all(&sharers).contains(&WorkerId(0)));
        assert!(!sharers.enter(WorkerId(0), link, &tree(1)));
    }
}
