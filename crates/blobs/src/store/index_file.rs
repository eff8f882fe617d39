//! The index beside a full pack, so that opening a store reads a few per cent of it and not all.
//!
//! ```text
//! "TESINDX"  version u8  pack number u32  pack length u64  then per record: digest [32]  code u8  offset u32  stored length u32  plain length u32
//! at the end: sum [8] of all before it
//! ```
//!
//! It holds nothing that the pack does not, so one that is lost, stale or damaged is simply made again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::record::{RECORD_LEN, RecordKind};
use super::scan::Entry;
use crate::digest::Digest;

const MAGIC: &[u8; 8] = b"TESINDX\x01";
const ENTRY_LEN: usize = Digest::LEN + 1 + 3 * 4;
const SUM_LEN: usize = 8;

/// Which pack an index is for. A pack is never written again once it has one, so these two tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexOf {
    pub(super) number: u32,
    pub(super) pack_len: u64,
}

fn serialise(of: IndexOf, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 12 + entries.len() * ENTRY_LEN + SUM_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&of.number.to_be_bytes());
    bytes.extend_from_slice(&of.pack_len.to_be_bytes());
    for entry in entries {
        bytes.extend_from_slice(entry.digest.as_bytes());
        bytes.push(entry.kind.code());
        for number in [entry.offset, entry.stored_len, entry.plain_len] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(&sum.as_bytes()[..SUM_LEN]);
    bytes
}

/// The entries, or `None` if this is not the index of that pack.
fn parse(bytes: &[u8], of: IndexOf) -> Option<Vec<Entry>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_LEN)?)?;
    if blake3::hash(body).as_bytes()[..SUM_LEN] != *sum {
        return None;
    }
    let (number, rest) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (pack_len, records) = rest.split_first_chunk()?;
    let found = IndexOf {
        number: u32::from_be_bytes(*number),
        pack_len: u64::from_be_bytes(*pack_len),
    };
    if found != of || !records.len().is_multiple_of(ENTRY_LEN) {
        return None;
    }
    records
        .chunks_exact(ENTRY_LEN)
        .map(|record| parse_entry(record, of.pack_len))
        .collect()
}

fn parse_entry(bytes: &[u8], pack_len: u64) -> Option<Entry> {
    let (digest, rest) = bytes.split_first_chunk()?;
    let (code, numbers) = rest.split_first()?;
    let number = |at: usize| {
        numbers
            .get(at..)?
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
    };
    let entry = Entry {
        digest: Digest::from_bytes(*digest),
        kind: RecordKind::from_code(*code)?,
        offset: number(0)?,
        stored_len: number(4)?,
        plain_len: number(8)?,
    };
    let end = u64::from(entry.offset) + RECORD_LEN as u64 + u64::from(entry.stored_len);
    (end <= pack_len).then_some(entry)
}

/// Reads the index at `path`; `None` if there is no good one.
pub(super) fn load(path: &Path, of: IndexOf) -> Option<Vec<Entry>> {
    parse(&fs::read(path).ok()?, of)
}

/// Writes the index to `path`, whole or not at all, as long as the power stays on; what a power loss leaves is known by its sum.
pub(super) fn save(path: &Path, of: IndexOf, entries: &[Entry]) -> io::Result<()> {
    let partial = path.with_extension("idx.partial");
    let mut file = File::create(&partial)?;
    let written = file
        .write_all(&serialise(of, entries))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Best effort: what is left is overwritten by the next index of this pack, and read by nobody.
        let _ = fs::remove_file(&partial);
    }
    written
}
