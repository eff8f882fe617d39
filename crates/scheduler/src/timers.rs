//! What is due when. A timer says only "look again then": whoever looks decides by the state at that time, so one
//! that was set for something that is over does no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{JobId, StepIndex, WorkerId};

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A worker may be silent for too long, or gone.
    Worker(WorkerId),
    /// A unit's back-off is over.
    Retry(JobId, StepIndex, u32),
    /// A job may have waited for too long.
    Starved(JobId),
    /// Usage is measured.
    Sample,
    /// The line is put in order.
    Rerank,
    /// Workers that were passed over are asked again.
    Passed,
    /// A job may find somebody to preempt.
    Preempt,
    /// Stragglers may be worth a second lease.
    Stragglers,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(BTreeSet<(Duration, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Usage is measured at this time and not when it was meant to be.
    pub(crate) fn reset_sample(&mut self, at: Duration) {
        self.0.retain(|(_, timer)| *timer != Timer::Sample);
        self.set(at, Timer::Sample);
    }

    /// Takes out the first one that is due.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Timer> {
        let &(at, timer) = self.0.first()?;
        (at <= now).then(|| {
            self.0.pop_first();
            timer
        })
    }
}
