//! Blender is expendable, and so is what it renders: every fault is a clear error on its frame, and the slot goes on.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tessera_blender::testing::fake_blend;
use tessera_model::{FrameErrorKind, JobState};
use tessera_wire::api::JobDetail;
use tessera_worker::{SlotStatus, Status, WorkerConfig};

use crate::farm::{Farm, Worker, processes_of};

/// A fault that happens once: the frame fails with this error, and is then rendered all the same.
async fn check(
    fault: Value,
    kind: FrameErrorKind,
    says: &str,
    tune: impl FnOnce(&mut WorkerConfig),
) {
    let farm = Farm::start().await;
    let mut config = farm.pair("w", farm.address()).await;
    tune(&mut config);
    let mut worker = Worker::start(config);
    worker.linked().await;
    let mut scene = json!({
        "once": farm.dir.path().join("once"), "stdout": "said {frame}\n",
    });
    for (key, value) in fault.as_object().unwrap() {
        scene[key] = value.clone();
    }
    let job = farm.submit(&scene, "1..5").await;
    let results = farm.done(job).await;
    assert_eq!(results.len(), 5);
    let errors = farm.errors(job).await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    let error = &errors[0];
    assert_eq!((error.frame, error.kind), (3, kind), "{error:?}");
    assert!(error.message.contains(says), "{}", error.message);
    let stdout = farm.bytes(&error.stdout.unwrap()).await;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        text.contains("said 3\n"),
        "the log of the failed frame: {text}"
    );
    worker.stop().await;
    assert!(processes_of(farm.dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash() {
    let crash = json!({ "crash": { "3": 11 } });
    check(crash, FrameErrorKind::Crash, "segmentation fault", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort() {
    let crash = json!({ "crash": { "3": 6 } });
    check(crash, FrameErrorKind::Crash, "abort", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit() {
    let exit = json!({ "exit": { "3": 7 } });
    check(exit, FrameErrorKind::Crash, "exit status 7", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang() {
    let hang = json!({ "hang": [3] });
    let tune = |config: &mut WorkerConfig| config.hang_after = std::time::Duration::from_secs(3);
    check(hang, FrameErrorKind::Hang, "used no CPU for 3 s", tune).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory() {
    let memory = json!({ "memory": { "3": 600 << 20 } });
    let tune = |config: &mut WorkerConfig| config.memory_limit_bytes = Some(300 << 20);
    check(memory, FrameErrorKind::Memory, "300 MiB", tune).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_blender_refuses() {
    let refuse = json!({ "refuse": { "3": "the scene has no camera" } });
    check(refuse, FrameErrorKind::Scene, "no camera", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_scene_fails_with_blenders_words() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let file = farm.dir.path().join("broken.blend");
    std::fs::write(&file, b"BLENDER-v304 not a scene").unwrap();
    let files = [("home/u/broken.blend", file.as_path())];
    let job = farm.submit_files(&files, "3.4.1", "1..2", |_| {}).await;
    let over = |detail: &JobDetail| detail.summary.state.is_over();
    let detail = farm.job(job, "the end of the job", over).await;
    assert_eq!(detail.summary.state, JobState::Failed);
    let errors = farm.errors(job).await;
    assert!(
        errors
            .iter()
            .all(|error| error.kind == FrameErrorKind::Scene),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blender_killed_from_outside_costs_one_attempt() {
    let farm = Farm::start().await;
    let worker = farm.worker("w").await;
    let scene = json!({ "hang": [1], "once": farm.dir.path().join("once") });
    let job = farm.submit(&scene, "1..3").await;
    farm.started(job, 1).await;
    kill_all(farm.dir.path());
    assert_eq!(farm.done(job).await.len(), 3);
    let errors = farm.errors(job).await;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, FrameErrorKind::Crash);
    assert!(
        errors[0].message.contains("killed from outside"),
        "{}",
        errors[0].message
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_fetched_again() {
    let farm = Farm::start().await;
    let config = farm.pair("w", farm.address()).await;
    let mut worker = Worker::start(config.clone());
    worker.linked().await;
    let noise = noise(1, 1 << 20);
    let texture = farm.dir.path().join("texture.png");
    std::fs::write(&texture, &noise).unwrap();
    let blend = farm.dir.path().join("a.blend");
    std::fs::write(&blend, fake_blend(&json!({}))).unwrap();
    let files = [
        ("home/u/a.blend", blend.as_path()),
        ("home/u/texture.png", texture.as_path()),
    ];
    let job = farm.submit_files(&files, "3.4.1", "1", |_| {}).await;
    farm.done(job).await;
    worker.stop().await;

    // The tree is lost, and the disk has eaten a bit of the texture.
    let trees = config.data_dir.join("trees");
    std::fs::remove_dir_all(&trees).unwrap();
    let packs = config.data_dir.join("store/packs");
    for pack in std::fs::read_dir(packs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let mut bytes = std::fs::read(&pack).unwrap();
        let part = &noise[500_000..500_064];
        if let Some(at) = bytes.windows(64).position(|window| window == part) {
            bytes[at] ^= 1;
            std::fs::write(&pack, bytes).unwrap();
        }
    }
    let mut worker = Worker::start(config);
    worker.linked().await;
    let job = farm.submit_files(&files, "3.4.1", "2", |_| {}).await;
    farm.done(job).await;
    let find = |name: &str| -> Vec<u8> {
        let tree = std::fs::read_dir(&trees)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let tree = tree.filter(|path| path.is_dir()).last().unwrap();
        std::fs::read(tree.join("home/u").join(name)).unwrap()
    };
    assert_eq!(find("texture.png"), noise);
    worker.stop().await;
}

/// A small disk of its own, gone with the value.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn at(path: &'a Path, size: &str) -> Self {
        std::fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        assert!(
            mount.arg(path).status().unwrap().success(),
            "needs the right to mount"
        );
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_the_worker_lives_on() {
    let farm = Farm::start().await;
    let dir = farm.dir.path().join("w");
    let _disk = SmallDisk::at(&dir, "12m");
    let config = farm.pair("w", farm.address()).await;
    let mut worker = Worker::start(config);
    worker.linked().await;
    let large = farm.dir.path().join("large.bin");
    let blend = farm.dir.path().join("a.blend");
    std::fs::write(&blend, fake_blend(&json!({}))).unwrap();

    // Two scenes that fit one at a time: the first makes room for the second.
    for (seed, frame) in [(1, "1"), (2, "2")] {
        std::fs::write(&large, noise(seed, 4 << 20)).unwrap();
        let files = [
            ("u/a.blend", blend.as_path()),
            ("u/large.bin", large.as_path()),
        ];
        let job = farm.submit_files(&files, "3.4.1", frame, |_| {}).await;
        assert_eq!(farm.done(job).await.len(), 1);
    }

    // One that never fits.
    std::fs::write(&large, noise(3, 20 << 20)).unwrap();
    let files = [
        ("u/a.blend", blend.as_path()),
        ("u/large.bin", large.as_path()),
    ];
    let job = farm.submit_files(&files, "3.4.1", "1", |_| {}).await;
    let over =
        |detail: &JobDetail| detail.summary.state.is_over() || !detail.blocked_workers.is_empty();
    farm.job(job, "the end of the job", over).await;
    let errors = farm.errors(job).await;
    assert!(!errors.is_empty());
    assert!(
        errors
            .iter()
            .all(|error| error.kind == FrameErrorKind::Disk),
        "{errors:?}"
    );
    // What came of it is gone.
    let left = bytes_below(&dir);
    assert!(left < 4 << 20, "{left} bytes are left");

    let job = farm.submit(&json!({}), "1..3").await;
    assert_eq!(farm.done(job).await.len(), 3);
    worker.stop().await;
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let size = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_below(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(size).sum()
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let chunk = |i: u64| {
        *tessera_blobs::Digest::of(&[seed.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes()
    };
    (0..bytes as u64 / 32).flat_map(chunk).collect()
}

/// A Blender that died in its sleep is no frame's failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_blender_that_died_while_idle_costs_nothing() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let first = farm.submit(&json!({}), "1").await;
    farm.done(first).await;
    let idle = |status: &Status| status.unsent == 0 && status.slots.iter().all(SlotStatus::is_idle);
    worker.is("rest", idle).await;
    kill_all(farm.dir.path());
    let cold = |status: &Status| status.slots == [SlotStatus::Idle { warm: None }];
    worker.is("the slot to notice", cold).await;
    let second = farm.submit(&json!({}), "2").await;
    assert_eq!(farm.done(second).await.len(), 1);
    assert!(farm.errors(second).await.is_empty());
    worker.stop().await;
}

fn kill_all(dir: &Path) {
    for pid in processes_of(dir) {
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}
