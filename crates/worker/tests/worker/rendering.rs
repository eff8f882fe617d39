//! Frames rendered and delivered, and what comes with them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use tessera_blender::testing::fake_blend;
use tessera_model::{FileRole, JobState, WorkerMode};
use tessera_wire::api::{JobAction, JobDetail, WorkerAction};
use tessera_wire::link::LogStream;
use tessera_worker::{LinkStatus, SlotStatus, Status};

use crate::farm::{Farm, Worker, content_of, processes_of, soon};

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_arrives_with_its_files_and_its_log() {
    let farm = Farm::start().await;
    let worker = farm.worker("w").await;
    let scene = json!({
        "views": ["left", "right"], "nodes": 1, "noise_bytes": 3000,
        "stdout": "out of {frame}\n", "stderr": "err of {frame}\n",
    });
    let job = farm.submit(&scene, "1..5").await;
    let results = farm.done(job).await;
    let frames: Vec<i32> = results.iter().map(|result| result.frame).collect();
    assert_eq!(frames, [1, 2, 3, 4, 5]);
    let mut pictures = BTreeSet::new();
    for (i, result) in results.iter().enumerate() {
        let roles: Vec<_> = result.files.iter().map(|file| file.role.clone()).collect();
        let views = [
            FileRole::View("left".into()),
            FileRole::View("right".into()),
        ];
        assert_eq!(roles[..2], views);
        assert_eq!(roles[2], FileRole::Node(0));
        for file in &result.files {
            let bytes = farm.bytes(&file.blob).await;
            assert!(bytes.starts_with(b"\x89PNG"));
            assert_eq!(tessera_wire::blob::to_model(&content_of(&bytes)), file.blob);
        }
        pictures.insert(farm.bytes(&result.files[0].blob).await);
        let stdout = farm.bytes(&result.stdout).await;
        let text = String::from_utf8_lossy(&stdout);
        assert!(
            text.contains(&format!("out of {}\n", result.frame)),
            "{text}"
        );
        assert!(stdout.len() >= 3000, "noise and all");
        let stderr = farm.bytes(&result.stderr).await;
        assert!(String::from_utf8_lossy(&stderr).contains(&format!("err of {}\n", result.frame)));
        let log = farm
            .api
            .log(job, result.frame, LogStream::Stdout, 0)
            .await
            .unwrap();
        assert!(log.complete);
        assert_eq!(
            log.bytes, stdout,
            "the log is the same from wherever it is read"
        );
        assert_eq!(result.device, "CPU");
        // One slot, so one Blender: loaded for the first frame only.
        assert_eq!(result.timings.load_us > 0, i == 0, "{:?}", result.timings);
        assert_eq!(result.timings.transfer_us > 0, i == 0);
        assert_eq!(result.timings.idle_us > 0, i > 0);
    }
    assert_eq!(pictures.len(), 5);
    let mut worker = worker;
    worker
        .is("nothing to send", |status| {
            status.unsent == 0 && status.done == 5
        })
        .await;
    let frames = std::fs::read_dir(worker.data_dir.join("frames"))
        .unwrap()
        .count();
    assert!(
        frames <= 1,
        "only the folder made ready for the next frame is left, of {frames}"
    );
    worker.stop().await;
    assert!(
        processes_of(farm.dir.path()).is_empty(),
        "no Blender is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scene_stays_loaded_between_jobs_of_the_same_files() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let scene = json!({ "name": "shot_####.png" });
    let first = farm.submit(&scene, "1").await;
    assert_eq!(farm.done(first).await[0].files[0].name, "shot_0001.png");
    let second = farm.submit(&scene, "2").await;
    let result = &farm.done(second).await[0];
    assert_eq!(result.timings.load_us, 0);
    assert_eq!(result.timings.transfer_us, 0);
    assert_eq!(result.timings.idle_us, 0, "idling is counted within a job");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scripts_of_a_file_left_behind_is_in_force_in_no_other_file() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let scripts = |submit: &mut tessera_wire::api::Submit| {
        let overrides = submit.steps[0].overrides_mut();
        overrides.autoexec = true;
    };
    let blenders = || processes_of(farm.dir.path());
    let scripted = json!({ "stdout": "scripted\n" });
    farm.done(farm.submit_with(&scripted, "1", scripts).await)
        .await;
    let first = blenders();
    let again = farm.submit_with(&scripted, "2", scripts).await;
    assert_eq!(farm.done(again).await[0].timings.load_us, 0);
    assert_eq!(blenders(), first, "the same file goes on in its Blender");

    farm.done(farm.submit(&scripted, "1").await).await;
    let second = blenders();
    assert_ne!(second, first, "without scripts, in a Blender that ran none");
    farm.done(farm.submit(&json!({}), "1").await).await;
    assert_eq!(blenders(), second, "which stays for other files");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scripts_do_to_the_files_is_seen_by_no_other_job() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let trees = farm.dir.path().join("w/trees");
    let blend = farm.dir.path().join("a.blend");
    let texture = farm.dir.path().join("texture");
    std::fs::write(
        &blend,
        fake_blend(&json!({ "spoil": ["texture", "a.blend"] })),
    )
    .unwrap();
    std::fs::write(&texture, "texture").unwrap();
    let files = [("u/a.blend", blend.as_path()), ("u/texture", &texture)];
    let scripts = |submit: &mut tessera_wire::api::Submit| {
        let overrides = submit.steps[0].overrides_mut();
        overrides.autoexec = true;
    };
    let job = farm.submit_files(&files, "3.4.1", "1..2", scripts).await;
    assert_eq!(farm.done(job).await.len(), 2);
    let own = trees.join("slot-0");
    let read = |tree: &Path, name: &str| std::fs::read(tree.join("u").join(name)).unwrap();
    assert_eq!(read(&own, "texture"), b"spoilt");
    let shared = std::fs::read_dir(&trees)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let shared = shared
        .filter(|path| path.is_dir() && *path != own)
        .collect::<Vec<_>>();
    let [shared] = shared.as_slice() else {
        panic!("{shared:?}")
    };
    assert_eq!(read(shared, "texture"), b"texture");
    assert_eq!(read(shared, "a.blend"), std::fs::read(&blend).unwrap());

    farm.done(farm.submit(&json!({}), "1").await).await;
    assert!(!own.exists(), "it goes when the slot turns to other work");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_blender_notes_reaches_the_user() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let scene = json!({ "notes": ["a movie as\n\u{1b}[31mPNG"] });
    let job = farm.submit(&scene, "1..2").await;
    for result in farm.done(job).await {
        assert_eq!(result.notes, ["a movie as  [31mPNG"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_rendered_frame_by_frame() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let chunk = |submit: &mut tessera_wire::api::Submit| submit.settings.chunk = 4;
    let job = farm.submit_with(&json!({}), "1..10", chunk).await;
    let results = farm.done(job).await;
    assert_eq!(results.len(), 10);
    let units: BTreeSet<_> = results
        .iter()
        .map(|result| result.lease.unit.index)
        .collect();
    assert_eq!(units, (0..3).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_depend_on_their_order_are_rendered_in_turn_in_a_fresh_scene() {
    let farm = Farm::start().await;
    let _worker = farm.worker("w").await;
    let warm = farm.submit(&json!({ "stdout": "{frame}\n" }), "1").await;
    farm.done(warm).await;
    let in_order = |submit: &mut tessera_wire::api::Submit| submit.steps[0].in_order = true;
    let job = farm
        .submit_with(&json!({ "stdout": "{frame}\n" }), "1..6", in_order)
        .await;
    let results = farm.done(job).await;
    assert_eq!(results.len(), 6);
    assert!(
        results[0].timings.load_us > 0,
        "opened afresh though it was loaded"
    );
    assert!(
        results[1..]
            .iter()
            .all(|result| result.timings.load_us == 0)
    );
    let leases: BTreeSet<_> = results.iter().map(|result| result.lease).collect();
    assert_eq!(
        leases.len(),
        1,
        "one lease from the first frame to the last"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_slots_share_the_work() {
    let farm = Farm::start().await;
    let mut config = farm.pair("w", farm.address()).await;
    config.slots = 3.try_into().unwrap();
    let mut worker = Worker::start(config);
    worker.linked().await;
    let job = farm.submit(&json!({ "seconds": 0.05 }), "1..30").await;
    worker
        .is("all slots at work", |status| {
            status
                .slots
                .iter()
                .all(|slot| matches!(slot, SlotStatus::Rendering { .. }))
        })
        .await;
    assert_eq!(farm.done(job).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_log_can_be_read_while_the_frame_renders() {
    let farm = Farm::start().await;
    let worker = farm.worker("w").await;
    let scene = json!({ "hang": [7], "stdout": "before the end of {frame}\n" });
    let job = farm.submit(&scene, "7").await;
    farm.started(job, 7).await;
    let reading = async {
        loop {
            let log = farm.api.log(job, 7, LogStream::Stdout, 0).await.unwrap();
            assert!(!log.complete);
            let text = String::from_utf8_lossy(&log.bytes).into_owned();
            if let Some(at) = text.find("before the end of 7\n") {
                let from = at as u64;
                let part = farm.api.log(job, 7, LogStream::Stdout, from).await.unwrap();
                assert!(part.bytes.starts_with(b"before the end of 7\n"));
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("the log of a running frame", reading).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_job_kills_its_frame_and_the_slot_goes_on() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let hung = farm.submit(&json!({ "hang": [1, 2, 3] }), "1..3").await;
    farm.started(hung, 1).await;
    farm.api.act(hung, JobAction::Cancel).await.unwrap();
    let idle =
        |status: &Status| status.waiting == 0 && matches!(status.slots[0], SlotStatus::Idle { .. });
    worker.is("the slot to be free", idle).await;
    assert!(farm.errors(hung).await.is_empty());
    let next = farm.submit(&json!({}), "1..3").await;
    assert_eq!(farm.done(next).await.len(), 3);
    worker.stop().await;
    assert!(processes_of(farm.dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_ready_goes_to_a_worker_that_has_nothing_to_do() {
    let farm = Farm::start().await;
    let mut busy = farm.worker("busy").await;
    let job = farm.submit(&json!({ "hang": [1] }), "1..4").await;
    farm.started(job, 1).await;
    busy.is("frames lying ready", |status| status.waiting > 0)
        .await;
    let _free = farm.worker("free").await;
    let three = |detail: &JobDetail| detail.summary.done == 3;
    farm.job(job, "the other frames", three).await;
    assert_eq!(busy.status.borrow().done, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_finishes_its_frame_and_ends() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let job = farm.submit(&json!({ "seconds": 0.3 }), "1..50").await;
    farm.started(job, 1).await;
    let id = worker.status.borrow().worker.unwrap();
    farm.api.worker_act(id, &WorkerAction::Drain).await.unwrap();
    let drained = soon("the end of the worker", &mut worker.task).await;
    drained.unwrap().unwrap();
    assert!(
        !farm.results(job).await.is_empty(),
        "what was begun is delivered"
    );
    assert!(processes_of(farm.dir.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_gets_nothing_and_goes_on_when_resumed() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let id = worker.status.borrow().worker.unwrap();
    farm.api.worker_act(id, &WorkerAction::Pause).await.unwrap();
    let paused = |status: &Status| {
        matches!(
            status.link,
            LinkStatus::Linked {
                mode: WorkerMode::Paused,
                ..
            }
        )
    };
    worker.is("the pause", paused).await;
    let job = farm.submit(&json!({}), "1..3").await;
    assert_eq!(
        farm.api.job(job).await.unwrap().summary.state,
        JobState::Active
    );
    assert_eq!(worker.status.borrow().done, 0);
    farm.api
        .worker_act(id, &WorkerAction::Resume)
        .await
        .unwrap();
    assert_eq!(farm.done(job).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blender_is_started_ahead_of_work_that_is_being_packed() {
    let farm = Farm::start().await;
    let mut config = farm.pair("w", farm.address()).await;
    config.prewarm = Some("3.4".parse().unwrap());
    let mut worker = Worker::start(config);
    let ready = |status: &Status| matches!(status.slots[..], [SlotStatus::Idle { warm: Some(_) }]);
    worker.is("a Blender in the slot", ready).await;
    let job = farm.submit(&json!({ "stdout": "hello\n" }), "1").await;
    farm.done(job).await;
    worker.stop().await;
}
