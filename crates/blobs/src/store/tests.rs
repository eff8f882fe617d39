use std::collections::BTreeSet;
use std::fs::OpenOptions;

use proptest::prelude::*;

use super::files::{index_path, write_all_at};
use super::writer::{MAX_PACK_BYTES, PACK_MAGIC};
use super::*;
use crate::block::BlockError;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Small blocks of every kind: empty, noise, compressible.
fn small_blocks() -> Vec<Vec<u8>> {
    vec![
        b"first".to_vec(),
        vec![],
        noise(1, 70),
        vec![5; 3000],
        b"TREC".to_vec(),
        noise(2, 31),
    ]
}

/// Threads share them by reference.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Store>();
    shared::<crate::Origin>();
};

fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn first_pack(dir: &Path) -> PathBuf {
    pack_path(&dir.join("packs"), 1)
}

/// A pack of [`small_blocks`], and where each ends in it.
fn small_pack() -> (Vec<u8>, Vec<(Digest, u64)>) {
    let (dir, store) = fresh();
    let ends = small_blocks()
        .iter()
        .map(|bytes| (store.put(bytes).unwrap(), store.stats().pack_bytes))
        .collect();
    drop(store);
    (fs::read(first_pack(dir.path())).unwrap(), ends)
}

fn store_with_pack(pack: &[u8]) -> (tempfile::TempDir, Result<Store, StoreError>) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("packs")).unwrap();
    fs::write(first_pack(dir.path()), pack).unwrap();
    let store = Store::open(dir.path());
    (dir, store)
}

#[test]
fn what_is_put_is_there_now_and_after_opening_again() {
    let (dir, store) = fresh();
    let digests: Vec<_> = small_blocks()
        .iter()
        .map(|bytes| store.put(bytes).unwrap())
        .collect();
    let absent = Digest::of(b"absent");
    let check = |store: &Store| {
        for (digest, bytes) in digests.iter().zip(small_blocks()) {
            assert!(store.contains(digest));
            assert_eq!(store.get(digest).unwrap().unwrap(), bytes);
            let encoded = store.get_encoded(digest).unwrap().unwrap();
            assert_eq!(encoded.decode().unwrap(), bytes);
        }
        assert_eq!(store.missing(&[digests[0], absent, digests[1]]), [absent]);
        assert_eq!(store.get(&absent).unwrap(), None);
        assert_eq!(store.get_encoded(&absent).unwrap(), None);
        assert_eq!(store.stats().blocks, digests.len());
    };
    check(&store);
    store.sync().unwrap();
    let stats = store.stats();
    assert_eq!(stats.pack_bytes, stats.live_bytes + PACK_MAGIC.len() as u64);
    assert!(
        stats.live_bytes < stats.plain_bytes,
        "the compressible one was compressed"
    );
    drop(store);
    let again = Store::open(dir.path()).unwrap();
    check(&again);
    assert_eq!(again.stats(), stats);
}

#[test]
fn a_known_block_is_not_written_again() {
    let (_dir, store) = fresh();
    let digest = store.put(b"block").unwrap();
    let stats = store.stats();
    store.put(b"block").unwrap();
    store.put_verified(&digest, b"block").unwrap();
    store.put_encoded(&EncodedBlock::encode(b"block")).unwrap();
    assert_eq!(store.stats(), stats);
}

