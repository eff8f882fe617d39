//! The block store keeps what jobs, results and uploads need, gives back the rest, and says what uses the space.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tessera_blobs::EncodedBlock;
use tessera_manager::ManagerConfig;
use tessera_model::{Blob, JobId, Role};
use tessera_wire::api::{Digests, Fetched, JobAction, JobDetail, Submitted, Trees, Verdict};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;
use tessera_wire::store::{Collected, Collection, StoreJob, StoreLevel, StoreReport};

use crate::harness::{Api, Farm, Member, config, start_with};
use crate::worker::{AGAIN, Link, deliver, framed, job, result, tree};

/// Whatever no job names may go at once.
fn without_grace(dir: &Path) -> ManagerConfig {
    ManagerConfig {
        upload_grace: Duration::ZERO,
        ..config(dir)
    }
}

/// Bytes that do not compress.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = b"BLENDER-v304".to_vec();
    let part = |part: u64| {
        *tessera_blobs::Digest::of(&[seed.to_le_bytes(), part.to_le_bytes()].concat()).as_bytes()
    };
    bytes.extend((0..len.div_ceil(32) as u64).flat_map(part));
    bytes
}

async fn send(api: &Api, blocks: &[EncodedBlock]) {
    let response = api
        .to(routes::BLOBS_PUT, &[])
        .body(framed(blocks))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

async fn upload(api: &Api, seed: u64, len: usize) -> Blob {
    let (root, mut blocks, file) = tree(&noise(seed, len));
    blocks.extend(file);
    send(api, &blocks).await;
    root
}

async fn submitted(api: &Api, seed: u64, len: usize) -> (JobId, Blob) {
    let root = upload(api, seed, len).await;
    let answer: Submitted = api.json(routes::SUBMIT, &[], &job(root, "1..3")).await;
    (answer.job, root)
}

/// What is lacking of a tree.
async fn lacking(api: &Api, root: Blob) -> usize {
    let trees = Trees {
        manifests: vec![root],
        blobs: Vec::new(),
    };
    let answer: Digests = api.json(routes::BLOBS_NEEDED, &[], &trees).await;
    answer.digests.len()
}

async fn collect(farm: &Farm) -> Option<Collection> {
    let answer: Collected = farm.admin().json(routes::STORE_COLLECT, &[], &()).await;
    answer.collection
}

async fn report(api: &Api) -> StoreReport {
    api.get(routes::STORE, &[]).await
}

async fn remove(api: &Api, job: JobId) {
    let response = api
        .to(routes::JOB_REMOVE, &[&job.to_string()])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_space_of_a_removed_job_comes_back_and_nothing_else_goes() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (kept, kept_root) = submitted(&artist, 1, 3_000_000).await;
    let (gone, gone_root) = submitted(&artist, 2, 5_000_000).await;
    // The same files again: they stay as long as one of the two does.
    let (again, _) = submitted(&artist, 1, 3_000_000).await;

    let before = report(&artist).await;
    assert_eq!(before.jobs.len(), 3 - 2, "two of them have nothing alone");
    assert_eq!(before.jobs[0].job, gone);
    assert!((5_000_000..5_200_000).contains(&before.jobs[0].alone.files_bytes));
    assert!((3_000_000..3_200_000).contains(&before.shared_bytes));
    assert!(before.disk_free_bytes.is_some_and(|free| free > 0));
    assert_eq!((before.uploads_bytes, before.last_collection), (0, None));

    remove(&artist, gone).await;
    // It begins by itself; that it is over is seen by what it leaves.
    let after = loop {
        let now = report(&artist).await;
        if now.used_bytes < 4_000_000 {
            break now;
        }
        tokio::time::sleep(AGAIN).await;
    };
    assert_eq!(after.unheld_bytes, 0);
    let last = after.last_collection.unwrap();
    assert!(last.finished && last.packs > 0 && last.blocks > 0);
    assert_eq!(lacking(&artist, kept_root).await, 0);
    assert_eq!(lacking(&artist, gone_root).await, 1);

    remove(&artist, again).await;
    collect(&farm).await.unwrap();
    assert_eq!(lacking(&artist, kept_root).await, 0);
    let left = report(&artist).await;
    assert_eq!(left.jobs[0].job, kept);
    remove(&artist, kept).await;
    collect(&farm).await.unwrap();
    let empty = report(&artist).await;
    assert_eq!(
        (empty.used_bytes, empty.blocks, empty.jobs.len()),
        (0, 0, 0)
    );
    farm.stop().await;
}

#[tokio::test]
async fn results_and_logs_stay_with_their_job() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (job, _) = submitted(&artist, 1, 500_000).await;
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let offer = link.lease().await;
    let report_of_frame = result(&api, member.identity.worker, &offer).await;
    let verdict: Verdict = api.json(routes::WORKER_RESULT, &[], &report_of_frame).await;
    assert_eq!(verdict, Verdict::Accepted);
    collect(&farm).await.unwrap();
    let named: Vec<Blob> = report_of_frame
        .files
        .iter()
        .map(|file| file.blob)
        .chain([report_of_frame.stdout, report_of_frame.stderr])
        .collect();
    let trees = Trees {
        manifests: Vec::new(),
        blobs: named,
    };
    let answer: Digests = api.json(routes::BLOBS_NEEDED, &[], &trees).await;
    assert_eq!(answer.digests, []);
    let used = report(&artist).await.jobs[0].alone;
    assert!(used.results_bytes > 0 && used.logs_bytes > 0 && used.files_bytes > 500_000);

    // A restart in between, and it is as before.
    drop(link);
    farm.stop().await;
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    collect(&farm).await.unwrap();
    assert_eq!(report(&artist).await.jobs[0].alone, used);
    remove(&farm.admin(), job).await;
    collect(&farm).await.unwrap();
    assert_eq!(report(&artist).await.used_bytes, 0);
    farm.stop().await;
}

