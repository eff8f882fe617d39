//! The engine on a real record: what is not recorded never leaves, and what leaves was recorded.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tessera_model::{
    Blob, Build, BuildKind, Change, FarmSettings, FrameResult, JobId, JobSettings, LeaseKey,
    Overrides, ResultTimings, Step, StepKind, Timestamp, WorkerFacts, WorkerId,
};
use tessera_scheduler::{Input, NewJob, Outcome};
use tessera_state::State;
use tessera_wire::link::{LeaseOffer, Source, ToWorker};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ManagerError;
use crate::clock::{self, Clock};
use crate::data_dir::DataDir;
use crate::events::Events;
use crate::identity::{Authority, Index, SharedIndex};
use crate::links::{Closing, LinkHandle, LinkId, Links};
use crate::notify::Notifier;

/// A peer that was told of a failure tries again after this; nothing is decided by it.
const AGAIN: Duration = Duration::from_millis(20);

struct World {
    _folder: tempfile::TempDir,
    state: Arc<State>,
    index: SharedIndex,
    links: Arc<Links>,
    engine: EngineHandle,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), ManagerError>>,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path()).unwrap();
    let state = Arc::new(State::open(folder.path()).await.unwrap());
    let term = state.begin_term().await.unwrap();
    let index: SharedIndex = Arc::new(RwLock::new(Index::default()));
    let links = Arc::new(Links::default());
    let authority = Authority::load_or_make(&dir, "f", clock::wall()).unwrap();
    let (engine, handle) = Engine::new(EngineParts {
        state: Arc::clone(&state),
        term,
        settings: FarmSettings::default(),
        clock: Clock::start(),
        index: Arc::clone(&index),
        authority: Arc::new(authority),
        links: Arc::clone(&links),
        events: Arc::new(Events::new(term)),
        notifier: Notifier::new().0,
        metrics: Arc::default(),
    })
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(engine.run(stop.clone()));
    World {
        _folder: folder,
        state,
        index,
        links,
        engine: handle,
        stop,
        task,
    }
}

fn build() -> Build {
    Build {
        version: "3.4.1".parse().unwrap(),
        hash: "h".into(),
        kind: BuildKind::Executable,
    }
}

fn facts() -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots: 1,
        threads: 1,
        cores: 1,
        memory_bytes: 1,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: "h".into(),
        tags: Vec::new(),
        builds: vec![build()],
        gpus: Vec::new(),
        version: "0".into(),
        rest: None,
    }
}

fn empty() -> Blob {
    tessera_wire::blob::to_model(&tessera_blobs::BlobRef::empty())
}

fn job(frames: &str) -> Input {
    Input::Submit(Box::new(NewJob {
        owner: "u".parse().unwrap(),
        settings: JobSettings::named("j"),
        manifest: empty(),
        main_file: "a.blend".into(),
        file_version: "3.4".parse().unwrap(),
        steps: vec![Step {
            kind: StepKind::Render(Overrides::default()),
            frames: frames.parse().unwrap(),
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }],
        client_note: String::new(),
    }))
}

fn result(key: LeaseKey, worker: WorkerId) -> FrameResult {
    FrameResult {
        lease: key,
        position: key.unit.index,
        frame: i32::try_from(key.unit.index).unwrap() + 1,
        worker,
        build: build(),
        device: "CPU".into(),
        persistent: false,
        files: Vec::new(),
        stdout: empty(),
        stderr: empty(),
        timings: ResultTimings::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(1),
    }
}

struct Far {
    worker: WorkerId,
    id: LinkId,
    orders: mpsc::Receiver<ToWorker>,
    closing: watch::Receiver<Option<Closing>>,
}

impl Far {
    async fn lease(&mut self) -> LeaseKey {
        self.offer().await.key
    }

