//! Lists of blocks, cut by their own content (a prolly tree).
//!
//! A file of 60 MB is a list of 3 800 entries: 134 KB that would travel whole for every moved camera if it were one block. So the
//! list is cut too, and the boundary stands where the *digest of an entry* says. An edit changes the list that holds it and the
//! lists above it; all others keep their names, and a shift (an inserted block) moves no boundary after the next one.
//!
//! A list block, version 1:
//!
//! ```text
//! "TL"  version u8  level u8  then per child: digest [32]  size LEB128
//! ```
//!
//! `level` is 1 above data blocks, 2 above those lists, and so on; `size` is the bytes *of the file* below the child. So a reader
//! finds a range without reading what is before it, and checks each block against the size promised for it.

use crate::blob_ref::BlobRef;
use crate::digest::Digest;

const MAGIC: &[u8; 2] = b"TL";
const VERSION: u8 = 1;
const HEADER_LEN: usize = MAGIC.len() + 2;

/// No boundary before this many entries: guarantees that each level is much shorter than the one below, also for a file whose
/// blocks are all equal.
const MIN_ENTRIES: usize = 16;
/// Below this many entries a boundary is rare, above it frequent, so that lists are of similar length (about 2.5 KB): 64 keeps
/// both the changed list and the number of levels small for files from 10 MB to 1 TB.
const TARGET_ENTRIES: usize = 64;
/// A boundary at the latest here.
const MAX_ENTRIES: usize = 128;
/// One digest in 256 ends a short list, one in 16 a long one. The first set is part of the second, as in FastCDC, so lists fall
/// into step again after a change.
const RARE_MASK: u64 = 0xFF;
const FREQUENT_MASK: u64 = 0x0F;

/// A child of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) digest: Digest,
    /// Bytes of the file below it.
    pub(crate) size: u64,
}

/// Builds the lists above a file's blocks while they are cut, holding one unfinished list per level.
#[derive(Default)]
pub(crate) struct ListBuilder {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    bytes: Vec<u8>,
    entries: usize,
    size: u64,
    /// The last child, which is the root if it stays alone.
    last: Option<Child>,
}

impl ListBuilder {
    /// Adds the next data block; `emit` takes the lists that this completes.
    pub(crate) fn push<E>(
        &mut self,
        child: Child,
        emit: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.push_at(0, child, emit)
    }

    fn push_at<E>(
        &mut self,
        below: usize,
        child: Child,
        emit: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if below == self.levels.len() {
            self.levels.push(Level::default());
        }
        let level = &mut self.levels[below];
        if level.entries == 0 {
            let number = u8::try_from(below + 1)
                .expect("each level has 16 times fewer entries than the one below");
            level.bytes.extend_from_slice(MAGIC);
            level.bytes.extend_from_slice(&[VERSION, number]);
        }
        level.bytes.extend_from_slice(child.digest.as_bytes());
        write_leb128(&mut level.bytes, child.size);
        level.entries += 1;
        level.size += child.size;
        level.last = Some(child);
        if ends_list(&child.digest, level.entries) {
            self.close(below, emit)
        } else {
            Ok(())
        }
    }

    /// Ends the open list above `below` and enters it one level up.
    fn close<E>(
        &mut self,
        below: usize,
        emit: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let list = std::mem::take(&mut self.levels[below]);
        let digest = Digest::of(&list.bytes);
        emit(digest, &list.bytes)?;
        self.push_at(
            below + 1,
            Child {
                digest,
                size: list.size,
            },
            emit,
        )
    }

