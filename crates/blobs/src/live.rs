//! Which blocks are wanted, and by whom: what stands below the roots that somebody names.
//!
//! A walk from the roots down the lists marks every block it meets. Two things keep it small beside the catalogue of a large store:
//! of a block's name 8 bytes are kept (two blocks that share them count as one, so at worst something is kept that need not be), and a
//! list is opened at most three times, by its first holder, by the second, and by the first of another group, however many follow.
//!
//! It is wrong only to the safe side. What cannot be *read* now ends the walk; a list that is not there, or is no list, has nothing below
//! it that a reader could reach either.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::blob_ref::BlobRef;
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::Child;
use crate::manifest::{Manifest, ManifestError};
use crate::read::{ReadError, check_ref, fetch, open_list};

/// Who wants a block: a number that the caller gives to a job, an upload or whatever it counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(pub u32);

/// Holders that belong together, the jobs of one user say: a number that the caller gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub u32);

/// Who wants a block, as far as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// Nobody.
    Nobody,
    /// This one alone.
    One(Holder),
    /// More than one, all of them of this group.
    Group(Group),
    /// More than one, not of one group.
    Several,
}

/// Groups of those that have one.
type Groups = HashMap<Holder, Group>;

impl HeldBy {
    fn and(self, holder: Holder, groups: &Groups) -> Self {
        let group = groups.get(&holder);
        match self {
            Self::Nobody => Self::One(holder),
            Self::One(known) if known == holder => self,
            Self::One(known) => match (groups.get(&known), group) {
                (Some(one), Some(other)) if one == other => Self::Group(*one),
                _ => Self::Several,
            },
            Self::Group(known) if group == Some(&known) => self,
            Self::Group(_) | Self::Several => Self::Several,
        }
    }
}

/// The blocks that are wanted.
#[derive(Debug, Default)]
pub struct Live {
    blocks: HashMap<u64, HeldBy>,
    /// Lists that were opened, by all that decides what they mean, and for whom: with whole names, since a list taken for another would
    /// leave its own children out.
    opened: HashMap<(Digest, u64, u8), HeldBy>,
    groups: Groups,
}

impl Live {
    /// Nothing is wanted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a holder into a group, before it holds anything.
    pub fn group(&mut self, holder: Holder, group: Group) {
        self.groups.insert(holder, group);
    }

    /// Who wants a block.
    #[must_use]
    pub fn held_by(&self, digest: &Digest) -> HeldBy {
        self.blocks
            .get(&short(digest))
            .copied()
            .unwrap_or(HeldBy::Nobody)
    }

    /// Whether anybody wants a block.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.blocks.contains_key(&short(digest))
    }

    /// Marks a file: all of its blocks and lists, as far as `source` has them.
    ///
    /// # Errors
    /// If `source` fails: nothing may be concluded from this value then.
    pub fn hold<E: Into<BoxError>>(
        &mut self,
        holder: Holder,
        blob: &BlobRef,
        mut source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), ReadError> {
        if check_ref(blob).is_err() || blob.is_empty() {
            return Ok(());
        }
        let root = Child {
            digest: blob.digest,
            size: blob.size,
        };
        let mut open = vec![(root, blob.depth)];
        while let Some((node, depth)) = open.pop() {
            self.mark(holder, &node.digest);
            if depth == 0 || !self.is_to_open(holder, node, depth) {
                continue;
            }
            let children =
                fetch(&node.digest, &mut source).and_then(|bytes| open_list(node, depth, &bytes));
            match children {
                Ok(children) => open.extend(children.into_iter().map(|child| (child, depth - 1))),
                Err(error @ ReadError::Source { .. }) => return Err(error),
                Err(error) => tracing::debug!(%error, "nothing is wanted below this list"),
            }
        }
        Ok(())
    }

    /// Marks a tree of files: its manifest, and every file that names.
    ///
    /// # Errors
    /// As [`Live::hold`].
    pub fn hold_tree<E: Into<BoxError>>(
        &mut self,
        holder: Holder,
        manifest: &BlobRef,
        mut source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), ReadError> {
        self.hold(holder, manifest, &mut source)?;
        match Manifest::read(manifest, &mut source) {
            Ok(tree) => tree
                .blobs()
                .try_for_each(|blob| self.hold(holder, blob, &mut source)),
            Err(ManifestError::Read(error @ ReadError::Source { .. })) => Err(error),
            // Parts of it are lacking (an upload that goes on) or it is none: no file of it is known.
            Err(_) => Ok(()),
        }
    }

    fn mark(&mut self, holder: Holder, digest: &Digest) {
        let held = self.blocks.entry(short(digest)).or_insert(HeldBy::Nobody);
        *held = held.and(holder, &self.groups);
    }

    /// Whether opening a list would mark anything that is not marked so already.
    fn is_to_open(&mut self, holder: Holder, node: Child, depth: u8) -> bool {
        match self.opened.entry((node.digest, node.size, depth)) {
            Entry::Vacant(entry) => {
                entry.insert(HeldBy::One(holder));
                true
            }
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                *entry.get_mut() = before.and(holder, &self.groups);
                *entry.get() != before
            }
        }
    }
}

fn short(digest: &Digest) -> u64 {
    let first = digest
        .as_bytes()
        .first_chunk()
        .expect("a digest has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests;