/// What was sent within the grace stays, whoever asks for a collection, and after a restart until the grace is over again.
#[tokio::test]
async fn an_upload_under_way_stays() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(config(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (root, own, mut file) = tree(&noise(7, 12_000_000));
    // Lists go first, as a sender sends them.
    file.reverse();
    assert_eq!(lacking(&artist, root).await, 1);
    send(&artist, &own).await;
    let (half, rest) = file.split_at(file.len() / 2);
    send(&artist, half).await;
    assert_eq!(collect(&farm).await, None, "it cannot be told yet");
    assert!(report(&artist).await.uploads_bytes > 500_000);
    assert_eq!(lacking(&artist, root).await, rest.len());
    farm.stop().await;
    let farm = start_with(config(folder.path())).await.unwrap();
    assert_eq!(collect(&farm).await, None);
    let artist = farm.client("ann", Role::Artist).await;
    assert_eq!(lacking(&artist, root).await, rest.len());
    send(&artist, rest).await;
    let _: Submitted = artist.json(routes::SUBMIT, &[], &job(root, "1")).await;
    assert_eq!(report(&artist).await.uploads_bytes, 0);
    farm.stop().await;
}

/// Jobs are taken in while one collection follows the other, without any grace: a job that was taken in has all of its blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_taken_in_beside_a_collection_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let collecting = async {
        loop {
            collect(&farm).await.unwrap();
        }
    };
    let submitting = async {
        let mut taken = Vec::new();
        let mut refused = 0;
        for seed in 0..40 {
            let root = loop {
                let root = upload(&artist, seed, 60_000).await;
                let response = artist
                    .to(routes::SUBMIT, &[])
                    .json(&job(root, "1"))
                    .send()
                    .await
                    .unwrap();
                if response.status().is_success() {
                    break root;
                }
                // What was swept in between is asked for again, as it should be.
                let problem = crate::harness::problem_of(response).await;
                assert_eq!(problem.kind, ProblemKind::MissingBlobs);
                refused += 1;
            };
            taken.push(root);
        }
        (taken, refused)
    };
    let (taken, refused) = tokio::select! {
        done = submitting => done,
        () = collecting => unreachable!("it goes on for ever"),
    };
    collect(&farm).await.unwrap();
    for root in taken {
        assert_eq!(lacking(&artist, root).await, 0, "{refused} were refused");
    }
    farm.stop().await;
}

