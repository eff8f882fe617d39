//! What one commit does and refuses. Whatever is refused leaves nothing behind.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use sqlx::ConnectOptions;
use tessera_model::{Attempt, Change, JobId, JobState, Term, WorkerId};
use tessera_state::{FRAMES_PER_PAGE, State, WriteError};

use crate::backend::{Backend, Record, on_every_backend};
use crate::facts::{self, JOB, STEP, WORKER, done, failed, key, leased, result, unit};
use crate::model::Model;

/// Commits the batches and compares every answer and the outcome with the model.
async fn check(backend: Backend, batches: &[&[Change]]) {
    let Record { state, .. } = &Record::open(backend).await;
    let mut model = Model::new();
    let term = state.begin_term().await.unwrap();
    model.begin_term();
    for changes in batches {
        let got = state.commit(term, changes).await;
        let expected = model.commit(term, changes);
        assert_eq!(
            got.map_err(|error| error.to_string()),
            expected.map_err(|error| error.to_string()),
            "{changes:?}"
        );
        assert_eq!(state.load().await.unwrap(), model.snapshot(), "{changes:?}");
    }
}

/// The manager's tasks hold these futures.
#[test]
fn futures_can_move_between_threads() {
    fn send<T: Send>(_: T) {}
    fn all(state: &State) {
        send(state.begin_term());
        send(state.commit(Term(1), &[]));
        send(state.load());
        send(state.results(JOB, STEP, 0..1));
        send(state.errors(JOB, None, 1));
        send(state.accepts(JOB));
        send(state.close());
    }
    let _ = all;
}

async fn an_older_term_is_fenced(backend: Backend) {
    let (record, old) = Record::farm(backend, &["1..9"], &[]).await;
    let state = &record.state;
    let new = state.begin_term().await.unwrap();
    let before = state.load().await.unwrap();
    let error = state.commit(old, &[done(JOB, STEP, 0)]).await.unwrap_err();
    assert!(
        matches!(error, WriteError::Fenced { have, current } if have == old && current == new),
        "{error}"
    );
    let future = Term(new.0 + 1);
    assert!(state.commit(future, &[]).await.is_err());
    assert_eq!(state.load().await.unwrap(), before);
    state.commit(new, &[done(JOB, STEP, 0)]).await.unwrap();
}

async fn a_frame_is_accepted_once_packed_or_not(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..600"], &[]).await;
    let state = &record.state;
    let all: Vec<_> = (0..300).map(|at| done(JOB, STEP, at)).collect();
    state.commit(term, &all).await.unwrap();
    // 0 is packed by now, 299 waits as a row.
    for position in [0, 255, 256, 299] {
        let batch = [done(JOB, STEP, 400), done(JOB, STEP, position)];
        let error = state.commit(term, &batch).await.unwrap_err();
        assert!(
            matches!(error, WriteError::AlreadyDone { position: at, .. } if at == position),
            "{error}"
        );
    }
    let twice = [done(JOB, STEP, 500), done(JOB, STEP, 500)];
    assert!(state.commit(term, &twice).await.is_err());
    let accepts = state.accepts(JOB).await.unwrap().unwrap();
    assert_eq!(accepts.total(), 300);
    assert!(accepts.steps[0].repeated.is_empty());
    assert_eq!(accepts.steps[0].of(400), 0);
    assert!(!accepts.exactly_once());
}

/// The constraint is the database's, not only this program's.
#[tokio::test]
async fn the_database_itself_refuses_a_second_accept() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    state.commit(term, &facts::farm(&["1..600"])).await.unwrap();
    let all: Vec<_> = (0..300).map(|at| done(JOB, STEP, at)).collect();
    state.commit(term, &all).await.unwrap();
    state.close().await;
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("record.sqlite3"))
        .connect()
        .await
        .unwrap();
    // 5 is packed, 299 waits, 300 is free.
    for (sql, refused) in [
        ("INSERT INTO accept VALUES (1, 0, 5, x'01')", true),
        (
            "INSERT OR REPLACE INTO accept VALUES (1, 0, 5, x'01')",
            true,
        ),
        ("INSERT INTO accept VALUES (1, 0, 299, x'01')", true),
        (
            "INSERT OR REPLACE INTO accept VALUES (1, 0, 299, x'01')",
            true,
        ),
        ("INSERT INTO accept VALUES (1, 0, 300, x'01')", false),
        // Twice in one page of bits, or without a result.
        ("UPDATE frame_page SET accepted = accepted + 1", true),
        (
            "UPDATE frame_page SET done = '1' || substr(done, 2), accepted = accepted + 1 WHERE page = 0",
            true,
        ),
        (
            "UPDATE frame_page SET done = substr(done, 1, 255) || '1' WHERE page = 1",
            true,
        ),
    ] {
        let outcome = sqlx::raw_sql(sql).execute(&mut conn).await;
        assert_eq!(outcome.is_err(), refused, "{sql}: {outcome:?}");
    }
}

