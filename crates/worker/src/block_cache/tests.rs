use std::path::Path;

use tessera_blobs::{Content, Entry, Manifest, TreePath};

use super::*;

/// Packs hold 16 of these, and go as a whole or not at all.
const MB: u64 = 1 << 20;

/// Bytes that do not compress.
fn noise(seed: u64, len: u64) -> Vec<u8> {
    let chunk = |i: u64| *Digest::of(&[seed.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes();
    (0..len.div_ceil(32)).flat_map(chunk).collect()
}

/// A tree of one file of noise, in the store.
fn tree(cache: &BlockCache, seed: u64, bytes: u64) -> BlobRef {
    let store = cache.store();
    let put = |block: tessera_blobs::Block<'_>| store.put_block(&block);
    let content = noise(seed, bytes);
    let blob = tessera_blobs::write_bytes(&content, Content::Other, put).unwrap();
    let entry = Entry {
        kind: tessera_blobs::EntryKind::File,
        blob,
        original_size: bytes,
        encoding: tessera_blobs::FileEncoding::Raw,
        executable: false,
    };
    let mut manifest = Manifest::new();
    manifest
        .insert(TreePath::new("u/noise").unwrap(), entry)
        .unwrap();
    let root = manifest.write(put).unwrap();
    store.sync().unwrap();
    cache.used(root);
    root
}

fn is_whole(cache: &BlockCache, root: &BlobRef) -> bool {
    let store = cache.store();
    let Ok(manifest) = Manifest::read(root, |digest| store.get(digest)) else {
        return false;
    };
    store.missing_of(manifest.blobs()).unwrap().is_empty()
}

fn go_on() -> CancellationToken {
    CancellationToken::new()
}

fn open(dir: &Path, bytes_max: u64) -> BlockCache {
    BlockCache::open(dir.join("store"), bytes_max).unwrap()
}

#[test]
fn the_limit_is_kept_and_what_was_used_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 24 * MB);
    let trees: Vec<BlobRef> = (0..8).map(|seed| tree(&cache, seed, 4 * MB)).collect();
    assert!(cache.is_too_large());
    // The oldest is used again.
    cache.used(trees[0]);
    cache.make_room(&[], &go_on()).unwrap();
    assert!(!cache.is_too_large());
    let whole: Vec<usize> = (0..8).filter(|at| is_whole(&cache, &trees[*at])).collect();
    assert_eq!(whole, [0, 4, 5, 6, 7], "of 21 MB five fit");
}

#[test]
fn the_order_of_use_survives_a_restart_and_a_smaller_limit_is_kept_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 30);
    let trees: Vec<BlobRef> = (0..4).map(|seed| tree(&cache, seed, 6 * MB)).collect();
    cache.used(trees[1]);
    drop(cache);
    let cache = open(dir.path(), 16 * MB);
    assert!(!cache.is_too_large());
    let whole: Vec<usize> = (0..4).filter(|at| is_whole(&cache, &trees[*at])).collect();
    assert_eq!(whole, [1, 3]);
    let order = [trees[1].digest, trees[3].digest];
    assert_eq!(cache.recent_trees(), order);
}

#[test]
fn what_is_needed_stays_whatever_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 8 * MB);
    let trees: Vec<BlobRef> = (0..4).map(|seed| tree(&cache, seed, 6 * MB)).collect();
    let needed = [trees[0], trees[2]];
    cache.make_room(&needed, &go_on()).unwrap();
    assert!(is_whole(&cache, &trees[0]) && is_whole(&cache, &trees[2]));
    assert!(!is_whole(&cache, &trees[3]));
    cache.make_all_room(&needed[..1], &go_on()).unwrap();
    let whole: Vec<usize> = (0..4).filter(|at| is_whole(&cache, &trees[*at])).collect();
    assert_eq!(whole, [0]);
    assert!(!cache.is_too_large(), "what nobody needs makes room");
}

/// The lists of a tree that still comes are there before its data: what has come of it is not taken for rubbish.
#[test]
fn a_tree_that_is_coming_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), MB);
    let root = tree(&cache, 1, 9 * MB);
    let manifest = Manifest::read(&root, |digest| cache.store().get(digest)).unwrap();
    let mut blocks = Vec::new();
    for blob in manifest.blobs() {
        let content = noise(1, blob.size);
        let all = |block: tessera_blobs::Block<'_>| {
            blocks.push(block.digest());
            Ok::<_, std::io::Error>(())
        };
        tessera_blobs::write_bytes(&content, Content::Other, all).unwrap();
    }
    cache.store().forget(&blocks[0]).unwrap();
    cache.make_room(&[root], &go_on()).unwrap();
    let missing = cache.store().missing_of(manifest.blobs()).unwrap();
    assert_eq!(missing.data, [blocks[0]]);
}