#[tokio::test]
async fn only_administrators_ask_for_a_collection() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(config(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let problem = artist.problem(routes::STORE_COLLECT, &[], &()).await;
    assert_eq!(problem.kind, ProblemKind::Forbidden);
    let viewer = farm.client("vic", Role::Viewer).await;
    assert_eq!(report(&viewer).await.used_bytes, 0);
    farm.stop().await;
}

async fn set(farm: &Farm, patch: serde_json::Value) {
    let _: serde_json::Value = farm.admin().json(routes::SETTINGS_EDIT, &[], &patch).await;
}

#[tokio::test]
async fn a_job_that_is_over_goes_when_it_was_kept_for_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let (active, _) = submitted(&artist, 1, 300_000).await;
    let (over, _) = submitted(&artist, 2, 900_000).await;
    let cancelled: tessera_wire::api::JobDetail = artist
        .json(
            routes::JOB_ACT,
            &[&over.to_string()],
            &tessera_wire::api::JobAction::Cancel,
        )
        .await;
    assert_eq!(cancelled.summary.state, tessera_model::JobState::Cancelled);
    collect(&farm).await.unwrap();
    let jobs = report(&artist).await.jobs;
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        // Thirty days, unless told otherwise.
        let days = job
            .kept_until
            .map(|end| (end.0 - cancelled.summary.submitted_at.0) / 86_400_000);
        assert_eq!(days, (job.job == over).then_some(30));
    }
    // For ever is the longest.
    set(&farm, serde_json::json!({"results_keep_ms": 0})).await;
    collect(&farm).await.unwrap();
    assert!(
        report(&artist)
            .await
            .jobs
            .iter()
            .all(|job| job.kept_until.is_none())
    );
    assert_eq!(report(&artist).await.jobs.len(), 2);
    // The record remembers since when it is over.
    farm.stop().await;
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    set(&farm, serde_json::json!({"results_keep_ms": 1})).await;
    collect(&farm).await.unwrap();
    let left = report(&artist).await;
    assert_eq!(left.jobs.len(), 1);
    assert_eq!(left.jobs[0].job, active);
    assert!(left.used_bytes < 500_000, "{left:?}");
    let problem = artist
        .problem(
            routes::JOB_ACT,
            &[&over.to_string()],
            &tessera_wire::api::JobAction::Retry,
        )
        .await;
    assert_eq!(problem.kind, ProblemKind::NotFound);
    farm.stop().await;
}

#[tokio::test]
async fn a_quota_warns_and_then_refuses_new_files_but_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let _ = submitted(&artist, 1, 1_000_000).await;
    let level = async || report(&artist).await.level;
    assert_eq!(level().await, StoreLevel::Fine);
    set(&farm, serde_json::json!({"store_quota_bytes": 1_200_000})).await;
    assert_eq!(level().await, StoreLevel::Warning);
    let (second, _) = submitted(&artist, 2, 3_000_000).await;
    assert_eq!(level().await, StoreLevel::Full);

    let (root, own, _) = tree(&noise(3, 1_000_000));
    let trees = Trees {
        manifests: vec![root],
        blobs: Vec::new(),
    };
    let problem = artist.problem(routes::BLOBS_NEEDED, &[], &trees).await;
    assert_eq!((problem.kind, problem.status), (ProblemKind::Quota, 507));
    assert!(problem.title.contains("may store 1 MB"), "{problem}");
    assert!(problem.detail.contains("store_quota_bytes"), "{problem}");
    let response = artist
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&own))
        .send()
        .await
        .unwrap();
    let problem = crate::harness::problem_of(response).await;
    assert_eq!(problem.kind, ProblemKind::Quota);
    // What is here already needs no room.
    let (again, _, _) = tree(&noise(1, 1_000_000));
    assert_eq!(lacking(&artist, again).await, 0);
    let _: Submitted = artist.json(routes::SUBMIT, &[], &job(again, "1")).await;

    // What was rendered is taken in.
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let offer = link.lease().await;
    let rendered = result(&api, member.identity.worker, &offer).await;
    let verdict: Verdict = api.json(routes::WORKER_RESULT, &[], &rendered).await;
    assert_eq!(verdict, Verdict::Accepted);

    // With a job the room comes back.
    remove(&artist, second).await;
    collect(&farm).await.unwrap();
    assert_eq!(level().await, StoreLevel::Warning);
    assert_eq!(lacking(&artist, root).await, 1);
    upload(&artist, 3, 100_000).await;
    farm.stop().await;
}

