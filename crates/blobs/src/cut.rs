//! Cutting a file into blocks where its content says.
//!
//! FastCDC (2020) slides a hash over the bytes and cuts where it matches, so an edit moves only the cuts beside it. The parameters
//! are part of what is stored: another average gives other names to the same file, and everything would travel again. The
//! stream is read once, with one buffer of the largest block; what becomes of a block is the sink's affair.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fastcdc::v2020::{Normalization, StreamCDC};

use crate::blob_ref::{BlobRef, MAX_FILE_BYTES};
use crate::block::{EncodedBlock, MAX_BLOCK_BYTES};
use crate::content::{Content, FileEncoding, Plain, PlainError};
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::{Child, ListBuilder};

/// Goes up whenever the same file is cut otherwise than before, so that nobody goes on with names that no cut gives any more.
pub const CUT_VERSION: u32 = 1;

/// How firmly sizes are held near the average (FastCDC's "normalized chunking"). Measured over 400 edits of 4 KiB in incompressible
/// bytes: level 1 changes 30 KB in the mean and 90 KB in the worst of 100; levels 2 and 3 make the sizes more even, but after
/// an edit the cuts take longer to fall into step again (150 and 250 KB in the worst of 100).
const NORMALIZATION: Normalization = Normalization::Level1;

/// Sizes of blocks: smallest, average, largest.
const fn sizes(content: Content) -> (usize, usize, usize) {
    match content {
        Content::Blend => (2 << 10, 16 << 10, 64 << 10),
        Content::Other => (128 << 10, 1 << 20, MAX_BLOCK_BYTES),
    }
}

/// What a block is in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockRole {
    /// Bytes of the file, from this offset of its plain form.
    Data {
        /// Where the block begins.
        offset_bytes: u64,
    },
    /// A list of blocks.
    List,
}

/// A block fresh from cutting. Only cutting makes it, so its digest is known to be right and need not be computed again.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    digest: Digest,
    bytes: &'a [u8],
    role: BlockRole,
}

impl<'a> Block<'a> {
    /// Its name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Data or list.
    #[must_use]
    pub fn role(&self) -> BlockRole {
        self.role
    }

    /// Its form for a store or a stream.
    #[must_use]
    pub fn encode(&self) -> EncodedBlock {
        EncodedBlock::encode_named(self.digest, self.bytes)
    }
}

/// A file that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutFile {
    /// Its name and the size of its plain form.
    pub blob: BlobRef,
    /// What it holds.
    pub content: Content,
    /// How it lay on disk.
    pub encoding: FileEncoding,
    /// Bytes on disk.
    pub original_size: u64,
}

