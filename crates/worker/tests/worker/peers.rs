//! Blocks from worker to worker, over real TLS: who gives them, who is given none, and what comes of one that gives wrong ones.

mod liar;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde_json::json;
use tessera_blender::testing::fake_blend;
use tessera_blobs::Digest;
use tessera_client::{Api, Identity, PeerApi, WorkerFarm};
use tessera_model::{JobId, WorkerId};
use tessera_wire::api::WorkerAction;
use tessera_wire::peer::{ASKED_MAX, Have};
use tessera_wire::problem::ProblemKind;
use tessera_worker::{PeerListen, SlotStatus, Status, identity_path};

use crate::farm::{Farm, Worker, soon};
use crate::proxy::Proxy;
use liar::{Liar, Lie};

/// Bytes of the file beside the scene: some blocks.
const TEXTURE_BYTES: usize = 6 << 20;

/// Bytes that do not compress.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let chunk = |i: u64| *Digest::of(&[seed.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes();
    (0..bytes as u64 / 32).flat_map(chunk).collect()
}

/// A job with a large file.
async fn submit(farm: &Farm, seed: u64, frames: &str) -> JobId {
    let blend = farm.dir.path().join("a.blend");
    std::fs::write(&blend, fake_blend(&json!({}))).unwrap();
    let texture = farm.dir.path().join(format!("texture-{seed}"));
    std::fs::write(&texture, noise(seed, TEXTURE_BYTES)).unwrap();
    let files = [("u/a.blend", blend.as_path()), ("u/texture", &texture)];
    farm.submit_files(&files, "3.4.1", frames, |_| {}).await
}

/// What lies in the worker's trees at the file's place.
fn textures(worker: &Worker) -> Vec<Vec<u8>> {
    let trees = std::fs::read_dir(worker.data_dir.join("trees")).unwrap();
    let texture = |tree: std::fs::DirEntry| -> PathBuf { tree.path().join("u/texture") };
    let mut found: Vec<Vec<u8>> = trees
        .filter_map(|tree| std::fs::read(texture(tree.unwrap())).ok())
        .collect();
    found.sort();
    found
}

