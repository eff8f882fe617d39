//! What was packed is one state of the files and arrives as that, whatever happens to them meanwhile; and what has not changed is
//! neither read nor sent again.

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify;
use tessera_blobs::{BlobRef, Digest, Manifest, Store, read_file};
use tessera_client::{
    Api, Ask, PackError, PackOptions, PackStage, Packed, Sent, SubmitError, pack, receive,
    send_packed,
};

use crate::support::{FakeProject, TestFarm, noise};

async fn packed(options: &PackOptions) -> Packed {
    pack(options, |_| {}).await.unwrap()
}

async fn sent(farm: &TestFarm, packed: &mut Packed) -> Sent {
    send_packed(&farm.api(), packed, Ask::First, |_| {})
        .await
        .unwrap()
}

/// The files that a worker would lay out.
async fn on_the_farm(api: &Api, root: BlobRef) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    receive(api, &store, &[root], |_| {}).await.unwrap();
    let manifest = Manifest::read(&root, |digest| store.get(digest)).unwrap();
    let blobs: Vec<_> = manifest.blobs().copied().collect();
    receive(api, &store, &blobs, |_| {}).await.unwrap();
    let content = |blob| {
        let mut out = Vec::new();
        read_file(blob, |digest| store.get(digest), &mut out).unwrap();
        out
    };
    let files = manifest.iter();
    files
        .map(|(path, entry)| (path.to_string(), content(&entry.blob)))
        .collect()
}

/// Tells which files of a folder are opened, by whomever.
struct Watch(rustix::fd::OwnedFd);

impl Watch {
    fn of(folder: &Path) -> Self {
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, folder, inotify::WatchFlags::OPEN).unwrap();
        Self(watch)
    }

    /// Names of files opened since it was asked last.
    fn opened(&self) -> Vec<String> {
        let mut buffer = vec![MaybeUninit::uninit(); 1 << 16];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut names = Vec::new();
        loop {
            match events.next() {
                Ok(event) => names.extend(
                    event
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned()),
                ),
                Err(rustix::io::Errno::WOULDBLOCK) => return names,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn an_unchanged_project_of_ten_thousand_files_is_known_and_sent_without_reading_any() {
    let names: Vec<_> = (0..10_000)
        .map(|number| format!("tex/{number}.png"))
        .collect();
    let bytes = |name: &str| name.as_bytes().repeat(20);
    let project = FakeProject::new(names.iter().map(|name| (name.as_str(), bytes(name)))).await;
    let farm = TestFarm::start().await;
    let options = project.options();
    let mut first = packed(&options).await;
    assert_eq!((first.files, first.files_read), (10_001, 10_001));
    assert!(sent(&farm, &mut first).await.blocks > 10_000);

    let watch = Watch::of(&project.path("tex"));
    let mut again = packed(&options).await;
    assert_eq!((again.root, again.files_read), (first.root, 0));
    assert_eq!(sent(&farm, &mut again).await.blocks, 0);
    assert_eq!(watch.opened(), [""; 0]);

    // What was changed is read, and what the farm lacks of it is sent.
    fs::write(project.path("tex/7.png"), "changed").unwrap();
    assert_eq!(watch.opened(), ["7.png"]);
    let mut edited = packed(&options).await;
    assert_eq!(edited.files_read, 1);
    assert!(edited.root != first.root && sent(&farm, &mut edited).await.blocks < 100);
    let opened = watch.opened();
    assert!(!opened.is_empty() && opened.iter().all(|name| name == "7.png"));

    // Who wants it has everything read.
    let all = PackOptions {
        read_all: true,
        ..options
    };
    let all = packed(&all).await;
    assert_eq!((all.root, all.files_read), (edited.root, 10_001));
}

#[tokio::test]
async fn what_a_new_farm_lacks_of_a_known_project_is_read_and_arrives_as_it_is() {
    let files = [("a.exr", noise(9 << 20, 1)), ("b.png", noise(5_000, 2))];
    let project = FakeProject::new(files.clone()).await;
    let options = project.options();
    let first = packed(&options).await;
    let mut known = packed(&options).await;
    assert_eq!((known.root, known.files_read), (first.root, 0));
    let farm = TestFarm::start().await;
    sent(&farm, &mut known).await;
    let arrived = on_the_farm(&farm.api(), known.root).await;
    for (name, bytes) in files {
        assert!(arrived[&project.in_tree(name)] == bytes, "{name}");
    }
}

/// Bytes of the file that changes: several blocks.
const SIZE: usize = 4 << 20;

/// Happens to a file of noise of some seed.
type Change = fn(&Path, u64);

/// What can happen to it.
const CHANGES: [(&str, Change); 6] = [
    ("written over", |path, seed| {
        fs::write(path, noise(SIZE, seed + 1)).unwrap();
    }),
    ("grown", |path, seed| {
        fs::write(path, noise(SIZE + 1, seed)).unwrap();
    }),
    ("truncated", |path, _| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(2 << 20).unwrap();
    }),
    ("replaced", |path, seed| {
        let other = path.with_extension("new");
        fs::write(&other, noise(SIZE, seed + 1)).unwrap();
        fs::rename(other, path).unwrap();
    }),
    ("other bytes with the old time", |path, seed| {
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, noise(SIZE, seed + 1)).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }),
    ("one byte near the end", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        bytes[SIZE - 5] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
];

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// Files are being read.
    Reading,
    /// They are packed and not sent yet.
    Packed,
    /// Likewise, and were not read, since they stood as they did when they were packed before.
    Known,
}