/// A job of one frame, rendered.
async fn rendered(farm: &Farm, artist: &Api, member: &Member, seed: u64, frames: &str) -> JobId {
    let root = upload(artist, seed, 300_000).await;
    let answer: Submitted = artist.json(routes::SUBMIT, &[], &job(root, frames)).await;
    render(farm, member).await;
    answer.job
}

/// Renders one frame, and goes again.
async fn render(farm: &Farm, member: &Member) {
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), member, 1, Vec::new())
        .await
        .unwrap();
    let offer = link.lease().await;
    let verdict = deliver(&mut link, &api, member.identity.worker, &offer).await;
    assert_eq!(verdict, Verdict::Accepted);
}

async fn stored(api: &Api, job: JobId) -> Option<StoreJob> {
    let jobs = report(api).await.jobs;
    jobs.into_iter().find(|stored| stored.job == job)
}

/// Whoever may look may fetch, and whoever has fetched all may say so.
#[tokio::test]
async fn what_nobody_has_fetched_stays() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let viewer = farm.client("vic", Role::Viewer).await;
    let member = farm.worker("w").await;
    let fetched = rendered(&farm, &artist, &member, 1, "1").await;
    let waits = rendered(&farm, &artist, &member, 2, "1").await;
    let detail: JobDetail = artist.get(routes::JOB, &[&waits.to_string()]).await;
    assert_eq!(
        (detail.summary.state, detail.fetched_at),
        (tessera_model::JobState::Done, None)
    );
    let before = stored(&viewer, fetched).await.unwrap();
    assert_eq!((before.kept_until, before.fetched_at), (None, None));
    let over = before.unfetched_since.unwrap();

    // Not all of it, and all of it, twice.
    let id = fetched.to_string();
    let problem = viewer
        .problem(
            routes::JOB_FETCHED,
            &[&id],
            &Fetched {
                frames: 2,
                step: None,
            },
        )
        .await;
    assert_eq!(problem.kind, ProblemKind::Conflict);
    assert!(problem.title.contains("tessera fetch"), "{problem}");
    let mut said = Vec::new();
    for _ in 0..2 {
        let detail: JobDetail = viewer
            .json(
                routes::JOB_FETCHED,
                &[&id],
                &Fetched {
                    frames: 1,
                    step: None,
                },
            )
            .await;
        said.push(detail.fetched_at.unwrap());
    }
    assert_eq!(said[0], said[1]);
    let problem = viewer
        .problem(
            routes::JOB_FETCHED,
            &["99"],
            &Fetched {
                frames: 1,
                step: None,
            },
        )
        .await;
    assert_eq!(problem.kind, ProblemKind::NotFound);
    let after = stored(&viewer, fetched).await.unwrap();
    assert_eq!(
        (after.fetched_at, after.unfetched_since),
        (Some(said[0]), None)
    );
    let days = after.kept_until.map(|end| (end.0 - over.0) / 86_400_000);
    assert_eq!(days, Some(30));

    // However short jobs are kept, and after a restart.
    farm.stop().await;
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    set(&farm, serde_json::json!({"results_keep_ms": 1})).await;
    collect(&farm).await.unwrap();
    assert_eq!(stored(&artist, fetched).await, None);
    let left = stored(&artist, waits).await.unwrap();
    assert!(left.unfetched_since.is_some() && left.alone.results_bytes > 0);
    let _: JobDetail = artist
        .json(
            routes::JOB_FETCHED,
            &[&waits.to_string()],
            &Fetched {
                frames: 1,
                step: None,
            },
        )
        .await;
    collect(&farm).await.unwrap();
    assert_eq!(report(&artist).await.jobs, []);
    farm.stop().await;
}

