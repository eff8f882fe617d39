//! What GPUs do: those of NVIDIA, whose driver comes with a library (NVML) that tells. It is looked for at run time, so a machine
//! without it loses nothing. Other makers have no such library that is everywhere: their GPUs are not measured.
//!
//! A driver that is stuck never answers, so it is asked by a thread of its own, which nobody waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use tessera_wire::link::{GPU_NAME_MAX, GPUS_MAX, GpuLoad, HEARTBEAT};

/// An answer that is older is no longer told: the driver does not answer any more.
const OLD_AFTER: Duration = HEARTBEAT.saturating_mul(3);

/// The last answer.
#[derive(Debug, Default)]
struct Last(Mutex<Option<(Instant, Vec<GpuLoad>)>>);

impl Last {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Vec<GpuLoad>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct GpuGauge {
    last: Arc<Last>,
}

impl GpuGauge {
    /// Begins to ask, and does so for as long as this value lives.
    pub(crate) fn start() -> Self {
        let last = Arc::new(Last::default());
        let told = Arc::downgrade(&last);
        let asking = std::thread::Builder::new()
            .name("gpu load".to_owned())
            .spawn(move || ask(&told));
        if let Err(error) = asking {
            tracing::warn!("the load of GPUs stays unknown, no thread can be started: {error}");
        }
        Self { last }
    }

    /// Of each GPU that can be measured, how it was a moment ago.
    pub(crate) fn last(&self) -> Vec<GpuLoad> {
        let last = self.last.lock();
        let fresh = last.as_ref().filter(|(at, _)| at.elapsed() < OLD_AFTER);
        fresh.map(|(_, gpus)| gpus.clone()).unwrap_or_default()
    }
}

fn ask(told: &Weak<Last>) {
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(error) => {
            tracing::debug!("no GPU is measured: {error}");
            return;
        }
    };
    while let Some(last) = told.upgrade() {
        let gpus = sample(&nvml);
        *last.lock() = Some((Instant::now(), gpus));
        drop(last);
        std::thread::sleep(HEARTBEAT);
    }
}

fn sample(nvml: &Nvml) -> Vec<GpuLoad> {
    let count = nvml.device_count().unwrap_or(0);
    (0..count)
        .filter_map(|index| {
            let load = nvml.device_by_index(index).and_then(|device| load(&device));
            load.inspect_err(|error| tracing::debug!("GPU {index} cannot be measured: {error}"))
                .ok()
        })
        .take(GPUS_MAX)
        .collect()
}

fn load(device: &Device<'_>) -> Result<GpuLoad, NvmlError> {
    let memory = device.memory_info()?;
    let mut name = device.name()?;
    name.truncate(name.floor_char_boundary(GPU_NAME_MAX));
    // A GPU that is divided (MIG) does not tell how busy it is.
    let busy = device.utilization_rates().ok();
    Ok(GpuLoad {
        name,
        busy: busy.map(|rates| (rates.gpu as f32 / 100.0).clamp(0.0, 1.0)),
        memory_bytes: memory.used,
        memory_total_bytes: memory.total,
        celsius: device.temperature(TemperatureSensor::Gpu).ok(),
    })
}
