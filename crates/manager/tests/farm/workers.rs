//! Workers: letting them in, what they may report, what administrators do to them.

use tessera_model::{FrameError, FrameResult, JobState, Role, WorkerMode};
use tessera_wire::api::{JobAction, JobDetail, Journal, Page, Verdict, WorkerAction, WorkerStatus};
use tessera_wire::link::{FromWorker, ToWorker};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Farm, start};
use crate::worker::{self, Link, deliver, hello, put, result, submit};

async fn one_worker(farm: &Farm) -> (Link, crate::harness::Api, tessera_model::WorkerId) {
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (link, first) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    assert!(matches!(first, ToWorker::Welcome { .. }));
    (link, api, member.identity.worker)
}

#[tokio::test]
async fn a_worker_reports_for_itself_and_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let (mut link, api, worker) = one_worker(&farm).await;
    let id = submit(&artist, "1").await.to_string();
    let offer = link.lease().await;
    let good = result(&api, worker, &offer).await;
    let check = async |change: &dyn Fn(&mut FrameResult), kind| {
        let mut wrong = good.clone();
        change(&mut wrong);
        let problem = api.problem(routes::WORKER_RESULT, &[], &wrong).await;
        assert_eq!(problem.kind, kind, "{problem}");
    };
    check(&|result| result.worker.0 += 1, ProblemKind::Forbidden).await;
    check(
        &|result| result.files[0].blob.digest[0] ^= 1,
        ProblemKind::MissingBlobs,
    )
    .await;
    check(
        &|result| result.stdout.digest[0] ^= 1,
        ProblemKind::MissingBlobs,
    )
    .await;
    for name in ["../../.ssh/authorized_keys", "/etc/passwd", "a\\b", ""] {
        check(
            &|result| result.files[0].name = name.into(),
            ProblemKind::Invalid,
        )
        .await;
    }
    let detail: JobDetail = artist.get(routes::JOB, &[&id]).await;
    assert_eq!(detail.summary.done, 0);
    let verdict: Verdict = api.json(routes::WORKER_RESULT, &[], &good).await;
    assert_eq!(verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_failed_frame_is_tried_again_and_given_up_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::harness::config(folder.path());
    config.scheduler.retry_after_ms = 0;
    config.scheduler.block_after_failures = 100;
    let farm = crate::harness::start_with(config).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (mut link, api, worker) = one_worker(&farm).await;
    let id = submit(&artist, "7").await.to_string();
    let words = put(&api, b"Segmentation fault\n").await;
    for attempt in 1..=3 {
        let offer = link.lease().await;
        assert_eq!(offer.key.attempt.0, attempt);
        let mut error = worker::failure(worker, &offer, words);
        error.message = "died\u{1b}[2J\u{9b}\nlast words".into();
        let verdict: Verdict = api.json(routes::WORKER_FAILURE, &[], &error).await;
        assert_eq!(verdict, Verdict::Accepted);
        link.send(&FromWorker::Finished { key: offer.key })
            .await
            .unwrap();
    }
    let detail: JobDetail = artist.get(routes::JOB, &[&id]).await;
    assert_eq!(
        (detail.summary.state, detail.summary.failed),
        (JobState::Failed, 1)
    );
    let errors: Page<FrameError> = artist.get(routes::ERRORS, &[&id, "limit=2"]).await;
    assert_eq!(
        errors
            .items
            .iter()
            .map(|error| error.lease.attempt.0)
            .collect::<Vec<_>>(),
        [3, 2]
    );
    // A worker's words are shown on people's terminals.
    assert_eq!(errors.items[0].message, "died [2J \nlast words");
    let from = format!("limit=2&from={}", errors.next.unwrap());
    let rest: Page<FrameError> = artist.get(routes::ERRORS, &[&id, &from]).await;
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let journal: Journal = artist.get(routes::JOURNAL, &[&id]).await;
    assert_eq!((journal.leases, journal.failures), (3, 3));
    let detail: JobDetail = artist
        .json(routes::JOB_ACT, &[&id], &JobAction::Retry)
        .await;
    assert_eq!(detail.summary.failed, 0);
    let offer = link.lease().await;
    assert_eq!(
        deliver(&mut link, &api, worker, &offer).await,
        Verdict::Accepted
    );
}

#[tokio::test]
async fn administrators_move_workers_and_a_removed_one_is_sent_away_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let id = member.identity.worker.to_string();
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let admin = farm.admin();
    let paused: WorkerStatus = admin
        .json(routes::WORKER_ACT, &[&id], &WorkerAction::Pause)
        .await;
    assert_eq!((paused.mode, paused.linked), (WorkerMode::Paused, true));
    assert_eq!(
        link.next().await,
        Some(ToWorker::Mode {
            mode: WorkerMode::Paused
        })
    );
    submit(&artist, "1").await;
    let list: Page<WorkerStatus> = artist.get(routes::WORKERS, &[]).await;
    assert!(list.items[0].holds.is_empty());
    let _: WorkerStatus = admin
        .json(routes::WORKER_ACT, &[&id], &WorkerAction::Resume)
        .await;
    let offer = link.lease().await;
    let list: Page<WorkerStatus> = artist.get(routes::WORKERS, &[]).await;
    assert_eq!(list.items[0].holds.len(), 1);
    let _: WorkerStatus = admin
        .json(
            routes::WORKER_ACT,
            &[&id],
            &WorkerAction::Block { job: None },
        )
        .await;
    let mut said = Vec::new();
    while said.len() < 2 {
        said.push(link.next().await.unwrap());
    }
    assert!(
        said.contains(&ToWorker::Cancel { key: offer.key }),
        "{said:?}"
    );
    let _: WorkerStatus = admin
        .json(routes::WORKER_ACT, &[&id], &WorkerAction::Remove)
        .await;
    let last = loop {
        match link.next().await {
            Some(ToWorker::Refused { retry, .. }) => break retry,
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    };
    assert!(!last);
    assert_eq!(link.next().await, None);
    assert!(Link::open(&farm.end(), &member).await.is_err());
    assert_eq!(
        admin
            .problem(routes::WORKER_ACT, &[&id], &WorkerAction::Pause)
            .await
            .kind,
        ProblemKind::NotFound
    );
}

#[tokio::test]
async fn a_greeting_is_looked_at_before_anyone_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let member = farm.worker("w").await;
    let check = async |text: String, part: &str| {
        let mut link = Link::open(&farm.end(), &member).await.unwrap();
        link.say(text).await.unwrap();
        match link.next().await {
            Some(ToWorker::Refused { reason, retry }) => {
                assert!(reason.contains(part) && !retry, "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(link.next().await, None);
    };
    let of = |change: &dyn Fn(&mut FromWorker)| {
        let mut message = hello(1, Vec::new());
        change(&mut message);
        serde_json::to_string(&message).unwrap()
    };
    let newer = of(&|message| {
        if let FromWorker::Hello { protocol, .. } = message {
            *protocol = 99;
        }
    });
    check(newer, "protocol 99").await;
    let none = of(&|message| {
        if let FromWorker::Hello { facts, .. } = message {
            facts.slots = 0;
        }
    });
    check(none, "slots").await;
    check("{}".into(), "unknown message").await;
    let early = FromWorker::Heartbeat {
        holds: Vec::new(),
        machine: None,
    };
    check(serde_json::to_string(&early).unwrap(), "greeting").await;
    // A second link of the same worker takes the place of the first.
    let (mut first, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let (mut second, welcome) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    assert!(matches!(welcome, ToWorker::Welcome { .. }));
    assert_eq!(first.next().await, None);
    submit(&farm.admin(), "1").await;
    second.lease().await;
}
