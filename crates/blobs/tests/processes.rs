//! What only processes and file systems can show: a writer killed at any moment, and a disk that is really full.
//!
//! The test program runs itself again as the process under test: a test told by an environment variable to be the child does the
//! child's part instead.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to say where"
)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tessera_blobs::{
    BlobRef, Content, Digest, Entry, EntryKind, FileEncoding, Holder, Live, Manifest,
    MaterialiseError, Store, StoreError, materialise, write_bytes,
};

const CHILD_DIR: &str = "TESSERA_BLOBS_TEST_CHILD_DIR";

fn noise(seed: u64, len: usize) -> Vec<u8> {
    (0..len.div_ceil(32) as u64)
        .flat_map(|part| *Digest::of(&[seed.to_le_bytes(), part.to_le_bytes()].concat()).as_bytes())
        .take(len)
        .collect()
}

/// This test program, told to run only `test`, as a child that works in `dir`.
fn child(test: &str, dir: &Path) -> Vec<std::ffi::OsString> {
    let program = std::env::current_exe().unwrap();
    [
        "env".into(),
        format!("{CHILD_DIR}={}", dir.display()).into(),
        program.into(),
        "--exact".into(),
        test.into(),
        "--nocapture".into(),
    ]
    .to_vec()
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

/// Puts blocks and says which are synced, until it is killed.
fn put_for_ever(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let mut out = std::io::stdout().lock();
    for seed in store.stats().blocks as u64.. {
        let batch: Vec<_> = (0..4)
            .map(|part| {
                store
                    .put(&noise(
                        seed << 8 | part,
                        3_000 + (seed as usize * 7_919) % 300_000,
                    ))
                    .unwrap()
            })
            .collect();
        store.sync().unwrap();
        for digest in batch {
            writeln!(out, "synced {digest}").unwrap();
        }
    }
}

/// A process killed at any moment has lost nothing that it said was synced, and what it left is opened without complaint.
#[test]
fn killed_at_any_moment_it_keeps_what_was_synced() {
    if let Some(dir) = child_dir() {
        return put_for_ever(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut synced = HashSet::new();
    for round in 0..12 {
        let command = child("killed_at_any_moment_it_keeps_what_was_synced", dir.path());
        let mut writer = Command::new(&command[0])
            .args(&command[1..])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Killed in the middle of whatever it does after so many lines.
        while seen < 5 + round * 7 {
            let line = lines.next().unwrap().unwrap();
            if let Some(digest) = line.strip_prefix("synced ") {
                synced.insert(digest.parse::<Digest>().unwrap());
                seen += 1;
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for digest in &synced {
            assert!(
                store.get(digest).unwrap().is_some(),
                "round {round}: {digest} was synced and is gone"
            );
        }
    }
    assert!(
        Store::open(dir.path()).unwrap().stats().packs > 1,
        "the kills were to fall on ends of packs, too"
    );
}

/// Every fifth block that was put is wanted for ever.
fn is_wanted(number: u64) -> bool {
    number.is_multiple_of(5)
}

/// What a sweep may not take: the wanted ones of the blocks with these numbers.
fn wanted(numbers: std::ops::Range<u64>) -> Live {
    let mut live = Live::new();
    for number in numbers.filter(|number| is_wanted(*number)) {
        let blob = BlobRef {
            digest: Digest::of(&noise(number, 200_000)),
            size: 200_000,
            depth: 0,
        };
        live.hold(Holder(0), &blob, |_| Ok::<_, StoreError>(None))
            .unwrap();
    }
    live
}

/// Puts blocks in one thread and sweeps in another, saying which wanted ones are synced, until it is killed.
fn put_and_sweep_for_ever(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let first = std::fs::read_to_string(dir.join("next")).map_or(0, |text| text.parse().unwrap());
    let said = AtomicU64::new(first);
    // From being put to being named no horizon passes: a block between the two is protected by nothing else.
    let naming = Mutex::new(());
    std::thread::scope(|scope| {
        let (store, said, naming) = (&store, &said, &naming);
        scope.spawn(move || {
            let mut out = std::io::stdout().lock();
            for number in first.. {
                let named = naming.lock().unwrap();
                let digest = store.put(&noise(number, 200_000)).unwrap();
                store.sync().unwrap();
                std::fs::write(dir.join("next.partial"), (number + 1).to_string()).unwrap();
                std::fs::rename(dir.join("next.partial"), dir.join("next")).unwrap();
                said.store(number + 1, Ordering::Release);
                drop(named);
                if is_wanted(number) {
                    writeln!(out, "synced {digest}").unwrap();
                }
            }
        });
        loop {
            let horizon = {
                let _named = naming.lock().unwrap();
                store.horizon()
            };
            let live = wanted(0..said.load(Ordering::Acquire));
            store
                .collect(horizon, &live, || ControlFlow::Continue(()))
                .unwrap();
        }
    });
}

/// A process killed at any moment of a sweep has lost nothing that is wanted, and the next one goes on where it was.
#[test]
fn killed_while_it_sweeps_it_keeps_what_is_wanted() {
    if let Some(dir) = child_dir() {
        return put_and_sweep_for_ever(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut synced = HashSet::new();
    for round in 0..10 {
        let command = child("killed_while_it_sweeps_it_keeps_what_is_wanted", dir.path());
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < 20 + round * 3 {
            let line = lines.next().unwrap().unwrap();
            if let Some(digest) = line.strip_prefix("synced ") {
                synced.insert(digest.parse::<Digest>().unwrap());
                seen += 1;
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for digest in &synced {
            assert!(
                store.get(digest).unwrap().is_some(),
                "round {round}: {digest} is wanted and gone"
            );
        }
    }
    let numbers = std::fs::read_to_string(dir.path().join("next")).unwrap();
    let stats = Store::open(dir.path()).unwrap().stats();
    assert!(
        (stats.blocks as u64) < numbers.parse::<u64>().unwrap(),
        "the kills were to fall into sweeps that remove something"
    );
}

/// Fills a store on a small disk, then a tree on it.
fn fill_the_disk(dir: &Path) {
    let blobs = dir.join("blobs");
    let store = Store::open(&blobs).unwrap();
    let mut put = Vec::new();
    let full = (0..)
        .map(|seed| {
            store
                .put(&noise(seed, 150_000))
                .map(|digest| put.push(digest))
        })
        .find_map(Result::err)
        .unwrap();
    assert!(
        matches!(&full, StoreError::Full { dir } if *dir == blobs),
        "{full}"
    );
    assert!(put.len() > 5);
    let stats = store.stats();
    assert_eq!(
        std::fs::metadata(blobs.join("packs/00000001.pack"))
            .unwrap()
            .len(),
        stats.pack_bytes,
        "the torn end is gone"
    );
    // What is there can be read, and what fits can be put.
    store.sync().unwrap();
    for digest in &put {
        assert!(store.get(digest).unwrap().is_some());
    }
    let small = store.put(b"small").unwrap();
    drop(store);
    let store = Store::open(&blobs).unwrap();
    assert_eq!(store.missing(&put), []);
    assert!(store.contains(&small));

    let mut manifest = Manifest::new();
    let bytes = noise(0, 150_000);
    let blob = write_bytes(&bytes, Content::Other, |block| store.put_block(&block)).unwrap();
    let entry = Entry {
        kind: EntryKind::File,
        blob,
        original_size: blob.size,
        encoding: FileEncoding::Raw,
        executable: false,
    };
    manifest
        .insert("tex/large.png".parse().unwrap(), entry)
        .unwrap();
    let root = dir.join("tree");
    let error = materialise(&manifest, &store, &root, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(
        matches!(&error, MaterialiseError::Full { path, .. } if path.as_str() == "tex/large.png"),
        "{error}"
    );
    assert!(
        !root.exists() && !dir.join("tree.partial").exists(),
        "nothing half-written is left"
    );
    // A sweep needs no room for packs that nobody wants anything of, and none for a few wanted blocks once those are gone.
    drop(store);
    let store = Store::open(&blobs).unwrap();
    std::fs::write(dir.join("filler"), noise(9, 64_000)).ok();
    let live = Live::new();
    let done = store
        .collect(store.horizon(), &live, || ControlFlow::Continue(()))
        .unwrap();
    assert!(done.finished && done.freed_bytes() > 1 << 20, "{done:?}");
    assert_eq!(store.stats().blocks, 0);
    store.put(&noise(77, 150_000)).unwrap();
    store.sync().unwrap();

    // A mark for the parent, which cannot look into this name space.
    println!("the disk was full");
}

/// A disk of 2 MiB of its own, in a name space of its own.
#[test]
fn a_full_disk_is_said_and_leaves_all_in_order() {
    if let Some(dir) = child_dir() {
        return fill_the_disk(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let command = child("a_full_disk_is_said_and_leaves_all_in_order", dir.path());
    let script = r#"mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .args(&command)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && out.contains("the disk was full"),
        "{out}{err}"
    );
}
