//! What a run is made of. A plan and nothing else decides all that happens in it.

use std::fmt;
use std::time::Duration;

use crate::fault::Faults;

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Decides all that the other fields leave open.
    pub seed: u64,
    /// Machines.
    pub workers: u32,
    /// Frames of all jobs together.
    pub frames: u32,
    /// Jobs; as many as suit the frames if none.
    pub jobs: Option<u32>,
    /// What goes wrong.
    pub faults: Faults,
    /// How long it goes wrong, in minutes.
    pub minutes: u32,
}

/// Trouble lasts so long unless something else is said: long enough for links to expire (90 s), jobs to starve (2 min)
/// and machines to come back (5 min).
pub const DEFAULT_MINUTES: u32 = 8;

impl Plan {
    /// A plan with every kind of fault.
    #[must_use]
    pub fn new(seed: u64, workers: u32, frames: u32) -> Self {
        Self {
            seed,
            workers,
            frames,
            jobs: None,
            faults: Faults::all(),
            minutes: DEFAULT_MINUTES,
        }
    }

    /// How long things go wrong.
    pub(crate) fn trouble(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }

    /// Number of jobs.
    pub(crate) fn job_count(&self) -> u32 {
        // Enough for the balance between them to matter, few enough for each to have frames to hand out.
        let suitable = (self.frames / 100).clamp(3, 1000).min(self.frames.max(1));
        self.jobs.unwrap_or(suitable).clamp(1, self.frames.max(1))
    }
}

/// The command that runs it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cargo xtask sim --seed {} --workers {} --frames {}",
            self.seed, self.workers, self.frames
        )?;
        if let Some(jobs) = self.jobs {
            write!(f, " --jobs {jobs}")?;
        }
        if self.faults != Faults::all() {
            write!(f, " --faults {}", self.faults)?;
        }
        if self.minutes != DEFAULT_MINUTES {
            write!(f, " --minutes {}", self.minutes)?;
        }
        Ok(())
    }
}
