//! Why something is not being rendered.

use std::fmt;
use std::time::Duration;

use tessera_model::{JobId, WorkerId};

use crate::scheduler::Scheduler;

/// All that keeps a job or a worker from more work now, most telling first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Why {
    /// One clause each.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// In words only.
    Other(String),
}

impl Reason {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "other"
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.reasons.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            reason.fmt(f)?;
        }
        Ok(())
    }
}

pub(crate) fn job(scheduler: &Scheduler, now: Duration, id: JobId) -> Option<Why> {
    let entry = scheduler.jobs.get(&id)?;
    let _ = now;
    let text = if entry.leases.is_empty() {
        "waits".to_owned()
    } else {
        String::new()
    };
    let reasons = (!text.is_empty()).then_some(Reason::Other(text));
    Some(Why {
        reasons: reasons.into_iter().collect(),
    })
}

pub(crate) fn worker(scheduler: &Scheduler, _now: Duration, id: WorkerId) -> Option<Why> {
    scheduler.workers.get(&id).map(|_| Why::default())
}
