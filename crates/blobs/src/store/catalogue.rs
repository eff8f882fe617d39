//! Where each block lies: the indexes of all packs together, in memory.
//!
//! About 70 bytes a block: 70 MB for a terabyte of textures. What is live in each pack is counted as it changes, so that whoever
//! rewrites packs later knows which are worth it.

use std::collections::{BTreeMap, HashMap};

use super::record::{RECORD_LEN, RecordKind};
use super::scan::Entry;
use crate::block::BlockEncoding;
use crate::digest::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) stored_len: u32,
    pub(super) plain_len: u32,
    pub(super) encoding: BlockEncoding,
}

#[derive(Debug, Default)]
pub(super) struct Catalogue {
    places: HashMap<Digest, Location>,
    packs: BTreeMap<u32, PackUse>,
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
            self.places.insert(entry.digest, location);
        }
        self.set_pack_len(
            pack,
            entry.offset as usize + RECORD_LEN + entry.stored_len as usize,
        );
    }

    /// Forgets a block; whether it was there.
    pub(super) fn remove(&mut self, digest: &Digest) -> bool {
        let Some(location) = self.places.remove(digest) else {
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

    pub(super) fn get(&self, digest: &Digest) -> Option<Location> {
        self.places.get(digest).copied()
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            blocks: self.places.len(),
            packs: self.packs.len(),
            plain_bytes: self
                .places
                .values()
                .map(|location| u64::from(location.plain_len))
                .sum(),
            live_bytes: self.packs.values().map(|pack| pack.live_bytes).sum(),
            pack_bytes: self.packs.values().map(|pack| pack.len_bytes).sum(),
        }
    }
}

fn record_bytes(location: &Location) -> u64 {
    RECORD_LEN as u64 + u64::from(location.stored_len)
}
