//! How a request to Blender ends when it does not end well.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::keeper::End;
use super::link::Broken;
use super::watch::Sealed;
use crate::message::{Event, Refusal};

/// Each text is a sentence for users. `doing` completes "could not …": "render frame 12".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start Blender at {path}: {source}; check that it is there and may be run", path = path.display())]
    Launch { path: PathBuf, source: io::Error },
    #[error("cannot write the log of Blender at {path}: {source}", path = path.display())]
    Log { path: PathBuf, source: io::Error },
    /// Blender lives on.
    #[error("Blender could not {doing}: {text}", text = refusal.text)]
    Refused { doing: String, refusal: Refusal },
    /// A render was begun and ended in an error. Blender would go on with what is left of it and call empty pictures finished (3.4.1
    /// and 5.0.1, with persistent data), so it takes no more requests.
    #[error("Blender could not {doing}: {text}", text = refusal.text)]
    Failed { doing: String, refusal: Refusal },
    #[error("Blender crashed ({how}) while it was to {doing}{tail}", tail = quoted(tail))]
    Crashed {
        doing: String,
        /// "signal 11, segmentation fault", "exit status 1".
        how: String,
        /// Number of the signal that ended it.
        signal: Option<i32>,
        /// Last lines of its output.
        tail: String,
    },
    #[error("Blender hung while it was to {doing}: its processes used no CPU for {} s and were ended", idle.as_secs())]
    Hung { doing: String, idle: Duration },
    #[error(
        "Blender used {} MiB of memory while it was to {doing}, more than the limit of {} MiB, and was ended; \
         raise the memory limit of this worker or make the scene smaller", used_bytes >> 20, limit_bytes >> 20
    )]
    OutOfMemory {
        doing: String,
        used_bytes: u64,
        limit_bytes: u64,
    },
    #[error("Blender was ended on request while it was to {doing}")]
    Killed { doing: String },
    #[error(
        "Blender's driver and this program do not understand each other ({what}) while it was to {doing}"
    )]
    Protocol { doing: String, what: String },
    #[error(
        "cannot {doing}: this Blender has ended or was left in the middle of a request; start another"
    )]
    Abandoned { doing: String },
}

impl Error {
    /// The same Blender takes further requests.
    #[must_use]
    pub fn blender_lives(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(super) fn unexpected(doing: &str, event: &Event) -> Self {
        let what = format!("unexpected answer {event:.80?}");
        Self::Protocol {
            doing: doing.to_owned(),
            what,
        }
    }

    pub(super) fn of_ping(broken: Broken) -> Self {
        let doing = "answer a ping".to_owned();
        match broken {
            Broken::Closed => Self::Abandoned { doing },
            Broken::Nonsense(what) => Self::Protocol { doing, what },
        }
    }

    pub(super) fn of_end(doing: &str, broken: Broken, sealed: Option<Sealed>, end: End) -> Self {
        let doing = doing.to_owned();
        match (sealed, broken) {
            (Some(Sealed::Killed), _) => Self::Killed { doing },
            (Some(Sealed::Hung { idle }), _) => Self::Hung { doing, idle },
            (
                Some(Sealed::OutOfMemory {
                    used_bytes,
                    limit_bytes,
                }),
                _,
            ) => Self::OutOfMemory {
                doing,
                used_bytes,
                limit_bytes,
            },
            (None, Broken::Nonsense(what)) => Self::Protocol { doing, what },
            (None, Broken::Closed) => {
                let (how, signal) = describe(end.status);
                Self::Crashed {
                    doing,
                    how,
                    signal,
                    tail: end.tail,
                }
            }
        }
    }
}

fn describe(status: Option<ExitStatus>) -> (String, Option<i32>) {
    use std::os::unix::process::ExitStatusExt;
    let Some(status) = status else {
        return ("it closed its connection".to_owned(), None);
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = match signal {
                libc::SIGSEGV => "segmentation fault",
                libc::SIGABRT => "abort",
                libc::SIGBUS => "bus error",
                libc::SIGFPE => "arithmetic error",
                libc::SIGILL => "illegal instruction",
                libc::SIGKILL => "killed from outside, most often by the system for lack of memory",
                libc::SIGTERM => "ended from outside",
                _ => "signal",
            };
            (format!("signal {signal}, {name}"), Some(signal))
        }
        (None, Some(code)) => (format!("exit status {code}"), None),
        (None, None) => ("unknown end".to_owned(), None),
    }
}

fn quoted(tail: &str) -> String {
    if tail.is_empty() {
        String::new()
    } else {
        format!("; its last output:\n{tail}")
    }
}
