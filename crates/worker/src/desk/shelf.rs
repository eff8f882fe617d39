//! The file trees on this worker's disk: which are there, which come and go, and which go first when there are too many.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_blobs::Digest;

/// Most trees kept: a Blender opens a few, and each is a folder somebody may want to look through.
pub(crate) const TREES_MAX: usize = 32;

/// Every tree that is, comes or goes.
#[derive(Debug)]
pub(crate) struct Shelf {
    trees: BTreeMap<Digest, Tree>,
    /// Most bytes of all of them together, unless more are in use at once.
    bytes_max: u64,
    uses: u64,
}

#[derive(Debug)]
struct Tree {
    state: State,
    bytes: u64,
    /// Counts up with every use: the smallest is the one unused longest.
    used: u64,
    /// What bringing it took, until someone has been charged for it.
    took: Duration,
}

/// Trees that slots have for themselves. They are not the shelf's to remove, but lie on the same disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    pub trees: usize,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// On disk from a former run; to be looked at before it is used.
    Found,
    /// Being brought; or no more, and the end of it not yet heard.
    Coming {
        aborted: bool,
    },
    Ready,
    Going,
}

impl Shelf {
    /// `found`: trees of former runs with their bytes, the one unused longest first.
    pub(crate) fn new(bytes_max: u64, found: impl IntoIterator<Item = (Digest, u64)>) -> Self {
        let mut shelf = Self {
            trees: BTreeMap::new(),
            bytes_max,
            uses: 0,
        };
        for (manifest, bytes) in found {
            let used = shelf.tick();
            let tree = Tree {
                state: State::Found,
                bytes,
                used,
                took: Duration::ZERO,
            };
            shelf.trees.insert(manifest, tree);
        }
        shelf
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Someone wants this tree. Whether it is to be brought now.
    pub fn want(&mut self, manifest: Digest) -> bool {
        let used = self.tick();
        let tree = self.trees.entry(manifest).or_insert(Tree {
            state: State::Found,
            bytes: 0,
            used,
            took: Duration::ZERO,
        });
        tree.used = used;
        // One that is just going, or whose coming was just given up, comes again when that has ended.
        let bring = tree.state == State::Found;
        if bring {
            tree.state = State::Coming { aborted: false };
        }
        bring
    }

    pub fn is_ready(&self, manifest: &Digest) -> bool {
        self.trees
            .get(manifest)
            .is_some_and(|tree| tree.state == State::Ready)
    }

    pub fn ready(&mut self, manifest: Digest, bytes: u64, took: Duration) {
        let used = self.tick();
        let tree = Tree {
            state: State::Ready,
            bytes,
            used,
            took,
        };
        self.trees.insert(manifest, tree);
    }

    /// What bringing it took, said once.
    pub fn charge(&mut self, manifest: &Digest) -> Duration {
        let used = self.tick();
        self.trees.get_mut(manifest).map_or(Duration::ZERO, |tree| {
            tree.used = used;
            std::mem::take(&mut tree.took)
        })
    }

    /// It is not coming, or has gone.
    pub fn gone(&mut self, manifest: &Digest) {
        self.trees.remove(manifest);
    }

    /// Whether some are being removed.
    pub fn is_any_going(&self) -> bool {
        self.trees.values().any(|tree| tree.state == State::Going)
    }

    /// Those that come and are not wanted: to be given up.
    pub fn unwanted(&mut self, wanted: impl Fn(&Digest) -> bool) -> Vec<Digest> {
        let coming = State::Coming { aborted: false };
        self.trees
            .iter_mut()
            .filter(|(manifest, tree)| tree.state == coming && !wanted(manifest))
            .map(|(manifest, tree)| {
                tree.state = State::Coming { aborted: true };
                *manifest
            })
            .collect()
    }

    /// Those that must go for the bounds to hold, with those `beside` counted in; never one in use. With `all`, every one not in
    /// use.
    pub fn evict(
        &mut self,
        in_use: impl Fn(&Digest) -> bool,
        beside: Beside,
        all: bool,
    ) -> Vec<Digest> {
        let lies = |tree: &Tree| matches!(tree.state, State::Found | State::Ready);
        let mut count = beside.trees + self.trees.values().filter(|tree| lies(tree)).count();
        let mut bytes = beside.bytes + self.trees.values().map(|tree| tree.bytes).sum::<u64>();
        let mut idle: Vec<(u64, Digest)> = self
            .trees
            .iter()
            .filter(|(manifest, tree)| lies(tree) && !in_use(manifest))
            .map(|(manifest, tree)| (tree.used, *manifest))
            .collect();
        idle.sort_unstable();
        let mut going = Vec::new();
        for (_, manifest) in idle {
            if !all && count <= TREES_MAX && bytes <= self.bytes_max {
                break;
            }
            let tree = self.trees.get_mut(&manifest).expect("was just listed");
            tree.state = State::Going;
            count -= 1;
            bytes -= tree.bytes;
            tree.bytes = 0;
            going.push(manifest);
        }
        going
    }
}
