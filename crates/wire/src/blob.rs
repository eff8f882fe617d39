//! The two names of bytes, as the record and as the block store know them.

use tessera_blobs::{BlobRef, Digest};
use tessera_model::Blob;

/// The store's name as the record keeps it.
#[must_use]
pub fn to_model(blob: &BlobRef) -> Blob {
    Blob {
        digest: *blob.digest.as_bytes(),
        size: blob.size,
        depth: blob.depth,
    }
}

/// The record's name as the store knows it.
#[must_use]
pub fn to_store(blob: &Blob) -> BlobRef {
    BlobRef {
        digest: Digest::from_bytes(blob.digest),
        size: blob.size,
        depth: blob.depth,
    }
}
