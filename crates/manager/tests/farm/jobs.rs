//! Jobs from submission to the last frame, with workers that speak the real link.

use tessera_blobs::{Digest, StreamDecoder};
use tessera_model::{FrameError, FrameResult, JobEdit, JobState, Role, WorkerMode};
use tessera_wire::api::{
    Digests, Farm as FarmInfo, FramePhase, FrameStatus, JobAction, JobDetail, JobSummary, Journal,
    Page, Phase, Submitted, Trees, Verdict, WorkerAction, WorkerStatus,
};
use tessera_wire::link::{FromWorker, ToWorker};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Farm, start};
use crate::worker::{
    self, Link, build, deliver, framed, hello, job, put, result, scene, submit, tree,
};

#[tokio::test]
async fn frames_go_out_one_by_one_and_come_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, first) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let ToWorker::Welcome {
        worker: number,
        mode,
        managers,
        ..
    } = first
    else {
        panic!("{first:?}");
    };
    assert_eq!(
        (number, mode, managers),
        (worker, WorkerMode::Active, vec![farm.end().url])
    );

    let manifest = scene(&artist).await;
    let submitted: Submitted = artist
        .json(routes::SUBMIT, &[], &job(manifest, "1..4"))
        .await;
    assert_eq!(submitted.build, Some(build()));
    let id = submitted.job.to_string();
    // The next one waits at the worker while the first is rendered.
    let mut waiting = vec![link.lease().await, link.lease().await];
    assert_eq!(waiting[0].manifest, manifest);
    assert_eq!(waiting[0].main_file, "home/u/scene.blend");
    for done in 1..=4u32 {
        let offer = waiting.remove(0);
        assert_eq!(
            deliver(&mut link, &api, worker, &offer).await,
            Verdict::Accepted
        );
        let again: Verdict = api
            .json(
                routes::WORKER_RESULT,
                &[],
                &result(&api, worker, &offer).await,
            )
            .await;
        assert_eq!(again, Verdict::NotNeeded);
        let detail: JobDetail = artist.get(routes::JOB, &[&id]).await;
        assert_eq!(detail.summary.done, done);
        if done <= 2 {
            waiting.push(link.lease().await);
        }
    }
    let detail: JobDetail = artist.get(routes::JOB, &[&id]).await;
    assert_eq!(
        (detail.summary.state, detail.summary.phase),
        (JobState::Done, Phase::Done)
    );
    assert_eq!(detail.client_note, "note");
    let journal: Journal = artist.get(routes::JOURNAL, &[&id]).await;
    assert_eq!(
        (journal.frames, journal.accepts, journal.repeated.len()),
        (4, 4, 0)
    );

    let first: Page<FrameResult> = artist.get(routes::RESULTS, &[&id, "limit=3"]).await;
    assert_eq!(first.items.len(), 3);
    let from = format!("limit=3&from={}", first.next.unwrap());
    let rest: Page<FrameResult> = artist.get(routes::RESULTS, &[&id, &from]).await;
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let frames: Vec<i32> = first
        .items
        .iter()
        .chain(&rest.items)
        .map(|result| result.frame)
        .collect();
    assert_eq!(frames, [1, 2, 3, 4]);
    assert!(first.items.iter().all(|result| result.at.0 > 0));
    let statuses: Page<FrameStatus> = artist.get(routes::FRAMES, &[&id]).await;
    assert!(
        statuses
            .items
            .iter()
            .all(|frame| frame.phase == FramePhase::Done)
    );

    // And the bytes come back as they went in.
    let digest = Digest::from_bytes(first.items[0].files[0].blob.digest);
    let wanted = Digests {
        digests: vec![digest, Digest::of(b"nobody has this")],
    };
    let answer = artist
        .to(routes::BLOBS_FETCH, &[])
        .json(&wanted)
        .send()
        .await
        .unwrap();
    let mut decoder = StreamDecoder::new();
    decoder.push(&answer.bytes().await.unwrap());
    let block = decoder.next_block().unwrap().unwrap();
    assert_eq!(block.decode().unwrap(), b"picture of frame 1");
    assert!(decoder.next_block().unwrap().is_none());
    assert_eq!(decoder.finish().unwrap(), 1);
    let missing: Digests = artist.json(routes::BLOBS_MISSING, &[], &wanted).await;
    assert_eq!(missing.digests, [Digest::of(b"nobody has this")]);
}

