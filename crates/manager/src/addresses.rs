//! What this machine is called and where it can be reached.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use tessera_wire::discovery::interface_carries_lan;

/// Addresses told of one worker: a machine has an interface or two that lead to others.
const PEER_ADDRESSES_MAX: usize = 3;

/// Whether an interface leads to the network: not those of containers and virtual machines, and not the ports of a bridge,
/// whose addresses, if they have any, nobody is meant to use.
pub(crate) fn is_network(interface: &str) -> bool {
    interface_carries_lan(interface)
        && !Path::new("/sys/class/net")
            .join(interface)
            .join("master")
            .exists()
}

/// The host's name; "localhost" if it has none.
pub(crate) fn host_name() -> String {
    name_of_system().unwrap_or_else(|| "localhost".into())
}

fn name_of_system() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok()?;
    (!name.is_empty()).then_some(name)
}

/// Every address of this machine: loopback, virtual and link-local ones too.
pub(crate) fn all_local() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = interfaces().iter().map(if_addrs::Interface::ip).collect();
    all.sort();
    all.dedup();
    all
}

fn interfaces() -> Vec<if_addrs::Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("cannot list network interfaces: {error}");
        Vec::new()
    })
}

/// Addresses under which others reach listeners bound to `bound`: for an unspecified one those of the network
/// interfaces, IPv4 first since people type them.
pub(crate) fn reachable(bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut reachable = Vec::new();
    let interfaces = interfaces();
    for address in bound {
        if !address.ip().is_unspecified() {
            reachable.push(*address);
            continue;
        }
        for interface in &interfaces {
            let ip = interface.ip();
            if ip.is_ipv4() == address.is_ipv4()
                && !interface.is_loopback()
                && !interface.is_link_local()
                && is_network(&interface.name)
            {
                reachable.push(SocketAddr::new(ip, address.port()));
            }
        }
    }
    reachable.sort_by_key(|address| (address.ip().is_loopback(), address.is_ipv6(), *address));
    reachable.dedup();
    if reachable.is_empty() {
        reachable.extend(loopback(bound));
    }
    reachable
}

/// Where this machine itself reaches them, if it can by a loopback address.
pub(crate) fn loopback(bound: &[SocketAddr]) -> Option<SocketAddr> {
    bound.iter().find_map(|address| {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip if ip.is_loopback() => ip,
            _ => return None,
        };
        Some(SocketAddr::new(ip, address.port()))
    })
}

/// Addresses under which workers reach one that is linked from `linked` and listens at `told`: there, or, if it did not say at
/// which address, where its link comes from. One that is linked over a loopback address is on this machine, which others reach as
/// they reach this manager, at `bound`.
pub(crate) fn of_peer(
    linked: SocketAddr,
    told: SocketAddr,
    bound: &[SocketAddr],
) -> Vec<SocketAddr> {
    let at = |ip: IpAddr| SocketAddr::new(ip.to_canonical(), told.port());
    if !told.ip().to_canonical().is_unspecified() {
        return vec![at(told.ip())];
    }
    if !linked.ip().to_canonical().is_loopback() {
        return vec![at(linked.ip())];
    }
    let mut all: Vec<SocketAddr> = reachable(bound)
        .iter()
        .map(|address| at(address.ip()))
        .collect();
    all.truncate(PEER_ADDRESSES_MAX);
    all
}

/// `https://host:port`.
pub(crate) fn url(host: &str, port: u16) -> String {
    format!("https://{host}:{port}")
}

/// `https://address:port`, an IPv6 address in brackets.
pub(crate) fn url_of(address: SocketAddr) -> String {
    format!("https://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_its_own_and_an_open_one_has_a_loopback() {
        let fixed: SocketAddr = "192.0.2.1:7373".parse().unwrap();
        assert_eq!(reachable(&[fixed]), [fixed]);
        assert_eq!(loopback(&[fixed]), None);
        let open: SocketAddr = "[::]:1".parse().unwrap();
        assert_eq!(loopback(&[fixed, open]), Some("[::1]:1".parse().unwrap()));
        assert_eq!(url_of("[::1]:1".parse().unwrap()), "https://[::1]:1");
        assert!(!is_network("docker0"));
    }
    #[test]
    fn a_worker_is_reached_where_its_link_comes_from_unless_it_says_otherwise() {
        let check = |linked: &str, told: &str, expected: &str| {
            let bound = ["192.0.2.1:7373".parse().unwrap()];
            let found = of_peer(linked.parse().unwrap(), told.parse().unwrap(), &bound);
            assert_eq!(found, [expected.parse().unwrap()]);
        };
        check("192.0.2.7:5000", "[::]:7400", "192.0.2.7:7400");
        check("[::ffff:192.0.2.7]:5000", "0.0.0.0:7400", "192.0.2.7:7400");
        check("192.0.2.7:5000", "192.0.2.8:7400", "192.0.2.8:7400");
        check("127.0.0.1:5000", "[::]:7400", "192.0.2.1:7400");
    }
}
