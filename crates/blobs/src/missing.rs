//! What a receiver lacks of some files.
//!
//! Sending the digests of all blocks to ask which are missing would itself cost more than a small edit does. So a receiver
//! walks the lists it has and names what is lacking below them; a missing list hides what is below it, and is asked for first.
//! With one more round per level, a moved camera costs the changed lists, the changed blocks and nothing else.

use std::collections::HashSet;

use crate::blob_ref::BlobRef;
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::Child;
use crate::read::{ReadError, check_ref, fetch, open_list};

/// Blocks to fetch before the next look, without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Lists: what is below them is not known yet.
    pub lists: Vec<Digest>,
    /// Data.
    pub data: Vec<Digest>,
}

impl Missing {
    /// Whether everything is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.data.is_empty()
    }

    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.len() + self.data.len()
    }

    /// All of them, lists first, since they hold back the next round.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.lists.iter().chain(&self.data)
    }
}

/// Which blocks of `blobs` are lacking, as far as the lists at hand tell. `have` says whether a block is there, `source` gives
/// lists that are (data is never read). Fetch what it names and ask again until it is empty: at most one round per level and one
/// for the data.
///
/// # Errors
/// [`ReadError`] for a reference or list that cannot be right, or if the source fails.
pub fn missing_blocks<'a, E: Into<BoxError>>(
    blobs: impl IntoIterator<Item = &'a BlobRef>,
    mut have: impl FnMut(&Digest) -> bool,
    mut source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
) -> Result<Missing, ReadError> {
    let mut missing = Missing::default();
    let mut named = HashSet::new();
    // A node is looked at once however often it occurs: lists that name each other many times over cost no more than their bytes.
    let mut seen = HashSet::new();
    let mut open = Vec::new();
    for blob in blobs {
        check_ref(blob)?;
        if !blob.is_empty() {
            open.push((
                Child {
                    digest: blob.digest,
                    size: blob.size,
                },
                blob.depth,
            ));
        }
        while let Some((node, depth)) = open.pop() {
            if !seen.insert((node.digest, node.size, depth)) {
                continue;
            }
            if have(&node.digest) {
                if depth > 0 {
                    let bytes = match fetch(&node.digest, &mut source) {
                        Ok(bytes) => bytes,
                        Err(ReadError::Missing { digest }) => {
                            name_missing(&mut missing.lists, &mut named, digest);
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    // Reversed, so that blocks come off the stack, and are fetched, in the file's order.
                    open.extend(
                        open_list(node, depth, &bytes)?
                            .into_iter()
                            .rev()
                            .map(|child| (child, depth - 1)),
                    );
                }
            } else {
                name_missing(
                    if depth > 0 {
                        &mut missing.lists
                    } else {
                        &mut missing.data
                    },
                    &mut named,
                    node.digest,
                );
            }
        }
    }
    Ok(missing)
}

fn name_missing(place: &mut Vec<Digest>, named: &mut HashSet<Digest>, digest: Digest) {
    if named.insert(digest) {
        place.push(digest);
    }
}
