//! The Blenders of this machine, and all else the worker says of itself.

use std::sync::Arc;

use sysinfo::System;
use tessera_blender::{Build as LocalBuild, DeviceKind, Found, Series};
use tessera_model::{Build, Gpu, WorkerFacts};

use crate::config::WorkerConfig;
use crate::gpu_memory::GpuMemory;

/// Blenders that were found, by the name the farm knows each by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blenders {
    builds: Arc<Vec<(Build, LocalBuild)>>,
    gpu_memory: GpuMemory,
}

impl Blenders {
    /// Of two that are the same to the farm, the one found first is used.
    pub(crate) fn new(found: Vec<LocalBuild>, gpu_memory: GpuMemory) -> Self {
        let mut builds: Vec<(Build, LocalBuild)> = Vec::new();
        for local in found {
            let build = Build::from(&local);
            if !builds.iter().any(|(known, _)| *known == build) {
                builds.push((build, local));
            }
        }
        Self {
            builds: Arc::new(builds),
            gpu_memory,
        }
    }

    pub(crate) fn get(&self, build: &Build) -> Option<&LocalBuild> {
        let found = self.builds.iter().find(|(known, _)| known == build);
        found.map(|(_, local)| local)
    }

    pub(crate) fn builds(&self) -> Vec<Build> {
        self.builds.iter().map(|(build, _)| build.clone()).collect()
    }

    /// The one a file of this series would be rendered with.
    pub(crate) fn choose(&self, series: Series) -> Option<Build> {
        let local = self.builds.iter().map(|(_, local)| local);
        tessera_blender::choose(series, local).map(Build::from)
    }

    /// Every GPU that some of them can use, once.
    fn gpus(&self) -> Vec<Gpu> {
        let devices = self.builds.iter().flat_map(|(_, local)| &local.devices);
        let mut gpus = Vec::new();
        for device in devices {
            let interface = match device.kind {
                DeviceKind::Cpu => continue,
                DeviceKind::Cuda => "cuda",
                DeviceKind::Optix => "optix",
                DeviceKind::Hip => "hip",
                DeviceKind::Oneapi => "oneapi",
                DeviceKind::Metal => "metal",
            };
            let gpu = Gpu {
                interface: interface.to_owned(),
                name: device.name.clone(),
                memory_bytes: self.gpu_memory.bytes(device),
            };
            if !gpus.contains(&gpu) {
                gpus.push(gpu);
            }
        }
        gpus
    }
}

/// Looks for Blenders and says what came of it.
pub(crate) async fn find(config: &WorkerConfig) -> Blenders {
    let Found { builds, broken } = tessera_blender::find(&config.search()).await;
    for broken in broken {
        tracing::warn!(path = %broken.path.display(), "this Blender does not run: {}", broken.reason);
    }
    for build in &builds {
        tracing::info!("found {build}");
    }
    if builds.is_empty() {
        tracing::warn!(
            "no Blender found on this machine, so this worker gets no work: install one (apt-get install blender, \
             or https://www.blender.org/download/), or name it with --blender PATH; then start the worker again"
        );
    }
    let devices = builds.iter().flat_map(|build| &build.devices);
    let gpu_memory = GpuMemory::of(devices).await;
    Blenders::new(builds, gpu_memory)
}

/// What this worker says of itself. Reads the host; cheap, but blocking.
pub(crate) fn facts(config: &WorkerConfig, blenders: &Blenders) -> WorkerFacts {
    let memory_bytes = System::new().map_or(0, |mut system| {
        system.refresh_memory();
        system.total_memory()
    });
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    WorkerFacts {
        divides: true,
        slots: config.slots.get(),
        threads: config.threads().get(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        memory_bytes,
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        host: default_name(),
        tags: config.tags.clone(),
        builds: blenders.builds(),
        gpus: blenders.gpus(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rest: None,
    }
}

/// The name a worker takes unless told otherwise: its host's.
#[must_use]
pub fn default_name() -> String {
    System::host_name().unwrap_or_else(|_| "worker".to_owned())
}
