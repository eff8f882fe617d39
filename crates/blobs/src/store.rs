//! Blocks on disk, in packs.
//!
//! A file per block would make hundreds of thousands of files of 16 KiB. So blocks are appended to packs of at most 16 MiB, each
//! with an index once it is full:
//!
//! ```text
//! DIR/lock                 held while a process has the store
//! DIR/packs/00000001.pack  "TESPACK" version u8, then records
//! DIR/packs/00000001.idx   where the records of a full pack lie
//! ```
//!
//! Packs are only ever appended to, so a crash at any moment leaves whole records and at most a torn tail, which opening cuts off.
//! Nothing is durable before [`Store::sync`], and everything put before it is durable after: callers put a batch, sync once, and
//! only then acknowledge. Each block is verified against its digest whenever it is read.
//!
//! Readers run beside each other and beside the one writer; hashing and compressing happen outside any lock.
//!
//! A pack goes as a whole ([`Store::collect`]): what is still wanted of it is copied to the end of the newest one and synced first, so
//! that at every moment each wanted block lies whole in some pack. A block may lie in two for a while; the later record holds.

mod catalogue;
mod collect;
mod error;
mod files;
mod index_file;
mod open;
mod record;
mod scan;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use catalogue::StoreStats;
pub use collect::{Collected, Horizon, Usage};
pub use error::StoreError;

use bytes::Bytes;

use crate::blob_ref::BlobRef;
use crate::block::{BlockEncoding, EncodedBlock, MAX_BLOCK_BYTES};
use crate::cut::Block;
use crate::digest::Digest;
use crate::live::Live;
use crate::missing::{Missing, missing_blocks};
use crate::read::ReadError;
use catalogue::{Catalogue, Location};
use files::{OpenPacks, pack_path, read_exact_at};
use record::{RECORD_LEN, Record, RecordKind};
use writer::{MAX_PACK_BYTES, Writer};

/// Packs that are full and not on disk yet: putting waits for the disk at this many. Enough that a slow sync holds nobody up, and no
/// more (64 MiB) than a sync before an answer may have to wait for, or than is read anew after the power failed.
const FULL_PACKS_MAX: usize = 4;

