//! What a job needs of a worker, criterion by criterion.
//!
//! The same criteria decide who may render a job and tell why nobody does.

use std::fmt;

use tessera_model::{Build, Device, Gpu, Job, Series, SeriesRange, WorkerRecord};

/// One thing a worker must have. The order is the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Criterion {
    /// A Blender that can open files of this series; the job is not pinned to one yet.
    SomeBuild(Series, Option<SeriesRange>),
    /// This Blender.
    Build(Build),
    /// One of these names.
    Named(Vec<String>),
    /// This tag.
    Tag(String),
    /// This device.
    Device(Device),
    /// This operating system.
    Os(String),
    /// So many logical processors.
    Cores(u32),
    /// So much memory, in bytes.
    Memory(u64),
    /// That it renders parts of frames, and puts them together.
    Divides,
    /// A GPU whose name has this part, and so much memory, in bytes; of the device's interface if the job asks for one.
    Gpu(Option<String>, Option<u64>, Option<String>),
}

impl Criterion {
    /// Whether a worker has it. One that never said what it is has nothing.
    pub(crate) fn is_met(&self, worker: &WorkerRecord) -> bool {
        let Some(facts) = &worker.facts else {
            return false;
        };
        match self {
            Self::SomeBuild(..) => false,
            Self::Build(build) => facts.builds.contains(build),
            Self::Named(names) => names.contains(&worker.name),
            Self::Tag(tag) => facts.tags.contains(tag),
            Self::Device(Device::File | Device::Cpu) => true,
            Self::Device(Device::Gpu) => !facts.gpus.is_empty(),
            Self::Device(Device::Interface(name)) => {
                facts.gpus.iter().any(|gpu| gpu.interface == *name)
            }
            Self::Os(os) => facts.os == *os,
            Self::Cores(cores) => facts.cores >= *cores,
            Self::Memory(bytes) => facts.memory_bytes >= *bytes,
            Self::Divides => facts.divides,
            Self::Gpu(name, bytes, interface) => facts
                .gpus
                .iter()
                .any(|gpu| gpu_is(gpu, name.as_deref(), *bytes, interface.as_deref())),
        }
    }
}

fn gpu_is(gpu: &Gpu, name: Option<&str>, bytes: Option<u64>, interface: Option<&str>) -> bool {
    let named = |part: &str| gpu.name.to_lowercase().contains(&part.to_lowercase());
    name.is_none_or(named)
        && bytes.is_none_or(|bytes| gpu.memory_bytes.is_some_and(|has| has >= bytes))
        && interface.is_none_or(|interface| gpu.interface == interface)
}

/// All that a job asks of a worker.
pub(crate) fn criteria(job: &Job, step: usize) -> Vec<Criterion> {
    let requirement = &job.settings.requirement;
    let mut all = vec![match &job.build {
        Some(build) => Criterion::Build(build.clone()),
        None => Criterion::SomeBuild(job.file_version, requirement.blender),
    }];
    if !requirement.workers.is_empty() {
        let mut names = requirement.workers.clone();
        names.sort();
        names.dedup();
        all.push(Criterion::Named(names));
    }
    let mut tags = job.settings.tags.clone();
    tags.sort();
    tags.dedup();
    all.extend(tags.into_iter().map(Criterion::Tag));
    let device = job.steps.get(step).map(|step| &step.overrides().device);
    if let Some(device @ (Device::Gpu | Device::Interface(_))) = device {
        all.push(Criterion::Device(device.clone()));
    }
    if job.steps.iter().any(|step| step.divided().is_some()) {
        all.push(Criterion::Divides);
    }
    all.extend(requirement.os.clone().map(Criterion::Os));
    all.extend(requirement.cores.map(Criterion::Cores));
    all.extend(requirement.memory_bytes.map(Criterion::Memory));
    if requirement.gpu.is_some() || requirement.gpu_memory_bytes.is_some() {
        let interface = match device {
            Some(Device::Interface(name)) => Some(name.clone()),
            _ => None,
        };
        let memory = requirement.gpu_memory_bytes;
        all.push(Criterion::Gpu(requirement.gpu.clone(), memory, interface));
    }
    all
}

/// Bytes as people say them: the unit that leaves a number of one to four digits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["bytes", "kB", "MB", "GB", "TB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1000.0 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        let digits = usize::from(value.fract() > 0.05 && value < 100.0);
        write!(f, "{value:.digits$} {}", units[unit])
    }
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// What is needed, as the object of "needs".
impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SomeBuild(series, None) => write!(f, "Blender {series} or newer"),
            Self::SomeBuild(series, Some(range)) => {
                write!(f, "Blender {series} or newer within {range}")
            }
            Self::Build(build) => build.fmt(f),
            Self::Named(names) => write!(f, "a worker named {}", names.join(" or ")),
            Self::Tag(tag) => write!(f, "the tag {tag}"),
            Self::Device(Device::Interface(name)) => {
                write!(f, "{} device", with_article(&name.to_uppercase()))
            }
            Self::Device(Device::Gpu) => f.write_str("a GPU"),
            Self::Device(Device::File | Device::Cpu) => f.write_str("a processor"),
            Self::Os(os) => write!(f, "the system {os}"),
            Self::Cores(cores) => write!(f, "{cores} cores"),
            Self::Memory(bytes) => write!(f, "{} of memory", Bytes(*bytes)),
            Self::Divides => f.write_str("a worker of this version"),
            Self::Gpu(name, bytes, interface) => {
                let kind = interface.as_ref().map(|name| name.to_uppercase());
                write!(f, "{}", with_article(kind.as_deref().unwrap_or("GPU")))?;
                if interface.is_some() {
                    f.write_str(" device")?;
                }
                if let Some(name) = name {
                    write!(f, " named {name}")?;
                }
                if let Some(bytes) = bytes {
                    write!(f, " with {}", Bytes(*bytes))?;
                }
                Ok(())
            }
        }
    }
}
