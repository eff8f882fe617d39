//! A million frames: how long recording, loading and reading take, and how much disk. Prints; asserts only what is no timing.
//!
//! `cargo test -p tessera-state --release -- --ignored --nocapture size::`

use std::time::{Duration, Instant};

use tessera_model::{Change, JobId, JobState};
use tessera_state::State;

use crate::backend::{Backend, Record};
use crate::facts::{self, JOB, STEP, WORKER, done, leased, unit};

const MILLION: u32 = 1_000_000;

fn rate(what: &str, count: u32, took: Duration) {
    let per_s = f64::from(count) / took.as_secs_f64();
    println!("{what}: {count} in {took:.2?}, {per_s:.0}/s");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_frames() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state
        .commit(term, &facts::farm(&["1..1000000"]))
        .await
        .unwrap();
    let mut took = Duration::ZERO;
    for from in (0..MILLION).step_by(500) {
        let batch: Vec<_> = (from..from + 500).map(|at| done(JOB, STEP, at)).collect();
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        took += begun.elapsed();
    }
    rate("frames recorded in batches of 500", MILLION, took);
    let begun = Instant::now();
    let end = [Change::JobState(JOB, JobState::Done, facts::LATER)];
    state.commit(term, &end).await.unwrap();
    println!("end of the job: {:.2?}", begun.elapsed());
    state.close().await;
    let bytes = std::fs::metadata(folder.path().join("record.sqlite3"))
        .unwrap()
        .len();
    println!(
        "on disk: {} MB, {} bytes a frame",
        bytes >> 20,
        bytes / u64::from(MILLION)
    );

    let begun = Instant::now();
    let state = State::open(folder.path()).await.unwrap();
    println!("open: {:.2?}", begun.elapsed());
    for _ in 0..3 {
        let begun = Instant::now();
        let snapshot = state.load().await.unwrap();
        println!("load: {:.2?}", begun.elapsed());
        assert!(snapshot.jobs[0].steps[0].done.all());
    }
    let begun = Instant::now();
    let page = state.results(JOB, STEP, 500_000..500_100).await.unwrap();
    println!("100 results: {:.2?}", begun.elapsed());
    assert_eq!(page.len(), 100);
    let begun = Instant::now();
    assert!(state.accepts(JOB).await.unwrap().unwrap().exactly_once());
    println!("accepts of the job: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let mut roots = state.blob_roots();
    let mut count = 0;
    while let Some(batch) = roots.next_batch().await.unwrap() {
        count += batch.len() as u32;
    }
    rate("blob roots", count, begun.elapsed());
    let term = state.begin_term().await.unwrap();
    let begun = Instant::now();
    state
        .commit(term, &[Change::JobRemoved(JOB)])
        .await
        .unwrap();
    println!("removal: {:.2?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "a measurement"]
async fn small_commits() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state
        .commit(term, &facts::farm(&["1..1000000"]))
        .await
        .unwrap();
    let mut times = Vec::new();
    for at in 0..5_000 {
        let batch = [
            done(JOB, STEP, at),
            Change::UnitClosed(unit(JOB, STEP, at)),
            leased(JOB, STEP, at + 2, 1, WORKER),
        ];
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        times.push(begun.elapsed());
    }
    rate(
        "commits of one frame (done, closed, next leased)",
        5_000,
        times.iter().sum(),
    );
    times.sort();
    println!(
        "median {:.2?}, p99 {:.2?}, max {:.2?}",
        times[2_500], times[4_950], times[4_999]
    );

    let mut took = Duration::ZERO;
    for round in 0..100 {
        let first = 10_000 + round * 167;
        let batch: Vec<_> = (first..first + 167)
            .flat_map(|at| {
                [
                    done(JOB, STEP, at),
                    Change::UnitClosed(unit(JOB, STEP, at)),
                    leased(JOB, STEP, at + 2, 1, WORKER),
                ]
            })
            .collect();
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        took += begun.elapsed();
    }
    rate("commits of 501 changes (done, closed, leased)", 100, took);
    rate("their changes", 100 * 501, took);
}

/// The worst for packing: every page half full, and then the job is cancelled; and every frame failed once.
#[tokio::test]
#[ignore = "a measurement"]
async fn scattered_frames() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state
        .commit(term, &facts::farm(&["1..1000000"]))
        .await
        .unwrap();
    let scattered: Vec<u32> = (0..63).flat_map(|i| (i..MILLION).step_by(256)).collect();
    let mut took = Duration::ZERO;
    for positions in scattered.chunks(500) {
        let batch: Vec<_> = positions.iter().map(|&at| done(JOB, STEP, at)).collect();
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        took += begun.elapsed();
    }
    rate("scattered frames", scattered.len() as u32, took);
    let begun = Instant::now();
    state.load().await.unwrap();
    println!("load: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let end = [Change::JobState(JOB, JobState::Cancelled, facts::LATER)];
    state.commit(term, &end).await.unwrap();
    println!(
        "cancelled with {} rows waiting: {:.2?}",
        scattered.len(),
        begun.elapsed()
    );

    let job = JobId(2);
    let added = [Change::JobAdded(facts::job(2, &["1..1000000"]))];
    state.commit(term, &added).await.unwrap();
    let count = 200_000;
    let mut took = Duration::ZERO;
    for from in (0..count).step_by(500) {
        let batch: Vec<_> = (from..from + 500)
            .map(|at| facts::failed(job, STEP, at, 1))
            .collect();
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        took += begun.elapsed();
    }
    rate("failures", count, took);
    let given_up: Vec<_> = (0..MILLION)
        .map(|at| Change::FrameGivenUp(facts::key(job, STEP, 0, 1), at))
        .collect();
    let begun = Instant::now();
    state.commit(term, &given_up).await.unwrap();
    println!("a million frames given up at once: {:.2?}", begun.elapsed());
    let begun = Instant::now();
    let snapshot = state.load().await.unwrap();
    println!("load: {:.2?}", begun.elapsed());
    assert_eq!(snapshot.jobs[1].steps[0].failures.len() as u32, count);
}

/// What a busy farm records: each unit is leased, delivers its frame and is closed, `ahead` units after it was leased.
fn slices(from: u32, count: u32, ahead: u32) -> Vec<Change> {
    (from..from + count)
        .flat_map(|at| {
            [
                leased(JOB, STEP, at + ahead, 1, WORKER),
                done(JOB, STEP, at),
                Change::UnitClosed(unit(JOB, STEP, at)),
            ]
        })
        .collect()
}

/// `cargo test -p tessera-state --release -- --ignored --nocapture size::slices_in_batches`
#[tokio::test]
#[ignore = "a measurement"]
async fn slices_in_batches() {
    const AHEAD: u32 = 100;
    for backend in [Backend::Memory, Backend::File] {
        for per_batch in [1, 4, 16, 85, 340] {
            let (record, term) = Record::farm(backend, &["1..1000000"], &[]).await;
            let state = &record.state;
            let first: Vec<_> = (0..AHEAD)
                .map(|at| leased(JOB, STEP, at, 1, WORKER))
                .collect();
            state.commit(term, &first).await.unwrap();
            let batches = (per_batch * 200).clamp(2_000, 20_000) / per_batch;
            let mut took = Duration::ZERO;
            for batch in 0..batches {
                let batch = slices(batch * per_batch, per_batch, AHEAD);
                let begun = Instant::now();
                state.commit(term, &batch).await.unwrap();
                took += begun.elapsed();
            }
            let what = format!("{backend:?}: changes in batches of {}", per_batch * 3);
            rate(&what, batches * per_batch * 3, took);
        }
    }
}

/// A restart in the middle of much work: `jobs` jobs of a million frames together, half of them done, as they come when
/// all jobs get their turn.
async fn restart_with(jobs: u32) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    let frames = MILLION / jobs;
    let list = format!("1..{frames}");
    let mut added = vec![Change::WorkerSet(facts::worker(WORKER.0, "anvil"))];
    added.extend((1..=jobs).map(|id| Change::JobAdded(facts::job(id.into(), &[&list]))));
    state.commit(term, &added).await.unwrap();
    let mut took = Duration::ZERO;
    let all: Vec<(u32, u32)> = (0..frames)
        .step_by(2)
        .flat_map(|at| (1..=jobs).map(move |job| (job, at)))
        .collect();
    for frames in all.chunks(500) {
        let batch: Vec<_> = frames
            .iter()
            .map(|&(job, at)| done(JobId(job.into()), STEP, at))
            .collect();
        let begun = Instant::now();
        state.commit(term, &batch).await.unwrap();
        took += begun.elapsed();
    }
    rate("frames recorded in batches of 500", all.len() as u32, took);
    let held: Vec<_> = (1..=jobs.max(500))
        .map(|i| {
            leased(
                JobId(u64::from(i % jobs + 1)),
                STEP,
                2 * (i / jobs) + 1,
                1,
                WORKER,
            )
        })
        .collect();
    state.commit(term, &held).await.unwrap();
    state.close().await;
    for _ in 0..3 {
        let begun = Instant::now();
        let state = State::open(folder.path()).await.unwrap();
        let opened = begun.elapsed();
        let snapshot = state.load().await.unwrap();
        println!(
            "{jobs} jobs: open {opened:.2?}, open and load {:.2?}",
            begun.elapsed()
        );
        let done = snapshot.jobs.iter().map(|job| job.steps[0].done.count());
        assert_eq!(done.sum::<u32>(), MILLION / 2);
        let begun = Instant::now();
        for job in &snapshot.jobs {
            state.accepts(job.job.id).await.unwrap().unwrap();
        }
        println!("accepts of all jobs: {:.2?}", begun.elapsed());
        state.close().await;
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn restart_with_a_million_frames() {
    restart_with(1000).await;
    restart_with(1).await;
}
