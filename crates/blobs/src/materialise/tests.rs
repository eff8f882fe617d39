use std::sync::Barrier;

use super::*;
use crate::content::Content;
use crate::cut::{write_bytes, write_file};
use crate::manifest::EntryKind;
use crate::{BlobRef, FileEncoding};

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    manifest: Manifest,
}

impl Bench {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mut bench = Self {
            dir,
            store,
            manifest: Manifest::new(),
        };
        for (path, bytes) in files {
            bench.add(path, bytes);
        }
        bench
    }

    fn add(&mut self, path: &str, bytes: &[u8]) -> BlobRef {
        let blob =
            write_bytes(bytes, Content::Other, |block| self.store.put_block(&block)).unwrap();
        let entry = Entry {
            kind: EntryKind::File,
            blob,
            original_size: blob.size,
            encoding: FileEncoding::Raw,
            executable: path.ends_with(".sh"),
        };
        self.manifest.insert(path.parse().unwrap(), entry).unwrap();
        blob
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("trees").join("tree")
    }

    fn run(&self) -> Result<Materialised, MaterialiseError> {
        materialise(&self.manifest, &self.store, &self.root(), |_| {
            ControlFlow::Continue(())
        })
    }

    /// What stands beside the tree.
    fn left(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir.path().join("trees"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

const FILES: &[(&str, &[u8])] = &[
    ("scene.blend", b"BLENDER-v304 scene"),
    ("tex/wood.png", &[7; 100_000]),
    ("tex/deep/er/run.sh", b"#!"),
    ("empty", b""),
];

#[test]
fn a_tree_is_written_once_and_whole() {
    let bench = Bench::new(FILES);
    let mut seen = Vec::new();
    let done = materialise(&bench.manifest, &bench.store, &bench.root(), |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    });
    assert_eq!(done.unwrap(), Materialised::Written);
    for (path, bytes) in FILES {
        assert_eq!(fs::read(bench.root().join(path)).unwrap(), *bytes);
    }
    let total = bench.manifest.total_size();
    assert_eq!(
        seen.last(),
        Some(&Progress {
            files_done: 4,
            files: 4,
            bytes_done: total,
            bytes: total
        })
    );
    assert_eq!(bench.left(), ["tree", "tree.complete"]);
    let progress = |_| panic!("nothing is to be done");
    assert_eq!(
        materialise(&bench.manifest, &bench.store, &bench.root(), progress).unwrap(),
        Materialised::AlreadyThere
    );
}

#[cfg(unix)]
#[test]
fn files_are_read_only_and_scripts_executable() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(FILES);
    bench.run().unwrap();
    for (path, mode) in [
        ("scene.blend", 0o444),
        ("tex/deep/er/run.sh", 0o555),
        ("empty", 0o444),
    ] {
        assert_eq!(
            fs::metadata(bench.root().join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            mode,
            "{path}"
        );
    }
}

#[test]
fn a_compressed_blend_lies_plain() {
    let mut bench = Bench::new(&[]);
    let plain = [b"BLENDER-v500".as_slice(), &[3; 500_000]].concat();
    let packed = bench.dir.path().join("packed.blend");
    fs::write(&packed, zstd::bulk::compress(&plain, 3).unwrap()).unwrap();
    let cut = write_file(&packed, |block| bench.store.put_block(&block)).unwrap();
    bench
        .manifest
        .insert("scene.blend".parse().unwrap(), Entry::file(&cut))
        .unwrap();
    bench.run().unwrap();
    assert!(fs::read(bench.root().join("scene.blend")).unwrap() == plain);
}

#[test]
fn a_damaged_tree_is_written_anew() {
    let bench = Bench::new(FILES);
    bench.run().unwrap();
    let wood = bench.root().join("tex/wood.png");
    fs::remove_file(&wood).unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
    fs::remove_file(&wood).unwrap();
    fs::write(&wood, b"short").unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
    // Written to afterwards, as by whoever may write everywhere.
    fs::remove_file(&wood).unwrap();
    fs::write(&wood, [8; 100_000]).unwrap();
    let later = SystemTime::now() + std::time::Duration::from_secs(1);
    let file = OpenOptions::new().append(true).open(&wood).unwrap();
    file.set_modified(later).unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
    assert_eq!(fs::read(&wood).unwrap(), [7; 100_000]);
}

#[test]
fn a_missing_block_is_named_and_nothing_is_left() {
    let mut bench = Bench::new(FILES);
    let blob = bench.add("tex/z.png", b"gone soon");
    bench.store.forget(&blob.digest).unwrap();
    let error = bench.run().unwrap_err();
    assert!(
        matches!(&error, MaterialiseError::Missing { path, digest } if path.as_str() == "tex/z.png" && *digest == blob.digest),
        "{error}"
    );
    assert_eq!(bench.left(), ["tree.complete"]);
    bench.store.put(b"gone soon").unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
}

#[test]
fn a_damaged_block_is_forgotten_and_asked_for() {
    let mut bench = Bench::new(&[]);
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = bench.add("a.bin", &content);
    let pack = bench.store.dir().join("packs/00000001.pack");
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&pack, bytes).unwrap();
    assert!(matches!(bench.run(), Err(MaterialiseError::Missing { .. })));
    assert_eq!(bench.store.missing_of([&blob]).unwrap().len(), 1);
    write_bytes(&content, Content::Other, |block| {
        bench.store.put_block(&block)
    })
    .unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
    assert!(fs::read(bench.root().join("a.bin")).unwrap() == content);
}

