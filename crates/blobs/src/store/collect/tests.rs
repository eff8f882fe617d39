use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::blob_ref::BlobRef;
use crate::store::files::write_all_at;

/// Small packs, so that a few blocks fill many.
const PACK_BYTES: usize = 4096;

fn open(dir: &Path) -> Store {
    Store::open_with(dir, PACK_BYTES).unwrap()
}

fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

/// A block that does not compress, of 200 to 900 bytes.
fn block(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 200 + (number as usize * 137) % 700];
    blake3::Hasher::new()
        .update(&number.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn name(number: u64) -> Digest {
    Digest::of(&block(number))
}

fn live_of(numbers: impl IntoIterator<Item = u64>) -> Live {
    let mut live = Live::new();
    for number in numbers {
        let blob = BlobRef {
            digest: name(number),
            size: block(number).len() as u64,
            depth: 0,
        };
        live.hold(Holder(0), &blob, |_| Ok::<_, StoreError>(None))
            .unwrap();
    }
    live
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn holds(store: &Store, number: u64) -> bool {
    let found = store.get(&name(number)).unwrap();
    assert!(found.as_ref().is_none_or(|bytes| *bytes == block(number)));
    found.is_some()
}

/// Bytes of all that lies in the folder of packs.
fn bytes_on_disk(dir: &Path) -> u64 {
    fs::read_dir(dir.join("packs"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn what_nobody_wants_goes_and_the_rest_stays() {
    for (wanted_each, least_freed) in [(1, 0), (2, 0), (5, 60), (u64::MAX, 99)] {
        let (dir, store) = fresh();
        for number in 0..200 {
            store.put(&block(number)).unwrap();
        }
        let before = bytes_on_disk(dir.path());
        let wanted = |number: &u64| number.is_multiple_of(wanted_each) && wanted_each < u64::MAX;
        let live = live_of((0..200).filter(wanted));
        let done = store.collect(store.horizon(), &live, go_on).unwrap();
        assert!(done.finished);
        let after = bytes_on_disk(dir.path());
        assert!(
            (before - after) * 100 >= before * least_freed,
            "{wanted_each}: {before} -> {after}"
        );
        assert_eq!(store.stats().blocks as u64, 200 - done.blocks);
        // Nothing is left to do, and doing nothing leaves all as it is.
        let again = store.collect(store.horizon(), &live, go_on).unwrap();
        assert_eq!((again.packs, again.blocks), (0, 0), "{wanted_each}");
        assert_eq!(bytes_on_disk(dir.path()), after);
        for number in (0..200).filter(wanted) {
            assert!(holds(&store, number), "{wanted_each}: {number}");
        }
        let stats = store.stats();
        drop(store);
        let store = open(dir.path());
        assert_eq!(store.stats(), stats);
        for number in (0..200).filter(wanted) {
            assert!(holds(&store, number), "{wanted_each}: {number}");
        }
        // What went may come again.
        for number in 0..200 {
            store.put(&block(number)).unwrap();
            assert!(holds(&store, number));
        }
    }
}

#[test]
fn what_is_put_or_asked_about_after_the_horizon_stays() {
    let (dir, store) = fresh();
    for number in 0..60 {
        store.put(&block(number)).unwrap();
    }
    let early = store.horizon();
    let asked: [fn(&Store, u64); 4] = [
        |store, number| assert!(store.contains(&name(number))),
        |store, number| assert_eq!(store.missing(&[name(number)]), []),
        |store, number| {
            let blob = BlobRef {
                digest: name(number),
                size: block(number).len() as u64,
                depth: 0,
            };
            assert!(store.missing_of([&blob]).unwrap().is_empty());
        },
        |store, number| assert_eq!(store.put(&block(number)).unwrap(), name(number)),
    ];
    for (number, ask) in (0..).step_by(7).zip(asked) {
        ask(&store, number);
    }
    for number in 60..80 {
        store.put(&block(number)).unwrap();
    }
    // Reading alone is no reason to keep anything.
    assert!(holds(&store, 3));
    let young = |number: &u64| [0, 7, 14, 21].contains(number) || *number >= 60;
    let late = store.horizon();
    store.collect(early, &Live::new(), go_on).unwrap();
    for number in (0..80).filter(young) {
        assert!(holds(&store, number), "{number}");
    }
    assert!(store.stats().blocks < 40);
    // Blocks that were moved are as old as before.
    store.collect(late, &Live::new(), go_on).unwrap();
    assert_eq!(store.stats().blocks, 0);
    assert_eq!(bytes_on_disk(dir.path()), 0);
}

/// A store with all there is to meet: unwanted packs, sparse ones, full ones, a forgotten block whose damaged bytes lie in an old pack, one
/// forgotten and put again, a pack ended early.
fn eventful(dir: &Path) -> (Store, BTreeSet<u64>) {
    let store = open(dir);
    for number in 0..50 {
        store.put(&block(number)).unwrap();
    }
    store.forget(&name(20)).unwrap();
    store.forget(&name(40)).unwrap();
    store.put(&block(40)).unwrap();
    for number in 50..90 {
        store.put(&block(number)).unwrap();
    }
    store.sync().unwrap();
    drop(store);
    let store = open(dir);
    // What an earlier process synced is on the disk, but only a sync tells this one.
    store.sync().unwrap();
    let live = (0..90)
        .filter(|number| *number >= 70 || number % 4 == 0)
        .filter(|number| !(8..16).contains(number) && *number != 20);
    (store, live.collect())
}

fn copy_packs(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("packs")).unwrap();
    for file in fs::read_dir(from.join("packs")).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.join("packs").join(path.file_name().unwrap())).unwrap();
    }
}

/// After every single step the folder is copied and opened as another process would find it: once with all that was written, once without
/// what no sync has brought to the disk yet.
#[test]
fn killed_after_any_step_it_has_lost_nothing_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, wanted) = eventful(dir.path());
    let live = live_of(wanted.iter().copied());
    let horizon = store.horizon();
    let mut steps = 0;
    let check = || {
        steps += 1;
        for power_fails in [false, true] {
            let left = tempfile::tempdir().unwrap();
            copy_packs(dir.path(), left.path());
            let unsettled = store.writer().unsettled_ends();
            for (number, synced_end) in unsettled.into_iter().filter(|_| power_fails) {
                let path = pack_path(&left.path().join("packs"), number);
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(synced_end).unwrap();
            }
            let found = open(left.path());
            for number in &wanted {
                assert!(holds(&found, *number), "step {steps}: {number} is lost");
            }
            assert!(!holds(&found, 20), "step {steps}: a damaged block is back");
            // A sweep takes up what the last one left, also one that is cut off again.
            let again = found.collect(found.horizon(), &live, go_on).unwrap();
            assert!(again.finished);
            for number in &wanted {
                assert!(holds(&found, *number), "step {steps}: {number} is lost");
            }
        }
        go_on()
    };
    let done = store.collect(horizon, &live, check).unwrap();
    assert!(done.finished && done.packs > 5 && done.copied_bytes > 0);
    assert!(steps > 40, "{steps}");
}

