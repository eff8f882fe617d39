//! Reading a pack without its index: after a crash, and wherever the index is lost.
//!
//! A process killed while it writes leaves its last record torn; a machine that loses power may leave anything after the last
//! sync; a disk may damage what is old. So a scan goes on behind damage as long as it finds whole records, and calls torn only
//! what no whole record follows.

use super::record::{RECORD_LEN, RECORD_MAGIC, Record, RecordKind};
use crate::digest::Digest;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) kind: RecordKind,
    pub(super) offset: u32,
    pub(super) stored_len: u32,
    pub(super) plain_len: u32,
}

impl Entry {
    pub(super) fn new(record: &Record, offset: usize) -> Self {
        let offset = u32::try_from(offset).expect("a pack is at most MAX_PACK_BYTES");
        Self {
            digest: record.digest,
            kind: record.kind,
            offset,
            stored_len: record.stored_len,
            plain_len: record.plain_len,
        }
    }
}

/// What a pack holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Whole records, in the order they were written.
    pub(super) entries: Vec<Entry>,
    /// Where the last whole record ends: what follows is torn.
    pub(super) end: usize,
    /// Places with damage before that.
    pub(super) damaged: usize,
}

/// Reads the records in `pack` from byte `start`.
pub(super) fn scan(pack: &[u8], start: usize) -> Scan {
    let mut found = Scan {
        entries: Vec::new(),
        end: start.min(pack.len()),
        damaged: 0,
    };
    let mut damaged = 0;
    let mut at = start;
    while at < pack.len() {
        match whole_record(pack, at) {
            Found::Whole(record) => {
                found.entries.push(Entry::new(&record, at));
                at += record.len();
                found.end = at;
                found.damaged += std::mem::take(&mut damaged);
            }
            Found::Damaged(record) => {
                damaged += 1;
                at += record.len();
            }
            Found::Nothing => {
                damaged += 1;
                let Some(next) = next_record(pack, at + 1) else {
                    break;
                };
                at = next;
            }
        }
    }
    found
}

enum Found {
    Whole(Record),
    Damaged(Record),
    Nothing,
}

fn whole_record(pack: &[u8], at: usize) -> Found {
    let Some(record) = Record::read(&pack[at..]) else {
        return Found::Nothing;
    };
    match pack.get(at + RECORD_LEN..at + record.len()) {
        Some(payload) if record.holds(payload) => Found::Whole(record),
        Some(_) => Found::Damaged(record),
        None => Found::Nothing,
    }
}

fn next_record(pack: &[u8], from: usize) -> Option<usize> {
    let mut windows = pack
        .get(from..)?
        .windows(RECORD_MAGIC.len())
        .enumerate()
        .filter(|(_, window)| window == RECORD_MAGIC);
    windows
        .find(|(at, _)| !matches!(whole_record(pack, from + at), Found::Nothing))
        .map(|(at, _)| from + at)
}
