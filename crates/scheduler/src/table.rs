//! Jobs and workers by their numbers.
//!
//! Every decision looks up some of them a dozen times, and a few go through all of them, in the order of their numbers, so that what
//! is decided does not depend on how they came here.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::{Index, RangeBounds};

/// A hash with the same seed in every process. Keys are numbers that the farm hands out, so nobody can choose them to collide.
pub(crate) type Seed = foldhash::fast::FixedState;

/// A map with look-ups in constant time that is gone through in order.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, V> {
    entries: HashMap<K, V, Seed>,
    order: BTreeSet<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord, V> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.order.insert(key);
        self.entries.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.order.remove(key);
        self.entries.remove(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.order.iter()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().map(|key| (key, &self.entries[key]))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn range(
        &self,
        keys: impl RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let keys = self.order.range(keys);
        keys.map(|key| (key, &self.entries[key]))
    }

    /// All of them in no order: for changes of each by itself.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut()
    }
}

impl<K: Copy + Eq + Hash + Ord, V> Index<&K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.entries[key]
    }
}
