//! What the manager announces is what a pairing code can be compared with.

use mdns_sd::{ServiceDaemon, ServiceEvent};
use tessera_wire::MDNS_SERVICE;
use tessera_wire::discovery::{TXT_FARM, TXT_FINGERPRINT, interface_carries_lan};

use crate::harness::{config, soon, start_with};

#[tokio::test]
async fn an_announcement_names_farm_and_fingerprint_and_is_withdrawn() {
    let address = if_addrs::get_if_addrs()
        .unwrap()
        .into_iter()
        .find(|interface| {
            !interface.is_loopback()
                && interface.ip().is_ipv4()
                && interface_carries_lan(&interface.name)
        });
    let Some(interface) = address else {
        eprintln!("skipped: this machine has no network interface");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = vec![(interface.ip(), 0).into()];
    config.discovery = true;
    let farm = start_with(config).await.unwrap();
    let port = farm.running.addresses[0].port();
    let daemon = ServiceDaemon::new().unwrap();
    let browser = daemon.browse(MDNS_SERVICE).unwrap();
    let found = soon(async {
        loop {
            if let ServiceEvent::ServiceResolved(service) = browser.recv_async().await.unwrap()
                && service.get_port() == port
            {
                break service;
            }
        }
    })
    .await;
    assert_eq!(found.get_property_val_str(TXT_FARM), Some("test farm"));
    let fingerprint = farm.running.fingerprint.to_string();
    assert_eq!(
        found.get_property_val_str(TXT_FINGERPRINT),
        Some(fingerprint.as_str())
    );
    let fullname = found.get_fullname().to_owned();
    farm.stop().await;
    soon(async {
        loop {
            if let ServiceEvent::ServiceRemoved(_, gone) = browser.recv_async().await.unwrap()
                && gone == fullname
            {
                break;
            }
        }
    })
    .await;
    let _ = daemon.shutdown();
}
