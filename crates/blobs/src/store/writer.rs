//! The one pack that is being written, and those that became full and are not known to be on disk yet.
//!
//! Records are written at the end; a write that fails is taken back, so that the next begins where it did. A pack that has no room
//! for the next record is never written again. A sync brings it to disk, while others go on with the next one; then it gets its index.

use std::fs::{File, OpenOptions};
use std::io;
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
    /// Oldest first.
    full: Vec<ActivePack>,
    /// The names of packs with lower numbers are on disk.
    names_synced: u32,
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
#[derive(Debug)]
pub(super) struct Unsynced {
    packs: Vec<UnsyncedPack>,
    /// The names of packs with lower numbers too, if they are not.
    names: Option<u32>,
}

#[derive(Debug)]
struct UnsyncedPack {
    number: u32,
    file: Arc<File>,
    end: usize,
}

impl Unsynced {
    /// Brings it there, in any time. What failed, with the path.
    pub(super) fn bring(&self, packs: &Path) -> Result<(), (PathBuf, io::Error)> {
        for pack in &self.packs {
            let failed = |error| (pack_path(packs, pack.number), error);
            pack.file.sync_data().map_err(failed)?;
        }
        if self.names.is_some() {
            sync_folder(packs).map_err(|error| (packs.to_owned(), error))?;
        }
        Ok(())
    }
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
            full: Vec::new(),
            names_synced: 0,
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
            self.full.extend(self.active.take());
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.begin_pack()?,
        };
        let active = self.active.insert(active);
        if let Err(error) = write_record(active, record, payload) {
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
        active.end += record.len();
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
        if let Err(error) = write_all_at(&file, PACK_MAGIC, 0) {
            // Best effort: an empty pack does no harm.
            let _ = std::fs::remove_file(&path);
            return Err(fail(error));
        }
        Ok(ActivePack {
            number,
            file: Arc::new(file),
            end: PACK_MAGIC.len(),
            entries: Vec::new(),
            synced_end: 0,
        })
    }

    /// The records of a pack, if it is the one being written, or full and not known to be on disk.
    pub(super) fn unsettled_entries(&self, number: u32) -> Option<Vec<Entry>> {
        let pack = self.unsettled().find(|pack| pack.number == number)?;
        Some(pack.entries.clone())
    }

    fn unsettled(&self) -> impl Iterator<Item = &ActivePack> {
        self.full.iter().chain(&self.active)
    }

    /// Ends the pack that is being written before it is full: whoever does so is about to remove it, after a sync.
    pub(super) fn end_pack(&mut self, number: u32) {
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.number == number)
        {
            self.full.extend(self.active.take());
        }
    }

    /// Unsettled packs, and how many of their bytes are known to be on disk.
    #[cfg(test)]
    pub(super) fn unsettled_ends(&self) -> Vec<(u32, u64)> {
        self.unsettled()
            .map(|pack| (pack.number, pack.synced_end as u64))
            .collect()
    }

    /// Full packs that are not known to be on disk.
    pub(super) fn full_packs(&self) -> usize {
        self.full.len()
    }

    /// A pack shorter than this that is not being written any more was ended early.
    pub(super) fn pack_min_bytes(&self) -> u64 {
        (self.pack_max_bytes / 4) as u64
    }

    /// What is written but not known to be on disk; of full packs alone if `only_full`.
    pub(super) fn unsynced(&self, only_full: bool) -> Result<Option<Unsynced>, StoreError> {
        if self.failed {
            return Err(StoreError::Failed {
                dir: self.dir.clone(),
            });
        }
        let active = self
            .active
            .iter()
            .filter(|active| !only_full && active.synced_end < active.end);
        let packs: Vec<UnsyncedPack> = self
            .full
            .iter()
            .chain(active)
            .map(|pack| UnsyncedPack {
                number: pack.number,
                file: Arc::clone(&pack.file),
                end: pack.end,
            })
            .collect();
        let names = (self.names_synced < self.next_number).then_some(self.next_number);
        Ok((!packs.is_empty() || names.is_some()).then_some(Unsynced { packs, names }))
    }

    /// Takes note of a sync: packs that are full get their index.
    pub(super) fn synced(&mut self, what: &Unsynced) {
        for pack in &what.packs {
            let found = self.full.iter_mut().chain(&mut self.active);
            for found in found.filter(|found| found.number == pack.number) {
                found.synced_end = found.synced_end.max(pack.end);
            }
        }
        self.names_synced = self.names_synced.max(what.names.unwrap_or(0));
        for pack in self.full.extract_if(.., |pack| pack.synced_end == pack.end) {
            let of = IndexOf {
                number: pack.number,
                pack_len: pack.end as u64,
            };
            if let Err(error) =
                index_file::save(&index_path(&self.packs, pack.number), of, &pack.entries)
            {
                tracing::warn!(pack = pack.number, %error, "the index of a full pack could not be written; it is made when the store is next opened");
            }
        }
    }

    pub(super) fn sync_failed(&mut self) {
        self.failed = true;
    }
}

/// A record of so much is copied before it is written, in one go with its payload.
const COPIED_MAX: usize = 64 << 10;

/// At the end of the pack. A write cut short leaves a torn tail, as one that never began.
fn write_record(pack: &ActivePack, record: &Record, payload: &[u8]) -> io::Result<()> {
    let at = pack.end as u64;
    let mut bytes = Vec::with_capacity(record.len().min(COPIED_MAX));
    record.write(&mut bytes);
    if record.len() <= COPIED_MAX {
        bytes.extend_from_slice(payload);
        return write_all_at(&pack.file, &bytes, at);
    }
    write_all_at(&pack.file, &bytes, at)?;
    write_all_at(&pack.file, payload, at + bytes.len() as u64)
}