async fn a_batch_is_whole_or_nothing(backend: Backend) {
    let batch = [
        done(JOB, STEP, 1),
        leased(JOB, STEP, 2, 1, WORKER),
        Change::TokenAdded(facts::token("t")),
        Change::JobState(JobId(77), JobState::Paused, facts::LATER),
    ];
    check(backend, &[&facts::farm(&["1..9"]), &batch, &batch[..3]]).await;
}

async fn told_again_nothing_changes(backend: Backend) {
    let other = WorkerId(2);
    let batch = [
        leased(JOB, STEP, 0, 1, WORKER),
        leased(JOB, STEP, 1, 4, other),
        failed(JOB, STEP, 3, 1),
        failed(JOB, STEP, 3, 2),
        Change::FrameGivenUp(key(JOB, STEP, 3, 2), 3),
        Change::JobPinned(JOB, facts::build(2)),
        Change::JobEdited(JOB, facts::settings("new name")),
        Change::JobChunked(JOB, vec![facts::rechunked(9, 2)]),
        Change::JobGrown(JOB, facts::job(JOB.0, &["1..9", "4..5"]).steps),
        Change::FarmSet(Box::new(facts::farm_settings(60))),
        Change::JobState(JOB, JobState::Paused, facts::LATER),
        Change::JobFetched(JOB, facts::fetched(3, 7)),
        Change::JobBlocked(JOB, other),
        Change::TokenAdded(facts::token("t")),
        Change::PairingAdded(facts::pairing(1)),
        Change::CertificateIssued(facts::certificate("c1")),
        Change::CertificateIssued(facts::certificate("c2")),
        Change::CertificateRevoked("c2".into()),
        Change::ReceiverSet(facts::receiver("r", true)),
        Change::ReceiverTold("r".into(), facts::telling(2)),
        Change::ReceiverTold("nobody".into(), facts::telling(1)),
    ];
    let mut first = facts::farm(&["1..9"]);
    first.push(Change::WorkerSet(facts::worker(2, "bellows")));
    let undone = [
        Change::LeaseEnded(key(JOB, STEP, 0, 1)),
        Change::UnitClosed(unit(JOB, STEP, 1)),
        Change::FramesRetried(JOB),
        Change::JobUnblocked(JOB, other),
        Change::TokenRevoked("t".into()),
        Change::PairingRemoved(facts::pairing(1).hash),
        Change::CertificateRevoked("c1".into()),
        Change::ReceiverRemoved("r".into()),
        Change::WorkerRemoved(other),
    ];
    let gone = [Change::JobRemoved(JOB)];
    check(
        backend,
        &[
            &first, &first, &batch, &batch, &undone, &undone, &gone, &gone,
        ],
    )
    .await;
}

async fn what_is_not_there_is_named(backend: Backend) {
    let nowhere = JobId(9);
    let first = facts::farm(&["1..9"]);
    let bad = [
        Change::JobPinned(nowhere, facts::build(1)),
        Change::JobEdited(nowhere, facts::settings("x")),
        Change::JobChunked(nowhere, vec![]),
        Change::JobGrown(nowhere, facts::job(9, &["1..9"]).steps),
        Change::JobChunked(JOB, vec![facts::rechunked(9, 2); 2]),
        Change::JobState(nowhere, JobState::Done, facts::LATER),
        Change::JobFetched(nowhere, facts::fetched(3, 7)),
        Change::FramesRetried(nowhere),
        Change::JobBlocked(nowhere, WORKER),
        Change::JobBlocked(JOB, WorkerId(9)),
        leased(nowhere, STEP, 0, 1, WORKER),
        leased(JOB, STEP, 0, 1, WorkerId(9)),
        done(nowhere, STEP, 0),
        done(JOB, STEP, 9),
        done(JOB, tessera_model::StepIndex(1), 0),
        failed(JOB, STEP, 9, 1),
        Change::FrameGivenUp(key(JOB, STEP, 9, 1), 9),
    ];
    for change in bad {
        check(backend, &[&first, &[change]]).await;
    }
    let harmless = [
        Change::JobRemoved(nowhere),
        Change::JobUnblocked(nowhere, WORKER),
        Change::LeaseEnded(key(nowhere, STEP, 0, 1)),
        Change::UnitClosed(unit(nowhere, STEP, 0)),
        Change::WorkerRemoved(WorkerId(9)),
        Change::TokenRevoked("x".into()),
        Change::PairingRemoved(facts::pairing(9).hash),
        Change::CertificateRevoked("x".into()),
    ];
    check(backend, &[&first, &harmless]).await;
}

