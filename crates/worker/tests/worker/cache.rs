//! The worker's disk: what it keeps for jobs to come stays within its limit, also over restarts, and is used again.

use std::path::Path;

use serde_json::json;
use tessera_blender::testing::fake_blend;
use tessera_blobs::Digest;
use tessera_model::JobId;
use tessera_worker::{SlotStatus, Status};

use crate::farm::{Farm, Worker};
use crate::proxy::Proxy;

const TEXTURE_BYTES: u64 = 8 << 20;

/// A job with a file of its own.
async fn submit(farm: &Farm, seed: u64) -> JobId {
    let chunk = |i: u64| *Digest::of(&[seed.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes();
    let noise: Vec<u8> = (0..TEXTURE_BYTES / 32).flat_map(chunk).collect();
    let blend = farm.dir.path().join("a.blend");
    std::fs::write(&blend, fake_blend(&json!({}))).unwrap();
    let texture = farm.dir.path().join(format!("texture-{seed}"));
    std::fs::write(&texture, noise).unwrap();
    let files = [("u/a.blend", blend.as_path()), ("u/texture", &texture)];
    farm.submit_files(&files, "3.4.1", "1", |_| {}).await
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let size = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => bytes_below(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    entries.map(size).sum()
}

fn is_at_rest(status: &Status) -> bool {
    status.unsent == 0 && status.slots.iter().all(SlotStatus::is_idle)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_keeps_to_its_limit_and_what_was_used_last() {
    let farm = Farm::start().await;
    let mut config = farm.pair("w", farm.address()).await;
    // Of blocks as of trees, two scenes and a bit.
    config.cache_max_bytes = 40 << 20;
    for round in 0..3 {
        let mut worker = Worker::start(config.clone());
        worker.linked().await;
        for seed in 0..2 {
            let job = submit(&farm, 2 * round + seed).await;
            farm.done(job).await;
        }
        worker.is("rest", is_at_rest).await;
        worker.stop().await;
    }
    let store = bytes_below(&config.data_dir.join("store"));
    let trees = bytes_below(&config.data_dir.join("trees"));
    let half = config.cache_max_bytes / 2;
    assert!(store <= half && trees <= half, "{store} and {trees}");

    // The last one's blocks are there: without its tree, nothing of it comes again.
    std::fs::remove_dir_all(config.data_dir.join("trees")).unwrap();
    let proxy = Proxy::to(farm.address()).await;
    config.addresses = vec![format!("https://{}", proxy.address)];
    config.identity = Some(only_by(&config.data_dir, &config.addresses));
    let mut worker = Worker::start(config);
    worker.linked().await;
    let job = submit(&farm, 5).await;
    farm.done(job).await;
    let received = proxy.received.load(std::sync::atomic::Ordering::Relaxed);
    assert!(received > 0 && received < TEXTURE_BYTES / 10, "{received}");
    worker.stop().await;
}

/// The worker's identity, with no address but these.
fn only_by(data_dir: &Path, addresses: &[String]) -> tessera_worker::WorkerFarm {
    let file = tessera_worker::identity_path(data_dir);
    let mut farm = tessera_worker::WorkerFarm::load(&file).unwrap().unwrap();
    farm.addresses = addresses.to_vec();
    farm
}
