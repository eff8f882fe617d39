//! A link that is cut again and again: what arrived is not sent twice, counted at the sockets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tessera_blobs::{BlobRef, Entry, Manifest, Origin, Store, TreePath};
use tessera_client::{Ask, BlockSource, Retry, receive, send};

use crate::support::{Proxy, TestFarm, noise};

const CUTS: u64 = 20;

/// Moments in a transfer of so many bytes, by chance but the same in every run.
fn moments(bytes: u64) -> Vec<u64> {
    let chance = noise(8 * CUTS as usize, 77);
    let mut moments: Vec<u64> = chance
        .chunks_exact(8)
        .map(|number| u64::from_le_bytes(number.try_into().unwrap()) % bytes)
        .collect();
    moments.sort_unstable();
    moments
}

/// A texture, which comes in blocks of a megabyte, and a scene, whose blocks are small.
fn project(dir: &Path, bytes: u64) -> (BlobRef, Manifest, BlockSource) {
    let scene_bytes = 60_000_000;
    let (mut origin, mut manifest) = (Origin::new(), Manifest::new());
    for (name, head, len) in [
        ("big.exr", b"v/1".as_slice(), bytes as usize - scene_bytes),
        ("scene.blend", b"BLENDER-v304", scene_bytes),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, [head, &noise(len, len as u64)].concat()).unwrap();
        let cut = origin.add_file(&path).unwrap();
        let place = TreePath::new(name).unwrap();
        manifest.insert(place, Entry::file(&cut)).unwrap();
    }
    let root = origin.add_manifest(&manifest);
    (root, manifest, BlockSource::Origin(Arc::new(origin)))
}

#[tokio::test]
async fn twenty_cuts_of_an_upload_cost_a_tenth_at_most() {
    const BYTES: u64 = 500_000_000;
    let farm = TestFarm::start().await;
    let proxy = Proxy::to(farm.running.addresses[0]).await;
    let dir = tempfile::tempdir().unwrap();
    let (root, _, source) = project(dir.path(), BYTES);
    let api = farm
        .api_at(proxy.url())
        .retrying(Retry::for_at_most(Duration::from_secs(60)));
    proxy.cut_up_at(moments(BYTES));

    let sent = send(&api, &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap();
    let ratio = proxy.up_bytes() as f64 / BYTES as f64;
    println!(
        "{} cuts: {} bytes at the socket, {ratio:.3} of the project; {sent:?}",
        proxy.cuts(),
        proxy.up_bytes()
    );
    assert_eq!(proxy.cuts(), CUTS);
    assert!(ratio <= 1.1, "{ratio}");
    // The client counts what it handed over, a little more than what left the machine.
    assert!(sent.sent_bytes as f64 / BYTES as f64 <= 1.1, "{sent:?}");
    assert!(sent.raw_bytes >= BYTES, "{sent:?}");
}

/// Five of them, in a quarter of the bytes.
#[tokio::test]
async fn cuts_of_a_download_cost_a_tenth_at_most() {
    const BYTES: u64 = 125_000_000;
    let farm = TestFarm::start().await;
    let proxy = Proxy::to(farm.running.addresses[0]).await;
    let dir = tempfile::tempdir().unwrap();
    let (root, manifest, source) = project(dir.path(), BYTES);
    send(&farm.api(), &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap();
    let api = farm
        .api_at(proxy.url())
        .retrying(Retry::for_at_most(Duration::from_secs(60)));
    proxy.cut_down_at(moments(BYTES).into_iter().step_by(4));

    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    receive(&api, &store, &[root], |_| {}).await.unwrap();
    let blobs: Vec<_> = manifest.blobs().copied().collect();
    receive(&api, &store, &blobs, |_| {}).await.unwrap();
    let ratio = proxy.down_bytes() as f64 / BYTES as f64;
    println!("{} cuts, {ratio:.3} of the project", proxy.cuts());
    assert_eq!(proxy.cuts(), CUTS / 4);
    assert!(ratio <= 1.1, "{ratio}");
}
