//! How the worker's machine is, for the heartbeat.

use std::path::{Path, PathBuf};

use sysinfo::System;
use tessera_wire::link::Machine;

use crate::gpu_load::GpuGauge;
use crate::slot::Roll;

/// Samples the machine; what is in use is measured since the sample before.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// None on a system that tells nothing.
    system: Option<System>,
    gpus: GpuGauge,
    /// The Blenders that live.
    roll: Roll,
    data_dir: PathBuf,
}

impl Gauge {
    pub(crate) fn new(data_dir: &Path, roll: Roll) -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self {
            system,
            gpus: GpuGauge::start(),
            roll,
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads a few files of the kernel; blocking, for less than a millisecond.
    pub(crate) fn sample(&mut self) -> Machine {
        let disk = Disk::of(&self.data_dir);
        let mut machine = Machine {
            blenders_bytes: Some(self.roll.memory_bytes()),
            disk_free_bytes: disk.as_ref().map_or(0, |disk| disk.free_bytes),
            disk_total_bytes: disk.map(|disk| disk.total_bytes),
            gpus: self.gpus.last(),
            ..Machine::default()
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            machine.cpu = (system.global_cpu_usage() / 100.0).clamp(0.0, 1.0);
            machine.memory_bytes = system.used_memory();
            machine.memory_total_bytes = Some(system.total_memory());
        }
        machine
    }
}

/// The file system that holds a folder.
#[derive(Debug)]
struct Disk {
    /// What an ordinary user can still write.
    free_bytes: u64,
    total_bytes: u64,
}

impl Disk {
    fn of(dir: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(dir).ok()?;
        Some(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_as_its_system_tells_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut gauge = Gauge::new(dir.path(), Roll::new(1));
        let machine = gauge.sample();
        assert!((0.0..=1.0).contains(&machine.cpu), "{machine:?}");
        let total = machine.memory_total_bytes.unwrap();
        assert!((1..=total).contains(&machine.memory_bytes), "{machine:?}");
        let disk = machine.disk_total_bytes.unwrap();
        assert!((1..=disk).contains(&machine.disk_free_bytes), "{machine:?}");
        assert_eq!(machine.blenders_bytes, Some(0));
        if cfg!(target_os = "linux") {
            let told = std::fs::read_to_string("/proc/meminfo").unwrap();
            let first = told.lines().next().unwrap();
            let kib: u64 = first.split_whitespace().nth(1).unwrap().parse().unwrap();
            assert_eq!(total, kib << 10, "{first}");
        }
    }
}