#[tokio::test]
async fn files_that_change_are_packed_anew_and_arrive_as_they_are_now() {
    let farm = TestFarm::start().await;
    let mut seed = 0;
    for when in [When::Reading, When::Packed, When::Known] {
        // While it is read, one look tells of all that can happen: every kind of it is held where that is.
        let kinds = match when {
            When::Reading => &CHANGES[..1],
            _ => &CHANGES[..],
        };
        for (what, change) in kinds {
            // The farm has none of it yet, or nothing would be sent.
            seed += 2;
            let project = FakeProject::new([("a.exr", noise(SIZE, seed))]).await;
            let (options, path) = (project.options(), project.path("a.exr"));
            let mut changed = false;
            let mut once = |now: bool| {
                if now && !std::mem::replace(&mut changed, true) {
                    change(&path, seed);
                }
            };
            let mut packed = pack(&options, |stage| {
                let reading = matches!(stage, PackStage::Reading { .. });
                once(when == When::Reading && reading);
            })
            .await
            .unwrap();
            if when == When::Known {
                packed = pack(&options, |_| {}).await.unwrap();
                assert_eq!(packed.files_read, 0);
            }
            // Whoever packs anew needs no folder of logs that is there.
            fs::remove_dir_all(project.path("logs")).unwrap();
            let (before, packed_bytes) = (packed.root, fs::read(&path).unwrap());
            once(matches!(when, When::Packed | When::Known));
            assert!(changed, "{what} while {when:?}");
            sent(&farm, &mut packed).await;
            let arrived = on_the_farm(&farm.api(), packed.root).await;
            let now = fs::read(&path).unwrap();
            // What was packed goes on its way if all of it is still there, else what is there now.
            let whole = now.starts_with(&packed_bytes);
            let expected = match packed.root == before {
                true => packed_bytes,
                false => now,
            };
            assert!(
                packed.root != before || whole,
                "{what} while {when:?}: not noticed"
            );
            assert!(
                arrived[&project.in_tree("a.exr")] == expected,
                "{what} while {when:?}: other bytes arrived"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_changes_half_sent_arrives_as_one_of_both() {
    // More than what is read ahead of what has arrived.
    let (before, after) = (noise(64 << 20, 7), noise(64 << 20, 8));
    let project = FakeProject::new([("a.exr", before)]).await;
    let farm = TestFarm::start().await;
    let mut packed = packed(&project.options()).await;
    let (first, path) = (packed.root, project.path("a.exr"));
    let mut changed = false;
    send_packed(&farm.api(), &mut packed, Ask::First, |_| {
        if !std::mem::replace(&mut changed, true) {
            fs::write(&path, &after).unwrap();
        }
    })
    .await
    .unwrap();
    assert!(changed && packed.root != first);
    let arrived = on_the_farm(&farm.api(), packed.root).await;
    assert!(arrived[&project.in_tree("a.exr")] == after);
}

#[tokio::test]
async fn a_file_that_is_gone_or_never_rests_is_named() {
    let farm = TestFarm::start().await;
    let project = FakeProject::new([("a.exr", noise(5 << 20, 7))]).await;
    let options = project.options();
    let path = project.path("a.exr");
    let mut number = 20;
    let mut write = || {
        number += 1;
        fs::write(&path, noise(5 << 20, number)).unwrap();
    };
    let error = pack(&options, |stage| {
        if matches!(stage, PackStage::Reading { .. }) {
            write();
        }
    })
    .await
    .unwrap_err();
    assert!(
        matches!(&error, PackError::Changing { path: named } if *named == path),
        "{error}"
    );

    let mut packed = packed(&options).await;
    fs::remove_file(&path).unwrap();
    let error = send_packed(&farm.api(), &mut packed, Ask::First, |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SubmitError::Pack(PackError::Missing { missing, .. }) if missing[0].path == path),
        "{error}"
    );
}

/// Where the digest of a file is in the record: behind what it stands like, before sizes, codes and the length of its path.
const DIGEST_BEFORE_PATH: usize = 32 + 8 + 3 + 8 + 2;

#[tokio::test]
async fn a_wrong_record_is_noticed_forgotten_and_never_sent() {
    let files = ["a.exr", "b.exr", "c.exr"];
    let noises = files.map(|name| {
        (
            name,
            noise(3 << 20, name.len() as u64 + u64::from(name.as_bytes()[0])),
        )
    });
    let project = FakeProject::new(noises.clone()).await;
    let options = project.options();
    let first = packed(&options).await;
    let record = project.path("cache/files");
    // As if each file were another one: the record is whole, and wrong.
    let lie = |path: PathBuf| {
        let mut bytes = fs::read(&record).unwrap();
        let name = path.to_str().unwrap().as_bytes();
        let at = bytes.windows(name.len()).position(|part| part == name);
        let digest = at.unwrap() - DIGEST_BEFORE_PATH;
        bytes[digest] ^= 1;
        let body = bytes.len() - Digest::LEN;
        let sum = Digest::of(&bytes[..body]);
        bytes[body..].copy_from_slice(sum.as_bytes());
        fs::write(&record, bytes).unwrap();
    };
    for lies in [&files[..1], &files] {
        for name in lies {
            lie(project.path(name));
        }
        let mut wrong = packed(&options).await;
        assert_eq!(wrong.files_read, 0);
        assert_ne!(wrong.root, first.root);
        let farm = TestFarm::start().await;
        sent(&farm, &mut wrong).await;
        assert_eq!(wrong.root, first.root);
        let arrived = on_the_farm(&farm.api(), wrong.root).await;
        for (name, bytes) in &noises {
            assert!(arrived[&project.in_tree(name)] == *bytes, "{name}");
        }
        // The record is right again.
        let again = packed(&options).await;
        assert_eq!((again.root, again.files_read), (first.root, 0));
    }
}
