//! Managers that announce themselves on the local network.
//!
//! What is found here is only an address: an announcement proves nothing. It is compared with a fingerprint that is known
//! already, and the connection that follows verifies the certificate.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use mdns_sd::{IfKind, IfPredicate, Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use tessera_wire::MDNS_SERVICE;
use tessera_wire::discovery::{TXT_FARM, TXT_FINGERPRINT, interface_carries_lan};
use tessera_wire::pairing::Fingerprint;
use tokio::time::Instant;

/// Most announcements kept apart: somebody may flood the network with them.
const ANNOUNCEMENTS_MAX: usize = 1000;

/// Most addresses of one announcement that are tried.
const ADDRESSES_MAX: usize = 16;

/// A manager that announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The farm's name, as it says.
    pub farm: String,
    /// Fingerprint of its anchor, as it says.
    pub fingerprint: Fingerprint,
    /// Where (`https://IP:PORT`), IPv4 first.
    pub addresses: Vec<String>,
}

/// Looking around failed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// mDNS cannot be used here.
    #[error(
        "the local network cannot be searched ({source}): give the manager's address with --manager"
    )]
    Mdns {
        /// The library's own words.
        #[from]
        source: mdns_sd::Error,
    },
    /// Nobody with that fingerprint answered.
    #[error(
        "no manager of this farm was found on the local network within {} s: check that it runs and that multicast (UDP 5353) is not blocked, \
         or give its address with --manager",
        time.as_secs()
    )]
    Nobody {
        /// How long was looked.
        time: Duration,
    },
}

/// Managers as they are found; ends when its time is over. One whose addresses become more comes again.
pub struct Browse {
    inner: Pin<Box<dyn Stream<Item = Seen> + Send>>,
}

impl std::fmt::Debug for Browse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Browse")
    }
}

impl Stream for Browse {
    type Item = Seen;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Seen>> {
        self.inner.as_mut().poll_next(cx)
    }
}

/// Looks for managers for so long; only for those of one farm if a fingerprint is given.
///
/// # Errors
/// If mDNS cannot be used here.
pub fn browse(fingerprint: Option<Fingerprint>, time: Duration) -> Result<Browse, DiscoverError> {
    let daemon = Daemon(ServiceDaemon::new()?);
    // Before browsing, so that nothing is asked where nobody is.
    daemon
        .0
        .disable_interface(IfKind::Predicate(IfPredicate::new(|interface| {
            !leads_to_others(&interface.name)
        })))?;
    let receiver = daemon.0.browse(MDNS_SERVICE)?;
    let search = Search {
        _daemon: daemon,
        receiver,
        fingerprint,
        until: Instant::now() + time,
        seen: HashMap::new(),
    };
    let inner = futures_util::stream::unfold(search, |mut search| async move {
        search.next().await.map(|seen| (seen, search))
    })
    .fuse();
    Ok(Browse {
        inner: Box::pin(inner),
    })
}

/// The first manager of a farm that is found.
///
/// # Errors
/// If there is none within `time`, or mDNS cannot be used here.
pub async fn find_manager(fingerprint: Fingerprint, time: Duration) -> Result<Seen, DiscoverError> {
    browse(Some(fingerprint), time)?
        .next()
        .await
        .ok_or(DiscoverError::Nobody { time })
}

/// Ends the daemon's thread with the search.
struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It can only fail if the thread is gone already.
        let _ = self.0.shutdown();
    }
}

struct Search {
    _daemon: Daemon,
    receiver: Receiver<ServiceEvent>,
    fingerprint: Option<Fingerprint>,
    until: Instant,
    seen: HashMap<String, Seen>,
}

impl Search {
    async fn next(&mut self) -> Option<Seen> {
        loop {
            let event = tokio::time::timeout_at(self.until, self.receiver.recv_async())
                .await
                .ok()?
                .ok()?;
            let ServiceEvent::ServiceResolved(service) = event else {
                continue;
            };
            let Some(seen) = read(&service) else { continue };
            let wanted = self
                .fingerprint
                .is_none_or(|wanted| wanted == seen.fingerprint);
            let known = self.seen.get(&service.fullname) == Some(&seen);
            if wanted && !known && self.seen.len() < ANNOUNCEMENTS_MAX {
                self.seen.insert(service.fullname.clone(), seen.clone());
                return Some(seen);
            }
        }
    }
}

fn read(service: &ResolvedService) -> Option<Seen> {
    let fingerprint = Fingerprint::from_str(service.get_property_val_str(TXT_FINGERPRINT)?).ok()?;
    let farm = service
        .get_property_val_str(TXT_FARM)
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(64)
        .collect();
    let mut ips: Vec<IpAddr> = service
        .addresses
        .iter()
        .map(mdns_sd::ScopedIp::to_ip_addr)
        .filter(|ip| reachable(*ip))
        .collect();
    ips.sort_unstable();
    ips.truncate(ADDRESSES_MAX);
    let addresses: Vec<_> = ips
        .iter()
        .map(|ip| format!("https://{}", std::net::SocketAddr::new(*ip, service.port)))
        .collect();
    (!addresses.is_empty()).then_some(Seen {
        farm,
        fingerprint,
        addresses,
    })
}

/// Addresses that a URL can name and another machine can use. A link-local IPv6 address needs a zone, which URLs lack.
fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast(),
        IpAddr::V6(ip) => {
            !ip.is_loopback()
                && !ip.is_unspecified()
                && !ip.is_multicast()
                && !ip.is_unicast_link_local()
        }
    }
}

/// Whether other machines are behind an interface: neither a container's bridge nor a cable end plugged into a bridge of this host.
#[must_use]
pub fn leads_to_others(name: &str) -> bool {
    interface_carries_lan(name) && !is_bridge_port(name)
}

#[cfg(target_os = "linux")]
fn is_bridge_port(name: &str) -> bool {
    name.starts_with("veth")
        && std::path::Path::new("/sys/class/net")
            .join(name)
            .join("brport")
            .exists()
}

#[cfg(not(target_os = "linux"))]
fn is_bridge_port(_name: &str) -> bool {
    false
}
