//! How the worker's machine is, for the heartbeat.

use std::path::{Path, PathBuf};

use sysinfo::System;
use tessera_wire::link::Machine;

/// Samples the machine; what is in use is measured since the sample before.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// None on a system that tells nothing.
    system: Option<System>,
    data_dir: PathBuf,
}

impl Gauge {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self {
            system,
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads a few files of the kernel; blocking, for less than a millisecond.
    pub(crate) fn sample(&mut self) -> Machine {
        let mut machine = Machine {
            disk_free_bytes: free_bytes(&self.data_dir).unwrap_or(0),
            ..Machine::default()
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            machine.cpu = (system.global_cpu_usage() / 100.0).clamp(0.0, 1.0);
            machine.memory_bytes = system.used_memory();
        }
        machine
    }
}

/// Bytes that an ordinary user can still write there.
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
