//! The blocks of jobs' files that have come to this worker: what makes the next version of a scene cheap to bring.
//!
//! A store of blocks only grows. This one is a cache, so when it has grown too large it is emptied as a whole, at a
//! moment when nobody uses it; the trees made of it stay. What is lost is only that the next changed scene comes in full.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tessera_blobs::{Store, StoreError};

/// See the module.
#[derive(Debug)]
pub(crate) struct BlockCache {
    dir: PathBuf,
    bytes_max: u64,
    /// None if it could not be opened again after it was emptied.
    store: Mutex<Option<Arc<Store>>>,
}

impl BlockCache {
    /// Blocking.
    pub(crate) fn open(dir: PathBuf, bytes_max: u64) -> Result<Self, StoreError> {
        let store = Store::open(&dir)?;
        let cache = Self {
            dir,
            bytes_max,
            store: Mutex::new(Some(Arc::new(store))),
        };
        if cache.is_too_large() {
            cache.empty()?;
        }
        Ok(cache)
    }

    /// The store, for as long as something is brought. Blocking.
    pub(crate) fn store(&self) -> Result<Arc<Store>, StoreError> {
        let mut slot = self.store.lock().expect("nothing panics under the lock");
        if let Some(store) = &*slot {
            return Ok(Arc::clone(store));
        }
        let store = Arc::new(Store::open(&self.dir)?);
        *slot = Some(Arc::clone(&store));
        Ok(store)
    }

    pub(crate) fn is_too_large(&self) -> bool {
        let slot = self.store.lock().expect("nothing panics under the lock");
        slot.as_ref()
            .is_some_and(|store| store.stats().pack_bytes > self.bytes_max)
    }

    /// Forgets all blocks, unless somebody still uses them. Blocking.
    pub(crate) fn empty(&self) -> Result<(), StoreError> {
        let mut slot = self.store.lock().expect("nothing panics under the lock");
        if let Some(store) = slot.take()
            && let Err(in_use) = Arc::try_unwrap(store)
        {
            *slot = Some(in_use);
            return Ok(());
        }
        tracing::info!("the cache of blocks has grown large and is emptied");
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), "cannot empty the cache of blocks: {error}");
        }
        *slot = Some(Arc::new(Store::open(&self.dir)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_emptied_when_too_large_and_only_while_nobody_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlockCache::open(dir.path().join("store"), 1000).unwrap();
        let store = cache.store().unwrap();
        let mut noise = noise_of(4000);
        let digest = store.put(&noise).unwrap();
        store.sync().unwrap();
        assert!(cache.is_too_large());
        cache.empty().unwrap();
        assert!(store.contains(&digest), "in use");
        drop(store);
        cache.empty().unwrap();
        assert!(!cache.is_too_large());
        assert!(!cache.store().unwrap().contains(&digest));

        noise[0] ^= 1;
        cache.store().unwrap().put(&noise).unwrap();
        cache.store().unwrap().sync().unwrap();
        drop(cache);
        let cache = BlockCache::open(dir.path().join("store"), 1000).unwrap();
        assert!(!cache.is_too_large(), "also at the start");
    }

    /// Bytes that do not compress.
    fn noise_of(len: usize) -> Vec<u8> {
        let chunk = |i: usize| *tessera_blobs::Digest::of(&i.to_le_bytes()).as_bytes();
        (0..len.div_ceil(32)).flat_map(chunk).take(len).collect()
    }
}
