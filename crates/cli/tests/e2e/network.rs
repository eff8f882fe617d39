//! Machines of their own: network namespaces on one bridge, each with an address, a loopback and, if wanted, a file system of its own.
//!
//! Making them needs root. Where that is not to be had the tests fail, unless `TESSERA_NO_NETNS=1` says that they shall be left out.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use xtask::farm::Home;

use crate::ended::run;

/// Machines on one bridge.
pub struct Network {
    /// Begins the names of its namespaces.
    name: String,
    hosts: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: String,
    /// The namespace with the bridge, and this host's port of it.
    hub: String,
    port: String,
    pub address: String,
}

impl Network {
    /// One without machines; none if they are not wanted here.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("TESSERA_NO_NETNS").is_some_and(|value| value == "1") {
            eprintln!("left out, as TESSERA_NO_NETNS says: nothing is tested between hosts");
            return None;
        }
        let name = format!(
            "tsr{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let network = Self {
            name,
            hosts: Vec::new(),
        };
        let hub = network.hub();
        let made = Command::new("ip").args(["netns", "add", &hub]).output();
        assert!(
            made.as_ref().is_ok_and(|made| made.status.success()),
            "network namespaces cannot be made here ({made:?}): run the tests as root, or set TESSERA_NO_NETNS=1 to leave out \
             all that is tested between hosts"
        );
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "bridge", "up"]);
        Some(network)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// One more machine.
    pub fn host(&mut self) -> Host {
        let number = self.hosts.len() + 1;
        let host = Host {
            namespace: format!("{}-{number}", self.name),
            hub: self.hub(),
            port: format!("port{number}"),
            address: format!("10.77.0.{number}"),
        };
        self.hosts.push(host.namespace.clone());
        let Host {
            namespace,
            hub,
            port,
            address,
        } = &host;
        ip(&["netns", "add", namespace]);
        ip(&[
            "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns",
            namespace,
        ]);
        ip(&["-n", hub, "link", "set", port, "master", "bridge", "up"]);
        ip(&["-n", namespace, "link", "set", "lo", "up"]);
        ip(&[
            "-n",
            namespace,
            "addr",
            "add",
            &format!("{address}/24"),
            "dev",
            "eth0",
        ]);
        ip(&["-n", namespace, "link", "set", "eth0", "up"]);
        host
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.hub()]) {
            // A test that failed may have left processes in it; the namespace goes with the last of them.
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .output();
        }
    }
}

impl Host {
    /// The same user on this machine.
    pub fn home(&self, home: Home) -> Home {
        home.under(&[&ip_program(), "netns", "exec", &self.namespace])
    }

    /// The same, where this folder is another, empty one: nothing in it is shared with other machines.
    pub fn home_without(&self, home: Home, hidden: &Path) -> Home {
        let mount = format!("mount -t tmpfs none '{}' && exec \"$@\"", hidden.display());
        home.under(&[
            &ip_program(),
            "netns",
            "exec",
            &self.namespace,
            "unshare",
            "-m",
            "sh",
            "-c",
            &mount,
            "sh",
        ])
    }

    /// Cuts the cable: packets are lost, and nobody is told.
    pub fn cut(&self) {
        ip(&["-n", &self.hub, "link", "set", &self.port, "nomaster"]);
    }

    /// Mends it.
    pub fn mend(&self) {
        ip(&[
            "-n", &self.hub, "link", "set", &self.port, "master", "bridge",
        ]);
    }

    /// Lets no multicast through to this machine, as networks between buildings and many wireless ones do.
    pub fn block_multicast(&self) {
        let filter = ["mcast_flood", "off"];
        let port = [
            "netns", "exec", &self.hub, "bridge", "link", "set", "dev", &self.port,
        ];
        ip(&[&port[..], &filter[..]].concat());
        // What is for the link alone passes a bridge in any case; this machine does not take it.
        ip(&[
            "-n",
            &self.namespace,
            "link",
            "set",
            "eth0",
            "multicast",
            "off",
        ]);
    }

    /// A second interface, with this address.
    pub fn second_interface(&self, address: &str) {
        ip(&[
            "-n",
            &self.namespace,
            "link",
            "add",
            "eth1",
            "type",
            "veth",
            "peer",
            "name",
            "nowhere",
        ]);
        ip(&["-n", &self.namespace, "link", "set", "nowhere", "up"]);
        ip(&[
            "-n",
            &self.namespace,
            "addr",
            "add",
            &format!("{address}/24"),
            "dev",
            "eth1",
        ]);
        ip(&["-n", &self.namespace, "link", "set", "eth1", "up"]);
    }

    /// Bytes that left this machine for others since it is there, with all that is around them on the wire.
    pub fn sent_bytes(&self) -> u64 {
        let counter = "/sys/class/net/eth0/statistics/tx_bytes";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "cat", counter]);
        run(&mut command).done().text().trim().parse().unwrap()
    }

    /// Whether a connection from this machine to there is accepted.
    pub fn reaches(&self, address: &str, port: u16) -> bool {
        self.bash(&format!("exec 3<>/dev/tcp/{address}/{port}"))
    }

    /// Whether who listens there waits for what this host has to say, and does not hang up at once.
    pub fn is_let_in(&self, address: &str, port: u16) -> bool {
        // `read` ends by a number above 128 if nothing came in time, not even an end.
        let wait = "read -t 3 -N 1 <&3; test $? -gt 128";
        self.bash(&format!("exec 3<>/dev/tcp/{address}/{port} && {wait}"))
    }

    fn bash(&self, script: &str) -> bool {
        let mut command = Command::new("ip");
        let of_host = ["netns", "exec", &self.namespace];
        command.args(of_host);
        command.args(["timeout", "5", "bash", "-c", script]);
        run(&mut command).status == 0
    }
}

/// Where `ip` is: a user's own search path may not lead there.
fn ip_program() -> String {
    let all = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&all)
        .map(|folder| folder.join("ip"))
        .find(|path| path.exists());
    found
        .expect("`ip` is there, or no namespace could have been made")
        .to_str()
        .unwrap()
        .to_owned()
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments)).done();
}
