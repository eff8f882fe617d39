//! What is read page by page.

use std::collections::{BTreeMap, BTreeSet};

use tessera_model::{
    Blob, Change, FileRole, FrameFile, JobId, JobState, Slice, StepIndex, Term, Window,
};
use tessera_state::{BlobRoot, MAX_RESULTS_PER_READ, RootKind, State};

use crate::backend::{Backend, Record, on_every_backend};
use crate::facts::{self, JOB, STEP, blob, done, failed, result};
use crate::open::{rows, sql};

async fn farm(steps: &[&str], changes: &[Change]) -> (tempfile::TempDir, State, Term) {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state.commit(term, &facts::farm(steps)).await.unwrap();
    state.commit(term, changes).await.unwrap();
    (folder, state, term)
}

async fn check_ranges(state: &State, done: &BTreeSet<u32>) {
    for range in [
        0..1,
        0..300,
        5..5,
        255..257,
        250..600,
        64..65,
        0..u32::MAX,
        700..800,
    ] {
        let expected: Vec<_> = done
            .iter()
            .filter(|at| range.contains(at))
            .map(|&at| result(JOB, STEP, at))
            .collect();
        let got = state.results(JOB, STEP, range.clone()).await.unwrap();
        assert_eq!(got, expected, "{range:?}");
    }
    for at in [0, 63, 64, 256, 699, u32::MAX] {
        let expected = done.contains(&at).then(|| result(JOB, STEP, at));
        assert_eq!(state.result(JOB, STEP, at).await.unwrap(), expected, "{at}");
    }
}

#[tokio::test]
async fn results_are_the_same_packed_or_not() {
    // Some of page 0 (packed at once), a few of page 1 (waiting), a page in two batches, an odd last page.
    let first: BTreeSet<u32> = (0..200).step_by(2).chain([256, 300]).collect();
    let batch: Vec<_> = first.iter().map(|&at| done(JOB, STEP, at)).collect();
    let (folder, state, term) = farm(&["1..700", "1..3"], &batch).await;
    check_ranges(&state, &first).await;
    assert_eq!(rows(folder.path(), "accept").await, 2);
    let more: BTreeSet<u32> = (1..200).step_by(2).chain(512..700).collect();
    let batch: Vec<_> = more.iter().map(|&at| done(JOB, STEP, at)).collect();
    state.commit(term, &batch).await.unwrap();
    let all: BTreeSet<u32> = first.union(&more).copied().collect();
    check_ranges(&state, &all).await;
    // The end of the job packs the rest; a late result can come after it.
    let end = [Change::JobState(JOB, JobState::Cancelled, facts::LATER)];
    state.commit(term, &end).await.unwrap();
    check_ranges(&state, &all).await;
    state.commit(term, &[done(JOB, STEP, 201)]).await.unwrap();
    assert_eq!(rows(folder.path(), "accept").await, 1);
    let mut all = all;
    all.insert(201);
    check_ranges(&state, &all).await;
    assert_eq!(state.results(JOB, StepIndex(1), 0..9).await.unwrap(), []);
    assert_eq!(state.results(JobId(9), STEP, 0..9).await.unwrap(), []);
}

/// A commit packs a bounded part of what an ended job left; the next ones go on, also after a restart.
#[tokio::test]
async fn what_an_ended_job_leaves_is_packed_in_time() {
    let all: BTreeSet<u32> = (0..25_600).step_by(128).collect();
    let batch: Vec<_> = all.iter().map(|&at| done(JOB, STEP, at)).collect();
    let (folder, state, term) = farm(&["1..25600"], &batch).await;
    assert_eq!(rows(folder.path(), "accept").await, 200);
    let end = [Change::JobState(JOB, JobState::Failed, facts::LATER)];
    state.commit(term, &end).await.unwrap();
    let waiting = rows(folder.path(), "accept").await;
    assert!(0 < waiting && waiting < 200, "{waiting}");
    state.close().await;
    let state = State::open(folder.path()).await.unwrap();
    for _ in 0..10 {
        state.commit(term, &[]).await.unwrap();
    }
    assert_eq!(rows(folder.path(), "accept").await, 0);
    assert_eq!(rows(folder.path(), "result_page").await, 100);
    let results = state.results(JOB, STEP, 0..25_600).await.unwrap();
    assert_eq!(
        results
            .iter()
            .map(|result| result.position)
            .collect::<BTreeSet<_>>(),
        all
    );
    state.commit(term, &[]).await.unwrap();
}

