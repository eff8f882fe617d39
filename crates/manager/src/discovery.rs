//! Announces the farm in the local network. What is announced is trusted by nobody: it only saves typing an address.
//!
//! It never fails the manager: without it `--manager ADDRESS` works as well.

use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, ServiceDaemon, ServiceInfo};
use tessera_wire::discovery::{TXT_FARM, TXT_FINGERPRINT, TXT_PROTOCOL, instance_name};
use tessera_wire::pairing::Fingerprint;
use tessera_wire::{MDNS_SERVICE, PROTOCOL};

use crate::addresses;

/// Longest wait for the good-bye to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// A running announcement.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    fullname: String,
}

/// Announces `bound` on the interfaces that lead to others; none if that is not possible, which is logged.
pub(crate) fn announce(
    farm: &str,
    fingerprint: &Fingerprint,
    bound: &[SocketAddr],
) -> Option<Announcement> {
    let reachable = addresses::reachable(bound);
    if reachable.iter().all(|address| address.ip().is_loopback()) {
        tracing::info!("not announced: the manager listens on this machine alone");
        return None;
    }
    match try_announce(farm, fingerprint, bound, &reachable) {
        Ok(announcement) => Some(announcement),
        Err(error) => {
            tracing::warn!(
                "cannot announce the farm in the network ({error}): others need --manager with its address"
            );
            None
        }
    }
}

fn try_announce(
    farm: &str,
    fingerprint: &Fingerprint,
    bound: &[SocketAddr],
    reachable: &[SocketAddr],
) -> Result<Announcement, mdns_sd::Error> {
    // One announcement has one port; addresses with another one are left out.
    let port = reachable[0].port();
    let host = addresses::host_name();
    let properties = [
        (TXT_PROTOCOL, PROTOCOL.to_string()),
        (TXT_FINGERPRINT, fingerprint.to_string()),
        (TXT_FARM, farm.to_owned()),
    ];
    let ips: Vec<_> = reachable
        .iter()
        .filter(|address| address.port() == port)
        .map(SocketAddr::ip)
        .collect();
    let instance = instance_name(fingerprint, &host);
    let mdns_host = format!("{instance}.local.");
    let open = bound.iter().any(|address| address.ip().is_unspecified());
    let mut service = ServiceInfo::new(
        MDNS_SERVICE,
        &instance,
        &mdns_host,
        &ips[..],
        port,
        &properties[..],
    )?;
    if open {
        // Follows the machine into other networks, on the families that it listens on.
        service = service.enable_addr_auto();
    }
    let (v4, v6) = (
        bound.iter().any(SocketAddr::is_ipv4),
        bound.iter().any(SocketAddr::is_ipv6),
    );
    let carries = move |interface: &if_addrs::Interface| {
        let ip = interface.ip();
        !interface.is_loopback()
            && addresses::is_network(&interface.name)
            && (if ip.is_ipv4() { v4 } else { v6 })
            && (open || ips.contains(&ip))
    };
    let daemon = ServiceDaemon::new()?;
    let started = daemon
        .disable_interface(IfKind::All)
        .and_then(|()| daemon.enable_interface(IfKind::Predicate(IfPredicate::new(carries))));
    let fullname = service.get_fullname().to_owned();
    if let Err(error) = started.and_then(|()| daemon.register(service)) {
        let _ = daemon.shutdown();
        return Err(error);
    }
    tracing::info!(%fullname, port, "announced in the local network");
    Ok(Announcement { daemon, fullname })
}

impl Announcement {
    /// Says good-bye, so that nobody looks for the manager any more.
    pub(crate) async fn withdraw(self) {
        if let Ok(farewell) = self.daemon.unregister(&self.fullname) {
            let _ = tokio::time::timeout(FAREWELL, farewell.recv_async()).await;
        }
        if let Ok(down) = self.daemon.shutdown() {
            let _ = tokio::time::timeout(FAREWELL, down.recv_async()).await;
        }
    }
}