#[tokio::test]
async fn a_job_is_taken_in_only_if_all_of_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let (root, own, file) = tree(&[5; 3_000_000]);
    let needed = async || {
        let trees = Trees {
            manifests: vec![root],
            blobs: Vec::new(),
        };
        let answer: Digests = artist.json(routes::BLOBS_NEEDED, &[], &trees).await;
        answer.digests
    };
    let send = async |blocks: &[tessera_blobs::EncodedBlock]| {
        let response = artist
            .to(routes::BLOBS_PUT, &[])
            .body(framed(blocks))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
    };
    assert_eq!(needed().await, [Digest::from_bytes(root.digest)]);
    let problem = artist.problem(routes::SUBMIT, &[], &job(root, "1")).await;
    assert_eq!(
        (problem.kind, problem.missing.len()),
        (ProblemKind::MissingBlobs, 1)
    );
    send(&own).await;
    assert!(!needed().await.is_empty());
    let problem = artist.problem(routes::SUBMIT, &[], &job(root, "1")).await;
    assert_eq!(problem.kind, ProblemKind::MissingBlobs);
    send(&file).await;
    assert_eq!(needed().await, []);
    let _: Submitted = artist.json(routes::SUBMIT, &[], &job(root, "1")).await;

    let check = async |change: &dyn Fn(&mut tessera_wire::api::Submit), kind| {
        let mut wrong = job(root, "1");
        change(&mut wrong);
        let problem = artist.problem(routes::SUBMIT, &[], &wrong).await;
        assert_eq!(problem.kind, kind, "{problem}");
    };
    check(
        &|job| job.main_file = "home/u/other.blend".into(),
        ProblemKind::Invalid,
    )
    .await;
    check(
        &|job| job.main_file = "../etc/passwd".into(),
        ProblemKind::Invalid,
    )
    .await;
    check(&|job| job.steps.clear(), ProblemKind::Invalid).await;
    check(
        &|job| job.client_note = "x".repeat(70_000),
        ProblemKind::TooLarge,
    )
    .await;
    check(
        &|job| job.settings.comment = "x".repeat(70_000),
        ProblemKind::TooLarge,
    )
    .await;
    check(&|job| job.settings.chunk = 1_000_000, ProblemKind::Invalid).await;
    check(
        &|job| {
            job.steps[0].in_order = true;
            job.steps[0].frames = "1..60000".parse().unwrap();
        },
        ProblemKind::Invalid,
    )
    .await;
    // Cut off, and not what it says.
    let whole = framed(&own);
    for body in [whole[..whole.len() - 3].to_vec(), vec![0; 100]] {
        let response = artist
            .to(routes::BLOBS_PUT, &[])
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            crate::harness::problem_of(response).await.kind,
            ProblemKind::Invalid
        );
    }
    let mut lying = own.clone();
    lying[0].digest = Digest::of(b"something else");
    let response = artist
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&lying))
        .send()
        .await
        .unwrap();
    assert_eq!(
        crate::harness::problem_of(response).await.kind,
        ProblemKind::Invalid
    );
}

#[tokio::test]
async fn an_artist_changes_own_jobs_and_an_administrator_every_one() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let (ann, bob) = (
        farm.client("ann", Role::Artist).await,
        farm.client("bob", Role::Artist).await,
    );
    let id = submit(&ann, "1..3").await.to_string();
    let act = JobAction::Pause;
    let edit = JobEdit {
        comment: Some("hi".into()),
        ..JobEdit::default()
    };
    for problem in [
        bob.problem(routes::JOB_ACT, &[&id], &act).await,
        bob.problem(routes::JOB_EDIT, &[&id], &edit).await,
        bob.problem(routes::JOB_REMOVE, &[&id], &()).await,
    ] {
        assert_eq!(
            (problem.kind, problem.title.contains("ann")),
            (ProblemKind::Forbidden, true)
        );
    }
    let seen: Page<JobSummary> = bob.get(routes::JOBS, &[]).await;
    assert_eq!(seen.items.len(), 1);
    let detail: JobDetail = ann.json(routes::JOB_EDIT, &[&id], &edit).await;
    assert_eq!(detail.summary.settings.comment, "hi");
    let detail: JobDetail = ann.json(routes::JOB_ACT, &[&id], &act).await;
    assert_eq!(detail.summary.phase, Phase::Paused);
    let detail: JobDetail = farm
        .admin()
        .json(routes::JOB_ACT, &[&id], &JobAction::Cancel)
        .await;
    assert_eq!(detail.summary.state, JobState::Cancelled);
    let gone = ann.to(routes::JOB_REMOVE, &[&id]).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(
        ann.problem(routes::JOB_ACT, &[&id], &act).await.kind,
        ProblemKind::NotFound
    );
}

#[tokio::test]
async fn jobs_are_listed_newest_first_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, submit(&artist, "1").await);
    }
    let mut query = "limit=2".to_owned();
    let mut listed = Vec::new();
    loop {
        let page: Page<JobSummary> = artist.get(routes::JOBS, &[&query]).await;
        assert!(page.items.len() <= 2);
        listed.extend(page.items.iter().map(|job| job.id));
        match page.next {
            Some(next) => query = format!("limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, ids);
    let wrong = artist.to(routes::JOBS, &["limit=x"]).send().await.unwrap();
    assert_eq!(
        crate::harness::problem_of(wrong).await.kind,
        ProblemKind::Invalid
    );
    let info: FarmInfo = artist.get(routes::FARM, &[]).await;
    assert_eq!((info.jobs, info.workers), (5, 0));
}

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
    config.scheduler.retry_after = std::time::Duration::ZERO;
    config.scheduler.block_after_failures = 100;
    let farm = crate::harness::start_with(config).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (mut link, api, worker) = one_worker(&farm).await;
    let id = submit(&artist, "7").await.to_string();
    let words = put(&api, b"Segmentation fault\n").await;
    for attempt in 1..=3 {
        let offer = link.lease().await;
        assert_eq!(offer.key.attempt.0, attempt);
        let error = worker::failure(worker, &offer, words);
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
        machine: Default::default(),
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
