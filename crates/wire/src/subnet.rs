//! A range of addresses, as in `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: IpAddr,
    prefix_bits: u8,
}

/// A text that is not a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a subnet: write it as 192.168.1.0/24, fd00::/8 or a single address")]
pub struct SubnetError(pub String);

/// The address as 128 bits, and how many of them its family has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl Subnet {
    /// Whether `address` lies in it. An IPv4 address that comes in IPv6's clothes counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, width) = bits(self.network);
        let (address, address_width) = bits(address.to_canonical());
        let rest = u32::from(width - self.prefix_bits);
        width == address_width
            && network.checked_shr(rest).unwrap_or(0) == address.checked_shr(rest).unwrap_or(0)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;
    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let bad = || SubnetError(text.to_owned());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let network: IpAddr = address.parse().map_err(|_| bad())?;
        let width = bits(network).1;
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| bad())?,
            None => width,
        };
        if prefix_bits > width {
            return Err(bad());
        }
        Ok(Self {
            network,
            prefix_bits,
        })
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// Whether who comes from `address` to the address `own` of this machine is let in by a list of subnets: anyone if it is empty, and
/// whoever is on this machine always, since who can start programs on it needs no network to reach it.
#[must_use]
pub fn lets_in(allow_from: &[Subnet], address: IpAddr, own: IpAddr) -> bool {
    let address = address.to_canonical();
    allow_from.is_empty()
        || address.is_loopback()
        || address == own.to_canonical()
        || allow_from.iter().any(|subnet| subnet.contains(address))
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subnet: &str, inside: &[&str], outside: &[&str]) {
        let subnet: Subnet = subnet.parse().unwrap();
        for address in inside {
            assert!(
                subnet.contains(address.parse().unwrap()),
                "{subnet} {address}"
            );
        }
        for address in outside {
            assert!(
                !subnet.contains(address.parse().unwrap()),
                "{subnet} {address}"
            );
        }
    }

    #[test]
    fn holds_what_shares_its_first_bits() {
        check(
            "10.0.0.0/8",
            &["10.255.1.2", "::ffff:10.0.0.1"],
            &["11.0.0.0", "::a"],
        );
        check("192.168.1.7", &["192.168.1.7"], &["192.168.1.6"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("fd00::/8", &["fdff::1"], &["fe00::1", "10.0.0.1"]);
        check("::/0", &["fe80::1"], &["10.0.0.1"]);
    }

    #[test]
    fn lets_in_who_is_on_the_list_or_on_this_machine() {
        let list = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let own = "::ffff:172.16.0.5".parse().unwrap();
        let check = |list: &[Subnet], address: &str| lets_in(list, address.parse().unwrap(), own);
        for address in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "fd00::1",
            "127.0.0.1",
            "::1",
            "172.16.0.5",
        ] {
            assert!(check(&list, address), "{address}");
        }
        for address in ["11.0.0.1", "::ffff:11.0.0.1", "fe80::1"] {
            assert!(!check(&list, address), "{address}");
            assert!(check(&[], address), "{address}");
        }
    }

    #[test]
    fn travels_as_it_is_written() {
        let text = r#""10.0.0.0/8""#;
        let subnet: Subnet = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&subnet).unwrap(), text);
        assert!(serde_json::from_str::<Subnet>(r#""10.0.0.0/33""#).is_err());
    }

    #[test]
    fn says_what_it_cannot_read() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "x/1",
            "::/129",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }
}
