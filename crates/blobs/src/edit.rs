//! A small edit of a large file: what it was, with some blocks in place of others.
//!
//! One moved camera costs the block of 16 KiB around it, the list of blocks that names that block, and the lists above, though a
//! few hundred bytes are new. Who remembers of which blocks the file was made ([`Outline`]) says instead which of them stay
//! ([`Edit`]), asks for short sums of the pieces of blocks that stood where new ones are ([`sums`]: rsync's signature), and sends what no piece has
//! ([`delta`]). The receiver makes the new blocks of the old ones, and all lists by itself ([`Edit::apply`]). It takes the result
//! if it has the digest that was promised and not otherwise, so nothing of this has to be believed.
//!
//! An edit as it travels, version 1, whole through zstd, numbers as LEB128:
//!
//! ```text
//! "TE" version u8  basis  blob  number of parts  parts  delta (as librsync has it)
//! basis, blob      digest [32]  size  depth u8
//! part             0  first block  number of blocks      as they were
//!                  1  digest [32]  bytes                 made of the delta, in this order
//! ```

use std::collections::HashMap;
use std::ops::Range;

use fast_rsync::{Signature, SignatureOptions, apply_limited, diff};

use crate::blob_ref::BlobRef;
use crate::block::MAX_BLOCK_BYTES;
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::{Child, ListBuilder, read_leb128, write_leb128};
use crate::read::{ReadError, check_ref, fetch, open_list};

/// Most bytes that an edit makes anew, and most that it takes the place of. What is more than that is sent as blocks, where the
/// sums would be no small part of it.
const EDIT_MAX_BYTES: usize = 2 << 20;

/// Largest edit before compression: as many bytes that are new as there may be, and as much to say where they belong.
const ENCODED_MAX_BYTES: usize = 2 * EDIT_MAX_BYTES;

/// Smallest, and quick for the few kilobytes that an edit has.
const ZSTD_LEVEL: i32 = 19;

/// Most blocks of an outline, of 16 KiB a file of 4 GiB. It bounds what a receiver holds for an edit to some 20 MB.
const BLOCKS_MAX: usize = 1 << 18;

/// Each piece of the old blocks has a sum of its own. A change costs about one piece,
/// before compression, and the sums of the block around it (80 bytes). Of a camera that was moved in a compressed file of 60 MB, four times
/// by Blender 3.4: sums and edit came to 3,390 bytes with 256, 2,300 with 512, 2,120 with 768, 1,980 with 1024, 2,190 with 1536.
const PIECE_BYTES: u32 = 1024;

/// Bytes of each strong sum, beside four of the rolling one. A piece taken for another is noticed by the digest, and costs that
/// the file is sent as blocks. If sums were drawn at random, that were one of some hundred thousand edits (2⁻⁴⁰ for each of 2¹⁴ places
/// and 2⁸ pieces); each byte more costs 16 for a block, of the 3,200 of a small edit.
const STRONG_BYTES: u32 = 1;

const MAGIC: &[u8; 2] = b"TE";
const VERSION: u8 = 1;
const KEPT: u8 = 0;
const FRESH: u8 = 1;

/// Of which data blocks a file is made, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    blob: BlobRef,
    blocks: Vec<(Digest, u32)>,
}

/// A file as an older one with some blocks in place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    basis: BlobRef,
    blob: BlobRef,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Blocks of the older file, by number.
    Kept(Range<u32>),
    Fresh(Digest, u32),
}

/// An edit that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The older file, or a block of it, is not here or cannot be read.
    #[error(transparent)]
    Basis(#[from] ReadError),
    /// It does not fit the older file, or itself.
    #[error("the edit is refused: {reason}")]
    Bad {
        /// What is wrong.
        reason: &'static str,
    },
    /// What comes out is not what was promised.
    #[error("the edit of {basis} does not make {blob}")]
    Other {
        /// The older file.
        basis: BlobRef,
        /// What should have come out.
        blob: BlobRef,
    },
}

const fn bad(reason: &'static str) -> EditError {
    EditError::Bad { reason }
}

impl Outline {
    pub(crate) fn new(blob: BlobRef, blocks: Vec<(Digest, u32)>) -> Self {
        Self { blob, blocks }
    }

