//! Random sequences of batches, done to the record and to the [`Model`]: same answers, same snapshot, same views,
//! also after the record was closed and opened again.

use proptest::prelude::*;
use proptest::sample::select;
use tessera_model::{
    Change, JobId, JobState, SecretHash, StepIndex, Term, Timestamp, WorkerId, WorkerMode,
    WorkerRecord,
};
use tessera_state::{MAX_ERRORS_PER_READ, State};

use crate::backend::{Backend, Record};
use crate::facts;
use crate::model::Model;

#[derive(Debug, Clone)]
enum Act {
    Commit(Vec<Change>),
    /// As an older leader would.
    Late(Vec<Change>),
    NewTerm,
    Reopen,
}

/// Frame lists of the steps a job may have: less than a page, a page and a bit, nearly three.
const STEPS: [&[&str]; 3] = [&["1..40"], &["1..300", "7"], &["-3..700"]];

fn job_id() -> impl Strategy<Value = JobId> + Clone {
    (1u64..=4).prop_map(JobId)
}

fn step() -> impl Strategy<Value = StepIndex> + Clone {
    prop_oneof![9 => Just(StepIndex(0)), 1 => Just(StepIndex(1))]
}

fn position() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![8 => 0u32..40, 4 => 250u32..260, 1 => 0u32..710]
}

fn worker_id() -> impl Strategy<Value = WorkerId> + Clone {
    (1u32..=3).prop_map(WorkerId)
}

fn worker() -> impl Strategy<Value = WorkerRecord> {
    let name = select(vec!["anvil", "bellows", "crucible", "forge"]);
    (worker_id(), name, any::<bool>()).prop_map(|(id, name, paused)| {
        let mut worker = facts::worker(id.0, name);
        if paused {
            worker.mode = WorkerMode::Paused;
            worker.facts = None;
        }
        worker
    })
}

fn job_change() -> impl Strategy<Value = Change> {
    use JobState::{Active, Cancelled, Done, Failed, Paused};
    prop_oneof![
        6 => (job_id(), 0usize..3).prop_map(|(id, at)| Change::JobAdded(facts::job(id.0, STEPS[at]))),
        2 => (job_id(), 0u16..4).prop_map(|(id, patch)| Change::JobPinned(id, facts::build(patch))),
        2 => (job_id(), "[a-z]{0,5}").prop_map(|(id, name)| Change::JobEdited(id, facts::settings(&name))),
        2 => (job_id(), 1u32..9, 0usize..3).prop_map(|(id, chunk, steps)| {
            Change::JobChunked(id, vec![facts::rechunked(40, chunk); steps])
        }),
        4 => (job_id(), select(vec![Active, Paused, Cancelled, Done, Failed]), 0..9_i64)
            .prop_map(|(id, state, at)| Change::JobState(id, state, Timestamp(at))),
        2 => (job_id(), 0u32..3, 0..9_i64)
            .prop_map(|(id, frames, at)| Change::JobFetched(id, facts::fetched(frames, at))),
        1 => job_id().prop_map(Change::JobRemoved),
        2 => (job_id(), worker_id()).prop_map(|(job, worker)| Change::JobBlocked(job, worker)),
        1 => (job_id(), worker_id()).prop_map(|(job, worker)| Change::JobUnblocked(job, worker)),
        2 => job_id().prop_map(Change::FramesRetried),
    ]
}

fn frame_change() -> impl Strategy<Value = Change> {
    let at = (job_id(), step(), position());
    let attempt = 1u32..4;
    prop_oneof![
        8 => at.clone().prop_map(|(job, step, at)| facts::done(job, step, at)),
        6 => (at.clone(), attempt.clone())
            .prop_map(|((job, step, at), attempt)| facts::failed(job, step, at, attempt)),
        3 => at.clone().prop_map(|(job, step, at)| Change::FrameGivenUp(facts::key(job, step, at, 1), at)),
        8 => (at.clone(), attempt.clone(), worker_id())
            .prop_map(|((job, step, at), attempt, worker)| facts::leased(job, step, at, attempt, worker)),
        3 => (at.clone(), attempt)
            .prop_map(|((job, step, at), attempt)| Change::LeaseEnded(facts::key(job, step, at, attempt))),
        3 => at.prop_map(|(job, step, at)| Change::UnitClosed(facts::unit(job, step, at))),
    ]
}

fn member_change() -> impl Strategy<Value = Change> {
    let id = select(vec!["a", "b"]);
    prop_oneof![
        6 => worker().prop_map(Change::WorkerSet),
        1 => worker_id().prop_map(Change::WorkerRemoved),
        2 => (id.clone(), "[xy]").prop_map(|(id, note)| {
            let mut token = facts::token(id);
            token.note = note;
            Change::TokenAdded(token)
        }),
        1 => (1u32..100).prop_map(|cap| Change::FarmSet(Box::new(facts::farm_settings(cap)))),
        1 => id.clone().prop_map(|id| Change::TokenRevoked(id.into())),
        2 => (1u8..3, any::<bool>()).prop_map(|(salt, once)| {
            let mut pairing = facts::pairing(salt);
            pairing.once = once;
            Change::PairingAdded(pairing)
        }),
        1 => (1u8..3).prop_map(|salt| Change::PairingRemoved(SecretHash([salt; 32]))),
        2 => id.clone().prop_map(|id| Change::CertificateIssued(facts::certificate(id))),
        1 => id.clone().prop_map(|id| Change::CertificateRevoked(id.into())),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, secret)| Change::ReceiverSet(facts::receiver(id, secret))),
        2 => (id.clone(), 0u64..3).prop_map(|(id, waiting)| Change::ReceiverTold(id.into(), facts::telling(waiting))),
        1 => id.prop_map(|id| Change::ReceiverRemoved(id.into())),
    ]
}

