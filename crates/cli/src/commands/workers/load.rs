//! How a worker's machine is, in words.

use tessera_wire::api::WorkerStatus;
use tessera_wire::link::{GpuLoad, Machine};

use crate::units::Bytes;

/// Of one whose program is older than what is measured.
pub(super) const UNTOLD: &str = "not told";

pub(super) fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}

pub(super) fn memory(machine: &Machine) -> String {
    of(machine.memory_bytes, machine.memory_total_bytes)
}

pub(super) fn blenders(machine: &Machine) -> String {
    let bytes = machine.blenders_bytes;
    bytes.map_or(UNTOLD.to_owned(), |bytes| Bytes(bytes).to_string())
}

pub(super) fn disk_free(machine: &Machine) -> String {
    of(machine.disk_free_bytes, machine.disk_total_bytes)
}

fn of(part: u64, whole: Option<u64>) -> String {
    match whole {
        Some(whole) => format!("{} of {}", Bytes(part), Bytes(whole)),
        None => Bytes(part).to_string(),
    }
}

/// Its GPUs. Whether it has none or they cannot be measured is known from what it said of itself.
pub(super) fn gpus(worker: &WorkerStatus, machine: &Machine) -> String {
    let has_some = worker
        .facts
        .as_ref()
        .is_some_and(|facts| !facts.gpus.is_empty());
    match (machine.gpus.as_slice(), has_some) {
        ([], false) => "none".to_owned(),
        ([], true) => "not measured".to_owned(),
        (gpus, _) => gpus.iter().map(gpu).collect::<Vec<_>>().join("; "),
    }
}

fn gpu(gpu: &GpuLoad) -> String {
    let mut parts: Vec<String> = gpu.busy.map(percent).into_iter().collect();
    parts.push(of(gpu.memory_bytes, Some(gpu.memory_total_bytes)));
    parts.extend(gpu.celsius.map(|celsius| format!("{celsius} °C")));
    format!("{} {}", gpu.name, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use tessera_model::{WorkerId, WorkerMode};

    use super::*;

    #[test]
    fn what_is_not_told_is_said_so() {
        let old = Machine {
            cpu: 0.366,
            memory_bytes: 12_100_000_000,
            disk_free_bytes: 5_000_000_000,
            ..Machine::default()
        };
        assert_eq!(percent(old.cpu), "37 %");
        assert_eq!(memory(&old), "12.1 GB");
        assert_eq!(blenders(&old), UNTOLD);
        assert_eq!(disk_free(&old), "5.0 GB");
        let new = Machine {
            memory_total_bytes: Some(64_000_000_000),
            gpus: vec![
                GpuLoad {
                    name: "NVIDIA H200".into(),
                    busy: Some(0.88),
                    memory_bytes: 12_000_000_000,
                    memory_total_bytes: 150_000_000_000,
                    celsius: Some(61),
                },
                GpuLoad {
                    name: "part".into(),
                    memory_total_bytes: 1000,
                    ..GpuLoad::default()
                },
            ],
            ..old.clone()
        };
        let worker = WorkerStatus {
            id: WorkerId(1),
            name: "anna".into(),
            facts: None,
            mode: WorkerMode::Active,
            linked: true,
            silent_ms: None,
            holds: Vec::new(),
            address: None,
            machine: None,
            note: String::new(),
        };
        assert_eq!(memory(&new), "12.1 GB of 64.0 GB");
        assert_eq!(
            gpus(&worker, &new),
            "NVIDIA H200 88 %, 12.0 GB of 150.0 GB, 61 °C; part 0 bytes of 1.0 kB"
        );
        assert_eq!(gpus(&worker, &old), "none");
    }
}
