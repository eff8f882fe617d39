//! Blocks both ways: what is known does not travel, what was cut goes on.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tessera_blobs::{BlobRef, Entry, Manifest, Origin, Store, TreePath, read_file};
use tessera_client::{Ask, BlockSource, Retry, SendError, receive, send};

use crate::support::{Proxy, TestFarm, noise};

fn pack(files: &[&Path]) -> (Manifest, BlobRef, Arc<Origin>) {
    let (mut manifest, mut origin) = (Manifest::new(), Origin::new());
    for path in files {
        let cut = origin.add_file(path).unwrap();
        manifest
            .insert(
                TreePath::new(path.to_str().unwrap().trim_start_matches('/')).unwrap(),
                Entry::file(&cut),
            )
            .unwrap();
    }
    let root = origin.add_manifest(&manifest);
    (manifest, root, Arc::new(origin))
}

#[tokio::test]
async fn an_edit_costs_about_the_edit() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (scene, texture) = (dir.path().join("scene.blend"), dir.path().join("a.png"));
    let mut blend = [b"BLENDER-v304".as_slice(), &noise(60 << 20, 1)].concat();
    std::fs::write(&scene, &blend).unwrap();
    std::fs::write(&texture, noise(5 << 20, 2)).unwrap();
    let api = farm.api();
    let send = async |pieces: &mut u64| {
        let (_, root, origin) = pack(&[&scene, &texture]);
        let source = BlockSource::Origin(origin);
        let mut count = |progress: tessera_client::SendProgress| {
            assert!(progress.done_bytes <= progress.total_bytes);
            *pieces += 1;
        };
        send(&api, &source, &[root], &[], Ask::First, &mut count)
            .await
            .unwrap()
    };
    let mut pieces = 0;
    let first = send(&mut pieces).await;
    assert!(
        first.raw_bytes >= 65 << 20 && first.sent_bytes > 65 << 20 && first.sent_bytes < 66 << 20,
        "{first:?}"
    );
    assert!(pieces > 10);
    let again = send(&mut pieces).await;
    assert!(
        again.blocks == 0 && again.sent_bytes + again.received_bytes < 500,
        "{again:?}"
    );
    blend[30 << 20] ^= 1;
    std::fs::write(&scene, &blend).unwrap();
    let edited = send(&mut pieces).await;
    println!("60 MB, one byte edited: {edited:?}");
    assert!(
        edited.sent_bytes + edited.received_bytes < 300_000,
        "{edited:?}"
    );
}

#[tokio::test]
async fn a_cut_transfer_goes_on_where_it_was() {
    let farm = TestFarm::start().await;
    let proxy = Proxy::to(farm.running.addresses[0]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("big.exr");
    let bytes = noise(40 << 20, 3);
    std::fs::write(&file, &bytes).unwrap();
    let (manifest, root, origin) = pack(&[&file]);
    let source = BlockSource::Origin(origin);
    let api = farm.api_at(proxy.url());
    proxy.cut_after(15 << 20);
    send(&api, &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap_err();
    assert_eq!(proxy.cuts(), 1);
    let rest = send(&api, &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap();
    assert!(rest.raw_bytes < 40 << 20, "{rest:?}");
    // With patience, one call does it.
    let other = dir.path().join("other.exr");
    std::fs::write(&other, noise(40 << 20, 4)).unwrap();
    let (_, other_root, origin) = pack(&[&other]);
    proxy.cut_after(15 << 20);
    let patient = api.retrying(Retry::for_at_most(Duration::from_secs(20)));
    send(
        &patient,
        &BlockSource::Origin(origin),
        &[other_root],
        &[],
        Ask::First,
        |_| {},
    )
    .await
    .unwrap();
    assert_eq!(proxy.cuts(), 2);

    // And back, into a store.
    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    receive(&api, &store, &[root], |_| {}).await.unwrap();
    let blobs: Vec<_> = Manifest::read(&root, |digest| store.get(digest))
        .unwrap()
        .blobs()
        .copied()
        .collect();
    assert_eq!(blobs, manifest.blobs().copied().collect::<Vec<_>>());
    let got = receive(&api, &store, &blobs, |progress| {
        assert!(progress.done_blocks <= progress.total_blocks)
    })
    .await
    .unwrap();
    assert!(got.received_bytes > 40 << 20);
    assert_eq!(
        receive(&api, &store, &blobs, |_| {}).await.unwrap().blocks,
        0
    );
    let mut out = Vec::new();
    read_file(&blobs[0], |digest| store.get(digest), &mut out).unwrap();
    assert!(out == bytes);

    // A worker's way: out of its store, unasked.
    let fresh = TestFarm::start().await;
    let sent = send(
        &fresh.api(),
        &BlockSource::Store(store.clone()),
        &[],
        &blobs,
        Ask::Never,
        |_| {},
    )
    .await
    .unwrap();
    assert!(sent.blocks > 10);
    let mut lacking = Vec::new();
    for blob in &blobs {
        lacking.extend(fresh.api().blobs_missing(&[blob.digest]).await.unwrap());
    }
    assert!(lacking.is_empty());
    let error = receive(&fresh.api(), &store, &[other_root], |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no longer has"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_under_way_is_noticed() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.png");
    std::fs::write(&file, noise(3 << 20, 5)).unwrap();
    let (_, root, origin) = pack(&[&file]);
    std::fs::write(&file, noise(3 << 20, 6)).unwrap();
    let error = send(
        &farm.api(),
        &BlockSource::Origin(origin),
        &[root],
        &[],
        Ask::First,
        |_| {},
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, SendError::Changed { path } if *path == file),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_disk_damaged_is_mended_by_sending_everything() {
    let farm = TestFarm::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.png");
    std::fs::write(&file, noise(12 << 20, 7)).unwrap();
    let (manifest, root, origin) = pack(&[&file]);
    let (api, source) = (farm.api(), BlockSource::Origin(origin));
    let sent = send(&api, &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap();

    // One byte in each megabyte, lists and data alike.
    let packs = farm.dir.path().join("manager/blobs/packs");
    for pack in std::fs::read_dir(packs).unwrap() {
        let path = pack.unwrap().path();
        let pack = std::fs::File::options().write(true).open(path).unwrap();
        for at in (100_000..pack.metadata().unwrap().len()).step_by(1 << 20) {
            pack.write_all_at(b"damaged", at).unwrap();
        }
    }
    // It does not know, and says that it has everything.
    let again = send(&api, &source, &[root], &[], Ask::First, |_| {})
        .await
        .unwrap();
    assert_eq!(again.blocks, 0);
    let forced = send(&api, &source, &[root], &[], Ask::Force, |_| {})
        .await
        .unwrap();
    assert_eq!(
        (forced.blocks, forced.raw_bytes),
        (sent.blocks, sent.raw_bytes)
    );

    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    let blobs: Vec<_> = manifest.blobs().copied().chain([root]).collect();
    receive(&api, &store, &blobs, |_| {}).await.unwrap();
    let mut out = Vec::new();
    read_file(&blobs[0], |digest| store.get(digest), &mut out).unwrap();
    assert!(out == std::fs::read(&file).unwrap());
}
