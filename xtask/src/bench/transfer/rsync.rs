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
    pub(super) sent_bytes: u64,
}

impl Daemon {
    pub(super) fn start(place: &Path) -> Result<Self> {
        let files = place.join("files");
        std::fs::create_dir_all(&files)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config: PathBuf = place.join("rsyncd.conf");
        let text = format!(
            "use chroot = no\nreverse lookup = no\nmax verbosity = 0\n[project]\npath = {}\nread only = no\n",
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
        let sent_bytes = stats
            .lines()
            .find_map(|line| line.strip_prefix("Total bytes sent: "))
            .context("rsync does not say how much it sent")?
            .replace(',', "")
            .parse()?;
        Ok(Copied { took, sent_bytes })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