async fn ids_are_never_used_again(backend: Backend) {
    let first = facts::farm(&["1..9"]);
    let mut other = facts::job(JOB.0, &["1..9"]);
    other.settings.comment = "another".into();
    let changed = [Change::JobAdded(other)];
    let gone = [Change::JobRemoved(JOB), Change::WorkerRemoved(WORKER)];
    let again = [Change::JobAdded(facts::job(JOB.0, &["1..9"]))];
    let worker = [Change::WorkerSet(facts::worker(WORKER.0, "anvil"))];
    let next = [
        Change::JobAdded(facts::job(5, &["1"])),
        Change::WorkerSet(facts::worker(4, "anvil")),
    ];
    check(backend, &[&first, &changed, &gone, &again, &worker, &next]).await;
}

async fn attempts_only_rise_until_the_unit_is_closed(backend: Backend) {
    let mut first = facts::farm(&["1..9"]);
    first.push(Change::WorkerSet(facts::worker(2, "bellows")));
    check(
        backend,
        &[
            &first,
            &[leased(JOB, STEP, 0, 2, WORKER)],
            &[leased(JOB, STEP, 0, 1, WORKER)],
            &[leased(JOB, STEP, 0, 2, WorkerId(2))],
            &[leased(JOB, STEP, 0, 2, WorkerId(9))],
            &[Change::LeaseEnded(key(JOB, STEP, 0, 2))],
            // Lapsed, and taken up again by the worker that went on with it.
            &[leased(JOB, STEP, 0, 2, WORKER)],
            &[Change::LeaseEnded(key(JOB, STEP, 0, 2))],
            &[leased(JOB, STEP, 0, 3, WorkerId(2))],
            &[leased(JOB, STEP, 0, 2, WORKER)],
            &[Change::UnitClosed(unit(JOB, STEP, 0))],
            &[leased(JOB, STEP, 0, 1, WORKER)],
        ],
    )
    .await;
}

/// A straggler's unit is handed out a second time while the first worker goes on.
async fn a_unit_in_two_hands(backend: Backend) {
    let second = WorkerId(2);
    let mut first = facts::farm(&["1..9"]);
    first.push(Change::WorkerSet(facts::worker(2, "bellows")));
    let both = [
        leased(JOB, STEP, 0, 1, WORKER),
        leased(JOB, STEP, 0, 2, second),
        leased(JOB, STEP, 1, 1, WORKER),
        leased(JOB, STEP, 1, 2, second),
        leased(JOB, STEP, 2, 3, WORKER),
        leased(JOB, STEP, 2, 4, second),
    ];
    check(
        backend,
        &[
            &first,
            &both,
            // Told again of either, nothing changes; but neither is another worker's.
            &both,
            &[leased(JOB, STEP, 0, 1, second)],
            &[leased(JOB, STEP, 0, 2, WORKER)],
            // One ends, the other goes on.
            &[Change::LeaseEnded(key(JOB, STEP, 0, 1))],
            &[Change::LeaseEnded(key(JOB, STEP, 1, 2))],
            // What lapsed is handed out no more under its old number, since a later one was.
            &[leased(JOB, STEP, 0, 1, WORKER)],
            &[leased(JOB, STEP, 1, 2, second)],
            // The first result closes the unit, and whoever still holds it.
            &[done(JOB, STEP, 2), Change::UnitClosed(unit(JOB, STEP, 2))],
            &[Change::LeaseEnded(key(JOB, STEP, 2, 3))],
            // A worker takes only its own leases with it.
            &[Change::WorkerRemoved(second)],
            &[leased(JOB, STEP, 0, 3, WORKER)],
        ],
    )
    .await;
}

