//! What callers' closures may fail with.
//!
//! Blocks come from and go to places this crate does not know (a store, a socket, a queue), so their errors are carried as they
//! are, behind one type that every error turns into by itself.

use std::io;

/// Any error of a caller's source or sink. Every `std` error converts into it with `?` or `into()`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether a failed write says that there is no room: the disk, or what this user may use of it.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
