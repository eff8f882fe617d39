//! Which Blenders live: at most one in each slot. Who does not own them can see here what they use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tessera_blender::Handle;

/// See the module. Clones are the same roll.
#[derive(Debug, Clone)]
pub(crate) struct Roll {
    living: Arc<Mutex<Vec<Option<Handle>>>>,
}

impl Roll {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            living: Arc::new(Mutex::new(vec![None; slots])),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Handle>>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This one lives in a slot now, or none does.
    pub(super) fn set(&self, slot: usize, blender: Option<Handle>) {
        self.lock()[slot] = blender;
    }

    /// What all of them hold, with all that they started, as it was within the last second or so.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let living = self.lock();
        let used = living.iter().flatten().map(|blender| blender.usage());
        used.map(|usage| usage.memory_bytes).sum()
    }
}