/// Both handings-out count, whichever delivers.
async fn two_hands_are_two_leases(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..2"], &[]).await;
    let state = &record.state;
    let changes = [
        Change::WorkerSet(facts::worker(2, "bellows")),
        leased(JOB, STEP, 0, 1, WORKER),
        leased(JOB, STEP, 0, 2, WorkerId(2)),
        leased(JOB, STEP, 1, 1, WORKER),
    ];
    state.commit(term, &changes).await.unwrap();
    let snapshot = state.load().await.unwrap();
    let keys: Vec<_> = snapshot.leases.iter().map(|lease| lease.key).collect();
    let expected = [(0, 1), (0, 2), (1, 1)].map(|(at, attempt)| key(JOB, STEP, at, attempt));
    assert_eq!(keys, expected);
    let attempts = [(0, 2), (1, 1)].map(|(at, attempt)| (unit(JOB, STEP, at), Attempt(attempt), 1));
    assert_eq!(snapshot.attempts, attempts);
    // The second one delivers; what the first one has to say comes too late and is not told to the record.
    let mut result = result(JOB, STEP, 0);
    result.lease = key(JOB, STEP, 0, 2);
    let delivered = [
        Change::FrameDone(Box::new(result)),
        Change::UnitClosed(unit(JOB, STEP, 0)),
        done(JOB, STEP, 1),
        Change::UnitClosed(unit(JOB, STEP, 1)),
    ];
    state.commit(term, &delivered).await.unwrap();
    let snapshot = state.load().await.unwrap();
    assert!(snapshot.leases.is_empty() && snapshot.attempts.is_empty());
    let accepts = state.accepts(JOB).await.unwrap().unwrap();
    assert!(accepts.exactly_once());
    assert_eq!((accepts.total(), accepts.leases), (2, 3));
}

/// Within one batch the pages are at work in memory; it must be as if every change were a batch of its own.
async fn changes_of_one_page_in_one_batch_come_in_their_order(backend: Backend) {
    let first = facts::farm(&["1..600"]);
    let give_up = |at| Change::FrameGivenUp(key(JOB, STEP, at, 1), at);
    let batch = [
        failed(JOB, STEP, 1, 1),
        give_up(1),
        done(JOB, STEP, 1),
        done(JOB, STEP, 2),
        give_up(2),
        failed(JOB, STEP, 2, 1),
        failed(JOB, STEP, 3, 1),
        give_up(3),
        Change::FramesRetried(JOB),
        failed(JOB, STEP, 4, 1),
        give_up(300),
        done(JOB, STEP, 301),
        give_up(301),
    ];
    let all: Vec<_> = (0..600).map(give_up).collect();
    let again = [
        Change::JobRemoved(JOB),
        Change::JobAdded(facts::job(2, &["1..600"])),
    ];
    check(
        backend,
        &[&first, &batch, &all, &batch[7..9], &batch[9..11], &again],
    )
    .await;
    let mut at_once = batch.to_vec();
    at_once.extend(again);
    check(backend, &[&first, &at_once]).await;
}

async fn a_late_result_takes_a_frame_from_the_given_up(backend: Backend) {
    let first = facts::farm(&["1..9"]);
    let given_up = [
        failed(JOB, STEP, 3, 1),
        Change::FrameGivenUp(key(JOB, STEP, 3, 1), 3),
        Change::FrameGivenUp(key(JOB, STEP, 4, 1), 4),
    ];
    check(
        backend,
        &[
            &first,
            &given_up,
            &[done(JOB, STEP, 3)],
            &[Change::FrameGivenUp(key(JOB, STEP, 3, 1), 3)],
            &[Change::FramesRetried(JOB)],
        ],
    )
    .await;
}

