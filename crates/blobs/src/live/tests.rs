use std::collections::HashMap;
use std::convert::Infallible;

use super::*;
use crate::content::{Content, FileEncoding};
use crate::cut::write_bytes;
use crate::manifest::EntryKind;

/// Blocks in memory, and how often each was read.
#[derive(Default)]
struct Blocks {
    blocks: HashMap<Digest, Vec<u8>>,
    reads: HashMap<Digest, usize>,
}

impl Blocks {
    fn file(&mut self, bytes: &[u8]) -> BlobRef {
        write_bytes(bytes, Content::Blend, |block| {
            self.blocks.insert(block.digest(), block.bytes().to_vec());
            Ok::<_, Infallible>(())
        })
        .unwrap()
    }

    fn tree(&mut self, files: &[(&str, BlobRef)]) -> BlobRef {
        let mut tree = Manifest::new();
        for (path, blob) in files {
            let entry = crate::manifest::Entry {
                kind: EntryKind::File,
                blob: *blob,
                original_size: blob.size,
                encoding: FileEncoding::Raw,
                executable: false,
            };
            tree.insert(path.parse().unwrap(), entry).unwrap();
        }
        tree.write(|block| {
            self.blocks.insert(block.digest(), block.bytes().to_vec());
            Ok::<_, Infallible>(())
        })
        .unwrap()
    }

    fn read(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, Infallible> {
        *self.reads.entry(*digest).or_default() += 1;
        Ok(self.blocks.get(digest).cloned())
    }
}

/// Long enough for lists of two levels.
fn long_file(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 3 << 20];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

const A: Holder = Holder(1);
const B: Holder = Holder(2);
const C: Holder = Holder(3);

#[test]
fn a_tree_holds_all_of_its_blocks_and_no_other() {
    let mut blocks = Blocks::default();
    let (one, two) = (blocks.file(&long_file(1)), blocks.file(b"short"));
    assert!(one.depth > 0);
    let tree = blocks.tree(&[("a/one.blend", one), ("a/two", two)]);
    let wanted: Vec<Digest> = blocks.blocks.keys().copied().collect();
    let other = blocks.file(&long_file(2));
    let mut live = Live::new();
    live.hold_tree(A, &tree, |digest| blocks.read(digest))
        .unwrap();
    for digest in &wanted {
        assert_eq!(live.held_by(digest), HeldBy::One(A));
    }
    let held = blocks.blocks.keys().filter(|digest| live.contains(digest));
    assert_eq!(held.count(), wanted.len());
    assert_eq!(live.held_by(&other.digest), HeldBy::Nobody);
}

/// Shared parts are opened twice, whoever else comes, and known for shared down to the last block.
#[test]
fn what_several_hold_is_known_and_costs_no_more() {
    let mut blocks = Blocks::default();
    let shared = blocks.file(&long_file(1));
    let below: Vec<Digest> = blocks.blocks.keys().copied().collect();
    let own = blocks.file(b"own");
    let mut live = Live::new();
    live.hold(A, &own, |digest| blocks.read(digest)).unwrap();
    for holder in [A, A, B, C, A, B] {
        live.hold(holder, &shared, |digest| blocks.read(digest))
            .unwrap();
    }
    assert_eq!(live.held_by(&own.digest), HeldBy::One(A));
    for digest in below {
        assert_eq!(live.held_by(&digest), HeldBy::Several);
        assert!(blocks.reads.get(&digest).copied().unwrap_or(0) <= 2);
    }
}

/// Down to the last block, in whichever order they come.
#[test]
fn what_only_one_group_holds_is_known() {
    let mut blocks = Blocks::default();
    let (ours, shared) = (blocks.file(&long_file(1)), blocks.file(&long_file(2)));
    let all: Vec<Digest> = blocks.blocks.keys().copied().collect();
    for order in [[A, B, C], [C, A, B], [B, C, A]] {
        let mut live = Live::new();
        live.group(A, Group(1));
        live.group(B, Group(1));
        for holder in order {
            live.hold(holder, &shared, |digest| blocks.read(digest))
                .unwrap();
            if holder != C {
                live.hold(holder, &ours, |digest| blocks.read(digest))
                    .unwrap();
            }
        }
        let by = |held| {
            let of = |digest: &&Digest| live.held_by(digest) == held;
            all.iter().filter(of).count()
        };
        let (group, several) = (by(HeldBy::Group(Group(1))), by(HeldBy::Several));
        assert!(group > 2 && several > 2, "{group} {several}");
        assert_eq!(group + several, all.len());
    }
}

/// What is lacking or no list hides only what is below it.
#[test]
fn what_is_lacking_or_wrong_hides_only_what_is_below() {
    let mut blocks = Blocks::default();
    let long = blocks.file(&long_file(1));
    let short = blocks.file(b"short");
    let tree = blocks.tree(&[("long", long), ("short", short)]);
    let root = blocks.blocks.remove(&long.digest).unwrap();
    let mut live = Live::new();
    live.hold_tree(A, &tree, |digest| blocks.read(digest))
        .unwrap();
    assert!(live.contains(&long.digest), "it is on its way");
    assert!(live.contains(&short.digest));
    // A reference that gives data out for a list, one with another size, one that cannot be.
    blocks.blocks.insert(long.digest, root);
    for wrong in [
        BlobRef { depth: 1, ..short },
        BlobRef {
            size: long.size - 1,
            ..long
        },
        BlobRef { depth: 200, ..long },
        BlobRef::empty(),
    ] {
        live.hold(B, &wrong, |digest| blocks.read(digest)).unwrap();
    }
    // The same list by its right size is opened after all.
    let children = blocks.blocks.len();
    live.hold_tree(C, &tree, |digest| blocks.read(digest))
        .unwrap();
    let held = blocks.blocks.keys().filter(|digest| live.contains(digest));
    assert_eq!(held.count(), children);
}

#[test]
fn a_source_that_fails_ends_the_walk() {
    let mut blocks = Blocks::default();
    let long = blocks.file(&long_file(1));
    let tree = blocks.tree(&[("long", long)]);
    for root in [long, tree] {
        let mut live = Live::new();
        let fails = |digest: &Digest| match *digest == long.digest {
            true => Err("the disk does not answer"),
            false => Ok(blocks.blocks.get(digest).cloned()),
        };
        let walked = match root == tree {
            true => live.hold_tree(A, &root, fails),
            false => live.hold(A, &root, fails),
        };
        assert!(matches!(walked, Err(ReadError::Source { .. })));
    }
}
