//! Where each block lies: the indexes of all packs together, in memory.
//!
//! About 70 bytes a block: 70 MB for a terabyte of textures.
//!
//! Beside its place stands when a block was last put or asked about, in *epochs*: a number that only [`Catalogue::horizon`] moves, so
//! that no clock is needed. Whoever was told that a block is here, and goes on to rely on it, has left a mark by that.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};

use super::record::{RECORD_LEN, RecordKind};
use super::scan::Entry;
use crate::block::BlockEncoding;
use crate::digest::Digest;
use crate::live::Live;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored_len: u32,
    pub(super) plain_len: u32,
    pub(super) encoding: BlockEncoding,
}

/// A block that is here.
#[derive(Debug)]
struct Held {
    location: Location,
    /// The epoch in which it was last put or asked about. Whoever asks holds the catalogue for reading only, hence atomic; the lock
    /// orders it before whatever is decided about the block later, hence relaxed.
    touched: AtomicU32,
}

#[derive(Debug, Default)]
pub(super) struct Catalogue {
    places: HashMap<Digest, Held>,
    packs: BTreeMap<u32, PackUse>,
    epoch: u32,
}

#[derive(Debug, Default)]
struct PackUse {
    len_bytes: u64,
    live_bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Blocks.
    pub blocks: usize,
    /// Packs they lie in.
    pub packs: usize,
    /// Bytes of the blocks themselves.
    pub plain_bytes: u64,
    /// Bytes they take in packs, records included.
    pub live_bytes: u64,
    /// Bytes of all packs, with what is no longer wanted.
    pub pack_bytes: u64,
}

impl Catalogue {
    /// Takes note of a record. Records come in the order they were written: the last one about a digest holds.
    pub(super) fn apply(&mut self, pack: u32, entry: &Entry) {
        self.apply_touched(pack, entry, self.epoch);
    }

    /// Takes note of a record that holds the same block as the one known so far.
    pub(super) fn relocate(&mut self, pack: u32, entry: &Entry) {
        let touched = self.touched(&entry.digest).unwrap_or(self.epoch);
        self.apply_touched(pack, entry, touched);
    }

    fn apply_touched(&mut self, pack: u32, entry: &Entry, touched: u32) {
        self.remove(&entry.digest);
        if let RecordKind::Block(encoding) = entry.kind {
            let location = Location {
                pack,
                offset: entry.offset,
                stored_len: entry.stored_len,
                plain_len: entry.plain_len,
                encoding,
            };
            self.packs.entry(pack).or_default().live_bytes += record_bytes(&location);
            let held = Held {
                location,
                touched: AtomicU32::new(touched),
            };
            self.places.insert(entry.digest, held);
        }
        self.set_pack_len(
            pack,
            entry.offset as usize + RECORD_LEN + entry.stored_len as usize,
        );
    }

    /// Forgets a block; whether it was there.
    pub(super) fn remove(&mut self, digest: &Digest) -> bool {
        let Some(Held { location, .. }) = self.places.remove(digest) else {
            return false;
        };
        if let Some(pack) = self.packs.get_mut(&location.pack) {
            pack.live_bytes -= record_bytes(&location);
        }
        true
    }

    pub(super) fn set_pack_len(&mut self, pack: u32, len_bytes: usize) {
        self.packs.entry(pack).or_default().len_bytes = len_bytes as u64;
    }

    /// No longer counts a pack whose file is gone.
    pub(super) fn remove_pack(&mut self, pack: u32) {
        self.packs.remove(&pack);
    }

    pub(super) fn pack_numbers(&self) -> Vec<u32> {
        self.packs.keys().copied().collect()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Location> {
        self.places.get(digest).map(|held| held.location)
    }

    /// Whether a block is here, for somebody who will rely on it: it counts as put now.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        let held = self.places.get(digest);
        if let Some(held) = held {
            held.touched.store(self.epoch, Ordering::Relaxed);
        }
        held.is_some()
    }

    /// The epoch in which a block was last put or asked about.
    pub(super) fn touched(&self, digest: &Digest) -> Option<u32> {
        let held = self.places.get(digest)?;
        Some(held.touched.load(Ordering::Relaxed))
    }

    /// Begins the next epoch; its number. What was there when the store was opened is older than all.
    pub(super) fn horizon(&mut self) -> u32 {
        self.epoch = self.epoch.saturating_add(1);
        self.epoch
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            blocks: self.places.len(),
            packs: self.packs.len(),
            plain_bytes: self
                .places
                .values()
                .map(|held| u64::from(held.location.plain_len))
                .sum(),
            live_bytes: self.packs.values().map(|pack| pack.live_bytes).sum(),
            pack_bytes: self.pack_bytes(),
        }
    }

    /// Bytes of the records that hold what is `live`.
    pub(super) fn live_bytes(&self, live: &Live) -> u64 {
        self.places
            .iter()
            .filter(|(digest, _)| live.contains(digest))
            .map(|(_, held)| record_bytes(&held.location))
            .sum()
    }

    pub(super) fn pack_bytes(&self) -> u64 {
        self.packs.values().map(|pack| pack.len_bytes).sum()
    }
}

pub(super) fn record_bytes(location: &Location) -> u64 {
    RECORD_LEN as u64 + u64::from(location.stored_len)
}
