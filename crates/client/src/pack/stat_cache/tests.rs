use super::*;

fn state(number: u64) -> State {
    State {
        bytes: number,
        modified_ns: -5,
        changed_ns: 7 + number as i64,
        inode: number,
        device: 2,
    }
}

fn cut(number: u64) -> CutFile {
    CutFile {
        blob: BlobRef {
            digest: Digest::of(&number.to_be_bytes()),
            size: number,
            depth: 3,
        },
        content: content(number as u8 % 2).unwrap(),
        encoding: encoding(number as u8 % 3).unwrap(),
        original_size: number + 1,
    }
}

fn path(number: u64) -> PathBuf {
    format!("/project/texture {number}.png").into()
}

fn known(cache: &mut StatCache, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let known = |number: &u64| {
        let found = cache.look(&path(*number), &state(*number));
        found
            .inspect(|found| assert_eq!(*found, cut(*number)))
            .is_some()
    };
    numbers.into_iter().filter(known).collect()
}

fn note(cache: &mut StatCache, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        cache.note(&path(number), state(number), cut(number));
    }
}

#[test]
fn files_are_known_as_long_as_they_stand_as_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("cache/files");
    let mut cache = StatCache::open(Some(&at));
    assert_eq!(known(&mut cache, 0..3), [0; 0]);
    note(&mut cache, 0..3);
    assert_eq!(known(&mut cache, 0..3), [0, 1, 2]);
    cache.save().unwrap();
    let mut cache = StatCache::open(Some(&at));
    assert_eq!(known(&mut cache, 0..4), [0, 1, 2]);
    let changes: [fn(&mut State); 5] = [
        |state| state.bytes += 1,
        |state| state.modified_ns += 1,
        |state| state.changed_ns += 1,
        |state| state.inode += 1,
        |state| state.device += 1,
    ];
    for change in changes {
        let mut changed = state(1);
        change(&mut changed);
        assert_eq!(cache.look(&path(1), &changed), None, "{changed:?}");
    }
    cache.forget(&path(1));
    assert_eq!(known(&mut cache, 0..3), [0, 2]);
    cache.save().unwrap();
    assert_eq!(known(&mut StatCache::open(Some(&at)), 0..3), [0, 2]);
    // A record of nowhere remembers while it lives.
    let mut nowhere = StatCache::open(None);
    note(&mut nowhere, [1]);
    assert_eq!(known(&mut nowhere, 0..3), [1]);
    nowhere.save().unwrap();
}

#[test]
fn two_at_once_keep_what_both_found() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("files");
    let (mut one, mut other) = (StatCache::open(Some(&at)), StatCache::open(Some(&at)));
    note(&mut one, 0..2);
    note(&mut other, 1..3);
    one.save().unwrap();
    other.save().unwrap();
    assert_eq!(known(&mut StatCache::open(Some(&at)), 0..4), [0, 1, 2]);
}

#[test]
fn what_was_not_used_for_the_longest_goes_first() {
    let mut files = Files::new();
    for number in 0..10 {
        let name = path(number).to_str().unwrap().to_owned();
        let turn = number % 5;
        let (state, cut) = (state(number), cut(number));
        files.insert(
            name,
            Remembered {
                state,
                cut,
                turn,
                found: false,
            },
        );
    }
    let (turn, kept) = parse(&serialise(9, &files, 4)).unwrap();
    let mut turns: Vec<_> = kept.values().map(|file| file.turn).collect();
    turns.sort_unstable();
    assert_eq!((turn, turns), (9, vec![3, 3, 4, 4]));
}

#[test]
fn being_used_counts_and_costs_a_write_only_if_another_was_used_since() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("files");
    let turn_of = |number: u64| read(&at).1[path(number).to_str().unwrap()].turn;
    for number in [1, 2] {
        let mut cache = StatCache::open(Some(&at));
        note(&mut cache, [number]);
        cache.save().unwrap();
    }
    assert_eq!([1, 2].map(turn_of), [1, 2]);
    let use_again = |number| {
        let before = fs::read(&at).unwrap();
        let mut cache = StatCache::open(Some(&at));
        assert_eq!(known(&mut cache, [number]), [number]);
        cache.save().unwrap();
        before != fs::read(&at).unwrap()
    };
    assert!(!use_again(2));
    assert!(use_again(1));
    assert_eq!([1, 2].map(turn_of), [3, 2]);
    assert!(!use_again(1));
}

#[test]
fn a_record_that_is_damaged_cut_off_or_foreign_counts_as_none_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("files");
    let mut cache = StatCache::open(Some(&at));
    note(&mut cache, 0..3);
    cache.save().unwrap();
    let whole = fs::read(&at).unwrap();
    for len in 0..whole.len() {
        assert!(parse(&whole[..len]).is_none(), "cut at {len}");
    }
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        assert!(parse(&damaged).is_none(), "damaged at {place}");
    }
    // Of another version, or cut in another way, and whole in itself.
    for place in [MAGIC.len() + 3, MAGIC.len() + 7] {
        let mut foreign = whole[..whole.len() - Digest::LEN].to_vec();
        foreign[place] += 1;
        foreign.extend(Digest::of(&foreign).as_bytes());
        assert!(parse(&foreign).is_none(), "another version at {place}");
    }
    fs::write(&at, &whole[..whole.len() / 2]).unwrap();
    let mut cache = StatCache::open(Some(&at));
    assert_eq!(known(&mut cache, 0..3), [0; 0]);
    note(&mut cache, 1..2);
    cache.save().unwrap();
    assert_eq!(known(&mut StatCache::open(Some(&at)), 0..3), [1]);
    // A folder in its place is left alone, and said.
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let mut cache = StatCache::open(Some(&folder));
    note(&mut cache, 0..1);
    assert!(cache.save().is_err() && folder.is_dir());
}