    /// Ends all lists; the root.
    pub(crate) fn finish<E>(
        mut self,
        emit: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<BlobRef, E> {
        let mut below = 0;
        while below < self.levels.len() {
            let level = &self.levels[below];
            let top = below + 1 == self.levels.len();
            match level.last {
                Some(Child { digest, size }) if top && level.entries == 1 => {
                    let depth = u8::try_from(below)
                        .expect("each level has 16 times fewer entries than the one below");
                    return Ok(BlobRef {
                        digest,
                        size,
                        depth,
                    });
                }
                Some(_) => self.close(below, emit)?,
                None => {}
            }
            below += 1;
        }
        Ok(BlobRef::empty())
    }
}

fn ends_list(digest: &Digest, entries: usize) -> bool {
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("a digest has 32 bytes");
    let draw = u64::from_le_bytes(*first);
    match entries {
        0..MIN_ENTRIES => false,
        MIN_ENTRIES..TARGET_ENTRIES => draw & RARE_MASK == 0,
        TARGET_ENTRIES..MAX_ENTRIES => draw & FREQUENT_MASK == 0,
        MAX_ENTRIES.. => true,
    }
}

/// Reads a list that is to be of level `level` and cover `size` bytes; the reason if it is not.
pub(crate) fn parse_list(bytes: &[u8], level: u8, size: u64) -> Result<Vec<Child>, &'static str> {
    let Some((header, mut rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err("it is shorter than a list's header");
    };
    if header[..2] != *MAGIC {
        return Err("it is not a list");
    }
    if header[2] != VERSION {
        return Err("it is a list of a version that this program does not know; update it");
    }
    if header[3] != level {
        return Err("it is a list of another level");
    }
    let mut children = Vec::with_capacity(rest.len() / (Digest::LEN + 1));
    let mut covered = 0_u64;
    while !rest.is_empty() {
        let Some((digest, after)) = rest.split_first_chunk::<{ Digest::LEN }>() else {
            return Err("its last entry is cut off");
        };
        let (child_size, after) = read_leb128(after).ok_or("an entry's size is no number")?;
        if child_size == 0 {
            return Err("an entry is empty");
        }
        covered = covered
            .checked_add(child_size)
            .filter(|covered| *covered <= size)
            .ok_or("its entries are more than the file")?;
        children.push(Child {
            digest: Digest::from_bytes(*digest),
            size: child_size,
        });
        rest = after;
    }
    if covered == size {
        Ok(children)
    } else {
        Err("its entries are less than the file")
    }
}

/// Seven bits a byte, low ones first, the top bit saying that more follow.
pub(crate) fn write_leb128(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Only the shortest form of a number is taken, so that a list has one serialisation.
pub(crate) fn read_leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7F);
        let shift = 7 * at as u32;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            let shortest = at == 0 || *byte != 0;
            return shortest.then(|| (value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn build(children: &[Child]) -> (BlobRef, Vec<Vec<u8>>) {
        let mut lists = Vec::new();
        let mut emit = |_, bytes: &[u8]| -> Result<(), Infallible> {
            lists.push(bytes.to_vec());
            Ok(())
        };
        let mut builder = ListBuilder::default();
        for child in children {
            builder.push(*child, &mut emit).unwrap();
        }
        let root = builder.finish(&mut emit).unwrap();
        (root, lists)
    }

    fn child(number: usize) -> Child {
        Child {
            digest: Digest::of(&number.to_le_bytes()),
            size: 1 + number as u64 % 50_000,
        }
    }

    #[test]
    fn depth_grows_with_the_logarithm() {
        for (count, depth) in [(0, 0), (1, 0), (2, 1), (16, 1), (3_800, 2), (60_000, 3)] {
            let (root, lists) = build(&(0..count).map(child).collect::<Vec<_>>());
            assert_eq!(root.depth, depth, "{count} blocks");
            assert_eq!(root.size, (0..count).map(|n| child(n).size).sum::<u64>());
            assert!(lists.len() <= count / MIN_ENTRIES + 3);
        }
    }

    #[test]
    fn equal_blocks_do_not_degenerate() {
        for number in 0..64 {
            let (root, lists) = build(&vec![child(number); 100_000]);
            assert!(
                root.depth <= 5 && lists.len() <= 100_000 / MIN_ENTRIES * 2,
                "{root} {}",
                lists.len()
            );
        }
    }

    #[test]
    fn wrong_lists_are_refused() {
        let (root, lists) = build(&[child(1), child(2)]);
        let list = &lists[0];
        assert_eq!(parse_list(list, 1, root.size), Ok(vec![child(1), child(2)]));
        assert!(parse_list(list, 2, root.size).is_err());
        assert!(parse_list(list, 1, root.size + 1).is_err());
        assert!(parse_list(list, 1, root.size - 1).is_err());
        for len in 0..list.len() {
            assert!(
                parse_list(&list[..len], 1, root.size).is_err(),
                "cut at {len}"
            );
        }
        let mut newer = list.clone();
        newer[2] = 2;
        assert!(
            parse_list(&newer, 1, root.size)
                .unwrap_err()
                .contains("version")
        );
    }

    /// Version 1 at rest, byte for byte: lists stored by one release are read by every later one.
    #[test]
    fn the_format_stays() {
        let children = [
            Child {
                digest: Digest::from_bytes([1; 32]),
                size: 5,
            },
            Child {
                digest: Digest::from_bytes([2; 32]),
                size: 300,
            },
        ];
        let (root, lists) = build(&children);
        let mut expected = b"TL\x01\x01".to_vec();
        expected.extend([1; 32]);
        expected.push(5);
        expected.extend([2; 32]);
        expected.extend([0xAC, 0x02]);
        assert_eq!(lists, [expected.clone()]);
        assert_eq!(
            root,
            BlobRef {
                digest: Digest::of(&expected),
                size: 305,
                depth: 1
            }
        );
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value in any::<u64>(), tail in prop::collection::vec(any::<u8>(), 0..3)) {
            let mut bytes = Vec::new();
            write_leb128(&mut bytes, value);
            bytes.extend(&tail);
            prop_assert_eq!(read_leb128(&bytes), Some((value, &tail[..])));
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), level in any::<u8>(), size in any::<u64>()) {
            let _ = parse_list(&bytes, level, size);
            if let Some((value, rest)) = read_leb128(&bytes) {
                let mut again = Vec::new();
                write_leb128(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()], "one number, one form");
            }
        }
    }
}
