//! The blocks of jobs' files that have come to this worker: what makes the next version of a scene cheap to bring, and what
//! other workers can be given.
//!
//! It has a limit on the disk. Blocks belong together by tree, so it is trees that are used and that go: when there is too much,
//! what stands below the trees used last stays as far as it fits, and the rest is given back by the store's own sweep
//! ([`Store::collect`]), beside whatever is read and written meanwhile. What a lease in hand needs stays whatever the limit.
//!
//! Files of jobs are never links to blocks: those lie in packs, many together, and are written out. So nothing that a job does to
//! its files can damage the cache.

mod recent;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tessera_blobs::{BlobRef, Digest, Holder, Live, ReadError, Store, StoreError};
use tokio_util::sync::CancellationToken;

use recent::Recent;

/// Of the limit, so much is kept when room is made: the next trees come without another sweep.
const KEPT_OF_8: u64 = 7;

/// The store gives back whole packs, and leaves those of which more than half is wanted. If it still takes more than the limit,
/// three quarters as much are kept, so often.
const ROUNDS_MAX: u32 = 6;

/// See the module.
#[derive(Debug)]
pub(crate) struct BlockCache {
    store: Arc<Store>,
    bytes_max: u64,
    recent: Mutex<Recent>,
    /// One sweep at a time, with what it goes by.
    sweep: Mutex<()>,
}

/// Room could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomError {
    #[error("what is needed cannot be told: {0}")]
    Walk(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BlockCache {
    /// Blocking.
    pub(crate) fn open(dir: PathBuf, bytes_max: u64) -> Result<Self, StoreError> {
        let store = Store::open(&dir)?;
        let cache = Self {
            store: Arc::new(store),
            bytes_max,
            recent: Mutex::new(Recent::load(dir.join("recent"))),
            sweep: Mutex::new(()),
        };
        // The limit may be another one than before.
        if cache.is_too_large()
            && let Err(error) = cache.make_room(&[], &CancellationToken::new())
        {
            tracing::warn!("the cache of blocks stays larger than it may be: {error}");
        }
        Ok(cache)
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("nothing panics under the lock")
    }

    /// A tree is used now. Blocking, now and then.
    pub(crate) fn used(&self, tree: BlobRef) {
        self.recent().used(tree);
    }

    /// The manifests of the trees used last, the last one first.
    pub(crate) fn recent_trees(&self) -> Vec<Digest> {
        self.recent().trees().map(|tree| tree.digest).collect()
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.store.pack_bytes() > self.bytes_max
    }

    /// Gives back what was not used for the longest, until the limit is kept; never what stands below the trees that are `needed`.
    /// Blocking, and long.
    pub(crate) fn make_room(
        &self,
        needed: &[BlobRef],
        stop: &CancellationToken,
    ) -> Result<(), RoomError> {
        let mut budget = self.bytes_max / 8 * KEPT_OF_8;
        for _ in 0..ROUNDS_MAX {
            let kept = self.keep(needed, budget, stop)?;
            if !self.is_too_large() || kept == 0 || stop.is_cancelled() {
                break;
            }
            budget = budget / 4 * 3;
        }
        Ok(())
    }

    /// Gives back all but what stands below the trees that are `needed`. Blocking.
    pub(crate) fn make_all_room(
        &self,
        needed: &[BlobRef],
        stop: &CancellationToken,
    ) -> Result<(), RoomError> {
        self.keep(needed, 0, stop).map(|_| ())
    }

    /// One sweep that leaves what is needed and, of the rest, the trees used last while all fits. How many of those.
    fn keep(
        &self,
        needed: &[BlobRef],
        budget_bytes: u64,
        stop: &CancellationToken,
    ) -> Result<usize, RoomError> {
        let _turn = self.sweep.lock().expect("nothing panics under the lock");
        // Before the roots are looked at: what comes from now on stays.
        let horizon = self.store.horizon();
        let mut others: Vec<BlobRef> = self.recent().trees().copied().collect();
        others.retain(|tree| !needed.contains(tree));
        let fitting = self.fitting(needed, &others, budget_bytes)?;
        others.truncate(fitting);
        let live = self.below(needed.iter().chain(&others))?;
        let go_on = || match stop.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let done = self.store.collect(horizon, &live, go_on)?;
        tracing::info!(
            kept_trees = needed.len() + fitting,
            freed_bytes = done.freed_bytes(),
            "the cache of blocks has given back what was not used for the longest"
        );
        let mut recent = self.recent();
        recent.retain(|tree| needed.contains(tree) || others.contains(tree));
        recent.save();
        Ok(fitting)
    }

    /// How many of `others`, from the first on, fit beside what is needed.
    fn fitting(
        &self,
        needed: &[BlobRef],
        others: &[BlobRef],
        budget_bytes: u64,
    ) -> Result<usize, ReadError> {
        let mut live = self.below(needed)?;
        for (count, tree) in others.iter().enumerate() {
            self.hold(&mut live, tree)?;
            if self.store.live_bytes(&live) > budget_bytes {
                return Ok(count);
            }
        }
        Ok(others.len())
    }

    fn below<'a>(&self, trees: impl IntoIterator<Item = &'a BlobRef>) -> Result<Live, ReadError> {
        let mut live = Live::new();
        for tree in trees {
            self.hold(&mut live, tree)?;
        }
        Ok(live)
    }

    fn hold(&self, live: &mut Live, tree: &BlobRef) -> Result<(), ReadError> {
        live.hold_tree(Holder(0), tree, |digest| self.store.get_or_forget(digest))
    }
}

impl Drop for BlockCache {
    fn drop(&mut self) {
        self.recent().save();
    }
}
