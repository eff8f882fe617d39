//! Processes seen from outside: which belong to a home, and when they are gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Longest that a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(15);

/// A process, and not another one that has its number later.
#[derive(Debug)]
pub struct Watched {
    pub pid: i32,
    pub command: String,
    handle: OwnedFd,
}

impl Watched {
    /// All that run with this home as TESSERA_HOME, whoever started them.
    pub fn of_home(home: &Path) -> Vec<Self> {
        let wanted = format!("TESSERA_HOME={}", home.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let Some(handle) =
                Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if !environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
            {
                continue;
            }
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(Self {
                pid,
                command,
                handle,
            });
        }
        found
    }

    /// Those of them that are Blender.
    pub fn blenders_of(home: &Path) -> Vec<Self> {
        let mut found = Self::of_home(home);
        found.retain(|process| process.command.contains("tessera-driver"));
        found
    }

    /// Kills it as an out-of-memory killer would.
    pub fn kill(&self) {
        // One that is gone already needs no killing.
        let _ = kill_process(Pid::from_raw(self.pid).unwrap(), Signal::KILL);
    }

    /// Waits until it is gone.
    #[track_caller]
    pub fn gone(&self) {
        let time = Timespec {
            tv_sec: GONE.as_secs() as i64,
            tv_nsec: 0,
        };
        let mut waited = [PollFd::new(&self.handle, PollFlags::IN)];
        let ended = poll(&mut waited, Some(&time)).unwrap();
        assert_eq!(
            ended, 1,
            "still there after {GONE:?}: {} {}",
            self.pid, self.command
        );
    }
}
