//! Frames into their place: whole, nowhere else, and never by halves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_blender::{NamePattern, OutputName};
use tessera_blobs::{
    BlobRef, BoxError, Content, Entry, Manifest, Store, TreePath, write_bytes, write_file,
};
use tessera_client::{
    Ask, BlockSource, FetchError, Fetcher, Folders, FrameInputs, Ledger, LedgerKey, NodeFolder,
    OutputPlan, Sources, send,
};
use tessera_model::{
    Attempt, Blob, Build, BuildKind, FileRole, FrameFile, FrameResult, JobId, LeaseKey, Overrides,
    ResultTimings, StepIndex, Timestamp, UnitId, WorkerId,
};
use tessera_wire::blob::to_model;

use crate::support::{TestFarm, noise};

fn plan(directory: &Path) -> OutputPlan {
    let name = NamePattern {
        prefix: "shot_".into(),
        digits: 4,
        suffix: ".png".into(),
    };
    OutputPlan {
        directory: directory.to_owned(),
        names: vec![OutputName { view: None, name }],
        views: BTreeMap::new(),
        nodes: vec![NodeFolder {
            name: "Depth".into(),
            directory: directory.join("../nodes"),
            slots: vec!["depth/".into()],
        }],
        overwrite: true,
        placeholder: false,
    }
}

fn result(frame: i32, files: Vec<(FileRole, &str, BlobRef)>) -> FrameResult {
    let none = to_model(&BlobRef::empty());
    let unit = UnitId {
        job: JobId(1),
        step: StepIndex(0),
        index: frame.unsigned_abs(),
    };
    FrameResult {
        lease: LeaseKey {
            unit,
            attempt: Attempt(1),
        },
        position: frame.unsigned_abs(),
        frame,
        worker: WorkerId(1),
        build: Build {
            version: "3.4.1".parse().unwrap(),
            hash: "h".into(),
            kind: BuildKind::Executable,
        },
        device: "CPU".into(),
        persistent: true,
        files: files
            .into_iter()
            .map(|(role, name, blob)| FrameFile {
                role,
                name: name.into(),
                blob: to_model(&blob),
            })
            .collect(),
        stdout: none,
        stderr: none,
        timings: ResultTimings::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(0),
    }
}

struct Worker {
    store: Arc<Store>,
    blobs: Vec<BlobRef>,
}

impl Worker {
    fn new(dir: &Path) -> Self {
        Self {
            store: Arc::new(Store::open(&dir.join("store")).unwrap()),
            blobs: Vec::new(),
        }
    }

    fn makes(&mut self, bytes: &[u8]) -> BlobRef {
        let blob =
            write_bytes(bytes, Content::Other, |block| self.store.put_block(&block)).unwrap();
        self.blobs.push(blob);
        blob
    }

    async fn sends(&self, farm: &TestFarm) {
        send(
            &farm.api(),
            &BlockSource::Store(self.store.clone()),
            &[],
            &self.blobs,
            Ask::First,
            |_| {},
        )
        .await
        .unwrap();
    }
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            out.extend(all_files(&entry.path()))
        } else {
            out.push(entry.path())
        }
    }
    out.sort();
    out
}

#[tokio::test]
async fn frames_land_whole_and_are_remembered() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(dir.path());
    // Many blocks, some of them the same, as in a flat image.
    let big = [vec![0; 20 << 20], noise(30 << 20, 1), vec![0; 20 << 20]].concat();
    let (large, small, empty) = (
        worker.makes(&big),
        worker.makes(b"small"),
        worker.makes(b""),
    );
    worker.sends(&farm).await;
    let out = dir.path().join("out");
    let fetcher = Fetcher::new(&farm.api(), plan(&out));
    let results = [
        result(
            1,
            vec![
                (FileRole::Main, "whatever.png", large),
                (FileRole::Node(0), "depth/0001.exr", small),
            ],
        ),
        result(2, vec![(FileRole::Main, "shot_0002.png", small)]),
        result(
            -3,
            vec![
                (FileRole::Main, "shot_-0003.png", empty),
                (FileRole::Node(7), "x.exr", small),
            ],
        ),
    ];
    let fetched = fetcher.fetch(&results).await.unwrap();
    assert_eq!(
        fetched
            .iter()
            .map(|fetched| fetched.frame)
            .collect::<Vec<_>>(),
        [1, 2, -3]
    );
    assert!(std::fs::read(out.join("shot_0001.png")).unwrap() == big);
    assert_eq!(
        std::fs::read(out.join("../nodes/depth/0001.exr")).unwrap(),
        b"small"
    );
    assert_eq!(std::fs::read(out.join("node-8/x.exr")).unwrap(), b"small");
    assert_eq!(
        all_files(&out),
        [
            "node-8/x.exr",
            "shot_-0003.png",
            "shot_0001.png",
            "shot_0002.png"
        ]
        .map(|name| out.join(name))
    );

    let key_of = |overrides: &Overrides, in_order: Option<&str>| {
        let in_order = in_order.map(|frames| frames.parse().unwrap());
        let plan = fetcher.plan();
        LedgerKey::of(
            &large,
            "scene.blend",
            overrides,
            plan,
            in_order.as_ref(),
            None,
        )
    };
    let key = key_of(&Overrides::default(), None);
    let exr = Overrides {
        exr: true,
        ..Overrides::default()
    };
    assert_ne!(key, key_of(&exr, None));
    // A simulation entered elsewhere makes other frames of the same numbers.
    let in_order = |frames| key_of(&Overrides::default(), Some(frames));
    assert_ne!(in_order("1..8"), in_order("5..8"));
    assert_eq!(in_order("1..8"), in_order("1..8"));
    let mut ledger = Ledger::open(&Folders::at(dir.path()), &key, FrameInputs::default()).unwrap();
    for frame in &fetched {
        ledger.record(frame).unwrap();
    }
    std::fs::write(out.join("../nodes/depth/0001.exr"), "other").unwrap();
    let ledger = Ledger::open(&Folders::at(dir.path()), &key, FrameInputs::default()).unwrap();
    assert_eq!(ledger.present(&"-3..2".parse().unwrap()), [-3, 2]);
}

