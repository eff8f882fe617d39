//! What a worker does before its turn comes, and when it does nothing.

use std::path::Path;

use serde_json::json;
use tessera_model::WorkerMode;
use tessera_wire::api::JobAction;
use tessera_worker::{Hours, LinkStatus, SlotStatus, Status};

use crate::farm::{Farm, Worker, soon};

/// Files below a folder with this end of their name.
fn named(dir: &Path, end: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => named(&path, end),
        path => usize::from(path.to_string_lossy().ends_with(end)),
    };
    entries.filter_map(Result::ok).map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_jobs_files_are_laid_out_while_this_one_renders() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let now = farm.submit(&json!({ "hang": [1] }), "1").await;
    farm.started(now, 1).await;
    let blend = farm.dir.path().join("next.blend");
    let texture = farm.dir.path().join("texture");
    std::fs::write(&blend, tessera_blender::testing::fake_blend(&json!({}))).unwrap();
    std::fs::write(&texture, vec![7; 3 << 20]).unwrap();
    let files = [("u/next.blend", blend.as_path()), ("u/texture", &texture)];
    let next = farm.submit_files(&files, "3.4.1", "1", |_| {}).await;
    worker
        .is("the next job's lease", |status| status.waiting == 1)
        .await;
    let trees = worker.data_dir.join("trees");
    let laid_out = async {
        while named(&trees, "u/next.blend") + named(&trees, "u/texture") < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon("the next job's files", laid_out).await;
    let status = worker.status.borrow().clone();
    assert!(
        matches!(status.slots[0], SlotStatus::Rendering { frame: 1, .. }) && status.waiting == 1,
        "{status:?}"
    );
    farm.api.act(now, JobAction::Cancel).await.unwrap();
    let result = &farm.done(next).await[0];
    assert!(result.timings.transfer_us > 0, "what it took is told");
    assert!(farm.results(now).await.is_empty() && farm.errors(now).await.is_empty());
}

/// An hour that does not hold now, nor soon.
fn another_time() -> Hours {
    let then = jiff::Zoned::now().hour() + 12;
    let hours = format!("{:02}:00-{:02}:01", then % 24, then % 24);
    hours.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_out_of_its_hours_rests_while_others_work() {
    let farm = Farm::start().await;
    let mut config = farm.pair("resting", farm.address()).await;
    config.hours = Some(another_time());
    let mut resting = Worker::start(config);
    resting.linked().await;
    let status = resting.status.borrow().clone();
    assert!(status.rest.is_some() && status.to_string().contains("rests (works "));
    let active = |link: &LinkStatus| {
        matches!(
            link,
            LinkStatus::Linked {
                mode: WorkerMode::Active,
                ..
            }
        )
    };
    assert!(active(&status.link), "nobody paused it");
    let workers = farm.api.workers().await.unwrap().items;
    let rest = workers[0].facts.clone().and_then(|facts| facts.rest);
    assert_eq!(rest, status.rest, "the farm knows as soon as it is there");
    assert!(rest.is_some_and(|rest| rest.until.is_some()));
    let job = farm.submit(&json!({}), "1..3").await;
    let mut working = farm.worker("working").await;
    assert_eq!(farm.done(job).await.len(), 3);
    let is_told = |status: &Status| status.done == 3 && status.unsent == 0;
    working.is("the end of its work", is_told).await;
    assert_eq!(resting.status.borrow().done, 0);
    resting.stop().await;
}