/// Blocks on disk. One process at a time has a folder; its threads share the store by reference.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    packs: PathBuf,
    catalogue: RwLock<Catalogue>,
    writer: Mutex<Writer>,
    /// Held during a sync, so that those who wait for it find their blocks synced with the first's.
    sync_turn: Mutex<()>,
    open_packs: OpenPacks,
    /// Held while space is given back: one sweep at a time moves blocks.
    sweep_turn: Mutex<()>,
    /// Last, so that the lock is let go when all else is closed.
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, making it if there is none, and mends what a crash may have left.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process (or another `Store` of this one) has it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, MAX_PACK_BYTES)
    }

    /// With packs of another size: tests have many small ones.
    fn open_with(dir: &Path, pack_max_bytes: usize) -> Result<Self, StoreError> {
        let packs = dir.join("packs");
        fs::create_dir_all(&packs)
            .map_err(|source| StoreError::io(dir, &packs, "create", source))?;
        let lock = open::lock(dir)?;
        let (catalogue, writer) = open::load(dir, &packs, pack_max_bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            packs,
            catalogue: RwLock::new(catalogue),
            writer: Mutex::new(writer),
            sync_turn: Mutex::new(()),
            open_packs: OpenPacks::default(),
            sweep_turn: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The folder it lies in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a block is here. One that is counts as put now (see [`Store::horizon`]), since the caller goes on to rely on it.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.catalogue().contains(digest)
    }

    /// Those of `digests` that are not here, in their order. The others count as put now, as with [`Store::contains`].
    #[must_use]
    pub fn missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let catalogue = self.catalogue();
        digests
            .iter()
            .filter(|digest| !catalogue.contains(digest))
            .copied()
            .collect()
    }

    /// What is lacking of some files: see [`missing_blocks`]. A list that turns out damaged is forgotten and counts as lacking.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn missing_of<'a>(
        &self,
        blobs: impl IntoIterator<Item = &'a BlobRef>,
    ) -> Result<Missing, ReadError> {
        missing_blocks(
            blobs,
            |digest| self.contains(digest),
            |digest| self.get_or_forget(digest),
        )
    }

    /// As [`Store::get`], but a damaged block is forgotten and counts as lacking.
    ///
    /// # Errors
    /// If the block cannot be read, or be forgotten.
    pub fn get_or_forget(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get(digest) {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "forgetting a damaged block");
                self.forget(digest)?;
                Ok(None)
            }
            other => other,
        }
    }

    /// Stores `bytes`; their name. What is here already is not written again.
    ///
    /// # Errors
    /// [`StoreError::Full`] among others; the store is then as before.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(StoreError::TooLarge {
                len_bytes: bytes.len(),
            });
        }
        let digest = Digest::of(bytes);
        self.put_named(digest, bytes)?;
        Ok(digest)
    }

    /// Stores a block fresh from cutting, whose digest needs no check.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_block(&self, block: &Block<'_>) -> Result<(), StoreError> {
        self.put_named(block.digest(), block.bytes())
    }

    /// Stores `bytes` if they are the block `digest`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if they are not.
    pub fn put_verified(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(StoreError::TooLarge {
                len_bytes: bytes.len(),
            });
        }
        let found = Digest::of(bytes);
        if found != *digest {
            return Err(StoreError::Mismatch {
                digest: *digest,
                found,
            });
        }
        self.put_named(found, bytes)
    }

    /// Stores a block in the form it came in, if it decodes (within bounds) to what its digest names. A plain one stays so: its
    /// sender has tried to compress it.
    ///
    /// # Errors
    /// [`StoreError::Block`] if it does not.
    pub fn put_encoded(&self, block: &EncodedBlock) -> Result<(), StoreError> {
        let plain = block.plain()?;
        if self.contains(&block.digest) {
            return Ok(());
        }
        self.put_decoded(block, &plain)
    }

    /// As [`Store::put_encoded`], but a copy that is here already is read, and put anew if it is damaged.
    ///
    /// # Errors
    /// As [`Store::put_encoded`].
    pub fn put_repairing(&self, block: &EncodedBlock) -> Result<(), StoreError> {
        let plain = block.plain()?;
        // Asked first, so that it counts as put now.
        if self.contains(&block.digest) && self.get_or_forget(&block.digest)?.is_some() {
            return Ok(());
        }
        self.put_decoded(block, &plain)
    }

    fn put_decoded(&self, block: &EncodedBlock, plain: &[u8]) -> Result<(), StoreError> {
        // The sender may have packed badly; what is kept is never larger than the block.
        if block.encoding == BlockEncoding::Zstd && block.bytes.len() >= plain.len() {
            return self.put_named(block.digest, plain);
        }
        self.append(block, plain.len())
    }

    fn put_named(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.contains(&digest) {
            return Ok(());
        }
        self.append(&EncodedBlock::encode_named(digest, bytes), bytes.len())
    }

    fn append(&self, block: &EncodedBlock, plain_len: usize) -> Result<(), StoreError> {
        let record = Record::of(
            block.digest,
            RecordKind::Block(block.encoding),
            &block.bytes,
            plain_len,
        );
        let full_packs = {
            let mut writer = self.writer();
            // Another thread may have put it while this one was packing.
            if self.contains(&block.digest) {
                return Ok(());
            }
            let (pack, entry) = writer.append(&record, &block.bytes)?;
            self.catalogue_mut().apply(pack, &entry);
            writer.full_packs()
        };
        self.settle_full(full_packs)
    }

    /// Full packs go to the disk as they come, so that a sync finds little to do, and are never many.
    fn settle_full(&self, full_packs: usize) -> Result<(), StoreError> {
        let turn = match full_packs {
            0 => return Ok(()),
            1..FULL_PACKS_MAX => self.sync_turn.try_lock().ok(),
            _ => Some(self.sync_turn()),
        };
        match turn {
            Some(turn) => self.bring(turn, true),
            // Another thread is at it.
            None => Ok(()),
        }
    }

    /// The bytes of a block, verified; `None` if it is not here.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the disk damaged it: [`Store::forget`] it and fetch it again.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((_, block, location)) = self.read(digest)? else {
            return Ok(None);
        };
        block
            .decode()
            .map(Some)
            .map_err(|_| self.corrupt(digest, location))
    }

    /// As [`Store::get_encoded`], but a damaged block is forgotten and counts as lacking.
    ///
    /// # Errors
    /// If the block cannot be read, or be forgotten.
    pub fn get_encoded_or_forget(
        &self,
        digest: &Digest,
    ) -> Result<Option<EncodedBlock>, StoreError> {
        match self.get_encoded(digest) {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, "forgetting a damaged block");
                self.forget(digest)?;
                Ok(None)
            }
            other => other,
        }
    }

    /// A block in the form it is stored in, to send without packing it again. Checked against the sum stored with it, not against
    /// its digest: the receiver does that.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_encoded(&self, digest: &Digest) -> Result<Option<EncodedBlock>, StoreError> {
        let Some((record, block, location)) = self.read(digest)? else {
            return Ok(None);
        };
        let whole = record.is_some_and(|record| {
            record.digest == *digest
                && record.kind == RecordKind::Block(block.encoding)
                && record.holds(&block.bytes)
        });
        if whole {
            Ok(Some(block))
        } else {
            Err(self.corrupt(digest, location))
        }
    }

    /// What lies where the block should, its record (if it is one) and the rest, not verified.
    fn read(
        &self,
        digest: &Digest,
    ) -> Result<Option<(Option<Record>, EncodedBlock, Location)>, StoreError> {
        let mut known = self.catalogue().get(digest);
        while let Some(location) = known {
            let mut bytes = vec![0; RECORD_LEN + location.stored_len as usize];
            let read = self
                .open_packs
                .get(&self.packs, location.pack)
                .and_then(|file| read_exact_at(&file, &mut bytes, u64::from(location.offset)));
            let Err(error) = read else {
                let mut record = Bytes::from(bytes);
                let payload = record.split_off(RECORD_LEN);
                let block = EncodedBlock {
                    digest: *digest,
                    encoding: location.encoding,
                    bytes: payload,
                };
                return Ok(Some((Record::read(&record), block, location)));
            };
            // Its pack may have gone after the look at the catalogue. A block moves once in a sweep, so this ends.
            known = self.catalogue().get(digest);
            if known == Some(location) {
                return Err(self.unreadable(digest, location, error));
            }
        }
        Ok(None)
    }

    fn unreadable(&self, digest: &Digest, location: Location, error: io::Error) -> StoreError {
        match error.kind() {
            // The pack was cut off or taken away behind our back.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => {
                self.corrupt(digest, location)
            }
            _ => {
                let path = pack_path(&self.packs, location.pack);
                StoreError::io(&self.dir, &path, "read", error)
            }
        }
    }

    fn corrupt(&self, digest: &Digest, location: Location) -> StoreError {
        StoreError::Corrupt {
            digest: *digest,
            pack: pack_path(&self.packs, location.pack),
        }
    }

    /// Drops a block, so that it counts as lacking and may be put again; whether it was here. Its bytes stay in the pack, dead.
    ///
    /// # Errors
    /// If that cannot be recorded on disk; it is forgotten then until the store is next opened.
    pub fn forget(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut writer = self.writer();
        if !self.catalogue_mut().remove(digest) {
            return Ok(false);
        }
        let (pack, entry) =
            writer.append(&Record::of(*digest, RecordKind::Forgotten, &[], 0), &[])?;
        self.catalogue_mut().apply(pack, &entry);
        Ok(true)
    }

    /// Brings everything put so far to disk. Call it before acknowledging a block to anyone.
    ///
    /// # Errors
    /// After a failure nothing more can be put ([`StoreError::Failed`]): what did not reach the disk cannot be told from what did,
    /// until the store is opened again.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.bring(self.sync_turn(), false)
    }

    /// Outside the writer's lock: others go on putting while the disk works.
    fn bring(&self, _turn: MutexGuard<'_, ()>, only_full: bool) -> Result<(), StoreError> {
        let Some(unsynced) = self.writer().unsynced(only_full)? else {
            return Ok(());
        };
        match unsynced.bring(&self.packs) {
            Ok(()) => {
                self.writer().synced(&unsynced);
                Ok(())
            }
            Err((path, source)) => {
                self.writer().sync_failed();
                Err(StoreError::io(&self.dir, &path, "sync", source))
            }
        }
    }

    fn sync_turn(&self) -> MutexGuard<'_, ()> {
        self.sync_turn
            .lock()
            .expect("nothing panics while it holds this")
    }

    /// Bytes of all packs: what it takes of the disk. Unlike [`Store::stats`] quick enough to ask at every request.
    #[must_use]
    pub fn pack_bytes(&self) -> u64 {
        self.catalogue().pack_bytes()
    }

    /// Bytes that the blocks in `live` take. Looks at every block that is here.
    #[must_use]
    pub fn live_bytes(&self, live: &Live) -> u64 {
        self.catalogue().live_bytes(live)
    }

    /// How much it holds.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.catalogue().stats()
    }

    fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue
            .read()
            .expect("nothing panics while it holds this")
    }

    fn catalogue_mut(&self) -> RwLockWriteGuard<'_, Catalogue> {
        self.catalogue
            .write()
            .expect("nothing panics while it holds this")
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer
            .lock()
            .expect("nothing panics while it holds this")
    }
}

#[cfg(test)]
mod tests;
