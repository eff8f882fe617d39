//! What can go wrong with a store, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::block::{BlockError, MAX_BLOCK_BYTES};
use crate::digest::Digest;
use crate::error::is_full;

/// A store that could not do as asked. It stays consistent and usable, but for [`StoreError::Failed`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk.
    #[error("no space left for blocks in {}; free some, or choose another data folder", dir.display())]
    Full {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Another process has it.
    #[error("another tessera process uses the blocks in {}; stop it, or give this one another data folder", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
    },
    /// What lies on disk is not the block any more.
    #[error("block {digest} is damaged in {}; forget it and fetch it again, and check the disk", pack.display())]
    Corrupt {
        /// The block.
        digest: Digest,
        /// The pack it lies in.
        pack: PathBuf,
    },
    /// A block larger than blocks may be.
    #[error("a block of {len_bytes} bytes is refused: the most is {MAX_BLOCK_BYTES}")]
    TooLarge {
        /// Its length.
        len_bytes: usize,
    },
    /// Bytes that have another name than they came with.
    #[error("block {digest} is refused: its bytes are those of {found}; send it again")]
    Mismatch {
        /// The name it came with.
        digest: Digest,
        /// The name its bytes have.
        found: Digest,
    },
    /// An encoded block that is not what it says.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Files of another version.
    #[error("{} has format {found}, which this program does not know; use the version of tessera that wrote it, or another data folder", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format's number.
        found: u8,
    },
    /// An earlier write did not reach the disk, so what was put since the last sync may be lost.
    #[error("the disk failed to keep what was written to {}; check it and start again", dir.display())]
    Failed {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Anything else of the file system.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl StoreError {
    /// The error of doing `action` to `path` in the store at `dir`.
    pub(super) fn io(dir: &Path, path: &Path, action: &'static str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full {
                dir: dir.to_owned(),
            }
        } else {
            Self::Io {
                path: path.to_owned(),
                action,
                source,
            }
        }
    }
}