#[test]
fn wrong_blocks_are_refused() {
    let (_dir, store) = fresh();
    let digest = Digest::of(b"right");
    assert!(matches!(
        store.put_verified(&digest, b"wrong"),
        Err(StoreError::Mismatch { .. })
    ));
    assert!(matches!(
        store.put(&vec![0; MAX_BLOCK_BYTES + 1]),
        Err(StoreError::TooLarge { .. })
    ));
    assert!(matches!(
        store.put_verified(&digest, &vec![0; MAX_BLOCK_BYTES + 1]),
        Err(StoreError::TooLarge { .. })
    ));
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    for (encoding, bytes, expected) in [
        (BlockEncoding::Raw, b"wrong".to_vec(), "damaged"),
        (BlockEncoding::Zstd, b"wrong".to_vec(), "decompressed"),
        (BlockEncoding::Zstd, bomb, "larger"),
    ] {
        let block = EncodedBlock {
            digest,
            encoding,
            bytes: bytes.into(),
        };
        let error = store.put_encoded(&block).unwrap_err();
        assert!(matches!(
            &error,
            StoreError::Block(
                BlockError::Mismatch { .. }
                    | BlockError::Undecodable { .. }
                    | BlockError::TooLarge { .. }
            )
        ));
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(store.stats().blocks, 0);
}

#[test]
fn an_encoded_block_is_kept_as_it_came_unless_that_is_larger() {
    let (_dir, store) = fresh();
    let plain = vec![9; 10_000];
    let best = EncodedBlock {
        bytes: zstd::bulk::compress(&plain, 19).unwrap().into(),
        ..EncodedBlock::encode(&plain)
    };
    store.put_encoded(&best).unwrap();
    assert_eq!(store.get_encoded(&best.digest).unwrap().unwrap(), best);
    let random = noise(3, 500);
    let silly = EncodedBlock {
        digest: Digest::of(&random),
        encoding: BlockEncoding::Zstd,
        bytes: zstd::bulk::compress(&random, 3).unwrap().into(),
    };
    store.put_encoded(&silly).unwrap();
    assert_eq!(
        store.get_encoded(&silly.digest).unwrap().unwrap().encoding,
        BlockEncoding::Raw
    );
    // Whoever sends it plain has tried.
    let unpacked = EncodedBlock {
        encoding: BlockEncoding::Raw,
        bytes: vec![8; 10_000].into(),
        digest: Digest::of(&[8; 10_000]),
    };
    store.put_encoded(&unpacked).unwrap();
    assert_eq!(
        store.get_encoded(&unpacked.digest).unwrap().unwrap(),
        unpacked
    );
}

#[test]
fn one_process_has_it() {
    let (dir, store) = fresh();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(
        error.to_string().contains(dir.path().to_str().unwrap()),
        "{error}"
    );
    drop(store);
    Store::open(dir.path()).unwrap();
}

/// Cut off at every byte, as a killed process may leave it: what was whole before the cut is there, nothing else is, and it can be written on.
#[test]
fn torn_at_every_byte_it_opens_with_what_was_whole() {
    let (pack, ends) = small_pack();
    for len in 0..=pack.len() {
        let (dir, store) = store_with_pack(&pack[..len]);
        let store = store.unwrap();
        for ((digest, end), bytes) in ends.iter().zip(small_blocks()) {
            let expected = (*end <= len as u64).then_some(bytes);
            assert_eq!(store.get(digest).unwrap(), expected, "cut at {len}");
        }
        let later = store.put(b"later").unwrap();
        drop(store);
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(
            again.get(&later).unwrap().unwrap(),
            b"later",
            "cut at {len}"
        );
        let whole = ends.iter().filter(|(_, end)| *end <= len as u64).count();
        assert_eq!(again.stats().blocks, whole + 1);
    }
}

/// Zeros from every byte on, as a lost page leaves it after a power failure.
#[test]
fn blank_from_every_byte_it_opens_with_what_was_whole() {
    let (pack, ends) = small_pack();
    for len in 0..=pack.len() {
        let mut blank = pack.clone();
        blank[len..].fill(0);
        // Zeros where zeros were are no damage.
        let same = blank == pack;
        let (_dir, store) = store_with_pack(&blank);
        let store = store.unwrap();
        let whole = ends
            .iter()
            .filter(|(_, end)| *end <= len as u64 || same)
            .count();
        assert!(store.stats().blocks >= whole, "blank from {len}");
        for ((digest, _), bytes) in ends.iter().zip(small_blocks()) {
            assert!(
                store
                    .get(digest)
                    .unwrap()
                    .is_none_or(|found| found == bytes)
            );
        }
    }
}

/// One byte changed anywhere, before opening or while open: never wrong data, and no other block is lost.
#[test]
fn damage_anywhere_never_gives_wrong_data_and_costs_one_block() {
    let (pack, ends) = small_pack();
    for at in 0..pack.len() {
        let mut bad = pack.clone();
        bad[at] ^= 0x41;
        let (_dir, store) = store_with_pack(&bad);
        let store = match store {
            Err(StoreError::Version { .. }) if at == 7 => continue,
            store => store.unwrap(),
        };
        let mut lost = 0;
        for ((digest, _), bytes) in ends.iter().zip(small_blocks()) {
            match store.get(digest).unwrap() {
                None => lost += 1,
                Some(found) => assert_eq!(found, bytes, "damage at {at}"),
            }
        }
        assert_eq!(lost, usize::from(at >= PACK_MAGIC.len()), "damage at {at}");
    }
    let (dir, store) = store_with_pack(&pack);
    let store = store.unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(first_pack(dir.path()))
        .unwrap();
    for at in PACK_MAGIC.len()..pack.len() {
        write_all_at(&file, &[pack[at] ^ 0x41], at as u64).unwrap();
        for ((digest, _), bytes) in ends.iter().zip(small_blocks()) {
            match store.get(digest) {
                Ok(found) => assert_eq!(found.unwrap(), bytes, "damage at {at}"),
                Err(error) => assert!(
                    matches!(&error, StoreError::Corrupt { digest: named, pack } if named == digest && *pack == first_pack(dir.path()))
                ),
            }
            if let Ok(Some(block)) = store.get_encoded(digest) {
                assert_eq!(block.decode().unwrap(), bytes, "damage at {at}");
            }
        }
        write_all_at(&file, &[pack[at]], at as u64).unwrap();
    }
}

#[test]
fn a_forgotten_block_may_be_put_again_and_stays_forgotten_otherwise() {
    let (dir, store) = fresh();
    let kept = store.put(b"kept").unwrap();
    let digest = store.put(b"damaged").unwrap();
    assert!(store.forget(&digest).unwrap());
    assert!(!store.forget(&digest).unwrap());
    assert_eq!(store.missing(&[kept, digest]), [digest]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.missing(&[kept, digest]), [digest]);
    store.put(b"damaged").unwrap();
    assert_eq!(store.get(&digest).unwrap().unwrap(), b"damaged");
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.get(&digest).unwrap().unwrap(), b"damaged");
    let stats = store.stats();
    assert_eq!(
        stats.pack_bytes - stats.live_bytes,
        (PACK_MAGIC.len() + 2 * RECORD_LEN + b"damaged".len()) as u64,
        "one dead block and one note of it"
    );
}