/// Much that happens to one unit within one batch, of which only what comes of it is written.
fn one_unit() -> impl Strategy<Value = Vec<Change>> {
    let unit = (1u64..=2, select(vec![0u32, 1, 255, 256]));
    let act = (0u8..14, 1u32..4, worker_id());
    (unit, proptest::collection::vec(act, 2..9)).prop_map(|((job, at), acts)| {
        let job = JobId(job);
        let step = StepIndex(0);
        let change = |(act, attempt, worker)| match act {
            0..4 => facts::leased(job, step, at, attempt, worker),
            4..6 => Change::LeaseEnded(facts::key(job, step, at, attempt)),
            6..8 => Change::UnitClosed(facts::unit(job, step, at)),
            8..10 => facts::failed(job, step, at, attempt),
            10 => Change::FrameGivenUp(facts::key(job, step, at, attempt), at),
            11 => facts::done(job, step, at),
            12 => Change::FramesRetried(job),
            _ => Change::WorkerRemoved(worker),
        };
        acts.into_iter().map(change).collect()
    })
}

fn batch() -> impl Strategy<Value = Vec<Change>> {
    let any_change = prop_oneof![
        3 => job_change(),
        6 => frame_change(),
        2 => member_change(),
    ];
    // Many frames at once, so that pages are packed.
    let range = (job_id(), step(), 0u32..300, 1u32..200).prop_map(|(job, step, from, count)| {
        (from..from + count)
            .map(|position| facts::done(job, step, position))
            .collect()
    });
    prop_oneof![
        8 => proptest::collection::vec(any_change, 1..4),
        6 => one_unit(),
        2 => range,
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        30 => batch().prop_map(Act::Commit),
        1 => batch().prop_map(Act::Late),
        1 => Just(Act::NewTerm),
        2 => Just(Act::Reopen),
    ];
    proptest::collection::vec(act, 1..60)
}

async fn check(backend: Backend, acts: Vec<Act>) {
    let mut record = Record::open(backend).await;
    let mut model = Model::new();
    let mut term = record.state.begin_term().await.unwrap();
    assert_eq!(term, model.begin_term());
    // Most of what follows needs these.
    let mut first = facts::farm(STEPS[1]);
    first.push(Change::WorkerSet(facts::worker(2, "crucible")));
    first.push(Change::JobAdded(facts::job(2, STEPS[2])));
    commit_to_both(&record.state, &mut model, term, &first).await;
    for act in acts {
        match act {
            Act::Commit(changes) => commit_to_both(&record.state, &mut model, term, &changes).await,
            Act::Late(changes) => {
                commit_to_both(&record.state, &mut model, Term(term.0 - 1), &changes).await;
            }
            Act::NewTerm => {
                term = record.state.begin_term().await.unwrap();
                assert_eq!(term, model.begin_term());
            }
            Act::Reopen => {
                let before = record.state.load().await.unwrap();
                record = record.restart().await;
                assert_eq!(record.state.load().await.unwrap(), before);
            }
        }
    }
    assert_eq!(record.state.load().await.unwrap(), model.snapshot());
    compare_views(&record.state, &model).await;
    record.state.close().await;
}

async fn commit_to_both(state: &State, model: &mut Model, term: Term, changes: &[Change]) {
    let got = state.commit(term, changes).await;
    let expected = model.commit(term, changes);
    assert_eq!(
        got.map_err(|error| error.to_string()),
        expected.map_err(|error| error.to_string()),
        "{changes:?}"
    );
}

async fn compare_views(state: &State, model: &Model) {
    for job in model.jobs() {
        let accepts = state.accepts(job).await.unwrap().unwrap();
        assert_eq!((accepts.leases, accepts.failures), model.tally(job));
        for step in &accepts.steps {
            let expected = model.results(job, step.step);
            assert_eq!(step.total, expected.len() as u64);
            assert!(step.repeated.is_empty());
            let got = state.results(job, step.step, 0..u32::MAX).await.unwrap();
            assert_eq!(got, expected);
        }
        let errors = state.errors(job, None, MAX_ERRORS_PER_READ).await.unwrap();
        let errors: Vec<_> = errors.into_iter().map(|entry| entry.error).collect();
        assert_eq!(errors, model.errors(job));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_record_is_the_model(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            check(Backend::File, acts.clone()).await;
            check(Backend::Memory, acts).await;
        });
    }
}