/// Told to stop after any step, it stops, and everything is as before or better.
#[test]
fn stopped_at_any_step_it_goes_on_as_before() {
    for stop_after in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (store, wanted) = eventful(dir.path());
        let live = live_of(wanted.iter().copied());
        let mut left = stop_after;
        let stop = || {
            left -= 1;
            if left < 0 {
                ControlFlow::Break(())
            } else {
                go_on()
            }
        };
        let done = store.collect(store.horizon(), &live, stop).unwrap();
        for number in &wanted {
            assert!(holds(&store, *number), "{stop_after}: {number}");
        }
        store.put(&block(1000)).unwrap();
        assert!(holds(&store, 1000));
        let rest = store.collect(
            store.horizon(),
            &live_of([1000].into_iter().chain(wanted)),
            go_on,
        );
        assert!(rest.unwrap().finished);
        if done.finished {
            break;
        }
    }
}

/// A wanted block that the disk damaged is forgotten, alone, and its pack goes all the same.
#[test]
fn a_damaged_block_is_forgotten_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..60 {
        store.put(&block(number)).unwrap();
    }
    let location = store.catalogue().get(&name(4)).unwrap();
    let path = pack_path(&dir.path().join("packs"), location.pack);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    write_all_at(&file, &[0; 50], u64::from(location.offset) + 80).unwrap();
    let wanted: Vec<u64> = (0..60).filter(|number| number % 4 == 0).collect();
    store
        .collect(store.horizon(), &live_of(wanted.clone()), go_on)
        .unwrap();
    for number in &wanted {
        assert_eq!(holds(&store, *number), *number != 4);
    }
    drop(store);
    let store = open(dir.path());
    for number in &wanted {
        assert_eq!(holds(&store, *number), *number != 4);
    }
    store.put(&block(4)).unwrap();
    store
        .collect(store.horizon(), &live_of(wanted.clone()), go_on)
        .unwrap();
    drop(store);
    let store = open(dir.path());
    assert!(wanted.iter().all(|number| holds(&store, *number)));
}

