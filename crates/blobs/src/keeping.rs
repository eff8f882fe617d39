//! What a store keeps beside what is recorded: the rule by which nothing is swept that somebody still counts on.
//!
//! Of a store's blocks these stay:
//!
//! 1. what stands below a root that the record names;
//! 2. what was put or asked about within the *grace*: an upload goes on in steps, and between two of them its blocks are named by nobody;
//! 3. what stands below a *pinned* root: a tree whose sender was heard of within the grace. A long upload needs this, its first blocks
//!    being older than the grace before its last ones are there.
//!
//! After a restart nothing is known of uploads, so nothing is swept before the grace is over: blocks that were there when the store was
//! opened count as asked about at that moment. A sender that goes on after it without asking again what is lacking has a tree that
//! nobody knows, so while there is one, nothing is swept at all.
//!
//! Time enters as data, so that a simulation keeps by the same rule as a manager.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::blob_ref::BlobRef;
use crate::store::Horizon;

/// Most pinned roots: far more uploads than go on at once in any farm. Beyond it the one not heard of for the longest goes, whose sender
/// then has to send again at worst.
const PINS_MAX: usize = 4096;

/// Horizons within one grace. The more there are, the sooner after it a block can go: at this many, a twelfth of the grace later.
const HORIZONS_PER_GRACE: u32 = 12;

/// See the module. `K` says who uploads, `H` is a store's horizon.
#[derive(Debug)]
pub struct Keeping<K, H = Horizon> {
    grace: Duration,
    /// With the moment each was taken at, the oldest first; of those that are older than the grace, only the newest.
    horizons: VecDeque<(Duration, H)>,
    pins: HashMap<(K, BlobRef), Duration>,
    /// Senders without a pinned tree: they asked before a restart, and go on.
    unknown: HashMap<K, Duration>,
}

/// What may be swept now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep<H = Horizon> {
    /// Blocks younger than this stay.
    pub horizon: H,
    /// And what stands below these trees.
    pub pinned: Vec<BlobRef>,
}

impl<K: Clone + Eq + Hash, H: Copy> Keeping<K, H> {
    /// Keeps by this grace.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            horizons: VecDeque::new(),
            pins: HashMap::new(),
            unknown: HashMap::new(),
        }
    }

    /// How often a horizon is wanted.
    #[must_use]
    pub fn horizon_every(&self) -> Duration {
        self.grace / HORIZONS_PER_GRACE
    }

    /// Somebody begins to send a tree, or goes on.
    pub fn pin(&mut self, now: Duration, who: K, root: BlobRef) {
        self.unknown.remove(&who);
        self.pins.insert((who, root), now);
        if self.pins.len() > PINS_MAX {
            let oldest = self.pins.iter().min_by_key(|(_, heard)| **heard);
            if let Some(oldest) = oldest.map(|(pin, _)| pin.clone()) {
                self.pins.remove(&oldest);
            }
        }
    }

    /// Somebody sends blocks, of whichever of their trees.
    pub fn heard(&mut self, now: Duration, who: &K) {
        let mut is_known = false;
        for ((pinned, _), heard) in &mut self.pins {
            if pinned == who {
                *heard = now;
                is_known = true;
            }
        }
        // Beyond the bound, those that are there hold up sweeps all the same.
        if !is_known && (self.unknown.len() < PINS_MAX || self.unknown.contains_key(who)) {
            self.unknown.insert(who.clone(), now);
        }
    }

    /// A tree is recorded now.
    pub fn unpin(&mut self, who: K, root: BlobRef) {
        self.pins.remove(&(who, root));
    }

    /// Takes note of a horizon that was taken now.
    pub fn add_horizon(&mut self, now: Duration, horizon: H) {
        let crowded = self
            .horizons
            .back()
            .is_some_and(|(taken, _)| now.saturating_sub(*taken) < self.horizon_every());
        if !crowded {
            self.horizons.push_back((now, horizon));
        }
        while self
            .horizons
            .get(1)
            .is_some_and(|(taken, _)| *taken + self.grace <= now)
        {
            self.horizons.pop_front();
        }
    }

    /// Trees whose senders were heard of within the grace, each with its sender.
    pub fn pinned(&mut self, now: Duration) -> Vec<(K, BlobRef)> {
        let grace = self.grace;
        self.pins.retain(|_, heard| *heard + grace > now);
        self.pins.keys().cloned().collect()
    }

    /// What may be swept now; none before there is a horizon as old as the grace, and while somebody sends what nobody knows.
    pub fn sweep(&mut self, now: Duration) -> Option<Sweep<H>> {
        let grace = self.grace;
        self.unknown.retain(|_, heard| *heard + grace > now);
        let (taken, horizon) = *self.horizons.front()?;
        if !self.unknown.is_empty() {
            return None;
        }
        (taken + self.grace <= now).then(|| Sweep {
            horizon,
            pinned: self.pinned(now).into_iter().map(|(_, root)| root).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