/// A mark is of what was there: what comes after it is not fetched.
#[tokio::test]
async fn a_frame_that_comes_later_waits_to_be_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let id = rendered(&farm, &artist, &member, 1, "1..2").await;
    let name = id.to_string();
    let act = async |action| {
        let _: JobDetail = artist.json(routes::JOB_ACT, &[&name], &action).await;
    };
    let fetched = async |frames| -> Option<tessera_model::Timestamp> {
        let detail: JobDetail = artist
            .json(
                routes::JOB_FETCHED,
                &[&name],
                &Fetched { frames, step: None },
            )
            .await;
        detail.fetched_at
    };
    let problem = artist
        .problem(
            routes::JOB_FETCHED,
            &[&name],
            &Fetched {
                frames: 1,
                step: None,
            },
        )
        .await;
    assert_eq!(problem.kind, ProblemKind::Conflict, "it goes on");
    act(JobAction::Cancel).await;
    assert!(fetched(1).await.is_some());
    act(JobAction::Retry).await;
    render(&farm, &member).await;
    let detail: JobDetail = artist.get(routes::JOB, &[&name]).await;
    assert_eq!(
        (detail.summary.state, detail.fetched_at),
        (tessera_model::JobState::Done, None)
    );
    set(&farm, serde_json::json!({"results_keep_ms": 1})).await;
    collect(&farm).await.unwrap();
    assert!(stored(&artist, id).await.is_some());
    assert!(fetched(2).await.is_some());
    collect(&farm).await.unwrap();
    assert_eq!(stored(&artist, id).await, None);
    farm.stop().await;
}

#[tokio::test]
async fn each_user_has_a_quota_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(without_grace(folder.path())).await.unwrap();
    let ann = farm.client("ann", Role::Artist).await;
    let ben = farm.client("ben", Role::Artist).await;
    let level = async |api: &Api| -> StoreLevel {
        let farm: tessera_wire::api::Farm = api.get(routes::FARM, &[]).await;
        farm.own_store
    };
    let (first, _) = submitted(&ann, 1, 1_000_000).await;
    set(
        &farm,
        serde_json::json!({"store_user_quota_bytes": 1_200_000}),
    )
    .await;
    assert_eq!(level(&ann).await, StoreLevel::Warning);
    assert_eq!(level(&ben).await, StoreLevel::Fine);
    // The same files for two jobs of one user are still that user's alone.
    let (second, _) = submitted(&ann, 1, 1_000_000).await;
    let used = report(&ann).await;
    assert_eq!((used.jobs.len(), used.users.len()), (0, 1));
    assert!(used.shared_bytes > 1_000_000, "{used:?}");
    assert_eq!(
        (used.users[0].user.as_str(), used.users[0].jobs),
        ("ann", 2)
    );
    assert_eq!(used.users[0].level, StoreLevel::Warning);
    assert_eq!(used.user_quota_bytes, Some(1_200_000));

    // What goes beyond it is taken in, what comes then is not; others have theirs.
    let (third, _) = submitted(&ann, 2, 600_000).await;
    assert_eq!(level(&ann).await, StoreLevel::Full);
    let (root, own, _) = tree(&noise(3, 1_000_000));
    let trees = Trees {
        manifests: vec![root],
        blobs: Vec::new(),
    };
    let problem = ann.problem(routes::BLOBS_NEEDED, &[], &trees).await;
    assert_eq!((problem.kind, problem.status), (ProblemKind::Quota, 507));
    assert!(problem.title.contains("jobs of ann need 1 MB"), "{problem}");
    assert!(
        problem.detail.contains("store_user_quota_bytes"),
        "{problem}"
    );
    let response = ann
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&own))
        .send()
        .await
        .unwrap();
    let problem = crate::harness::problem_of(response).await;
    assert_eq!(problem.kind, ProblemKind::Quota);
    submitted(&ben, 3, 1_000_000).await;
    assert_eq!(level(&ben).await, StoreLevel::Warning);

    // What another user needs too is nobody's alone.
    submitted(&ben, 2, 600_000).await;
    wait_for(async || level(&ann).await == StoreLevel::Warning).await;
    for job in [first, second, third] {
        remove(&ann, job).await;
    }
    wait_for(async || level(&ann).await == StoreLevel::Fine).await;
    upload(&ann, 4, 100_000).await;
    farm.stop().await;
}

/// What was measured is gone by for a moment.
async fn wait_for(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::time::sleep(AGAIN).await;
    }
}