/// A file that could not be cut. Every message names it.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// It cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// Reading failed half-way.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The compressed stream in it ends too early.
    #[error("{} is cut off: its {encoding:?} stream ends too early; save or copy it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its compression.
        encoding: FileEncoding,
    },
    /// The compressed stream in it is broken.
    #[error("{} is damaged: its {encoding:?} stream cannot be decompressed; save or copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its compression.
        encoding: FileEncoding,
        /// The decoder's reason.
        source: io::Error,
    },
    /// It decompresses to more than any scene does.
    #[error("{} is refused: {encoded_bytes} bytes of it decompress to more than {decoded_bytes}, as no scene does", path.display())]
    Bomb {
        /// The file.
        path: PathBuf,
        /// Bytes read of it.
        encoded_bytes: u64,
        /// Bytes they became.
        decoded_bytes: u64,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("{} is larger than {MAX_FILE_BYTES} bytes, the most that a file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The sink refused a block.
    #[error("a block of {} could not be passed on", path.display())]
    Sink {
        /// The file.
        path: PathBuf,
        /// The sink's reason.
        source: BoxError,
    },
}

/// Cuts the file at `path` (a compressed `.blend` in its plain form) and hands each block to `sink`, children before their lists, the
/// root last. A block that occurs twice arrives twice.
///
/// # Errors
/// See [`CutError`]; blocks handed out before stay valid.
pub fn write_file<E: Into<BoxError>>(
    path: &Path,
    sink: impl FnMut(Block<'_>) -> Result<(), E>,
) -> Result<CutFile, CutError> {
    write_stream(path, open_file(path)?, sink)
}

/// Opens a regular file; looks before it opens, since opening a named pipe would wait for its other end.
pub(crate) fn open_file(path: &Path) -> Result<fs::File, CutError> {
    let open = |source| CutError::Open {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(open)?.is_file() {
        return Err(CutError::NotAFile {
            path: path.to_owned(),
        });
    }
    fs::File::open(path).map_err(open)
}

/// As [`write_file`], from any reader; `name` stands in error messages.
///
/// # Errors
/// See [`CutError`].
pub fn write_stream<E: Into<BoxError>>(
    name: &Path,
    reader: impl Read,
    sink: impl FnMut(Block<'_>) -> Result<(), E>,
) -> Result<CutFile, CutError> {
    let mut plain = Plain::open(reader).map_err(|error| plain_error(name, error))?;
    let (content, encoding) = (plain.content, plain.encoding);
    match cut(&mut plain, content, sink) {
        Ok(blob) => Ok(CutFile {
            blob,
            content,
            encoding,
            original_size: plain.original_size(),
        }),
        Err(Failure::Read(error)) => Err(plain_error(name, plain.failure(error))),
        Err(Failure::TooLarge) => Err(CutError::TooLarge {
            path: name.to_owned(),
        }),
        Err(Failure::Sink(error)) => Err(CutError::Sink {
            path: name.to_owned(),
            source: error.into(),
        }),
    }
}

pub(crate) fn plain_error(path: &Path, error: PlainError) -> CutError {
    let path = path.to_owned();
    match error {
        PlainError::Read(source) => CutError::Read { path, source },
        PlainError::Truncated(encoding) => CutError::Truncated { path, encoding },
        PlainError::Damaged(encoding, source) => CutError::Damaged {
            path,
            encoding,
            source,
        },
        PlainError::Bomb {
            encoded_bytes,
            decoded_bytes,
        } => CutError::Bomb {
            path,
            encoded_bytes,
            decoded_bytes,
        },
    }
}

/// Cuts `bytes` as they stand, without looking what they are.
///
/// # Errors
/// Only the sink's own.
pub fn write_bytes<E>(
    bytes: &[u8],
    content: Content,
    sink: impl FnMut(Block<'_>) -> Result<(), E>,
) -> Result<BlobRef, E> {
    match cut(bytes, content, sink) {
        Ok(blob) => Ok(blob),
        Err(Failure::Sink(error)) => Err(error),
        Err(Failure::Read(_) | Failure::TooLarge) => {
            unreachable!("bytes in memory can be read, and are fewer than 16 TiB")
        }
    }
}

enum Failure<E> {
    Read(io::Error),
    TooLarge,
    Sink(E),
}

fn cut<E>(
    reader: impl Read,
    content: Content,
    mut sink: impl FnMut(Block<'_>) -> Result<(), E>,
) -> Result<BlobRef, Failure<E>> {
    let (min, average, max) = sizes(content);
    let mut lists = ListBuilder::default();
    let mut offset_bytes = 0;
    for chunk in StreamCDC::with_level(reader, min, average, max, NORMALIZATION) {
        let bytes = chunk.map_err(|error| Failure::Read(error.into()))?.data;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        if offset_bytes + size > MAX_FILE_BYTES {
            return Err(Failure::TooLarge);
        }
        sink(Block {
            digest,
            bytes: &bytes,
            role: BlockRole::Data { offset_bytes },
        })
        .map_err(Failure::Sink)?;
        offset_bytes += size;
        lists
            .push(Child { digest, size }, &mut list_sink(&mut sink))
            .map_err(Failure::Sink)?;
    }
    lists
        .finish(&mut list_sink(&mut sink))
        .map_err(Failure::Sink)
}

fn list_sink<E>(
    sink: &mut impl FnMut(Block<'_>) -> Result<(), E>,
) -> impl FnMut(Digest, &[u8]) -> Result<(), E> {
    |digest, bytes| {
        sink(Block {
            digest,
            bytes,
            role: BlockRole::List,
        })
    }
}

#[cfg(test)]
mod tests;
