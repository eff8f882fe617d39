//! What a manager announces by mDNS, and on which network interfaces that makes sense.
//!
//! An announcement is never trusted: it only says where somebody claims to be a farm. Whoever acts on it
//! compares the fingerprint with one it already holds, and then verifies the certificate behind it.

use crate::pairing::Fingerprint;

/// TXT key: fingerprint ([`Fingerprint`]) of the certificate that the manager's chain ends in, hexadecimal.
pub const TXT_FINGERPRINT: &str = "fp";

/// TXT key: the farm's name, for people.
pub const TXT_FARM: &str = "farm";

/// TXT key: newest protocol the manager speaks.
pub const TXT_PROTOCOL: &str = "protocol";

/// The instance name of a manager's service: unique for each farm and host, and within the 63 bytes that DNS allows.
#[must_use]
pub fn instance_name(fingerprint: &Fingerprint, host: &str) -> String {
    let mut host = host.replace('.', "-");
    let mut end = host.len().min(40);
    while !host.is_char_boundary(end) {
        end -= 1;
    }
    host.truncate(end);
    let print = fingerprint.to_string();
    format!("{host}-{}", &print[..16])
}

/// Whether an interface of this name leads to other machines.
///
/// Not so: loopback, and the bridges and cable ends of containers and virtual machines on this host. An announcement there
/// names addresses that nobody outside can reach, and clients would wait for them in vain.
#[must_use]
pub fn interface_carries_lan(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "docker", "br-", "virbr", "vnet", "cni", "flannel", "cali", "podman", "lxcbr", "lxdbr",
        "vmnet", "vboxnet",
    ];
    name != "lo" && name != "lo0" && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairing::FINGERPRINT_BYTES;

    #[test]
    fn instance_names_fit_dns() {
        let print = Fingerprint([0xab; FINGERPRINT_BYTES]);
        assert_eq!(
            instance_name(&print, "render.lan"),
            "render-lan-abababababababab"
        );
        assert!(instance_name(&print, &"é".repeat(200)).len() <= 63);
    }

    #[test]
    fn only_interfaces_to_others() {
        for name in [
            "eth0",
            "enp3s0",
            "wlan0",
            "bond0",
            "tessera-a",
            "veth-a",
            "br0",
        ] {
            assert!(interface_carries_lan(name), "{name}");
        }
        for name in ["lo", "docker0", "br-5f2a9c", "virbr0", "vnet3", "cni0"] {
            assert!(!interface_carries_lan(name), "{name}");
        }
    }
}