    /// Reads a file's lists.
    ///
    /// # Errors
    /// See [`ReadError`]; [`ReadError::TooLarge`] for a file of more blocks than an edit is worth for.
    pub fn read<E: Into<BoxError>>(
        blob: &BlobRef,
        mut source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, ReadError> {
        check_ref(blob)?;
        let mut blocks = Vec::new();
        let root = Child {
            digest: blob.digest,
            size: blob.size,
        };
        let mut open = vec![(root, blob.depth)];
        while let Some((node, depth)) = open.pop() {
            if depth > 0 {
                let bytes = fetch(&node.digest, &mut source)?;
                let children = open_list(node, depth, &bytes)?;
                open.extend(children.into_iter().rev().map(|child| (child, depth - 1)));
            } else {
                // As `open_list` and `check_ref` hold it.
                blocks.push((node.digest, node.size as u32));
            }
            if blocks.len() + open.len() > BLOCKS_MAX {
                return Err(ReadError::TooLarge {
                    blob: *blob,
                    max_bytes: BLOCKS_MAX as u64 * (16 << 10),
                });
            }
        }
        Ok(Self::new(*blob, blocks))
    }

    /// The file.
    #[must_use]
    pub fn blob(&self) -> &BlobRef {
        &self.blob
    }

    /// To be remembered. Read by [`Outline::decode`] of the same release.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        write_ref(&mut out, &self.blob);
        for (digest, bytes) in &self.blocks {
            out.extend_from_slice(digest.as_bytes());
            write_leb128(&mut out, u64::from(*bytes));
        }
        out
    }

    /// What [`Outline::encode`] wrote; none if it is not that.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest::after_head(bytes)?;
        let blob = rest.blob()?;
        let mut blocks = Vec::new();
        while !rest.0.is_empty() && blocks.len() < BLOCKS_MAX {
            blocks.push((rest.digest()?, u32::try_from(rest.number()?).ok()?));
        }
        let size: u64 = blocks.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
        (rest.0.is_empty() && size == blob.size).then_some(Self { blob, blocks })
    }

    fn bytes(&self, blocks: Range<u32>) -> u64 {
        self.blocks[blocks.start as usize..blocks.end as usize]
            .iter()
            .map(|(_, bytes)| u64::from(*bytes))
            .sum()
    }

    /// The content of some runs of its blocks, one after the other: what [`sums`] and [`Edit::apply`] start from.
    ///
    /// # Errors
    /// If there are no such blocks, they are more than an edit may take the place of, or they are not here.
    pub fn read_runs<E: Into<BoxError>>(
        &self,
        runs: &[Range<u32>],
        mut source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Vec<u8>, EditError> {
        let mut total = 0;
        for run in runs {
            if run.start > run.end || run.end as usize > self.blocks.len() {
                return Err(bad("it names blocks that the file does not have"));
            }
            total += self.bytes(run.clone());
            if total > EDIT_MAX_BYTES as u64 {
                return Err(bad("it takes the place of too many blocks"));
            }
        }
        let mut content = Vec::with_capacity(total as usize);
        for (digest, bytes) in runs
            .iter()
            .flat_map(|run| &self.blocks[run.start as usize..run.end as usize])
        {
            let block = fetch(digest, &mut source)?;
            if block.len() != *bytes as usize {
                return Err(bad("a block of the older file has another size"));
            }
            content.extend(block);
        }
        Ok(content)
    }
}

impl Edit {
    /// What makes `new` of `old`. None if they are the same, or if too much is new for this to pay.
    #[must_use]
    pub fn between(old: &Outline, new: &Outline) -> Option<Self> {
        if old.blob == new.blob || new.blocks.len() > BLOCKS_MAX {
            return None;
        }
        let mut numbers = HashMap::with_capacity(old.blocks.len());
        for (number, block) in (0..).zip(&old.blocks) {
            numbers.entry(block).or_insert(number);
        }
        let mut parts: Vec<Part> = Vec::new();
        for block in &new.blocks {
            // The one that comes next in the older file, where there are several that are equal.
            if let Some(Part::Kept(run)) = parts.last_mut()
                && old.blocks.get(run.end as usize) == Some(block)
            {
                run.end += 1;
            } else {
                parts.push(match numbers.get(block) {
                    Some(&number) => Part::Kept(number..number + 1),
                    None => Part::Fresh(block.0, block.1),
                });
            }
        }
        let edit = Self {
            basis: old.blob,
            blob: new.blob,
            parts,
        };
        let replaced = edit.replaced(old).into_iter();
        let replaced: u64 = replaced.map(|run| old.bytes(run)).sum();
        let most = EDIT_MAX_BYTES as u64;
        (edit.fresh_bytes() <= most && replaced <= most).then_some(edit)
    }

    /// The older file.
    #[must_use]
    pub fn basis(&self) -> &BlobRef {
        &self.basis
    }

