//! What `tessera … --json` prints: one object a line, each with `v` and `type`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tessera_model::{Build, JobId, JobState, WorkerId};

/// Version of these lines.
pub const LINE_VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`LINE_VERSION`].
    pub v: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: LineKind,
}

impl Line {
    /// A line of the present version.
    #[must_use]
    pub fn new(what: LineKind) -> Self {
        Self {
            v: LINE_VERSION,
            what,
        }
    }
}

/// Sorts of lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LineKind {
    /// Where it will render.
    Farm {
        /// Its name; "this computer" for a private one.
        name: String,
        /// Address of the manager.
        address: String,
        /// Whether it was started for this command alone.
        private: bool,
    },
    /// Reading the file.
    Packing {
        /// The .blend.
        file: PathBuf,
    },
    /// The file's contents are known.
    Packed {
        /// Files found.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Sending.
    Sending {
        /// Bytes sent so far, as they are on the wire.
        sent_bytes: u64,
        /// Bytes to send in all, before compression.
        total_bytes: u64,
    },
    /// Something that the user should know and that does not stop the work.
    Warning {
        /// What.
        message: String,
    },
    /// The job is in.
    Submitted {
        /// Its number.
        job: JobId,
        /// Frames to render.
        frames: u32,
        /// Frames that are there from an earlier run.
        present: u32,
        /// The Blender it is pinned to.
        build: Option<Build>,
    },
    /// A frame has begun.
    Started {
        /// The frame.
        frame: i32,
        /// Who renders it.
        worker: WorkerId,
    },
    /// A frame's files lie in the output folder.
    Frame {
        /// The frame.
        frame: i32,
        /// Its files.
        files: Vec<PathBuf>,
        /// Who rendered it.
        worker: WorkerId,
        /// Rendering time in seconds.
        seconds: f64,
    },
    /// A frame failed once.
    FrameFailed {
        /// The frame.
        frame: i32,
        /// Where.
        worker: WorkerId,
        /// What happened.
        message: String,
        /// Whether it will not be tried again.
        given_up: bool,
    },
    /// How far it is.
    Progress {
        /// Frames in the output folder.
        done: u32,
        /// Frames asked for.
        frames: u32,
        /// Given up.
        failed: u32,
        /// Seconds left, once they can be told.
        seconds_left: Option<f64>,
    },
    /// The end.
    Finished {
        /// The job.
        job: JobId,
        /// How it ended.
        state: JobState,
        /// Frames in the output folder.
        done: u32,
        /// Given up.
        failed: u32,
        /// Wall-clock seconds of the command.
        seconds: f64,
    },
    /// What stopped the command; the exit status says the sort.
    Error {
        /// What happened, to what, and what to do.
        message: String,
        /// Exit status.
        status: u8,
    },
}