    async fn offer(&mut self) -> Box<LeaseOffer> {
        loop {
            match self.orders.recv().await.unwrap() {
                ToWorker::Lease(offer) => return offer,
                ToWorker::Mode { .. } | ToWorker::Peers { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn link(
    world: &World,
    worker: WorkerId,
    holds: Vec<LeaseKey>,
) -> (Far, Result<Outcome, EngineError>) {
    let id = world.links.next_id();
    let (outgoing, orders) = mpsc::channel(64);
    let (close, closing) = watch::channel(None);
    let outcome = world
        .engine
        .link(Greeting {
            facts: facts(),
            holds,
            link: LinkHandle {
                makes_pyramids: false,
                id,
                worker,
                serial: "40".into(),
                address: "127.0.0.1:1".parse().unwrap(),
                peer_urls: vec![format!("https://127.0.0.1:{worker}")],
                outgoing,
                closing: close,
            },
        })
        .await;
    let far = Far {
        worker,
        id,
        orders,
        closing,
    };
    (far, outcome)
}

async fn paired(world: &World) -> WorkerId {
    match world.engine.input(Input::Paired("w".into())).await.unwrap() {
        Outcome::Paired(worker, _) => worker,
        other => panic!("{other:?}"),
    }
}

async fn submitted(world: &World, frames: &str) -> JobId {
    match world.engine.input(job(frames)).await.unwrap() {
        Outcome::Submitted(job, _) => job,
        other => panic!("{other:?}"),
    }
}

/// A change that no record takes: its job was never there.
fn poison() -> Vec<Change> {
    vec![Change::FramesRetried(JobId(999_999))]
}

async fn end(world: World) -> Arc<State> {
    world.stop.cancel();
    world.task.await.unwrap().unwrap();
    world.state
}

#[tokio::test]
async fn a_lease_leaves_only_after_it_is_recorded() {
    let world = world().await;
    let worker = paired(&world).await;
    let (mut far, outcome) = link(&world, worker, Vec::new()).await;
    assert!(matches!(outcome, Ok(Outcome::Linked { .. })));
    let job = submitted(&world, "1..3").await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = far.lease().await;
        let recorded = world.state.load().await.unwrap().leases;
        assert!(
            recorded.iter().any(|lease| lease.key == key),
            "{key:?} left unrecorded"
        );
        keys.push(key);
    }
    for key in keys {
        let done = Input::Done(Box::new(result(key, worker)));
        assert_eq!(
            world.engine.input(done.clone()).await.unwrap(),
            Outcome::Accepted
        );
        assert_eq!(world.engine.input(done).await.unwrap(), Outcome::NotNeeded);
    }
    let key = far.lease().await;
    let done = Input::Done(Box::new(result(key, worker)));
    assert_eq!(world.engine.input(done).await.unwrap(), Outcome::Accepted);
    let state = end(world).await;
    assert!(state.accepts(job).await.unwrap().unwrap().exactly_once());
}

#[tokio::test]
async fn workers_with_the_same_files_are_named_to_each_other_once() {
    let names = |sources: &[Source]| -> Vec<String> {
        sources
            .iter()
            .map(|source| source.identity.clone())
            .collect()
    };
    let world = world().await;
    let (one, other) = (paired(&world).await, paired(&world).await);
    let (mut first, _) = link(&world, one, Vec::new()).await;
    submitted(&world, "1..20").await;
    let manager = tessera_wire::MANAGER_NAME.to_owned();
    let alone = names(&first.offer().await.sources);
    assert_eq!(alone, std::slice::from_ref(&manager));
    let (mut late, _) = link(&world, other, Vec::new()).await;
    let offer = late.offer().await;
    let both = [manager.clone(), format!("worker-{one}")];
    assert_eq!(names(&offer.sources), both);
    assert_eq!(offer.sources[1].address, format!("https://127.0.0.1:{one}"));
    assert_eq!(names(&late.offer().await.sources), [manager], "it knows");
    let told = loop {
        if let ToWorker::Peers { sources, .. } = first.orders.recv().await.unwrap() {
            break sources;
        }
    };
    assert_eq!(names(&told), [format!("worker-{other}")]);
    // Over a new link it may be another process, which has to be told again.
    let (mut again, _) = link(&world, other, Vec::new()).await;
    assert_eq!(names(&again.offer().await.sources), both);
    end(world).await;
}

#[tokio::test]
async fn what_could_not_be_recorded_never_was() {
    let world = world().await;
    let worker = paired(&world).await;
    let (mut far, _) = link(&world, worker, Vec::new()).await;
    let job = submitted(&world, "1..4").await;
    let held = [far.lease().await, far.lease().await];

    // The same batch: a result, a submission, and what the record refuses. All of them get the error.
    let done = Input::Done(Box::new(result(held[0], worker)));
    let (failed, refused, not_submitted) = tokio::join!(
        world.engine.record(poison()),
        world.engine.input(done.clone()),
        world.engine.input(self::job("1..2")),
    );
    assert!(matches!(failed, Err(EngineError::NotRecorded(_))));
    assert!(refused.is_err() && not_submitted.is_err());
    let jobs = world
        .engine
        .read(|scheduler, now| scheduler.jobs(now, None, 10))
        .await
        .unwrap();
    assert_eq!(
        jobs.iter()
            .map(|view| (view.job.id, view.done))
            .collect::<Vec<_>>(),
        [(job, 0)]
    );

    // It goes on by itself: the worker still holds what it held, and nothing is handed out twice.
    let outcome = loop {
        match world.engine.input(done.clone()).await {
            Ok(outcome) => break outcome,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    assert_eq!(outcome, Outcome::Accepted);
    assert_eq!(*far.closing.borrow(), None);
    let mut keys = vec![held[1], far.lease().await];
    let again = Input::Finished {
        worker,
        key: held[0],
    };
    world.engine.hear(worker, far.id, again).await.unwrap();
    for at in 0.. {
        let Some(&key) = keys.get(at) else { break };
        assert!(key.unit != held[0].unit && (key.unit != held[1].unit || key == held[1]));
        let done = Input::Done(Box::new(result(key, worker)));
        assert_eq!(world.engine.input(done).await.unwrap(), Outcome::Accepted);
        if keys.len() < 3 {
            keys.push(far.lease().await);
        }
    }
    let state = end(world).await;
    assert!(state.accepts(job).await.unwrap().unwrap().exactly_once());
}

#[tokio::test]
async fn a_worker_that_could_not_be_let_in_is_sent_away() {
    let world = world().await;
    let worker = paired(&world).await;
    let (old, _) = link(&world, worker, Vec::new()).await;
    let _ = submitted(&world, "1..4").await;
    let (failed, (_new, outcome)) = tokio::join!(
        world.engine.record(poison()),
        link(&world, worker, Vec::new())
    );
    assert!(failed.is_err());
    assert!(outcome.is_err());
    let mut closing = old.closing;
    closing.wait_for(Option::is_some).await.unwrap();
    end(world).await;
}

#[tokio::test]
async fn words_of_an_old_link_are_not_heard() {
    let world = world().await;
    let worker = paired(&world).await;
    let (mut old, _) = link(&world, worker, Vec::new()).await;
    let _ = submitted(&world, "1").await;
    let key = old.lease().await;
    let (new, outcome) = link(&world, worker, vec![key]).await;
    assert!(matches!(outcome, Ok(Outcome::Linked { ref drop, .. }) if drop.is_empty()));
    assert_eq!(*old.closing.borrow(), Some(Closing::Replaced));
    world.engine.unlink(worker, old.id).await;
    world
        .engine
        .hear(worker, old.id, Input::Returned { worker, key })
        .await
        .unwrap();
    let linked = |world: &World| {
        let engine = world.engine.clone();
        async move {
            engine
                .read(move |scheduler, now| scheduler.worker(now, worker).unwrap())
                .await
                .unwrap()
        }
    };
    let view = linked(&world).await;
    assert!(view.linked);
    assert_eq!(view.holds.len(), 1);
    world.engine.unlink(new.worker, new.id).await;
    assert!(!linked(&world).await.linked);
    end(world).await;
}

#[tokio::test]
async fn a_code_for_one_use_is_used_once_even_at_the_same_moment() {
    let world = world().await;
    let code = crate::identity::secret::hash(b"code");
    let pairing = tessera_model::PairingRecord {
        hash: code,
        grant: tessera_model::PairingGrant::Client {
            user: "u".parse().unwrap(),
            role: tessera_model::Role::Viewer,
        },
        expires_at: Timestamp(i64::MAX),
        once: true,
    };
    world
        .engine
        .record(vec![Change::PairingAdded(pairing)])
        .await
        .unwrap();
    let join = |id: &str| {
        world.engine.join(Join {
            code,
            party: Party::Client {
                note: String::new(),
                token_id: id.into(),
                token: crate::identity::secret::hash(id.as_bytes()),
            },
        })
    };
    let (one, two) = tokio::join!(join("a"), join("b"));
    assert!(matches!(one, Ok(Joined::Client { .. })));
    assert!(matches!(two, Ok(Joined::WrongCode)));
    assert_eq!(world.index.read().unwrap().token_count(), 1);
    let state = end(world).await;
    let snapshot = state.load().await.unwrap();
    assert_eq!((snapshot.tokens.len(), snapshot.pairings.len()), (1, 0));
}

#[tokio::test]
async fn a_removed_workers_certificates_are_void() {
    let world = world().await;
    let worker = paired(&world).await;
    let certificate = tessera_model::CertificateRecord {
        serial: "40".into(),
        worker,
        expires_at: Timestamp(i64::MAX),
        revoked: false,
    };
    world
        .engine
        .record(vec![Change::CertificateIssued(certificate)])
        .await
        .unwrap();
    let (far, _) = link(&world, worker, Vec::new()).await;
    let remove = Input::Worker(worker, tessera_scheduler::WorkerCommand::Remove);
    assert_eq!(world.engine.input(remove).await.unwrap(), Outcome::Applied);
    assert_eq!(*far.closing.borrow(), Some(Closing::Dismissed));
    let state = end(world).await;
    assert!(state.load().await.unwrap().certificates[0].revoked);
}

#[tokio::test]
async fn a_worker_that_ends_gets_nothing_more_and_is_still_heard() {
    let world = world().await;
    let worker = paired(&world).await;
    let (mut far, _) = link(&world, worker, Vec::new()).await;
    let _ = submitted(&world, "1").await;
    let key = far.lease().await;
    let say = async |input| world.engine.hear(worker, far.id, input).await.unwrap();
    say(Input::Unlinked(worker)).await;
    say(Input::Heartbeat {
        worker,
        holds: vec![(key, Some(0))],
    })
    .await;
    say(Input::Returned { worker, key }).await;
    let _ = submitted(&world, "1..5").await;
    // Nor when the scheduler is built anew in between.
    assert!(world.engine.record(poison()).await.is_err());
    while world.engine.record(Vec::new()).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
    let view = world
        .engine
        .read(move |scheduler, now| scheduler.worker(now, worker).unwrap())
        .await
        .unwrap();
    assert!(!view.linked && view.holds.is_empty(), "{view:?}");
    assert!(far.orders.try_recv().is_err());
    end(world).await;
}