    /// The new one.
    #[must_use]
    pub fn blob(&self) -> &BlobRef {
        &self.blob
    }

    /// Blocks that are made anew, in order. Their content, one after the other, is what [`delta`] is made for.
    pub fn fresh(&self) -> impl Iterator<Item = Digest> + '_ {
        self.fresh_blocks().map(|(digest, _)| digest)
    }

    fn fresh_blocks(&self) -> impl Iterator<Item = (Digest, u32)> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Fresh(digest, bytes) => Some((*digest, *bytes)),
            Part::Kept(_) => None,
        })
    }

    fn fresh_bytes(&self) -> u64 {
        self.fresh_blocks().map(|(_, bytes)| u64::from(bytes)).sum()
    }

    /// Blocks of the older file in which the content of the new ones is looked for: of what stood in the place of each run of new
    /// blocks, as many as these are from its beginning on, and as many up to its end. What was taken out between is of no use.
    #[must_use]
    pub fn replaced(&self, old: &Outline) -> Vec<Range<u32>> {
        let len = old.blocks.len() as u32;
        let (mut runs, mut from, mut count) = (Vec::new(), 0, 0_u32);
        let mut place = |from: u32, to: u32, count: u32| {
            if count > 0 {
                // Where blocks changed places there is nothing between.
                let to = to.max(from);
                runs.push(from..from.saturating_add(count).min(to));
                runs.push(to.saturating_sub(count).max(from)..to);
            }
        };
        for part in &self.parts {
            match part {
                Part::Fresh(..) => count += 1,
                Part::Kept(run) => {
                    place(from, run.start, count);
                    (from, count) = (run.end, 0);
                }
            }
        }
        place(from, len, count);
        runs.sort_unstable_by_key(|run| (run.start, run.end));
        let mut apart: Vec<Range<u32>> = Vec::new();
        for run in runs.into_iter().filter(|run| !run.is_empty()) {
            match apart.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => apart.push(run),
            }
        }
        apart
    }

    /// As it travels, with its `delta`.
    #[must_use]
    pub fn encode(&self, delta: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        write_ref(&mut out, &self.basis);
        write_ref(&mut out, &self.blob);
        write_leb128(&mut out, self.parts.len() as u64);
        for part in &self.parts {
            match part {
                Part::Kept(run) => {
                    out.push(KEPT);
                    write_leb128(&mut out, u64::from(run.start));
                    write_leb128(&mut out, u64::from(run.end - run.start));
                }
                Part::Fresh(digest, bytes) => {
                    out.push(FRESH);
                    out.extend_from_slice(digest.as_bytes());
                    write_leb128(&mut out, u64::from(*bytes));
                }
            }
        }
        out.extend_from_slice(delta);
        zstd::bulk::compress(&out, ZSTD_LEVEL).expect("memory is all that it needs")
    }

    /// An edit that arrived, and its delta.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Vec<u8>), EditError> {
        let bytes = zstd::bulk::decompress(bytes, ENCODED_MAX_BYTES)
            .map_err(|_| bad("it did not arrive whole"))?;
        let parse = || {
            let mut rest = Rest::after_head(&bytes)?;
            let (basis, blob) = (rest.blob()?, rest.blob()?);
            let count = usize::try_from(rest.number()?).ok()?;
            let mut parts = Vec::with_capacity(count.min(1024));
            for _ in 0..count {
                parts.push(match rest.byte()? {
                    KEPT => {
                        let start = u32::try_from(rest.number()?).ok()?;
                        let count = u32::try_from(rest.number()?).ok()?;
                        Part::Kept(start..start.checked_add(count)?)
                    }
                    FRESH => Part::Fresh(rest.digest()?, u32::try_from(rest.number()?).ok()?),
                    _ => return None,
                });
            }
            Some((Self { basis, blob, parts }, rest.0.to_vec()))
        };
        parse().ok_or(bad(
            "it is damaged, or of a version that this program does not know",
        ))
    }

    /// Makes the new file out of the older one and the delta. `source` gives blocks of the older one, `sink` takes the new blocks,
    /// data before the lists that name it, once all of them are known to be right.
    ///
    /// # Errors
    /// See [`EditError`]; and what the sink fails with.
    pub fn apply<E: Into<BoxError>, S: From<EditError>>(
        &self,
        delta: &[u8],
        old: &Outline,
        source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
        mut sink: impl FnMut(&[u8]) -> Result<(), S>,
    ) -> Result<(), S> {
        let (fresh, lists) = self.make(delta, old, source)?;
        let mut at = 0;
        for (_, bytes) in self.fresh_blocks() {
            let end = at + bytes as usize;
            sink(&fresh[at..end])?;
            at = end;
        }
        lists.iter().try_for_each(|list| sink(list))
    }

    fn make<E: Into<BoxError>>(
        &self,
        delta: &[u8],
        old: &Outline,
        source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), EditError> {
        if old.blob != self.basis {
            return Err(bad("it is of another file"));
        }
        let fresh_bytes = self.fresh_bytes();
        if fresh_bytes > EDIT_MAX_BYTES as u64 {
            return Err(bad("too much of it is new"));
        }
        let before = old.read_runs(&self.replaced(old), source)?;
        let mut fresh = Vec::with_capacity(fresh_bytes as usize);
        apply_limited(&before, delta, &mut fresh, fresh_bytes as usize)
            .map_err(|_| bad("its delta does not fit the older file"))?;
        if fresh.len() as u64 != fresh_bytes {
            return Err(bad("its delta makes too little"));
        }
        let other = || EditError::Other {
            basis: self.basis,
            blob: self.blob,
        };
        let (mut builder, mut lists) = (ListBuilder::default(), Vec::new());
        let mut emit = |_, list: &[u8]| -> Result<(), EditError> {
            lists.push(list.to_vec());
            Ok(())
        };
        let (mut at, mut blocks) = (0, 0);
        for part in &self.parts {
            let fresh_block;
            let children = match part {
                Part::Kept(run) => old
                    .blocks
                    .get(run.start as usize..run.end as usize)
                    .ok_or(bad("it names blocks that the file does not have"))?,
                Part::Fresh(digest, bytes) => {
                    let end = at + *bytes as usize;
                    if *bytes == 0 || *bytes as usize > MAX_BLOCK_BYTES {
                        return Err(bad("a block has a size that blocks do not have"));
                    }
                    if Digest::of(&fresh[at..end]) != *digest {
                        return Err(other());
                    }
                    at = end;
                    fresh_block = [(*digest, *bytes)];
                    &fresh_block
                }
            };
            blocks += children.len();
            if blocks > BLOCKS_MAX {
                return Err(bad("it has too many blocks"));
            }
            for (digest, bytes) in children {
                let child = Child {
                    digest: *digest,
                    size: u64::from(*bytes),
                };
                builder.push(child, &mut emit)?;
            }
        }
        match builder.finish(&mut emit)? == self.blob {
            true => Ok((fresh, lists)),
            false => Err(other()),
        }
    }
}