/// Enough noise for several packs.
fn fill(store: &Store, blocks: u64) -> Vec<Digest> {
    (0..blocks)
        .map(|seed| store.put(&noise(seed, 1 << 20)).unwrap())
        .collect()
}

#[test]
fn full_packs_are_ended_indexed_and_found_again() {
    let (dir, store) = fresh();
    let digests = fill(&store, 40);
    let packs = dir.path().join("packs");
    let full: Vec<_> = (1..4)
        .filter(|number| index_path(&packs, *number).exists())
        .collect();
    assert_eq!((full, store.stats().packs), (vec![1, 2], 3));
    for number in [1, 2] {
        let len = fs::metadata(pack_path(&packs, number)).unwrap().len() as usize;
        assert!(((4 << 20)..=MAX_PACK_BYTES).contains(&len), "{len}");
    }
    let stats = store.stats();
    // Twice: the second time the first pack, which has lost its block and gained nothing, is ended already.
    store.forget(&digests[3]).unwrap();
    drop(store);
    for damage in [
        &(|_: &Path| {}) as &dyn Fn(&Path),
        &|index| fs::remove_file(index).unwrap(),
        &|index| fs::write(index, b"TESINDX\x01 no index").unwrap(),
        &|index| {
            let mut bytes = fs::read(index).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(index, bytes).unwrap();
        },
        // Another pack's index.
        &|index| assert!(fs::copy(index.with_file_name("00000002.idx"), index).unwrap() > 0),
    ] {
        damage(&index_path(&packs, 1));
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.stats().blocks, stats.blocks - 1);
        assert_eq!(store.missing(&digests), [digests[3]]);
        for digest in digests.iter().filter(|digest| **digest != digests[3]) {
            assert!(Digest::of(&store.get(digest).unwrap().unwrap()) == *digest);
        }
        assert!(index_path(&packs, 1).exists(), "it was made again");
    }
}

#[test]
fn a_pack_that_vanished_is_damage_not_a_crash() {
    let (dir, store) = fresh();
    let digests = fill(&store, 20);
    fs::remove_file(first_pack(dir.path())).unwrap();
    assert!(matches!(
        store.get(&digests[0]),
        Err(StoreError::Corrupt { .. })
    ));
    store.forget(&digests[0]).unwrap();
    store.put(&noise(0, 1 << 20)).unwrap();
    assert!(store.get(&digests[0]).unwrap().is_some());
}