#[tokio::test]
async fn of_two_files_with_one_name_the_frames_own_stays() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(dir.path());
    let (own, node) = (worker.makes(b"own"), worker.makes(b"node"));
    worker.sends(&farm).await;
    let out = dir.path().join("out");
    let mut plan = plan(&out);
    plan.nodes[0].directory.clone_from(&out);
    plan.nodes[0].slots = vec!["shot_".into()];
    let files = vec![
        (FileRole::Main, "shot_0001.png", own),
        (FileRole::Node(0), "shot_0001.png", node),
    ];
    let fetched = Fetcher::new(&farm.api(), plan)
        .fetch(&[result(1, files)])
        .await
        .unwrap();
    assert_eq!(std::fs::read(out.join("shot_0001.png")).unwrap(), b"own");
    assert_eq!(
        fetched[0].files.len(),
        1,
        "what is not there is not recorded"
    );
    assert_eq!(fetched[0].files[0].blob, own);
    assert_eq!(fetched[0].warnings.len(), 1);
}

#[tokio::test]
async fn hostile_results_write_nothing_outside() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(dir.path());
    let blob = worker.makes(b"evil");
    worker.sends(&farm).await;
    let out = dir.path().join("home/out");
    let fetcher = Fetcher::new(&farm.api(), plan(&out));
    std::fs::create_dir_all(&out).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("home/nodes")).unwrap();
    std::fs::create_dir_all(out.join("node-2")).unwrap();
    std::os::unix::fs::symlink(dir.path(), out.join("node-2/link")).unwrap();
    for name in [
        "../x",
        "/tmp/tessera-evil",
        "a/../../x",
        "link/x",
        "con.png",
        "a:b",
        "a\0b",
        "",
    ] {
        let error = fetcher
            .fetch(&[result(1, vec![(FileRole::Node(1), name, blob)])])
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::Name { .. }),
            "{name:?}: {error}"
        );
    }
    // A main file gets the planned name whatever the worker says.
    fetcher
        .fetch(&[result(1, vec![(FileRole::Main, "../../x", blob)])])
        .await
        .unwrap();
    assert_eq!(
        all_files(&out)
            .iter()
            .filter(|path| path.ends_with("shot_0001.png"))
            .count(),
        1
    );
    assert!(!dir.path().join("x").exists() && !dir.path().join("home/x").exists());
    let many = (0..5000).map(|_| (FileRole::Node(1), "x", blob)).collect();
    assert!(matches!(
        fetcher.fetch(&[result(1, many)]).await,
        Err(FetchError::Result { .. })
    ));
    assert!(matches!(
        fetcher.fetch(&[result(1, Vec::new())]).await,
        Err(FetchError::Result { .. })
    ));
}