#[test]
fn usage_says_who_holds_what() {
    let (_dir, store) = fresh();
    for number in 0..30 {
        store.put(&block(number)).unwrap();
    }
    store.forget(&name(29)).unwrap();
    let mut live = Live::new();
    for holder in [2, 3] {
        live.group(Holder(holder), Group(7));
    }
    for (holder, numbers) in [(1, 0..10), (2, 5..20), (3, 15..25)] {
        for number in numbers {
            let blob = BlobRef {
                digest: name(number),
                size: block(number).len() as u64,
                depth: 0,
            };
            live.hold(Holder(holder), &blob, |_| Ok::<_, StoreError>(None))
                .unwrap();
        }
    }
    let bytes = |numbers: std::ops::Range<u64>| -> u64 {
        numbers
            .map(|number| (RECORD_LEN + block(number).len()) as u64)
            .sum()
    };
    let usage = store.usage(&live).unwrap();
    assert_eq!(usage.alone_bytes[&Holder(1)], bytes(0..5));
    assert_eq!(usage.alone_bytes[&Holder(2)], bytes(10..15));
    assert_eq!(usage.alone_bytes[&Holder(3)], bytes(20..25));
    assert_eq!(usage.group_bytes, [(Group(7), bytes(15..20))].into());
    assert_eq!(usage.shared_bytes, bytes(5..10));
    assert_eq!(usage.unheld_bytes, bytes(25..30) + RECORD_LEN as u64);
}

/// Eight threads read what is wanted, one puts blocks and relies on what it was told is here, while sweep follows sweep. Between what stays
/// lies what nobody wants, so every sweep moves blocks that are being read.
#[test]
fn readers_and_a_writer_go_on_beside_it() {
    const BLOCKS: u64 = 3000;
    const WANTED_EACH: u64 = 6;
    let wanted = |number: u64| number.is_multiple_of(WANTED_EACH);
    let (_dir, store) = fresh();
    // Blocks below this number were put.
    let put = AtomicU64::new(1);
    store.put(&block(0)).unwrap();
    let live = live_of((0..BLOCKS).filter(|number| wanted(*number)));
    let ended = AtomicBool::new(false);
    let copied = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (store, put, ended, copied) = (&store, &put, &ended, &copied);
        for reader in 0..8 {
            scope.spawn(move || {
                for turn in 0.. {
                    let below = put.load(Ordering::Acquire).div_ceil(WANTED_EACH);
                    let number = (turn * 31 + reader * 17) % below * WANTED_EACH;
                    assert!(holds(store, number), "{number} is lost");
                    let encoded = store.get_encoded(&name(number)).unwrap().unwrap();
                    assert_eq!(encoded.decode().unwrap(), block(number));
                    if ended.load(Ordering::Acquire) {
                        break;
                    }
                }
            });
        }
        let writer = scope.spawn(move || {
            for number in WANTED_EACH..BLOCKS {
                let before = number - WANTED_EACH;
                let there = store.contains(&name(before));
                assert!(there || !wanted(before), "{before} is lost");
                store.put(&block(number)).unwrap();
                put.store(number + 1, Ordering::Release);
            }
        });
        while !writer.is_finished() {
            let done = store.collect(store.horizon(), &live, go_on).unwrap();
            copied.fetch_add(done.copied_bytes, Ordering::Relaxed);
        }
        ended.store(true, Ordering::Release);
    });
    assert!(copied.into_inner() > 0, "no block was moved");
}

