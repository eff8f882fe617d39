//! A process and all its descendants: what they use, and ending them.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sysinfo::{Pid as SysPid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What a process tree uses at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Resident.
    pub memory_bytes: u64,
    /// Used so far by the processes that live.
    pub cpu_seconds: f64,
}

/// Samples a tree again and again.
pub(super) struct Sampler {
    root: u32,
    /// Absent where the system refuses to be asked: then there is neither a memory limit nor a hang to be seen.
    system: Option<System>,
}

/// One sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) usage: Usage,
    /// Differs from the previous one if the tree did anything: its processes, their CPU milliseconds, their disk bytes.
    pub(super) trace: (BTreeSet<u32>, u64, u64),
}

impl Sampler {
    pub(super) fn new(root: u32) -> Self {
        Self {
            root,
            system: System::new().ok(),
        }
    }

    pub(super) fn sample(&mut self) -> Option<Sample> {
        let system = self.system.as_mut()?;
        let pids = descendants(self.root);
        let wanted: Vec<SysPid> = pids.iter().map(|pid| SysPid::from_u32(*pid)).collect();
        let kind = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&wanted), true, kind);
        let (mut memory_bytes, mut cpu_milliseconds, mut disk_bytes) = (0, 0, 0);
        for process in wanted.iter().filter_map(|pid| system.process(*pid)) {
            memory_bytes += process.memory();
            cpu_milliseconds += process.accumulated_cpu_time();
            let disk = process.disk_usage();
            disk_bytes += disk.total_read_bytes + disk.total_written_bytes;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of CPU stay far below 2^52"
        )]
        let cpu_seconds = cpu_milliseconds as f64 / 1000.0;
        Some(Sample {
            usage: Usage {
                memory_bytes,
                cpu_seconds,
            },
            trace: (pids, cpu_milliseconds, disk_bytes),
        })
    }
}

/// Kills the process group of `root`, and those of its descendants that left the group.
pub(super) fn kill(root: u32) {
    let escaped = descendants(root);
    if let Some(group) = pid(root) {
        // Gone already: nothing is left to do.
        let _ = kill_process_group(group, Signal::KILL);
    }
    for process in escaped.into_iter().filter_map(pid) {
        let _ = kill_process(process, Signal::KILL);
    }
}

fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// `root` and its descendants. Linux lists children per thread, which spares reading the whole process table.
#[cfg(target_os = "linux")]
fn descendants(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([root]);
    let mut unseen = vec![root];
    while let Some(parent) = unseen.pop() {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let Ok(children) = std::fs::read_to_string(thread.path().join("children")) else {
                continue;
            };
            unseen.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|pid| pid.parse().ok())
                    .filter(|pid| found.insert(*pid)),
            );
        }
    }
    found
}

#[cfg(not(target_os = "linux"))]
fn descendants(root: u32) -> BTreeSet<u32> {
    let Ok(mut system) = System::new() else {
        return BTreeSet::from([root]);
    };
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        for (pid, process) in system.processes() {
            if process
                .parent()
                .is_some_and(|parent| found.contains(&parent.as_u32()))
            {
                found.insert(pid.as_u32());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
