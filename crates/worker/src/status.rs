//! How the worker stands, for whoever shows it: a line on a terminal, a test that waits for something.

use std::fmt;

use tessera_model::{Build, Rest, WorkerId, WorkerMode};

/// All that is shown of a worker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// Its name in the farm.
    pub name: String,
    /// The farm's name.
    pub farm: String,
    /// Its number in the farm, once it is known.
    pub worker: Option<WorkerId>,
    /// How it is linked to a manager.
    pub link: LinkStatus,
    /// Blenders it can run.
    pub builds: Vec<Build>,
    /// Set while its owner's hours let it rest.
    pub rest: Option<Rest>,
    /// What each slot does.
    pub slots: Vec<SlotStatus>,
    /// Leases in hand that have not begun.
    pub waiting: usize,
    /// Frames whose results are on their way to the manager.
    pub unsent: usize,
    /// Frames rendered since the start.
    pub done: u64,
    /// Frames that failed since the start.
    pub failed: u64,
}

/// How the worker is linked to a manager.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LinkStatus {
    /// It never was.
    #[default]
    Connecting,
    /// It is.
    Linked {
        /// The manager's address.
        manager: String,
        /// What it gets.
        mode: WorkerMode,
    },
    /// It was; it tries again.
    Lost {
        /// Why.
        reason: String,
    },
    /// The manager does not let it in.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

/// What a slot does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotStatus {
    /// Nothing.
    Idle {
        /// The Blender living in it.
        warm: Option<Build>,
    },
    /// Starts a Blender ahead of work.
    Starting {
        /// Which.
        build: Build,
    },
    /// Loads a scene.
    Loading {
        /// The job's name.
        job: String,
    },
    /// Renders.
    Rendering {
        /// The job's name.
        job: String,
        /// The frame.
        frame: i32,
    },
}

impl SlotStatus {
    /// Whether it has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            LinkStatus::Connecting => write!(f, "connecting to {}", self.farm)?,
            LinkStatus::Linked { manager, mode } => {
                write!(f, "{} of {} at {manager}", self.name, self.farm)?;
                match mode {
                    WorkerMode::Active => {}
                    WorkerMode::Paused => f.write_str(", paused")?,
                    WorkerMode::Draining => f.write_str(", draining")?,
                    WorkerMode::Blocked => f.write_str(", blocked")?,
                }
            }
            LinkStatus::Lost { reason } => write!(f, "link lost ({reason}), trying again")?,
            LinkStatus::Refused { reason } => write!(f, "refused: {reason}")?,
        }
        if let Some(rest) = &self.rest {
            write!(f, " · rests ({})", rest.reason)?;
        }
        if self.builds.is_empty() {
            f.write_str(" · no Blender found")?;
        }
        for slot in &self.slots {
            match slot {
                SlotStatus::Idle { .. } => {}
                SlotStatus::Starting { build } => write!(f, " · starting {build}")?,
                SlotStatus::Loading { job } => write!(f, " · loading {job}")?,
                SlotStatus::Rendering { job, frame } => write!(f, " · {job} frame {frame}")?,
            }
        }
        if self.slots.iter().all(SlotStatus::is_idle) {
            f.write_str(" · idle")?;
        }
        write!(f, " · {} done", self.done)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.unsent > 0 {
            write!(f, ", {} to send", self.unsent)?;
        }
        Ok(())
    }
}
