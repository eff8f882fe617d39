//! A block as it lies in a pack: a record of 64 bytes, then the block's packed bytes.
//!
//! ```text
//! "TREC"  digest [32]  code u8  zeros [3]  stored length u32  plain length u32  payload sum [8]  record sum [8]
//! ```
//!
//! Numbers are big-endian; sums are the first 8 bytes of a BLAKE3. The record has its own sum, so that a length is believed only
//! if it was written whole: a torn write is told from a damaged block, and damage in one block never hides those after it.
//! `code` is the encoding, or says that the digest is forgotten from here on (then without payload).

use crate::block::{BlockEncoding, MAX_BLOCK_BYTES};
use crate::digest::Digest;

pub(super) const RECORD_LEN: usize = 64;
pub(super) const RECORD_MAGIC: &[u8; 4] = b"TREC";
const FORGOTTEN: u8 = 0x80;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    Block(BlockEncoding),
    Forgotten,
}

impl RecordKind {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Block(encoding) => encoding.code(),
            Self::Forgotten => FORGOTTEN,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Self> {
        match code {
            FORGOTTEN => Some(Self::Forgotten),
            code => BlockEncoding::from_code(code).map(Self::Block),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) digest: Digest,
    pub(super) kind: RecordKind,
    pub(super) stored_len: u32,
    pub(super) plain_len: u32,
    payload_sum: [u8; 8],
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    prefix(blake3::hash(bytes).as_bytes())
}

fn prefix(digest: &[u8; Digest::LEN]) -> [u8; 8] {
    *digest.first_chunk().expect("a digest has 32 bytes")
}

impl Record {
    pub(super) fn of(digest: Digest, kind: RecordKind, payload: &[u8], plain_len: usize) -> Self {
        let len = |len: usize| u32::try_from(len).expect("a block is at most MAX_BLOCK_BYTES");
        Self {
            digest,
            kind,
            stored_len: len(payload.len()),
            plain_len: len(plain_len),
            payload_sum: match kind {
                // The digest is of the same bytes.
                RecordKind::Block(BlockEncoding::Raw) => prefix(digest.as_bytes()),
                _ => sum(payload),
            },
        }
    }

    /// Record and payload in a row.
    pub(super) fn len(&self) -> usize {
        RECORD_LEN + self.stored_len as usize
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(RECORD_MAGIC);
        out.extend_from_slice(self.digest.as_bytes());
        out.extend_from_slice(&[self.kind.code(), 0, 0, 0]);
        out.extend_from_slice(&self.stored_len.to_be_bytes());
        out.extend_from_slice(&self.plain_len.to_be_bytes());
        out.extend_from_slice(&self.payload_sum);
        let record_sum = sum(&out[start..]);
        out.extend_from_slice(&record_sum);
    }

    /// The record at the beginning of `bytes`, if one was written there whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let record = bytes.first_chunk::<RECORD_LEN>()?;
        let (fields, record_sum) = record.split_at(RECORD_LEN - 8);
        if !fields.starts_with(RECORD_MAGIC) || sum(fields) != record_sum {
            return None;
        }
        let number = |at: usize| {
            fields[at..]
                .first_chunk()
                .map(|bytes| u32::from_be_bytes(*bytes))
        };
        let read = Self {
            digest: Digest::from_bytes(*fields[4..].first_chunk()?),
            kind: RecordKind::from_code(fields[36])?,
            stored_len: number(40)?,
            plain_len: number(44)?,
            payload_sum: *fields[48..].first_chunk()?,
        };
        // Written whole, but by whom? Lengths are bounded whatever they say.
        let bound = MAX_BLOCK_BYTES as u32;
        (read.stored_len <= bound && read.plain_len <= bound).then_some(read)
    }

    /// Whether `payload` is what was written with this record.
    pub(super) fn holds(&self, payload: &[u8]) -> bool {
        payload.len() == self.stored_len as usize && sum(payload) == self.payload_sum
    }
}
