//! The one pack that is being written, and how it becomes full.
//!
//! Records are written at the end, one write each; a write that fails is taken back, so that the next begins where it did. A pack
//! that has no room for the next record is synced, gets its index and is never written again.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;
use super::files::{index_path, pack_path, sync_folder, write_all_at};
use super::index_file::{self, IndexOf};
use super::record::{RECORD_LEN, Record};
use super::scan::Entry;
use crate::block::MAX_BLOCK_BYTES;

/// A pack ends before it would pass this: large enough that a bucket of a terabyte holds some 70 000 objects, small enough to be
/// scanned in milliseconds after a crash and rewritten when little of it is still wanted.
pub(super) const MAX_PACK_BYTES: usize = 16 << 20;

/// Since a record is at most this, a full pack has at least 12 MiB.
const _: () =
    assert!(MAX_PACK_BYTES - (MAX_BLOCK_BYTES + RECORD_LEN) - PACK_MAGIC.len() >= 4 << 20);

/// What a pack begins with; the last byte is the version.
pub(super) const PACK_MAGIC: &[u8; 8] = b"TESPACK\x01";

#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    packs: PathBuf,
    active: Option<ActivePack>,
    next_number: u32,
    pack_max_bytes: usize,
    /// A sync failed: what the system holds and what the disk holds may differ from here on, and no later sync would tell.
    failed: bool,
}

#[derive(Debug)]
pub(super) struct ActivePack {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    pub(super) end: usize,
    pub(super) entries: Vec<Entry>,
    /// Up to here it is known to be on disk.
    pub(super) synced_end: usize,
}

/// What a sync has to bring to disk.
pub(super) struct Unsynced {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    pub(super) end: usize,
}

impl Writer {
    pub(super) fn new(
        dir: &Path,
        packs: &Path,
        active: Option<ActivePack>,
        next_number: u32,
        pack_max_bytes: usize,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            packs: packs.to_owned(),
            active,
            next_number,
            pack_max_bytes,
            failed: false,
        }
    }

    /// Appends a record with its payload; the number of the pack and where it lies there.
    pub(super) fn append(
        &mut self,
        record: &Record,
        payload: &[u8],
    ) -> Result<(u32, Entry), StoreError> {
        if self.failed {
            return Err(StoreError::Failed {
                dir: self.dir.clone(),
            });
        }
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.end + record.len() > self.pack_max_bytes)
        {
            self.seal()?;
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.begin_pack()?,
        };
        let active = self.active.insert(active);
        let mut bytes = Vec::with_capacity(record.len());
        record.write(&mut bytes);
        bytes.extend_from_slice(payload);
        if let Err(error) = write_all_at(&active.file, &bytes, active.end as u64) {
            // Best effort: if it stays, the next record overwrites it, and a scan knows it for torn.
            let _ = active.file.set_len(active.end as u64);
            return Err(StoreError::io(
                &self.dir,
                &pack_path(&self.packs, active.number),
                "write to",
                error,
            ));
        }
        let entry = Entry::new(record, active.end);
        active.end += bytes.len();
        active.entries.push(entry);
        Ok((active.number, entry))
    }

    fn begin_pack(&mut self) -> Result<ActivePack, StoreError> {
        let number = self.next_number;
        // Also if this fails: a number is used once, so that what may be left under it is in nobody's way.
        self.next_number = number.saturating_add(1);
        let path = pack_path(&self.packs, number);
        let fail = |error| StoreError::io(&self.dir, &path, "create", error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(fail)?;
        let begun = write_all_at(&file, PACK_MAGIC, 0)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(&self.packs));
        if let Err(error) = begun {
            // Best effort: an empty pack does no harm.
            let _ = std::fs::remove_file(&path);
            return Err(fail(error));
        }
        Ok(ActivePack {
            number,
            file: Arc::new(file),
            end: PACK_MAGIC.len(),
            entries: Vec::new(),
            synced_end: PACK_MAGIC.len(),
        })
    }

    /// Ends the active pack: synced, then indexed.
    fn seal(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.take() else {
            return Ok(());
        };
        if let Err(error) = active.file.sync_all() {
            self.failed = true;
            return Err(StoreError::io(
                &self.dir,
                &pack_path(&self.packs, active.number),
                "sync",
                error,
            ));
        }
        let of = IndexOf {
            number: active.number,
            pack_len: active.end as u64,
        };
        let saved = index_file::save(&index_path(&self.packs, active.number), of, &active.entries)
            .and_then(|()| sync_folder(&self.packs));
        if let Err(error) = saved {
            tracing::warn!(pack = active.number, %error, "the index of a full pack could not be written; it is made when the store is next opened");
        }
        Ok(())
    }

    /// The records of a pack, if it is the one being written.
    pub(super) fn active_entries(&self, number: u32) -> Option<Vec<Entry>> {
        let active = self
            .active
            .as_ref()
            .filter(|active| active.number == number)?;
        Some(active.entries.clone())
    }

    /// Ends a pack before it is full, if it is the one being written: whoever does so is about to remove it.
    pub(super) fn end_pack(&mut self, number: u32) -> Result<(), StoreError> {
        match &self.active {
            Some(active) if active.number == number => self.seal(),
            _ => Ok(()),
        }
    }

    /// The pack being written, and how many of its bytes are known to be on disk.
    #[cfg(test)]
    pub(super) fn active_synced(&self) -> Option<(u32, u64)> {
        let active = self.active.as_ref()?;
        Some((active.number, active.synced_end as u64))
    }

    /// A pack shorter than this that is not being written any more was ended early.
    pub(super) fn pack_min_bytes(&self) -> u64 {
        (self.pack_max_bytes / 4) as u64
    }

    /// What is written but not known to be on disk.
    pub(super) fn unsynced(&self) -> Result<Option<Unsynced>, StoreError> {
        if self.failed {
            return Err(StoreError::Failed {
                dir: self.dir.clone(),
            });
        }
        let unsynced = self
            .active
            .as_ref()
            .filter(|active| active.synced_end < active.end);
        Ok(unsynced.map(|active| Unsynced {
            number: active.number,
            file: Arc::clone(&active.file),
            end: active.end,
        }))
    }

    /// Takes note of a sync.
    pub(super) fn synced(&mut self, what: &Unsynced) {
        if let Some(active) = self
            .active
            .as_mut()
            .filter(|active| active.number == what.number)
        {
            active.synced_end = active.synced_end.max(what.end);
        }
    }

    pub(super) fn sync_failed(&mut self) {
        self.failed = true;
    }
}
