//! Figures of each worker's machine. They are a text of their own: whoever has thousands of workers chooses whether to keep so many
//! series.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tessera_wire::api::WorkerStatus;
use tessera_wire::link::{GpuLoad, Machine};

use super::set;

type OfWorker = [(&'static str, String); 1];
type OfGpu = [(&'static str, String); 3];
type Share = Gauge<f64, AtomicU64>;

#[derive(Debug, Default)]
struct Figures {
    cpu: Family<OfWorker, Share>,
    memory_used: Family<OfWorker, Gauge>,
    memory: Family<OfWorker, Gauge>,
    blenders: Family<OfWorker, Gauge>,
    disk_free: Family<OfWorker, Gauge>,
    disk: Family<OfWorker, Gauge>,
    slots: Family<OfWorker, Gauge>,
    busy_slots: Family<OfWorker, Gauge>,
    gpu_busy: Family<OfGpu, Share>,
    gpu_memory_used: Family<OfGpu, Gauge>,
    gpu_memory: Family<OfGpu, Gauge>,
    gpu_temperature: Family<OfGpu, Gauge>,
}

/// All of it as text. Of a worker that is away there is nothing.
pub(crate) fn text(workers: &[WorkerStatus]) -> Result<String, fmt::Error> {
    let figures = Figures::default();
    for worker in workers.iter().filter(|worker| worker.linked) {
        figures.work(worker);
        if let Some(machine) = &worker.machine {
            figures.machine(&worker.name, machine);
        }
    }
    let mut text = String::new();
    encode(&mut text, &figures.registry())?;
    Ok(text)
}

impl Figures {
    fn work(&self, worker: &WorkerStatus) {
        let label = [("worker", worker.name.clone())];
        let slots = worker.facts.as_ref().map_or(0, |facts| facts.slots);
        set(&self.slots, &label, slots);
        let busy = worker.holds.iter().filter(|held| held.rendering).count();
        set(&self.busy_slots, &label, busy as u64);
    }

    fn machine(&self, worker: &str, machine: &Machine) {
        let label = [("worker", worker.to_owned())];
        self.cpu.get_or_create(&label).set(machine.cpu.into());
        set(&self.memory_used, &label, machine.memory_bytes);
        set(&self.disk_free, &label, machine.disk_free_bytes);
        // What a worker of before does not tell is not there, rather than 0.
        for (figure, value) in [
            (&self.memory, machine.memory_total_bytes),
            (&self.blenders, machine.blenders_bytes),
            (&self.disk, machine.disk_total_bytes),
        ] {
            if let Some(value) = value {
                set(figure, &label, value);
            }
        }
        for (number, gpu) in machine.gpus.iter().enumerate() {
            self.gpu(worker, number, gpu);
        }
    }

    fn gpu(&self, worker: &str, number: usize, gpu: &GpuLoad) {
        let label = [
            ("worker", worker.to_owned()),
            ("gpu", number.to_string()),
            ("name", gpu.name.clone()),
        ];
        if let Some(busy) = gpu.busy {
            self.gpu_busy.get_or_create(&label).set(busy.into());
        }
        set(&self.gpu_memory_used, &label, gpu.memory_bytes);
        set(&self.gpu_memory, &label, gpu.memory_total_bytes);
        if let Some(celsius) = gpu.celsius {
            set(&self.gpu_temperature, &label, celsius);
        }
    }

    fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("tessera_worker");
        let ratio = || Unit::Other("ratio".to_owned());
        let help = "Part of all processors in use";
        registry.register_with_unit("cpu", help, ratio(), self.cpu);
        let help = "Memory in use";
        registry.register_with_unit("memory_used", help, Unit::Bytes, self.memory_used);
        registry.register_with_unit("memory", "All memory", Unit::Bytes, self.memory);
        let help = "Memory that its Blenders hold";
        registry.register_with_unit("blenders_memory", help, Unit::Bytes, self.blenders);
        let help = "Free space where it keeps its data";
        registry.register_with_unit("disk_free", help, Unit::Bytes, self.disk_free);
        let help = "All space where it keeps its data";
        registry.register_with_unit("disk", help, Unit::Bytes, self.disk);
        registry.register("slots", "Frames that it can render at once", self.slots);
        registry.register("slots_busy", "Frames that it renders", self.busy_slots);
        let help = "Part of the time in which a GPU computed";
        registry.register_with_unit("gpu_busy", help, ratio(), self.gpu_busy);
        let help = "Memory of a GPU in use";
        registry.register_with_unit("gpu_memory_used", help, Unit::Bytes, self.gpu_memory_used);
        let help = "All memory of a GPU";
        registry.register_with_unit("gpu_memory", help, Unit::Bytes, self.gpu_memory);
        let help = "Temperature of a GPU";
        registry.register_with_unit("gpu_temperature", help, Unit::Celsius, self.gpu_temperature);
        registry
    }
}