async fn results_are_read_on_from_the_last(backend: Backend) {
    let batch: Vec<_> = (0..10_000).map(|at| done(JOB, STEP, at)).collect();
    let (record, _) = Record::farm(backend, &["1..10000"], &batch).await;
    let state = &record.state;
    let mut from = 0;
    let mut seen = Vec::new();
    loop {
        let page = state.results(JOB, STEP, from..10_000).await.unwrap();
        assert!(page.len() <= MAX_RESULTS_PER_READ as usize);
        let Some(last) = page.last() else { break };
        from = last.position + 1;
        seen.extend(page.iter().map(|result| result.position));
    }
    assert_eq!(seen, (0..10_000).collect::<Vec<_>>());
}

async fn errors_come_newest_first(backend: Backend) {
    let batch: Vec<_> = (0..30).map(|i| failed(JOB, STEP, i % 3, i / 3)).collect();
    let (record, term) = Record::farm(backend, &["1..9"], &batch).await;
    let state = &record.state;
    let retried = [Change::FramesRetried(JOB)];
    state.commit(term, &retried).await.unwrap();
    let mut expected: Vec<_> = (0..30)
        .map(|i| facts::error(JOB, STEP, i % 3, i / 3))
        .collect();
    expected.reverse();

    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = state.errors(JOB, before, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        seen.extend(page.into_iter().map(|entry| entry.error));
    }
    assert_eq!(seen, expected);

    let of_frame = state.frame_errors(JOB, STEP, 1).await.unwrap();
    let of_frame: Vec<_> = of_frame.into_iter().map(|entry| entry.error).collect();
    expected.retain(|error| error.position == 1);
    assert_eq!(of_frame, expected);
}

#[tokio::test]
async fn accepts_are_counted_from_the_results_themselves() {
    let batch: Vec<_> = (0..100).map(|at| done(JOB, STEP, at)).collect();
    let (folder, state, _) = farm(&["1..300"], &batch).await;
    state.close().await;
    // A fault planted behind the constraints' back: the same results once more, and some of them a third time.
    sql(
        folder.path(),
        "DROP TRIGGER accept_once;
         INSERT INTO result_page SELECT job, step, 1, NULL, body FROM result_page;
         INSERT INTO accept SELECT job, step, 7, body FROM result_page WHERE page = 0;
         INSERT INTO accept SELECT job, step, 8, body FROM result_page WHERE page = 0;
         INSERT INTO accept SELECT job, step, 290, body FROM result_page WHERE page = 0;",
    )
    .await;
    let state = State::open(folder.path()).await.unwrap();
    let accepts = state.accepts(JOB).await.unwrap().unwrap();
    assert_eq!(accepts.total(), 203);
    let step = &accepts.steps[0];
    let expected: BTreeMap<u32, u32> = (0..100)
        .map(|at| (at, if at == 7 || at == 8 { 3 } else { 2 }))
        .collect();
    assert_eq!(step.repeated, expected);
    assert_eq!((step.of(5), step.of(200), step.of(290)), (2, 0, 1));
    assert!(!accepts.exactly_once());
}

async fn every_frame_once_is_seen_as_such(backend: Backend) {
    let mut batch: Vec<_> = (0..300).map(|at| done(JOB, STEP, at)).collect();
    batch.push(done(JOB, StepIndex(1), 0));
    let (record, _) = Record::farm(backend, &["1..300", "4"], &batch).await;
    let state = &record.state;
    let accepts = state.accepts(JOB).await.unwrap().unwrap();
    assert!(accepts.exactly_once());
    assert_eq!(accepts.total(), 301);
    assert_eq!(state.accepts(JobId(2)).await.unwrap(), None);
}