#[test]
fn files_of_another_version_are_refused_by_name() {
    let (_dir, store) = store_with_pack(b"TESPACK\x02");
    let error = store.unwrap_err();
    assert!(
        matches!(error, StoreError::Version { found: 2, .. })
            && error.to_string().contains("00000001.pack"),
        "{error}"
    );
}

#[test]
fn many_threads_put_and_read_at_once() {
    let (dir, store) = fresh();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..200 {
                    // Every block is put by two threads.
                    let bytes = noise((thread / 2) << 32 | number, 2000 + number as usize);
                    let digest = store.put(&bytes).unwrap();
                    assert!(store.get(&digest).unwrap().unwrap() == bytes);
                    if number % 50 == 0 {
                        store.sync().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(store.stats().blocks, 400);
    let stats = store.stats();
    assert_eq!(
        stats.pack_bytes,
        stats.live_bytes + PACK_MAGIC.len() as u64,
        "none was written twice"
    );
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().stats(), stats);
}

/// Version 1 on disk, byte for byte: what one release stored, every later one reads.
#[test]
fn the_format_stays() {
    let (dir, store) = fresh();
    let digest = store.put(b"hi").unwrap();
    store.forget(&digest).unwrap();
    drop(store);
    let mut expected = b"TESPACK\x01".to_vec();
    for (code, payload) in [(0_u8, &b"hi"[..]), (0x80, b"")] {
        let start = expected.len();
        expected.extend(b"TREC");
        expected.extend(digest.as_bytes());
        expected.extend([code, 0, 0, 0]);
        expected.extend((payload.len() as u32).to_be_bytes());
        expected.extend((payload.len() as u32).to_be_bytes());
        expected.extend(&blake3::hash(payload).as_bytes()[..8]);
        let sum = blake3::hash(&expected[start..]);
        expected.extend(&sum.as_bytes()[..8]);
        expected.extend(payload);
    }
    assert_eq!(fs::read(first_pack(dir.path())).unwrap(), expected);
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8),
    Forget(u8),
    Reopen,
    /// Loses up to so many bytes of the end of the pack that is being written.
    Tear(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any::<u8>().prop_map(|n| Act::Put(n % 24)),
        2 => any::<u8>().prop_map(|n| Act::Forget(n % 24)),
        1 => Just(Act::Reopen),
        1 => (0u16..400).prop_map(Act::Tear),
    ]
}

fn model_block(number: u8) -> Vec<u8> {
    if number.is_multiple_of(2) {
        noise(u64::from(number), usize::from(number) * 7)
    } else {
        vec![number; usize::from(number) * 40]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a plain set: whatever is done to it, and wherever its end is torn off, it holds what it held at some moment before.
    #[test]
    fn it_is_a_set_of_blocks_that_survives(acts in prop::collection::vec(act(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        // After each record, the length of the pack and what was in the store.
        let mut moments = vec![(0_u64, BTreeSet::new())];
        for act in acts {
            let mut now = moments.last().unwrap().1.clone();
            match act {
                Act::Put(number) => {
                    store.put(&model_block(number)).unwrap();
                    now.insert(number);
                }
                Act::Forget(number) => {
                    prop_assert_eq!(store.forget(&Digest::of(&model_block(number))).unwrap(), now.remove(&number));
                }
                Act::Reopen => {
                    drop(store);
                    store = Store::open(dir.path()).unwrap();
                }
                Act::Tear(bytes) => {
                    drop(store);
                    if let Ok(file) = OpenOptions::new().write(true).open(first_pack(dir.path())) {
                        let len = file.metadata().unwrap().len().saturating_sub(u64::from(bytes));
                        file.set_len(len).unwrap();
                        moments.retain(|(end, _)| *end <= len.max(8));
                    }
                    now = moments.last().unwrap().1.clone();
                    store = Store::open(dir.path()).unwrap();
                }
            }
            if now != moments.last().unwrap().1 {
                moments.push((store.stats().pack_bytes, now.clone()));
            }
            for number in 0..24 {
                let found = store.get(&Digest::of(&model_block(number))).unwrap();
                prop_assert_eq!(found, now.contains(&number).then(|| model_block(number)));
            }
        }
    }
}
