//! The link and the manager come and go; frames do not care.

use std::collections::BTreeSet;

use serde_json::json;
use tessera_model::FrameResult;
use tessera_wire::api::JobDetail;
use tessera_worker::{LinkStatus, Status, WorkerError, WorkerFarm};

use crate::farm::{Farm, Worker, soon};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_cut_in_mid_frame_loses_nothing() {
    let farm = Farm::start().await;
    let proxy = Proxy::to(farm.address()).await;
    let config = farm.pair("w", proxy.address).await;
    let mut worker = Worker::start(config);
    worker.linked().await;
    let job = farm.submit(&json!({ "seconds": 0.2 }), "1..12").await;
    let cut = [2, 5, 8];
    for frame in cut {
        farm.started(job, frame).await;
        proxy.cut();
        worker.lost().await;
        proxy.mend();
        worker.linked().await;
    }
    let results = farm.done(job).await;
    assert_eq!(results.len(), 12);
    // A frame that was on its way to the worker when the link broke is lent anew.
    let rendering = |result: &&FrameResult| cut.contains(&result.frame);
    let first = |result: &FrameResult| result.lease.attempt.0 == 1;
    assert!(results.iter().filter(rendering).all(first), "{results:?}");
    assert_eq!(
        worker.status.borrow().done,
        12,
        "nothing was rendered twice"
    );
    worker.stop().await;
}

/// A link that carries nothing, without being closed, is found dead by the worker itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_fell_silent_is_opened_anew() {
    let farm = Farm::start().await;
    let proxy = Proxy::to(farm.address()).await;
    let config = farm.pair("w", proxy.address).await;
    let mut worker = Worker::start(config);
    worker.linked().await;
    proxy.hold_still();
    worker.lost().await;
    worker.linked().await;
    let job = farm.submit(&json!({}), "1..3").await;
    assert_eq!(farm.done(job).await.len(), 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_restarts_in_mid_job_gets_what_was_rendered_meanwhile() {
    let mut farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let job = farm.submit(&json!({ "seconds": 0.1 }), "1..20").await;
    let some = |detail: &JobDetail| detail.summary.done >= 2;
    farm.job(job, "some frames", some).await;
    farm.stop_manager().await;
    worker.lost().await;
    worker
        .is("frames rendered without a manager", |status| {
            status.unsent >= 1
        })
        .await;
    farm.start_manager().await;
    worker.linked().await;
    let results = farm.done(job).await;
    assert_eq!(results.len(), 20);
    assert_eq!(
        worker.status.borrow().done,
        20,
        "nothing was rendered twice"
    );
    worker
        .is("nothing left to send", |status| status.unsent == 0)
        .await;
    worker.stop().await;
}

/// What was rendered while the manager was away is told by the next process of the worker.
#[tokio::test(flavor = "multi_thread")]
async fn unsent_frames_survive_the_worker() {
    let mut farm = Farm::start().await;
    let config = farm.pair("w", farm.address()).await;
    let mut worker = Worker::start(config.clone());
    worker.linked().await;
    let job = farm.submit(&json!({ "seconds": 0.1 }), "1..20").await;
    let some = |detail: &JobDetail| detail.summary.done >= 2;
    farm.job(job, "some frames", some).await;
    farm.stop_manager().await;
    let waiting = |status: &Status| status.unsent >= 2 && status.waiting == 0;
    worker
        .is("frames rendered without a manager", waiting)
        .await;
    let rendered = worker.status.borrow().done;
    worker.stop().await;

    farm.start_manager().await;
    let mut worker = Worker::start(config);
    worker.linked().await;
    let results = farm.done(job).await;
    let journal = farm.api.journal(job).await.unwrap();
    assert_eq!(journal.accepts, 20);
    let again = worker.status.borrow().done;
    assert_eq!(rendered + again, 20, "no frame was rendered twice");
    let frames: BTreeSet<i32> = results.iter().map(|result| result.frame).collect();
    assert_eq!(frames, (1..=20).collect());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_gives_its_frames_back_at_once() {
    let farm = Farm::start().await;
    let first = farm.worker("first").await;
    let job = farm
        .submit(
            &json!({ "hang": [1], "once": farm.dir.path().join("once") }),
            "1..4",
        )
        .await;
    farm.started(job, 1).await;
    first.stop().await;
    let second = farm.worker("second").await;
    assert_eq!(farm.done(job).await.len(), 4);
    assert!(
        farm.errors(job).await.is_empty(),
        "what was stopped is no failure"
    );
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_worker_ends_and_says_why() {
    let farm = Farm::start().await;
    let mut worker = farm.worker("w").await;
    let certificate = farm.api.certificates().await.unwrap().items.remove(0);
    farm.api
        .revoke_certificate(&certificate.serial)
        .await
        .unwrap();
    let refused = |status: &Status| matches!(status.link, LinkStatus::Refused { .. });
    worker.is("the refusal", refused).await;
    let ended = soon("the worker's end", worker.task).await.unwrap();
    assert!(
        matches!(ended, Err(WorkerError::Refused { .. })),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_farm_or_with_its_folder_in_use_says_so() {
    let farm = Farm::start().await;
    let config = farm.pair("w", farm.address()).await;
    let mut worker = Worker::start(config.clone());
    worker.linked().await;
    let ended = soon("the end", Worker::start(config.clone()).task)
        .await
        .unwrap();
    assert!(matches!(ended, Err(WorkerError::Store { .. })), "{ended:?}");
    worker.stop().await;
    std::fs::remove_file(tessera_worker::identity_path(&config.data_dir)).unwrap();
    let ended = soon("the end", Worker::start(config).task).await.unwrap();
    let Err(error @ WorkerError::NotPaired { .. }) = ended else {
        panic!("{ended:?}");
    };
    assert!(error.to_string().contains("--join"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_blender_stays_linked() {
    let farm = Farm::start().await;
    let mut config = farm.pair("w", farm.address()).await;
    config.blender.paths.clear();
    let mut worker = Worker::start(config);
    worker.linked().await;
    let status = worker.status.borrow().clone();
    assert!(status.builds.is_empty());
    assert!(status.to_string().contains("no Blender found"), "{status}");
    worker.stop().await;
}

/// A certificate in the last third of its life is renewed under itself, and the link opened anew with the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_ends() {
    let farm = Farm::start().await;
    let config = farm.pair("w", farm.address()).await;
    let file = tessera_worker::identity_path(&config.data_dir);
    let mut old = WorkerFarm::load(&file).unwrap().unwrap();
    // As if three quarters of its life were over.
    old.issued_at.0 -= 3 * (old.expires_at.0 - old.issued_at.0);
    old.save(&file).unwrap();
    let mut worker = Worker::start(config);
    worker.linked().await;
    let linked_with_the_new_one = async {
        loop {
            let workers = farm.api.workers().await.unwrap().items;
            let kept = WorkerFarm::load(&file).unwrap().unwrap();
            let certificates = farm.api.certificates().await.unwrap().items;
            if kept.identity != old.identity && certificates.len() == 2 && workers[0].linked {
                return kept;
            }
            tokio::task::yield_now().await;
        }
    };
    let new = soon("the renewal", linked_with_the_new_one).await;
    assert!(new.renew_at() > old.renew_at());
    let job = farm.submit(&json!({}), "1..3").await;
    assert_eq!(farm.done(job).await.len(), 3);
    worker.stop().await;
}
