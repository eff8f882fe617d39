//! A unit that two workers have: the first result counts, and the other worker is free at once.

use serde_json::json;
use tessera_model::FarmSettings;
use tessera_worker::{SlotStatus, Status};

use crate::farm::{Farm, Worker, processes_of};
use crate::proxy::Proxy;

/// Stragglers are rendered a second time soon, so that nobody has to wait.
async fn impatient() -> Farm {
    let farm = Farm::start().await;
    let patch = serde_json::from_value(json!({ "duplicate_gain_ms": 100 })).unwrap();
    let settings: FarmSettings = farm.api.change_settings(&patch).await.unwrap();
    assert_eq!(settings.duplicate_gain_ms, 100);
    farm
}

fn is_free(status: &Status) -> bool {
    matches!(status.slots[..], [SlotStatus::Idle { .. }])
        && status.waiting == 0
        && status.unsent == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slower_one_is_killed_and_says_nothing() {
    let farm = impatient().await;
    let mut workers = [farm.worker("a").await, farm.worker("b").await];
    let once = farm.dir.path().join("hung");
    let scene = json!({ "hang": [6], "once": once, "seconds": 0.05 });
    let job = farm.submit(&scene, "1..6").await;
    let results = farm.done(job).await;
    assert!(results[5].lease.attempt.0 > 1);
    assert!(farm.errors(job).await.is_empty());
    for worker in &mut workers {
        worker.is("its slot to be free", is_free).await;
    }
    let done: u64 = workers.iter().map(|w| w.status.borrow().done).sum();
    let failed: u64 = workers.iter().map(|w| w.status.borrow().failed).sum();
    assert_eq!((done, failed), (6, 0));
    assert!(
        processes_of(farm.dir.path()).len() <= 1,
        "the Blender that hung is gone"
    );
    let next = farm.submit(&json!({}), "1..8").await;
    assert_eq!(farm.done(next).await.len(), 8, "both go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_comes_second_is_no_trouble() {
    let farm = impatient().await;
    let proxy = Proxy::to(farm.address()).await;
    let mut slow = Worker::start(farm.pair("slow", proxy.address).await);
    slow.linked().await;
    let job = farm.submit(&json!({ "seconds": 0.3 }), "1..6").await;
    farm.started(job, 6).await;
    proxy.hold_still();
    let mut other = farm.worker("other").await;
    // What the first one has rendered and not told is rendered again.
    let results = farm.done(job).await;
    assert!(results.iter().any(|result| result.lease.attempt.0 > 1));
    other.is("the end of its work", is_free).await;
    proxy.mend();
    slow.is("nothing left to tell", is_free).await;
    assert_eq!(farm.done(job).await, results);
    assert!(farm.errors(job).await.is_empty());
    assert_eq!(slow.status.borrow().failed, 0);
    let next = farm.submit(&json!({}), "1..8").await;
    assert_eq!(farm.done(next).await.len(), 8, "both go on");
}