async fn every_blob_is_a_root(backend: Backend) {
    let mut batch: Vec<_> = (0..1400).map(|at| done(JOB, STEP, at)).collect();
    batch.extend((0..700).map(|at| failed(JOB, STEP, at, 1)));
    batch.extend((2..700).map(|id| Change::JobAdded(facts::job(id, &["1..9"]))));
    batch.push(done(JobId(5), STEP, 3));
    let (record, _) = Record::farm(backend, &["1..2000"], &batch).await;
    let state = &record.state;

    let mut expected = BTreeSet::new();
    let mut add = |blob, kind, job| {
        expected.insert(BlobRoot { blob, kind, job });
    };
    for id in 1..700 {
        add(blob(1000 + id), RootKind::Manifest, JobId(id));
    }
    let results = (0..1400).map(|at| result(JOB, STEP, at));
    for result in results.chain([result(JobId(5), STEP, 3)]) {
        let job = result.lease.unit.job;
        for file in result.files {
            add(file.blob, RootKind::Result, job);
        }
        add(result.stdout, RootKind::Log, job);
        add(result.stderr, RootKind::Log, job);
    }
    for at in 0..700 {
        add(blob(at), RootKind::Log, JOB);
    }

    let mut seen = BTreeSet::new();
    let mut roots = state.blob_roots();
    while let Some(batch) = roots.next_batch().await.unwrap() {
        assert!(!batch.is_empty());
        seen.extend(batch);
    }
    assert_eq!(seen, expected);
    assert_eq!(roots.next_batch().await.unwrap(), None);
}

/// Parts of frames are needed until the job is done, packed or not; its frames and their previews always are.
async fn parts_of_frames_are_roots_until_their_job_is_done(backend: Backend) {
    let part = |at| {
        let mut part = result(JOB, STEP, at);
        for file in &mut part.files {
            file.role = FileRole::Slice {
                slice: Slice {
                    window: Window {
                        x: 0,
                        y: 0,
                        width: 8,
                        height: 8,
                    },
                    samples: None,
                },
                rendered: Window {
                    x: 0,
                    y: 0,
                    width: 9,
                    height: 9,
                },
            };
        }
        part.previews = Some(facts::previews(u64::from(at) + 1000));
        Change::FrameDone(Box::new(part))
    };
    // More than wait to be packed, and a few that do.
    let mut batch: Vec<_> = (0..200).chain([300]).map(part).collect();
    let mut frame = result(JOB, StepIndex(1), 0);
    frame.previews = Some(facts::previews(99));
    batch.push(Change::FrameDone(Box::new(frame)));
    let (record, term) = Record::farm(backend, &["1..400", "1"], &batch).await;
    let state = &record.state;
    let results = async || {
        let mut seen = BTreeSet::new();
        let mut roots = state.blob_roots();
        while let Some(batch) = roots.next_batch().await.unwrap() {
            let results = batch
                .into_iter()
                .filter(|root| root.kind == RootKind::Result);
            seen.extend(results.map(|root| root.blob));
        }
        seen
    };
    let files = |step, at| {
        result(JOB, step, at)
            .files
            .into_iter()
            .map(|file| file.blob)
    };
    let mut frame: BTreeSet<Blob> = files(StepIndex(1), 0).collect();
    let seen = facts::previews(99);
    frame.extend([seen.thumbnail, seen.preview]);
    let mut all = frame.clone();
    for at in (0..200).chain([300]) {
        let seen = facts::previews(u64::from(at) + 1000);
        all.extend(files(STEP, at).chain([seen.thumbnail, seen.preview]));
    }
    assert_eq!(results().await, all);
    let over = |state| Change::JobState(JOB, state, facts::LATER);
    state
        .commit(term, &[over(JobState::Cancelled)])
        .await
        .unwrap();
    assert_eq!(results().await, all, "it may be taken up again");
    state.commit(term, &[over(JobState::Done)]).await.unwrap();
    assert_eq!(results().await, frame);
}

