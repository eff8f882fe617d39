//! Reading a file back from whoever holds its blocks.
//!
//! The source of blocks is not trusted to be complete, and lists are not trusted to be sane: every list must be of the level
//! and cover the size that was promised for it, every block must have its size, so that a reader never writes more than the
//! size it was given and never follows lists for ever. The source verifies digests ([`crate::Store`] does at each read).

use std::io::{self, Write};
use std::ops::Range;

use crate::blob_ref::{BlobRef, MAX_DEPTH, MAX_FILE_BYTES};
use crate::block::MAX_BLOCK_BYTES;
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::{Child, parse_list};

/// A file that could not be read from its blocks.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A block is not there.
    #[error("block {digest} is not there; fetch it and read again")]
    Missing {
        /// The block.
        digest: Digest,
    },
    /// A block has another size than its list says.
    #[error(
        "block {digest} has {found} bytes where its list says {expected}; whoever made the list is wrong"
    )]
    WrongSize {
        /// The block.
        digest: Digest,
        /// Size by the list.
        expected: u64,
        /// Size of the block.
        found: u64,
    },
    /// A list that cannot be right.
    #[error("list of blocks {digest} is refused: {reason}")]
    BadList {
        /// The list.
        digest: Digest,
        /// What is wrong.
        reason: &'static str,
    },
    /// A reference that cannot be right.
    #[error("blob {blob} is refused: {reason}")]
    BadRef {
        /// The reference.
        blob: BlobRef,
        /// What is wrong.
        reason: &'static str,
    },
    /// A range outside the file.
    #[error("bytes {start}..{end} are not all within blob {blob}")]
    Range {
        /// The file.
        blob: BlobRef,
        /// First byte asked for.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// More than the caller holds in memory.
    #[error("blob {blob} is larger than the {max_bytes} bytes that are taken here")]
    TooLarge {
        /// The file.
        blob: BlobRef,
        /// The caller's bound.
        max_bytes: u64,
    },
    /// The source failed.
    #[error("block {digest} cannot be read")]
    Source {
        /// The block.
        digest: Digest,
        /// The source's reason.
        source: BoxError,
    },
    /// The file read cannot be written.
    #[error("cannot write what was read")]
    Write {
        /// The writer's reason.
        source: io::Error,
    },
}

/// Writes the whole of `blob` to `out`, in order. `source` gives blocks by digest, `None` for one it lacks.
///
/// # Errors
/// See [`ReadError`]; what was written before an error is a true beginning of the file.
pub fn read_file<E: Into<BoxError>>(
    blob: &BlobRef,
    source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    out: &mut impl Write,
) -> Result<(), ReadError> {
    read_range(blob, 0..blob.size, source, out)
}

/// Writes the bytes `range` of `blob` to `out`, reading only the lists and blocks that it touches.
///
/// # Errors
/// See [`ReadError`].
pub fn read_range<E: Into<BoxError>>(
    blob: &BlobRef,
    range: Range<u64>,
    source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    out: &mut impl Write,
) -> Result<(), ReadError> {
    check_ref(blob)?;
    if range.start > range.end || range.end > blob.size {
        return Err(ReadError::Range {
            blob: *blob,
            start: range.start,
            end: range.end,
        });
    }
    if range.is_empty() {
        return Ok(());
    }
    let mut reader = Reader { source, out, range };
    reader.visit(
        Child {
            digest: blob.digest,
            size: blob.size,
        },
        blob.depth,
        0,
    )
}

/// The whole of `blob`, if it has at most `max_bytes`.
///
/// # Errors
/// See [`ReadError`].
pub fn read_bytes<E: Into<BoxError>>(
    blob: &BlobRef,
    max_bytes: u64,
    source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<u8>, ReadError> {
    if blob.size > max_bytes {
        return Err(ReadError::TooLarge {
            blob: *blob,
            max_bytes,
        });
    }
    let mut bytes = Vec::new();
    read_file(blob, source, &mut bytes)?;
    Ok(bytes)
}

/// Whether `blob` can be right at all, before anything is fetched for it.
pub(crate) fn check_ref(blob: &BlobRef) -> Result<(), ReadError> {
    let refuse = |reason| {
        Err(ReadError::BadRef {
            blob: *blob,
            reason,
        })
    };
    if blob.depth > MAX_DEPTH {
        refuse("it has more levels of lists than any file")
    } else if blob.size > MAX_FILE_BYTES {
        refuse("it is larger than any file that is taken")
    } else if blob.size == 0 && *blob != BlobRef::empty() {
        refuse("it has no bytes, but not the name of the empty file")
    } else if blob.depth == 0 && blob.size > MAX_BLOCK_BYTES as u64 {
        refuse("it is one block larger than blocks may be")
    } else {
        Ok(())
    }
}

/// The children of a list that the source gave.
pub(crate) fn open_list(list: Child, level: u8, bytes: &[u8]) -> Result<Vec<Child>, ReadError> {
    let refuse = |reason| ReadError::BadList {
        digest: list.digest,
        reason,
    };
    let children = parse_list(bytes, level, list.size).map_err(refuse)?;
    if level == 1
        && children
            .iter()
            .any(|child| child.size > MAX_BLOCK_BYTES as u64)
    {
        return Err(refuse("an entry is larger than blocks may be"));
    }
    Ok(children)
}

/// Asks `source` for a block that must be there.
pub(crate) fn fetch<E: Into<BoxError>>(
    digest: &Digest,
    source: &mut impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<u8>, ReadError> {
    match source(digest) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(ReadError::Missing { digest: *digest }),
        Err(error) => Err(ReadError::Source {
            digest: *digest,
            source: error.into(),
        }),
    }
}

struct Reader<'o, S, W> {
    source: S,
    out: &'o mut W,
    range: Range<u64>,
}

impl<E: Into<BoxError>, S: FnMut(&Digest) -> Result<Option<Vec<u8>>, E>, W: Write>
    Reader<'_, S, W>
{
    /// Writes what of `node`, which begins at byte `start` of the file, lies in the range. `depth` is at most [`MAX_DEPTH`].
    fn visit(&mut self, node: Child, depth: u8, start: u64) -> Result<(), ReadError> {
        let bytes = fetch(&node.digest, &mut self.source)?;
        if depth == 0 {
            return self.write(node, start, &bytes);
        }
        let mut child_start = start;
        for child in open_list(node, depth, &bytes)? {
            let child_end = child_start + child.size;
            if child_start < self.range.end && child_end > self.range.start {
                self.visit(child, depth - 1, child_start)?;
            }
            child_start = child_end;
        }
        Ok(())
    }

    fn write(&mut self, block: Child, start: u64, bytes: &[u8]) -> Result<(), ReadError> {
        let found = bytes.len() as u64;
        if found != block.size {
            return Err(ReadError::WrongSize {
                digest: block.digest,
                expected: block.size,
                found,
            });
        }
        // Both fit: they are offsets into `bytes`.
        let from = self.range.start.saturating_sub(start) as usize;
        let to = (self.range.end - start).min(found) as usize;
        self.out
            .write_all(&bytes[from..to])
            .map_err(|source| ReadError::Write { source })
    }
}

#[cfg(test)]
mod tests;
