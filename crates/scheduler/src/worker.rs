//! What the scheduler knows of a worker.

use std::collections::VecDeque;
use std::time::Duration;

use tessera_model::{FarmSettings, JobId, LeaseKey, Rest, WorkerMode, WorkerRecord};

use crate::builds::Counted;
use crate::pace::Speed;
use crate::pools::Spot;

/// File trees remembered to lie at a worker: about what fits in its cache.
const FILES_MAX: usize = 32;

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

/// Why a worker gets nothing at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// No link.
    Away,
    /// Silent for too long.
    Silent,
    /// Held by its owner or an administrator.
    Held(WorkerMode),
    /// Its hours say so.
    Resting(Rest),
    /// It keeps no Blender.
    NoSlots,
}

/// A worker.
#[derive(Debug, Clone)]
pub(crate) struct WorkerEntry {
    pub record: WorkerRecord,
    pub link: Link,
    /// Silent for so long that it gets nothing new.
    pub silent: bool,
    /// Leases that have not ended, in the order they were handed out.
    pub leases: Vec<LeaseKey>,
    /// Jobs whose scene its slots have open, the latest first.
    pub loaded: Vec<JobId>,
    /// File trees that were brought to it, the latest last.
    pub files: VecDeque<[u8; 32]>,
    /// How fast it renders.
    pub speed: Speed,
    /// What the results weigh that it was measured by, in millionths of a frame.
    pub measured: u64,
    /// Needs it meets, one bit each, as far as they were looked at.
    pub meets: Vec<u64>,
    /// Needs that were looked at.
    pub looked_at: usize,
    /// Where it stands among those that can be given work.
    pub spot: Option<Spot>,
    /// Everything ready was refused to it; it is asked again later.
    pub passed: bool,
    /// Up to when what its slots do is counted.
    pub accrued_at: Duration,
    /// When a timer looks at it next.
    pub watched_at: Option<Duration>,
    /// What it was counted with in [`Builds`](crate::builds::Builds).
    pub counted: Counted,
}

impl WorkerEntry {
    pub(crate) fn new(record: WorkerRecord) -> Self {
        Self {
            record,
            link: Link::Absent,
            silent: false,
            leases: Vec::new(),
            loaded: Vec::new(),
            files: VecDeque::new(),
            speed: Speed::default(),
            measured: 0,
            meets: Vec::new(),
            looked_at: 0,
            spot: None,
            passed: false,
            accrued_at: Duration::ZERO,
            watched_at: None,
            counted: Counted::default(),
        }
    }

    pub(crate) fn is_linked(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    pub(crate) fn slots(&self) -> usize {
        self.record
            .facts
            .as_ref()
            .map_or(0, |facts| facts.slots as usize)
    }

    /// Why it gets nothing at all; none if it may get work.
    pub(crate) fn absence(&self) -> Option<Absence> {
        let Some(facts) = self.record.facts.as_ref().filter(|_| self.is_linked()) else {
            return Some(Absence::Away);
        };
        if self.silent {
            return Some(Absence::Silent);
        }
        if self.record.mode != WorkerMode::Active {
            return Some(Absence::Held(self.record.mode));
        }
        if let Some(rest) = &facts.rest {
            return Some(Absence::Resting(rest.clone()));
        }
        (facts.slots == 0).then_some(Absence::NoSlots)
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

    /// When it has been silent for too long to be given more; none if it has no link or that is so already.
    pub(crate) fn falls_silent_at(&self, settings: &FarmSettings) -> Option<Duration> {
        match self.link {
            // Exactly that long is not too long.
            Link::Open(heard) if !self.silent => {
                Some(heard + Duration::from_millis(settings.suspect_after_ms + 1))
            }
            _ => None,
        }
    }

    pub(crate) fn has_loaded(&self, job: JobId) -> bool {
        self.loaded.contains(&job)
    }

    pub(crate) fn has_files(&self, manifest: &[u8; 32]) -> bool {
        self.files.contains(manifest)
    }

    /// Remembers that a tree lies here now.
    pub(crate) fn brought(&mut self, manifest: [u8; 32]) {
        if self.files.back() == Some(&manifest) {
            return;
        }
        self.files.retain(|known| *known != manifest);
        if self.files.len() == FILES_MAX {
            self.files.pop_front();
        }
        self.files.push_back(manifest);
    }
}
