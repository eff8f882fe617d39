//! Managers found on the local network.

use std::time::Duration;

use futures_util::StreamExt;
use tessera_client::{
    DISCOVERY_TIME, browse, find_manager, fingerprint_of, join_as_worker, leads_to_others,
};
use tessera_model::PairingGrant;
use tessera_wire::pairing::PairingLink;

use crate::support::TestFarm;

/// Whether this machine is on a network at all.
fn has_network() -> bool {
    let names = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    names
        .filter(|name| leads_to_others(&name.file_name().to_string_lossy()))
        .any(|name| {
            std::fs::read_to_string(name.path().join("operstate"))
                .is_ok_and(|state| state.trim() == "up")
        })
}

#[tokio::test]
async fn a_code_alone_is_enough_on_one_network() {
    if !has_network() {
        eprintln!("no network here: discovery is not tested");
        return;
    }
    let (farm, _other) = (TestFarm::announced().await, TestFarm::announced().await);
    let seen = find_manager(farm.running.fingerprint, DISCOVERY_TIME)
        .await
        .unwrap();
    assert_eq!(
        (seen.fingerprint, &seen.farm),
        (farm.running.fingerprint, &farm.running.farm)
    );
    assert!(
        seen.addresses
            .iter()
            .all(|address| !address.contains("127.0.0.1") && !address.contains("[::1]")),
        "{seen:?}"
    );
    let link = farm.link(PairingGrant::Worker).await;
    let worker = join_as_worker(
        &PairingLink {
            address: None,
            code: link.code,
        },
        "found",
    )
    .await
    .unwrap();
    assert_eq!(worker.name, "found");

    let nobody = fingerprint_of(b"nobody");
    let error = find_manager(nobody, Duration::from_millis(300))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("--manager"), "{error}");
    let all: Vec<_> = browse(None, Duration::from_secs(3))
        .unwrap()
        .collect()
        .await;
    assert!(
        all.iter()
            .any(|seen| seen.fingerprint == farm.running.fingerprint),
        "{all:?}"
    );
}
