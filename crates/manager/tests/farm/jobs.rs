//! Jobs from submission to the last frame, with workers that speak the real link.

use tessera_blobs::{Digest, StreamDecoder};
use tessera_model::{FrameResult, JobEdit, JobState, Role, WorkerMode};
use tessera_wire::api::{
    Digests, Farm as FarmInfo, FramePhase, FrameStatus, JobAction, JobDetail, JobSummary, Journal,
    Page, Phase, Submitted, Verdict,
};
use tessera_wire::link::ToWorker;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::start;
use crate::worker::{Link, build, deliver, job, result, scene, submit};

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