fn is_at_rest(status: &Status) -> bool {
    status.done > 0 && status.unsent == 0 && status.slots.iter().all(SlotStatus::is_idle)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_has_the_files_from_those_who_have_them() {
    let farm = Farm::start().await;
    let mut first = farm.worker("first").await;
    let job = submit(&farm, 1, "1").await;
    farm.done(job).await;
    first.is("rest", is_at_rest).await;
    let id = first.status.borrow().worker.unwrap();
    farm.api.worker_act(id, &WorkerAction::Pause).await.unwrap();

    let proxy = Proxy::to(farm.address()).await;
    let mut second = Worker::start(farm.pair("second", proxy.address).await);
    second.linked().await;
    let job = submit(&farm, 1, "2").await;
    farm.done(job).await;
    assert_eq!(second.status.borrow().done, 1);
    assert_eq!(textures(&second), [noise(1, TEXTURE_BYTES)]);
    let received = proxy.received.load(Ordering::Relaxed);
    assert!(
        received < TEXTURE_BYTES as u64 / 10,
        "the manager sent {received} bytes"
    );

    // One that gives nothing is not asked, and still takes; one that is gone is not waited for.
    farm.api
        .worker_act(id, &WorkerAction::Resume)
        .await
        .unwrap();
    first.stop().await;
    second.stop().await;
    let mut config = farm.pair("third", farm.address()).await;
    config.peer_listen = PeerListen::Off;
    let mut third = Worker::start(config);
    third.linked().await;
    let job = submit(&farm, 1, "3").await;
    farm.done(job).await;
    assert_eq!(textures(&third), [noise(1, TEXTURE_BYTES)]);
    third.stop().await;
}

/// What another worker says is false, or it fails: its bytes never enter the cache, the files come all the same, and for a while it is
/// asked no more.
async fn check(lie: Lie) {
    let farm = Farm::start().await;
    let mut liar = Liar::join(&farm, lie).await;
    let job = submit(&farm, 1, "1..8").await;
    soon("a lease of the other worker", liar.leased()).await;
    let mut worker = farm.worker("honest").await;
    worker.is("a frame", |status| status.done > 0).await;
    assert!(liar.asked() > 0, "it was never asked");
    liar.leave().await;
    assert_eq!(farm.done(job).await.len(), 8);
    assert_eq!(textures(&worker), [noise(1, TEXTURE_BYTES)]);

    // Neither is what it gave found later, nor is it asked for the next files.
    let asked = liar.asked();
    liar.come_back(&farm).await;
    let job = submit(&farm, 2, "1..8").await;
    soon("a lease of the other worker", liar.leased()).await;
    worker.is("more frames", |status| status.done > 8).await;
    assert_eq!(liar.asked(), asked, "it is left aside");
    liar.leave().await;
    assert_eq!(farm.done(job).await.len(), 8);
    let mut expected = [noise(1, TEXTURE_BYTES), noise(2, TEXTURE_BYTES)];
    expected.sort();
    assert_eq!(textures(&worker), expected);
    assert!(farm.errors(job).await.is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_sends_wrong_bytes() {
    check(Lie::WrongBytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_sends_a_bomb() {
    check(Lie::Bomb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_sends_what_nobody_asked_for() {
    check(Lie::Unasked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_in_the_middle() {
    check(Lie::Dies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_answers() {
    check(Lie::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_somebody_else() {
    check(Lie::SomebodyElse).await;
}

/// One that promises to bring its share, and does not, is not waited for without end.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_promises_and_never_has_anything() {
    let farm = Farm::start().await;
    let mut liar = Liar::join(&farm, Lie::Promises).await;
    let job = submit(&farm, 1, "1..4").await;
    soon("a lease of the other worker", liar.leased()).await;
    let mut worker = farm.worker("honest").await;
    worker.is("a frame", |status| status.done > 0).await;
    assert!(liar.asked() > 0);
    liar.leave().await;
    farm.done(job).await;
    assert_eq!(textures(&worker), [noise(1, TEXTURE_BYTES)]);
    worker.stop().await;
}

/// A question to the worker at `address`.
async fn ask(
    address: &str,
    worker: WorkerId,
    identity: &Identity,
    digests: usize,
) -> Result<usize, String> {
    let question = Have {
        tree: Digest::of(b""),
        digests: vec![Digest::of(b""); digests],
    };
    let api = PeerApi::new(vec![address.to_owned()], worker, identity).unwrap();
    match api.have(&question).await {
        Ok(held) => Ok(held.digests.len()),
        Err(error) => Err(error
            .kind()
            .map_or_else(|| error.to_string(), |kind| format!("{kind:?}"))),
    }
}

fn identity_of(data_dir: &Path) -> WorkerFarm {
    WorkerFarm::load(&identity_path(data_dir)).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_workers_of_the_farm_are_answered_and_only_about_blocks() {
    let farm = Farm::start().await;
    let other_farm = Farm::start().await;
    let mut liar = Liar::join(&farm, Lie::Promises).await;
    let job = submit(&farm, 1, "1..4").await;
    soon("a lease", liar.leased()).await;
    let worker = farm.worker("w").await;
    // That another one gets the same files is told with its address.
    let (address, id) = soon("the address of the other one", liar.told()).await;
    assert_eq!(Some(id), worker.status.borrow().worker);
    let me = liar.farm.identity.clone();

    assert_eq!(ask(&address, id, &me, 1).await, Ok(0));
    let too_many = ask(&address, id, &me, ASKED_MAX + 1).await;
    assert_eq!(too_many, Err(format!("{:?}", ProblemKind::TooLarge)));
    let mistaken = ask(&address, WorkerId(999), &me, 1).await.unwrap_err();
    assert!(mistaken.contains("worker-999"), "{mistaken}");
    let stranger = identity_of(&other_farm.pair("w", other_farm.address()).await.data_dir);
    let refused = ask(&address, id, &stranger.identity, 1).await;
    assert!(refused.is_err(), "of another farm");
    // Without a certificate no request comes past the handshake, nor does any but the two questions with one.
    let nobody = Api::new(tessera_client::Access {
        addresses: vec![address.clone()],
        trust: liar.farm.trust.clone(),
        credentials: tessera_client::Credentials::None,
    });
    nobody.unwrap().health().await.unwrap_err();
    liar.without_certificate(&address).await;
    for path in [
        "/",
        "/api/v1/blobs/fetch",
        "/peer/v1/blocks/../../etc",
        "/metrics",
    ] {
        assert_eq!(liar.status_of(&address, id, path).await, 404, "{path}");
    }

    // One whose certificate is void is given nothing from then on.
    let serial = liar.serial();
    farm.api.revoke_certificate(&serial).await.unwrap();
    let refused = async {
        while ask(&address, id, &me, 1).await != Err(format!("{:?}", ProblemKind::NotActive)) {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of its rights", refused).await;
    farm.done(job).await;
    worker.stop().await;
}