async fn removal_takes_all_that_hangs_on_it(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..600", "5"], &[]).await;
    let state = &record.state;
    let mut batch: Vec<_> = (0..300).map(|at| done(JOB, STEP, at)).collect();
    batch.push(leased(JOB, STEP, 310, 1, WORKER));
    batch.push(failed(JOB, STEP, 311, 1));
    batch.push(Change::FrameGivenUp(key(JOB, STEP, 311, 1), 311));
    batch.push(Change::JobBlocked(JOB, WORKER));
    state.commit(term, &batch).await.unwrap();
    state
        .commit(term, &[Change::JobRemoved(JOB)])
        .await
        .unwrap();
    let snapshot = state.load().await.unwrap();
    assert!(snapshot.jobs.is_empty() && snapshot.leases.is_empty() && snapshot.attempts.is_empty());
    assert_eq!(state.accepts(JOB).await.unwrap(), None);
    assert_eq!(state.results(JOB, STEP, 0..600).await.unwrap(), []);
    assert_eq!(state.errors(JOB, None, 10).await.unwrap(), []);
    assert_eq!(state.blob_roots().next_batch().await.unwrap(), None);
    // In one batch with its end, after it grew.
    let mut batch = vec![Change::JobAdded(facts::job(2, &["1..100"]))];
    batch.extend((0..100).map(|at| done(JobId(2), STEP, at)));
    batch.push(Change::JobState(JobId(2), JobState::Done, facts::LATER));
    batch.push(Change::JobRemoved(JobId(2)));
    state.commit(term, &batch).await.unwrap();
    assert!(state.load().await.unwrap().jobs.is_empty());
}

/// However far a commit got before its future was dropped, the record is whole and the next commit goes through.
async fn a_dropped_commit_is_whole_or_nothing(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..9000"], &[]).await;
    let state = &record.state;
    let per_batch = FRAMES_PER_PAGE / 8;
    let mut recorded = 0;
    for round in 0..40 {
        let from = round * per_batch;
        let batch: Vec<_> = (from..from + per_batch)
            .map(|at| done(JOB, STEP, at))
            .collect();
        let mut commit = Box::pin(state.commit(term, &batch));
        for _ in 0..round {
            let polled = commit
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(outcome) = polled {
                outcome.unwrap();
                break;
            }
            // Lets the connection's thread go on; how far it gets is not ours to say, and need not be.
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        drop(commit);
        let at_once = state.accepts(JOB).await.unwrap().unwrap();
        let of_batch = (from..from + per_batch).filter(|&at| at_once.steps[0].of(at) == 1);
        let of_batch = of_batch.count() as u32;
        assert!(of_batch == 0 || of_batch == per_batch, "{of_batch}");
        let last = [done(JOB, STEP, 8000 + round)];
        state.commit(term, &last).await.unwrap();
        let accepts = state.accepts(JOB).await.unwrap().unwrap();
        let of_batch = (from..from + per_batch).filter(|&at| accepts.steps[0].of(at) == 1);
        let of_batch = of_batch.count() as u32;
        assert!(of_batch == 0 || of_batch == per_batch, "{of_batch}");
        recorded += u64::from(of_batch) + 1;
        assert_eq!(accepts.total(), recorded);
    }
}

async fn reads_go_on_beside_writes(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..2000"], &[]).await;
    let record = std::sync::Arc::new(record);
    let state = &record.state;
    let writer = {
        let record = record.clone();
        tokio::spawn(async move {
            let state = &record.state;
            for at in 0..400 {
                let pair = [done(JOB, STEP, at), done(JOB, STEP, 1000 + at)];
                state.commit(term, &pair).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let accepts = state.accepts(JOB).await.unwrap().unwrap();
        assert!(
            accepts.total().is_multiple_of(2),
            "half a transaction was seen"
        );
        let results = state.results(JOB, STEP, 0..2000).await.unwrap();
        for found in results {
            assert_eq!(found, result(JOB, STEP, found.position));
        }
    }
    writer.await.unwrap();
    assert_eq!(state.accepts(JOB).await.unwrap().unwrap().total(), 800);
}

on_every_backend!(
    an_older_term_is_fenced,
    a_frame_is_accepted_once_packed_or_not,
    a_batch_is_whole_or_nothing,
    told_again_nothing_changes,
    what_is_not_there_is_named,
    ids_are_never_used_again,
    attempts_only_rise_until_the_unit_is_closed,
    a_unit_in_two_hands,
    two_hands_are_two_leases,
    changes_of_one_page_in_one_batch_come_in_their_order,
    a_late_result_takes_a_frame_from_the_given_up,
    removal_takes_all_that_hangs_on_it,
    a_dropped_commit_is_whole_or_nothing,
    reads_go_on_beside_writes,
);