/// Sums of the pieces of `before`, by which [`delta`] finds them.
#[must_use]
pub fn sums(before: &[u8]) -> Vec<u8> {
    let options = SignatureOptions {
        block_size: PIECE_BYTES,
        crypto_hash_size: STRONG_BYTES,
    };
    let mut sums = Signature::calculate(before, options).into_serialized();
    sums.drain(..signature_head().len());
    sums
}

/// What of `fresh` no piece with one of these sums has, and where the rest is. None if they are no sums.
#[must_use]
pub fn delta(sums: &[u8], fresh: &[u8]) -> Option<Vec<u8>> {
    let mut signature = signature_head();
    signature.extend_from_slice(sums);
    let signature = Signature::deserialize(signature).ok()?;
    let mut delta = Vec::new();
    diff(&signature.index(), fresh, &mut delta).ok()?;
    Some(delta)
}

/// Both sides know it, so it does not travel.
fn signature_head() -> Vec<u8> {
    let options = SignatureOptions {
        block_size: PIECE_BYTES,
        crypto_hash_size: STRONG_BYTES,
    };
    Signature::calculate(&[], options).into_serialized()
}

fn write_ref(out: &mut Vec<u8>, blob: &BlobRef) {
    out.extend_from_slice(blob.digest.as_bytes());
    write_leb128(out, blob.size);
    out.push(blob.depth);
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn after_head(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        Some(Self(rest))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = read_leb128(self.0)?;
        self.0 = rest;
        Some(number)
    }

    fn digest(&mut self) -> Option<Digest> {
        let (digest, rest) = self.0.split_first_chunk::<{ Digest::LEN }>()?;
        self.0 = rest;
        Some(Digest::from_bytes(*digest))
    }

    fn blob(&mut self) -> Option<BlobRef> {
        Some(BlobRef {
            digest: self.digest()?,
            size: self.number()?,
            depth: self.byte()?,
        })
    }
}

#[cfg(test)]
mod tests;
