//! Why a manager did not start, or stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tessera_blobs::StoreError;
use tessera_state::{OpenError, ReadError, WriteError};

/// The end of [`run`](crate::run), when nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// Someone listens there already.
    #[error(
        "port {} of {} is taken: stop the program that uses it, or choose another with --listen {}",
        address.port(), address.ip(), SocketAddr::new(address.ip(), address.port().wrapping_add(1))
    )]
    PortTaken {
        /// Where.
        address: SocketAddr,
    },
    /// Listening failed otherwise.
    #[error(
        "cannot listen on {address} ({source}): choose an address of this machine with --listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder of the farm cannot be used.
    #[error("cannot {action} '{}' ({source}): the manager's user must be able to read and write there", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room.
    #[error("the disk of '{}' is full: free some space there, then start again", path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
    },
    /// A file of the farm is not what it should be.
    #[error("'{}' is damaged ({what}): put back a copy of the data folder", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The owner's certificate cannot be used.
    #[error("the certificate '{}' cannot be used: {what}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The farm's certificate authority failed to sign.
    #[error("the farm's certificate authority cannot issue a certificate ({0})")]
    Authority(String),
    /// The record.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The record.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The block store.
    #[error(transparent)]
    Blobs(#[from] StoreError),
    /// The secure random source of the system failed.
    #[error("the system gives no random numbers ({0}): without them there are no secrets")]
    Random(String),
}

impl ManagerError {
    /// A failed file operation; a full disk is told apart.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return Self::DiskFull { path };
        }
        Self::File {
            action,
            path,
            source,
        }
    }
}
