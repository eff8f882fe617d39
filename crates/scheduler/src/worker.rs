//! What the scheduler knows of a worker, and whether it may be given a job's frames.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{Device, FarmSettings, LeaseKey, WorkerFacts, WorkerMode, WorkerRecord};

use crate::job::JobEntry;

/// How a worker is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not since the manager started, or long gone: it holds nothing.
    Absent,
    /// Not yet since the manager's restart; what it held then is kept for it until this time.
    Awaited(Duration),
    /// Open; last heard then.
    Open(Duration),
    /// Closed then.
    Closed(Duration),
}

/// A worker.
#[derive(Debug)]
pub(crate) struct WorkerEntry {
    pub record: WorkerRecord,
    pub link: Link,
    /// Leases that have not ended.
    pub leases: BTreeSet<LeaseKey>,
}

/// Why a worker gets nothing of a job. The order is the order in which reasons are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    /// No link.
    Away,
    /// Silent for too long.
    Silent,
    /// Its owner or an admin holds it.
    Held,
    /// It lacks the build.
    Build,
    /// It lacks a tag.
    Tags,
    /// It lacks the device.
    Device,
    /// It is blocked for this job.
    Blocked,
}

impl WorkerEntry {
    pub(crate) fn new(record: WorkerRecord) -> Self {
        Self {
            record,
            link: Link::Absent,
            leases: BTreeSet::new(),
        }
    }

    pub(crate) fn is_linked(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    fn facts(&self) -> Option<&WorkerFacts> {
        self.record.facts.as_ref()
    }

    pub(crate) fn slots(&self) -> usize {
        self.facts().map_or(0, |facts| facts.slots as usize)
    }

    /// When what it holds is handed out again, if nothing is heard of it.
    pub(crate) fn lapses_at(&self, settings: &FarmSettings) -> Option<Duration> {
        if self.leases.is_empty() {
            return None;
        }
        match self.link {
            Link::Absent => Some(Duration::ZERO),
            Link::Awaited(until) => Some(until),
            Link::Open(heard) => Some(heard + Duration::from_millis(settings.expired_after_ms)),
            Link::Closed(at) => Some(at + Duration::from_millis(settings.closed_after_ms)),
        }
    }

    /// Whether it may get frames of this job now, its free slots aside.
    pub(crate) fn fits(
        &self,
        job: &JobEntry,
        settings: &FarmSettings,
        now: Duration,
    ) -> Result<(), Unfit> {
        let (Link::Open(heard), Some(facts)) = (self.link, self.facts()) else {
            return Err(Unfit::Away);
        };
        if now.saturating_sub(heard) > Duration::from_millis(settings.suspect_after_ms) {
            return Err(Unfit::Silent);
        }
        if self.record.mode != WorkerMode::Active {
            return Err(Unfit::Held);
        }
        if !job
            .job
            .build
            .as_ref()
            .is_some_and(|build| facts.builds.contains(build))
        {
            return Err(Unfit::Build);
        }
        if !job
            .job
            .settings
            .tags
            .iter()
            .all(|tag| facts.tags.contains(tag))
        {
            return Err(Unfit::Tags);
        }
        let device = job.open_step().and_then(|step| job.device(step));
        let has_device = match device {
            None | Some(Device::File | Device::Cpu) => true,
            Some(Device::Gpu) => !facts.gpus.is_empty(),
            Some(Device::Interface(name)) => facts.gpus.iter().any(|gpu| gpu.interface == *name),
        };
        if !has_device {
            return Err(Unfit::Device);
        }
        if job.blocked.contains(&self.record.id) {
            return Err(Unfit::Blocked);
        }
        Ok(())
    }
}
