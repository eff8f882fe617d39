//! What happened, for a person to read: when, who, what. One line each.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use tessera_model::{Change, LeaseKey};

/// Lines kept for the end of a report: enough to see what led to it.
pub(crate) const TAIL_MAX: usize = 80;

/// Where lines go.
pub enum Trace {
    /// Nowhere: nothing is even put into words.
    Off,
    /// The last of them are kept.
    Tail(VecDeque<String>),
    /// All of them are written.
    Full(Box<dyn Write + Send>),
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Tail(_) => "Tail",
            Self::Full(_) => "Full",
        })
    }
}

impl Trace {
    /// One that keeps the last lines.
    #[must_use]
    pub fn tail() -> Self {
        Self::Tail(VecDeque::new())
    }

    /// The lines kept.
    #[must_use]
    pub fn lines(self) -> Vec<String> {
        match self {
            Self::Tail(lines) => lines.into(),
            Self::Off | Self::Full(_) => Vec::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    pub(crate) fn line(&mut self, at: Duration, who: &str, what: &str) {
        let line = format!("{:>11.3}  {who:<12}  {what}", at.as_secs_f64());
        match self {
            Self::Off => {}
            Self::Tail(lines) => {
                if lines.len() == TAIL_MAX {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            // A trace that cannot be written is noticed by whoever reads it; the run's verdict does not depend on it.
            Self::Full(to) => drop(writeln!(to, "{line}")),
        }
    }
}

/// A change in a few words.
pub(crate) fn told(change: &Change) -> String {
    let lease = |key: &LeaseKey| format!("{} attempt {}", key.unit, key.attempt.0);
    match change {
        Change::JobAdded(job) => format!("job {} is added", job.id),
        Change::JobPinned(job, build) => format!("job {job} gets {build}"),
        Change::JobState(job, state, _) => format!("job {job} is {state:?}"),
        Change::JobEdited(job, _) => format!("job {job} is edited"),
        Change::Leased(new) => format!("{} is leased to worker {}", lease(&new.key), new.worker),
        Change::LeaseEnded(key) => format!("{} has ended", lease(key)),
        Change::UnitClosed(unit) => format!("{unit} is closed"),
        Change::FrameDone(result) => {
            format!(
                "position {} of {} is done",
                result.position,
                lease(&result.lease)
            )
        }
        Change::FrameFailed(error) => {
            let (position, worker) = (error.position, error.worker);
            let of = lease(&error.lease);
            format!(
                "position {position} of {of} failed at worker {worker}: {:?}",
                error.kind
            )
        }
        Change::FrameGivenUp(key, position) => {
            format!("position {position} of {} is given up", lease(key))
        }
        Change::WorkerSet(worker) => format!("worker {} is {:?}", worker.id, worker.mode),
        other => format!("{other:?}"),
    }
}

/// Notes what happens, if anybody listens.
macro_rules! note {
    ($world:expr, $who:expr, $($what:tt)*) => {
        if $world.trace.is_on() {
            let (now, who, what) = ($world.now, ($who).to_string(), format!($($what)*));
            $world.trace.line(now, &who, &what);
        }
    };
}
pub(crate) use note;