/// A node's folder is often the project's own: what a worker names there must be what the node makes, and nothing takes the place of
/// a file that the job was made of, by whatever path it is meant.
#[tokio::test]
async fn hostile_results_replace_nothing() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().canonicalize().unwrap().join("project");
    std::fs::create_dir(&project).unwrap();
    let mut manifest = Manifest::new();
    for name in ["scene.blend", "wood0001.png"] {
        let path = project.join(name);
        std::fs::write(&path, "mine").unwrap();
        let cut = write_file(&path, |_| Ok::<_, BoxError>(())).unwrap();
        let inside = path.strip_prefix("/").unwrap().to_str().unwrap();
        manifest
            .insert(TreePath::new(inside).unwrap(), Entry::file(&cut))
            .unwrap();
    }
    std::fs::write(project.join("notes.txt"), "mine").unwrap();
    std::os::unix::fs::symlink(&project, dir.path().join("link")).unwrap();
    let mut worker = Worker::new(dir.path());
    let evil = worker.makes(b"evil");
    let root = manifest
        .write(|block| worker.store.put_block(&block))
        .unwrap();
    worker.blobs.push(root);
    worker.sends(&farm).await;

    // As a command on another run learns it: from the farm.
    let sources = Sources::of_job(&farm.api(), &to_model(&root))
        .await
        .unwrap();
    let sources = Arc::new(sources);
    for folder in [&project, &dir.path().join("link")] {
        let mut plan = plan(folder);
        plan.nodes = vec![NodeFolder {
            name: "Output".into(),
            directory: folder.clone(),
            slots: vec!["wood".into(), "own".into()],
        }];
        let fetcher = Fetcher::new(&farm.api(), plan.clone()).sparing(sources.clone());
        let view = FileRole::View("left".into());
        for (role, name) in [
            (FileRole::Node(0), "scene.blend"),
            (FileRole::Node(0), "notes.txt"),
            (FileRole::Node(0), "wood0001.png"),
            (FileRole::Node(0), "own0002.png"),
            (view, "scene.blend"),
        ] {
            let error = fetcher
                .fetch(&[result(1, vec![(role, name, evil)])])
                .await
                .unwrap_err();
            let said = error.to_string();
            assert!(matches!(error, FetchError::Name { .. }), "{name}: {said}");
            assert!(said.contains("worker 1") && said.contains(name), "{said}");
        }
        // A plan that knows no names, as of a job that somebody else's program submitted.
        plan.names.clear();
        let fetcher = Fetcher::new(&farm.api(), plan).sparing(sources.clone());
        let main = result(1, vec![(FileRole::Main, "scene.blend", evil)]);
        let error = fetcher.fetch(&[main]).await.unwrap_err();
        assert!(error.to_string().contains("take the place of"), "{error}");
        let good = result(1, vec![(FileRole::Node(0), "own0001.png", evil)]);
        fetcher.fetch(&[good]).await.unwrap();
    }
    for name in ["scene.blend", "wood0001.png", "notes.txt"] {
        assert_eq!(
            std::fs::read(project.join(name)).unwrap(),
            b"mine",
            "{name}"
        );
    }
    assert_eq!(std::fs::read_dir(&project).unwrap().count(), 4);
}

#[tokio::test]
async fn a_frame_that_fails_leaves_nothing() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(dir.path());
    let here = worker.makes(&noise(3 << 20, 1));
    worker.sends(&farm).await;
    let lost = worker.makes(&noise(3 << 20, 2));
    let lies = BlobRef {
        size: here.size + 1,
        ..here
    };
    let out = dir.path().join("out");
    let fetcher = Fetcher::new(&farm.api(), plan(&out));
    for (bad, good) in [(lost, here), (here, lost), (lies, here), (here, lies)] {
        let frame = result(
            1,
            vec![
                (FileRole::Main, "m", bad),
                (FileRole::Node(1), "n.exr", good),
            ],
        );
        let error = fetcher.fetch(&[frame]).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Gone { .. } | FetchError::Result { .. }),
            "{error}"
        );
        assert_eq!(all_files(&out), Vec::<PathBuf>::new(), "{error}");
    }
    // The frames beside it land all the same, and are told.
    let mut landed = Vec::new();
    let results = [
        result(1, vec![(FileRole::Main, "m", here)]),
        result(2, vec![(FileRole::Main, "m", lost)]),
        result(3, vec![(FileRole::Main, "m", here)]),
    ];
    let error = fetcher
        .fetch_each(&results, |fetched| landed.push(fetched.frame))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Gone { frame: 2 }), "{error}");
    landed.sort_unstable();
    assert_eq!(landed, [1, 3]);
    // A file in the folder's place.
    let blocked = Fetcher::new(&farm.api(), plan(&out.join("shot_0001.png/below")));
    let error = blocked.fetch(&results[..1]).await.unwrap_err();
    assert!(
        matches!(error, FetchError::NotWritable { .. }) && error.to_string().contains("-o"),
        "{error}"
    );
    let _: Blob = to_model(&here);
}

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_nothing() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::new(dir.path());
    let blob = worker.makes(&noise(64 << 20, 1));
    worker.sends(&farm).await;
    let out = dir.path().join("out");
    let fetcher = Fetcher::new(&farm.api(), plan(&out));
    let results = [result(1, vec![(FileRole::Main, "m", blob)])];
    let begun = async {
        while all_files(&out).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        done = fetcher.fetch(&results) => panic!("{done:?} before the first byte"),
    }
    while !all_files(&out).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&mount)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not allowed to mount a small file system here: a full disk is not tested");
        return;
    }
    let farm = TestFarm::start().await;
    let mut worker = Worker::new(dir.path());
    let blob = worker.makes(&noise(5 << 20, 1));
    worker.sends(&farm).await;
    let outcome = Fetcher::new(&farm.api(), plan(&mount))
        .fetch(&[result(1, vec![(FileRole::Main, "m", blob)])])
        .await;
    let left = all_files(&mount);
    std::process::Command::new("umount")
        .arg(&mount)
        .status()
        .unwrap();
    assert!(
        matches!(outcome, Err(FetchError::Full { .. })),
        "{outcome:?}"
    );
    assert_eq!(left, Vec::<PathBuf>::new());
}