#[derive(Debug, Clone)]
enum Act {
    Put(u64),
    Ask(u64),
    Forget(u64),
    Horizon,
    /// With what is wanted as the bits of a number, stopped after so many steps.
    Collect(u32, u16),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_u64..32).prop_map(Act::Put),
        2 => (0_u64..32).prop_map(Act::Ask),
        2 => (0_u64..32).prop_map(Act::Forget),
        2 => Just(Act::Horizon),
        2 => (any::<u32>(), prop_oneof![Just(u16::MAX), 0_u16..60]).prop_map(|(live, stop)| Act::Collect(live, stop)),
        1 => Just(Act::Reopen),
    ]
}

/// What must be there, and what may be.
#[derive(Default)]
struct Model {
    /// What was put and not forgotten, with the horizons that had passed when it was last put or asked about.
    may: std::collections::BTreeMap<u64, usize>,
    must: BTreeSet<u64>,
    horizons: Vec<Horizon>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Against a plain set: what is wanted or young is always there with its bytes, what is forgotten never comes back, whatever else is
    /// done, and however a sweep is cut off.
    #[test]
    fn with_sweeps_it_is_still_a_set_of_blocks(acts in prop::collection::vec(act(), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path());
        let mut model = Model::default();
        for act in acts {
            match act {
                Act::Put(number) => {
                    store.put(&block(number)).unwrap();
                    model.may.insert(number, model.horizons.len());
                    model.must.insert(number);
                }
                Act::Ask(number) => {
                    if store.contains(&name(number)) {
                        prop_assert!(model.may.contains_key(&number));
                        model.may.insert(number, model.horizons.len());
                        model.must.insert(number);
                    } else {
                        prop_assert!(!model.must.contains(&number));
                    }
                }
                Act::Forget(number) => {
                    store.forget(&name(number)).unwrap();
                    model.may.remove(&number);
                    model.must.remove(&number);
                }
                Act::Horizon => model.horizons.push(store.horizon()),
                Act::Collect(wanted, stop) => {
                    let live = live_of((0..32).filter(|number| wanted >> number & 1 == 1));
                    // The one before the last, if there is one.
                    let Some(at) = model.horizons.len().checked_sub(1) else { continue };
                    let at = at.saturating_sub(1);
                    let mut left = stop;
                    let go_on = || {
                        left = left.saturating_sub(1);
                        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    };
                    store.collect(model.horizons[at], &live, go_on).unwrap();
                    let may = &model.may;
                    model.must.retain(|number| {
                        wanted >> number & 1 == 1 || may.get(number).is_some_and(|touched| *touched > at)
                    });
                }
                Act::Reopen => {
                    drop(store);
                    store = open(dir.path());
                    // All is older than what comes.
                    model.horizons.clear();
                    model.may.values_mut().for_each(|touched| *touched = 0);
                }
            }
            for number in 0..32 {
                let found = holds(&store, number);
                prop_assert!(found || !model.must.contains(&number), "{number} is lost");
                prop_assert!(!found || model.may.contains_key(&number), "{number} is back");
            }
        }
        let live = live_of(model.must.iter().copied());
        store.collect(store.horizon(), &live, go_on).unwrap();
        let stats = store.stats();
        prop_assert!(stats.pack_bytes <= 2 * stats.live_bytes + PACK_BYTES as u64, "{stats:?}");
    }
}