#[test]
fn what_stands_in_its_place_is_left_alone() {
    let bench = Bench::new(FILES);
    fs::create_dir_all(bench.root()).unwrap();
    assert_eq!(
        bench.run().unwrap(),
        Materialised::Written,
        "an empty folder is no obstacle"
    );
    remove_tree(&bench.root()).unwrap();

    fs::create_dir_all(bench.root()).unwrap();
    let theirs = bench.root().join("mine.txt");
    fs::write(&theirs, b"keep").unwrap();
    assert!(
        matches!(bench.run(), Err(MaterialiseError::Occupied { root }) if root == bench.root())
    );
    assert!(matches!(
        remove_tree(&bench.root()),
        Err(MaterialiseError::Occupied { .. })
    ));
    assert_eq!(fs::read(&theirs).unwrap(), b"keep");
    assert!(matches!(
        materialise(&bench.manifest, &bench.store, Path::new("/"), |_| {
            ControlFlow::Continue(())
        }),
        Err(MaterialiseError::Occupied { .. })
    ));
}

#[test]
fn another_tree_is_not_taken_for_this_one() {
    let mut bench = Bench::new(FILES);
    bench.run().unwrap();
    bench.add("more", b"x");
    assert!(matches!(
        bench.run(),
        Err(MaterialiseError::Occupied { .. })
    ));
    remove_tree(&bench.root()).unwrap();
    assert_eq!(bench.left(), Vec::<String>::new());
    assert_eq!(bench.run().unwrap(), Materialised::Written);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let bench = Bench::new(FILES);
    let elsewhere = bench.dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("tex")).unwrap();
    fs::create_dir_all(bench.dir.path().join("trees")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.root()).unwrap();
    assert!(matches!(
        bench.run(),
        Err(MaterialiseError::Occupied { .. })
    ));
    fs::remove_file(bench.root()).unwrap();
    // Left where the tree is being written: it is removed as a link, not followed.
    std::os::unix::fs::symlink(&elsewhere, beside(&bench.root(), ".partial")).unwrap();
    let _ = bench.run();
    assert_eq!(fs::read_dir(elsewhere.join("tex")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

#[test]
fn what_an_interrupted_attempt_left_is_no_obstacle() {
    let bench = Bench::new(FILES);
    let partial = beside(&bench.root(), ".partial");
    fs::create_dir_all(partial.join("tex")).unwrap();
    fs::write(partial.join("scene.blend"), b"half").unwrap();
    // Killed between writing the marker and the rename: the marker alone says nothing.
    fs::write(
        beside(&bench.root(), ".complete"),
        format!("tessera tree 1 {}\n", bench.manifest.blob_ref().digest),
    )
    .unwrap();
    assert_eq!(bench.run().unwrap(), Materialised::Written);
    assert_eq!(
        fs::read(bench.root().join("scene.blend")).unwrap(),
        FILES[0].1
    );
}

#[test]
fn it_can_be_cancelled_at_every_step() {
    let bench = Bench::new(FILES);
    let mut steps = 0;
    loop {
        let mut left = steps;
        let done = materialise(&bench.manifest, &bench.store, &bench.root(), |_| {
            left -= 1;
            if left < 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match done {
            Err(MaterialiseError::Cancelled { .. }) => assert_eq!(bench.left(), ["tree.complete"]),
            done => {
                assert_eq!(done.unwrap(), Materialised::Written);
                break;
            }
        }
        steps += 1;
    }
    assert!(steps >= FILES.len() as i32);
}

#[test]
fn many_at_once_write_it_once() {
    let bench = Bench::new(FILES);
    let barrier = Barrier::new(8);
    let written = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    bench.run().unwrap()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|done| *done == Materialised::Written)
            .count()
    });
    assert_eq!(written, 1);
}

#[test]
fn making_and_removing_at_once_never_leaves_half() {
    let bench = Bench::new(FILES);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..20).for_each(|_| assert!(bench.run().is_ok())));
            scope.spawn(|| (0..20).for_each(|_| remove_tree(&bench.root()).unwrap()));
        }
    });
    bench.run().unwrap();
    assert!(is_whole(&bench.manifest, &bench.root(), SystemTime::now()));
}