/// Of a frame to which samples can be added its sum is needed, and while some are added what was put together before.
async fn what_samples_are_added_to_is_a_root(backend: Backend) {
    let job = facts::grown(2);
    let id = job.id;
    let mut steps = job.steps.clone();
    let mut number = 5000;
    let mut at = || {
        number += 1;
        facts::blob(number)
    };
    let mut delivered = |step: u16, is_frame: bool| {
        let mut result = result(id, StepIndex(step), 0);
        let part = FrameFile {
            role: FileRole::Slice {
                slice: Slice {
                    window: WHOLE,
                    samples: Some(0..64),
                },
                rendered: WHOLE,
            },
            name: "part.exr".into(),
            blob: at(),
        };
        result.files.truncate(usize::from(is_frame));
        for file in &mut result.files {
            file.blob = at();
        }
        result.files.push(part);
        let files = result.files.iter().map(|file| file.blob);
        let files: BTreeSet<Blob> = files.collect();
        (Change::FrameDone(Box::new(result)), files)
    };
    let (ranges, ranges_files) = delivered(0, false);
    let (frame, frame_files) = delivered(1, true);
    let (more, more_files) = delivered(2, false);
    let (grown, grown_files) = delivered(3, true);
    let batch = [Change::JobAdded(job), ranges, frame];
    let (record, term) = Record::farm(backend, &["1"], &batch).await;
    let check = async |changes: &[Change], expected: &[&BTreeSet<Blob>]| {
        record.state.commit(term, changes).await.unwrap();
        let mut seen = BTreeSet::new();
        let mut roots = record.state.blob_roots();
        while let Some(batch) = roots.next_batch().await.unwrap() {
            let results = batch.into_iter();
            let results = results.filter(|root| root.kind == RootKind::Result);
            seen.extend(results.map(|root| root.blob));
        }
        let expected: BTreeSet<Blob> = expected.iter().copied().flatten().copied().collect();
        assert_eq!(seen, expected);
    };
    let stands = |state| Change::JobState(id, state, facts::LATER);
    check(&[], &[&ranges_files, &frame_files]).await;
    check(&[stands(JobState::Done)], &[&frame_files]).await;
    facts::grow(&mut steps);
    let grow = [Change::JobGrown(id, steps), stands(JobState::Active), more];
    check(&grow, &[&frame_files, &more_files]).await;
    check(&[stands(JobState::Failed)], &[&frame_files, &more_files]).await;
    check(&[grown, stands(JobState::Done)], &[&grown_files]).await;
}

const WHOLE: Window = Window {
    x: 0,
    y: 0,
    width: 8,
    height: 8,
};

/// Packing moves rows while the walk is under way: what was there at its beginning is seen all the same.
async fn roots_are_seen_though_results_are_packed_meanwhile(backend: Backend) {
    let scattered: Vec<_> = (0..1024).step_by(8).map(|at| done(JOB, STEP, at)).collect();
    let (record, term) = Record::farm(backend, &["1..2000"], &scattered).await;
    let state = &record.state;
    let mut seen = BTreeSet::new();
    let mut roots = state.blob_roots();
    let mut next = (1..1024).step_by(8);
    while let Some(batch) = roots.next_batch().await.unwrap() {
        seen.extend(batch.into_iter().map(|root| root.blob));
        let more: Vec<_> = next
            .by_ref()
            .take(64)
            .map(|at| done(JOB, STEP, at))
            .collect();
        state.commit(term, &more).await.unwrap();
    }
    for at in (0..1024).step_by(8) {
        assert!(seen.contains(&result(JOB, STEP, at).files[0].blob), "{at}");
    }
}

on_every_backend!(
    results_are_read_on_from_the_last,
    errors_come_newest_first,
    every_frame_once_is_seen_as_such,
    every_blob_is_a_root,
    parts_of_frames_are_roots_until_their_job_is_done,
    what_samples_are_added_to_is_a_root,
    roots_are_seen_though_results_are_packed_meanwhile,
);
