//! rsync's daemon on a port of its own, and copies to it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Longest wait for the daemon to listen.
const UP_WITHIN: Duration = Duration::from_secs(10);

/// A daemon that takes files into a folder. Ended when dropped.
pub(super) struct Daemon {
    child: Child,
    port: u16,
}

/// What a copy cost.
pub(super) struct Copied {
    pub(super) took: Duration,
    /// Both ways: the sums of what is there come from the other end.
    pub(super) wire_bytes: u64,
}

impl Daemon {
    pub(super) fn start(place: &Path) -> Result<Self> {
        let files = place.join("files");
        std::fs::create_dir_all(&files)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config: PathBuf = place.join("rsyncd.conf");
        // Started by root it would write as somebody else.
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        let text = format!(
            "uid = {}\ngid = {}\nuse chroot = no\nreverse lookup = no\nmax verbosity = 0\n[project]\npath = {}\nread only = no\n",
            user.as_raw(),
            group.as_raw(),
            files.display()
        );
        std::fs::write(&config, text)?;
        let child = Command::new("rsync")
            .args(["--daemon", "--no-detach", "--address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--config={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start rsync: install it (apt-get install rsync)")?;
        let daemon = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begun.elapsed() > UP_WITHIN {
                bail!("rsync's daemon does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// `rsync -a --fsync FOLDER/`.
    pub(super) fn copy(&self, folder: &Path) -> Result<Copied> {
        let mut command = Command::new("rsync");
        command
            .args(["-a", "--fsync", "--stats"])
            .arg(format!("{}/", folder.display()))
            .arg(format!("rsync://127.0.0.1:{}/project/", self.port));
        let begun = Instant::now();
        let output = command.stdin(Stdio::null()).output()?;
        let took = begun.elapsed();
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let stats = String::from_utf8_lossy(&output.stdout);
        let count = |what: &str| -> Result<u64> {
            let number = stats.lines().find_map(|line| line.strip_prefix(what));
            let number = number.context("rsync does not say how much went over the wire")?;
            Ok(number.replace(',', "").parse()?)
        };
        let wire_bytes = count("Total bytes sent: ")? + count("Total bytes received: ")?;
        Ok(Copied { took, wire_bytes })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
