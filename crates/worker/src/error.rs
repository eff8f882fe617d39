//! Why a worker does not start, or ends by itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tessera_blobs::StoreError;
use tessera_client::{FarmFileError, JoinError as PairError, TrustError};

/// See [`run`](crate::run). Each is one line: what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its folder cannot be used.
    #[error("cannot use the worker's folder {dir}: {source}; check its permissions and its disk, or choose another with --data", dir = dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another worker uses its folder, or the folder's blocks cannot be read.
    #[error("cannot open the worker's block store: {source}")]
    Store {
        /// Why.
        source: StoreError,
    },
    /// The address at which it was to give blocks to other workers cannot be had.
    #[error(
        "cannot listen at {address} for other workers: {source}; choose another with --peer-listen, or off"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What it knows of its farm cannot be read.
    #[error(transparent)]
    Identity(#[from] FarmFileError),
    /// It belongs to no farm.
    #[error(
        "this worker belongs to no farm yet (nothing in {dir}): get a code with `tessera cert create` at the manager and start \
         the worker with --join CODE", dir = dir.display()
    )]
    NotPaired {
        /// Its folder.
        dir: PathBuf,
    },
    /// Its certificate or the farm's cannot be used.
    #[error(
        "what this worker knows of farm '{farm}' cannot be used: {source}; join again with --join CODE"
    )]
    Trust {
        /// The farm.
        farm: String,
        /// Why.
        source: TrustError,
    },
    /// The farm does not let it in, and trying again cannot help.
    #[error("farm '{farm}' refused this worker: {reason}")]
    Refused {
        /// The farm.
        farm: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A task of the worker ended in a way it must not.
    #[error("the worker failed: {what}; please report this with the worker's log")]
    Internal {
        /// What.
        what: String,
    },
}

/// See [`join`](crate::join).
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder cannot be made.
    #[error("cannot make the worker's folder {dir}: {source}; check its permissions, or choose another with --data", dir = dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The farm was not reached, or said no.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The identity cannot be kept.
    #[error(transparent)]
    Save(#[from] FarmFileError),
}
