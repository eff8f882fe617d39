//! Files as content-defined blocks named by their BLAKE3 digest.
//!
//! A scene is sent to machines that have seen most of it before. So a file is cut where its *content* says (not at fixed
//! offsets), each block is named by what it holds, and only blocks that the other side lacks travel. This crate holds that and
//! nothing else: it knows neither rendering nor the network, and it is synchronous: callers put it on blocking threads.
//!
//! - Names: [`Digest`], [`BlobRef`] (a whole file: the root of a tree of lists of blocks).
//! - Cutting: [`write_file`] and its siblings, [`cut_files`] for many; [`Origin`] remembers where blocks lie, so that a sender needs no copy.
//! - Reading: [`read_file`], [`read_range`], [`missing_blocks`].
//! - Trees of files: [`Manifest`] of [`TreePath`]s, put on disk by [`materialise()`]; which path of which system lies where: [`place_of`], [`origins`].
//! - Rest: [`Store`] keeps blocks in packs on disk, and gives back what is neither [`Live`] nor kept by [`Keeping`]. Way: [`StreamEncoder`] and [`StreamDecoder`] put many into one body.
//!
//! Every byte that enters is verified against its digest, and again each time it is read from disk; every length that another
//! machine may choose has a named bound.

mod blob_ref;
mod block;
mod content;
mod crew;
mod cut;
mod digest;
mod edit;
mod error;
mod keeping;
mod list;
mod live;
mod manifest;
mod materialise;
mod missing;
mod origin;
mod places;
mod read;
mod store;
mod stream;
mod tree_path;

pub use blob_ref::{BlobRef, BlobRefParseError, MAX_DEPTH, MAX_FILE_BYTES};
pub use block::{BlockEncoding, BlockError, EncodedBlock, MAX_BLOCK_BYTES};
pub use content::{Content, FileEncoding, MAX_DECODED_BYTES};
pub use crew::cut_files;
pub use cut::{
    Block, BlockRole, CUT_VERSION, CutError, CutFile, write_bytes, write_file, write_stream,
};
pub use digest::{Digest, DigestParseError};
pub use edit::{Edit, EditError, Outline, delta, sums};
pub use error::BoxError;
pub use keeping::{Keeping, Sweep};
pub use live::{Group, HeldBy, Holder, Live};
pub use manifest::{Entry, EntryKind, MAX_ENTRIES, Manifest, ManifestError};
pub use materialise::{MaterialiseError, Materialised, Progress, materialise, remove_tree};
pub use missing::{Missing, missing_blocks};
pub use origin::{FileBlocks, Origin, OriginError};
pub use places::{origins, place_of};
pub use read::{ReadError, read_bytes, read_file, read_range};
pub use store::{Collected, Horizon, Store, StoreError, StoreStats, Usage};
pub use stream::{STREAM_MEDIA_TYPE, StreamDecoder, StreamEncoder, StreamError};
pub use tree_path::{MAX_PART_BYTES, MAX_PARTS, MAX_PATH_BYTES, TreePath, TreePathError};
