use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::content::Content;
use crate::cut::{Block, BlockRole, write_bytes};
use crate::read::read_bytes;

/// What somebody holds.
type Blocks = HashMap<Digest, Vec<u8>>;

/// A file's blocks into `held`, and its outline.
fn cut(content: &[u8], held: &mut Blocks) -> Outline {
    let mut blocks = Vec::new();
    let blob = write_bytes(content, Content::Blend, |block: Block<'_>| {
        if let BlockRole::Data { .. } = block.role() {
            blocks.push((block.digest(), block.bytes().len() as u32));
        }
        held.insert(block.digest(), block.bytes().to_vec());
        Ok::<_, Infallible>(())
    });
    Outline::new(blob.unwrap(), blocks)
}

fn get(held: &Blocks) -> impl FnMut(&Digest) -> Result<Option<Vec<u8>>, Infallible> + '_ {
    |digest| Ok(held.get(digest).cloned())
}

/// Noise that begins like a .blend, so that it is cut into small blocks.
fn noise(bytes: usize) -> Vec<u8> {
    let mut content = b"BLENDER-v304".to_vec();
    let mut state = 7_u64;
    content.resize_with(bytes, || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    content
}

/// Sends `new` to who has `old`: the bytes both ways.
fn send(old: &[u8], new: &[u8]) -> Result<usize, EditError> {
    let (mut theirs, mut ours) = (Blocks::new(), Blocks::new());
    let (before, after) = (cut(old, &mut theirs), cut(new, &mut ours));
    let Some(edit) = Edit::between(&before, &after) else {
        return Ok(0);
    };
    let there = Outline::read(edit.basis(), get(&theirs))?;
    assert_eq!(there, before);
    let replaced = there.read_runs(&edit.replaced(&before), get(&theirs))?;
    let sums = sums(&replaced);
    let fresh: Vec<u8> = edit
        .fresh()
        .flat_map(|digest| ours[&digest].clone())
        .collect();
    let sent = edit.encode(&delta(&sums, &fresh).unwrap());
    let (edit, delta) = Edit::decode(&sent)?;
    let mut made = Vec::new();
    edit.apply(&delta, &there, get(&theirs), |block| {
        made.push(block.to_vec());
        Ok::<_, EditError>(())
    })?;
    theirs.extend(made.into_iter().map(|block| (Digest::of(&block), block)));
    assert_eq!(
        read_bytes(after.blob(), u64::MAX, get(&theirs)).unwrap(),
        new
    );
    Ok(sums.len() + sent.len())
}

#[test]
fn a_changed_byte_of_a_large_file_costs_less_than_a_kilobyte_or_two() {
    let old = noise(8 << 20);
    let mut new = old.clone();
    new[5 << 20] ^= 1;
    let cost = send(&old, &new).unwrap();
    assert!((300..2_500).contains(&cost), "{cost}");
}

#[test]
fn what_is_put_in_between_moves_the_rest_and_costs_itself() {
    let old = noise(4 << 20);
    let mut new = old.clone();
    new.splice(1_000_000..1_000_000, *b"something between");
    let cost = send(&old, &new).unwrap();
    assert!((300..3_000).contains(&cost), "{cost}");
}

#[test]
fn what_is_all_new_is_not_sent_so() {
    let mut old = noise(8 << 20);
    let new = old.clone();
    old[12..].iter_mut().for_each(|byte| *byte ^= 0x55);
    assert_eq!(send(&old, &new).unwrap(), 0);
    assert_eq!(send(&new, &new).unwrap(), 0, "or nothing is");
}

#[test]
fn an_edit_that_was_tampered_with_makes_nothing() {
    let (old, mut new) = (noise(1 << 20), noise(1 << 20));
    new[500_000] ^= 1;
    let (mut theirs, mut ours) = (Blocks::new(), Blocks::new());
    let (before, after) = (cut(&old, &mut theirs), cut(&new, &mut ours));
    let edit = Edit::between(&before, &after).unwrap();
    let replaced = before.read_runs(&edit.replaced(&before), get(&theirs));
    let fresh: Vec<u8> = edit
        .fresh()
        .flat_map(|digest| ours[&digest].clone())
        .collect();
    let whole = edit.encode(&delta(&sums(&replaced.unwrap()), &fresh).unwrap());
    for at in 0..whole.len() {
        for sent in [whole[..at].to_vec(), {
            let mut sent = whole.clone();
            sent[at] ^= 0x41;
            sent
        }] {
            let Ok((edit, delta)) = Edit::decode(&sent) else {
                continue;
            };
            let mut made = 0;
            let outcome = edit.apply(&delta, &before, get(&theirs), |_| {
                made += 1;
                Ok::<_, EditError>(())
            });
            assert!(outcome.is_err() || edit.blob() == after.blob(), "{at}");
            assert!(outcome.is_ok() || made == 0);
        }
    }
    // Who lacks the older file says so.
    let missing = Outline::read(edit.basis(), get(&Blocks::new()));
    assert!(matches!(missing, Err(ReadError::Missing { .. })));
}

#[test]
fn outlines_are_remembered_as_they_are() {
    let outline = cut(&noise(1 << 20), &mut Blocks::new());
    let bytes = outline.encode();
    assert_eq!(Outline::decode(&bytes), Some(outline));
    for end in 0..bytes.len() {
        assert_eq!(Outline::decode(&bytes[..end]), None, "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_edited_comes_out(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40_000, prop::collection::vec(any::<u8>(), 0..600)), 0..6),
    ) {
        let old = noise(600_000);
        let mut new = old.clone();
        for (at, cut, put) in edits {
            let at = 12 + at.index(new.len() - 12);
            new.splice(at..(at + cut).min(new.len()), put);
        }
        send(&old, &new).unwrap();
    }

    #[test]
    fn any_bytes_are_an_edit_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        bytes.splice(0..0, *b"TE\x01");
        let _ = Edit::decode(&bytes);
        let _ = Outline::decode(&bytes);
    }
}
