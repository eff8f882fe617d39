//! The worker's link: one outbound WebSocket of JSON text messages. Control only; bytes go by HTTP.
//!
//! A worker greets with what it still holds, so that a link cut and mended, or a manager restarted,
//! costs no frame. Every message about work carries the lease's key: repeating one is harmless.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{
    Blob, Build, LeaseKey, Overrides, Slice, Term, WorkerFacts, WorkerId, WorkerMode,
};

use crate::subnet::Subnet;

/// Largest message either side reads, in bytes: a lease of the largest chunk fits many times.
pub const MESSAGE_MAX: usize = 4 << 20;

/// How often a worker says it is alive.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(5);

/// From the manager to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// First message: the worker is in.
    Welcome {
        /// Its number.
        worker: WorkerId,
        /// Of the manager's leadership.
        term: Term,
        /// Addresses of all managers of the farm, for the day this one is gone.
        managers: Vec<String>,
        /// Whether it gets work.
        mode: WorkerMode,
        /// Of the leases it said it holds, those to drop: nobody waits for them any more.
        drop: Vec<LeaseKey>,
        /// Serial numbers of certificates that are void before their time: who shows one is given nothing.
        #[serde(default)]
        void: Vec<String>,
        /// Whom the farm lets in; anyone if empty. Who is not among them is given nothing by workers either.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        allow_from: Vec<Subnet>,
    },
    /// Instead of a welcome: it is not let in, and why.
    Refused {
        /// What happened and what to do.
        reason: String,
        /// Whether trying again later can help.
        retry: bool,
    },
    /// Work.
    Lease(Box<LeaseOffer>),
    /// Give this back if it has not begun: answered by [`FromWorker::Returned`], or ignored if it has.
    Recall {
        /// Which.
        key: LeaseKey,
    },
    /// Stop this now: the render is killed. Nothing is reported of it.
    Cancel {
        /// Which.
        key: LeaseKey,
    },
    /// Others that have these files, or are just getting them.
    Peers {
        /// The file tree.
        manifest: Blob,
        /// Where they can be asked, in addition to those it knows.
        sources: Vec<Source>,
    },
    /// A certificate is void from now on.
    Void {
        /// Its serial number.
        serial: String,
    },
    /// What may be given to it has changed. Draining: end once idle.
    Mode {
        /// The mode.
        mode: WorkerMode,
    },
    /// Send a part of a log that is being written: answered by [`FromWorker::Log`].
    Log {
        /// Given back in the answer.
        request: u64,
        /// Whose log.
        key: LeaseKey,
        /// Position of the frame.
        position: u32,
        /// Which stream.
        stream: LogStream,
        /// From which byte on.
        from: u64,
    },
    /// Make the pyramid of an EXR, for somebody who looks at it: answered by [`FromWorker::Pyramid`]. Said only to who makes some.
    Pyramid {
        /// Given back in the answer.
        request: u64,
        /// The file, which the manager has.
        file: Blob,
    },
}

/// One of a frame's two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Blender's standard output.
    Stdout,
    /// Blender's standard error.
    Stderr,
}

/// A unit of work with all that is needed to do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseOffer {
    /// Unit and attempt.
    pub key: LeaseKey,
    /// The job's name, for the log.
    pub job_name: String,
    /// The file tree.
    pub manifest: Blob,
    /// The .blend's path in it.
    pub main_file: String,
    /// The build to render with.
    pub build: Build,
    /// What differs from the file's settings.
    pub overrides: Overrides,
    /// Which frames, in this order; of one that is divided or put together, that one alone.
    pub frames: Vec<FrameToRender>,
    /// What is made of them. Workers of protocol 2 are given whole frames only.
    #[serde(default)]
    pub work: Work,
    /// The frames depend on those before them: the scene is opened afresh for the first one, and none may be left out.
    pub in_order: bool,
    /// It begins before all that waits at the worker, whatever scene is open there.
    #[serde(default)]
    pub urgent: bool,
    /// Where the bytes can be had, best first; a worker never assumes the manager.
    pub sources: Vec<Source>,
}

/// What is made of the frames of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Whole frames.
    #[default]
    Frames,
    /// These parts of the frame, each into a file, in this order.
    Slices(Vec<Slice>),
    /// The frame out of its parts, which the manager names.
    Assemble,
}

/// One frame of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameToRender {
    /// Position in the step's frame set.
    pub position: u32,
    /// Number in Blender.
    pub frame: i32,
    /// Whether its result is still wanted. A frame that is not is rendered all the same when order matters, and not reported.
    pub wanted: bool,
}

/// Someone who has bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `https://host:port`; the manager of this link if empty.
    pub address: String,
    /// Whom the certificate there must name. Several entries with one identity are one source with several addresses.
    pub identity: String,
}

/// From a worker to the manager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// First message.
    Hello {
        /// Protocol it speaks.
        protocol: u32,
        /// What it is.
        facts: WorkerFacts,
        /// Leases in its hands, begun or not, and those whose results are still on their way.
        holds: Vec<LeaseKey>,
        /// Where it gives blocks to other workers, if it does: without a host (`0.0.0.0`, `::`) the one that this link comes from.
        #[serde(default)]
        peer: Option<SocketAddr>,
        /// Whether it makes pyramids of frames.
        #[serde(default)]
        pyramids: bool,
    },
    /// Every [`HEARTBEAT`], whatever else is said.
    Heartbeat {
        /// What it has in hand.
        holds: Vec<Holding>,
        /// Its machine.
        #[serde(default)]
        machine: Option<Machine>,
    },
    /// A frame is being rendered now.
    Started {
        /// Of which lease.
        key: LeaseKey,
        /// Which.
        position: u32,
    },
    /// A lease is given back without having been finished: recalled, paused or the worker ends.
    Returned {
        /// Which.
        key: LeaseKey,
    },
    /// Every frame of a lease has been reported.
    Finished {
        /// Which.
        key: LeaseKey,
    },
    /// This worker ends: it is to get nothing more. What it holds it gives back, or reports, before it closes the link.
    Leaving,
    /// Answer to [`ToWorker::Log`].
    Log {
        /// Of the question.
        request: u64,
        /// Bytes from the asked offset on, base64, at most 256 KiB before coding.
        bytes: String,
        /// Whether the frame is over, so that its log is or soon will be in the store.
        ended: bool,
    },
    /// Answer to [`ToWorker::Pyramid`].
    Pyramid {
        /// Of the question.
        request: u64,
        /// What was made.
        made: MadePyramid,
    },
    /// Its Blenders, tags or the like have changed.
    Facts {
        /// The new ones.
        facts: WorkerFacts,
    },
}

/// What became of a question for a pyramid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MadePyramid {
    /// It is there, at the manager.
    There(Blob),
    /// The file has none, whoever is asked.
    Never(String),
    /// Not by this worker, or not now.
    NotHere(String),
}

/// A lease in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which.
    pub key: LeaseKey,
    /// Position of the frame being rendered; none if the lease waits or loads.
    pub rendering: Option<u32>,
}

/// How a worker's machine is. What has a default is not told by workers of before it was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Share of all processors in use, 0 to 1, since it was told before.
    pub cpu: f32,
    /// Memory in use in bytes.
    pub memory_bytes: u64,
    /// Of so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Of these, what the worker's Blenders and all that they started hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blenders_bytes: Option<u64>,
    /// Free bytes where the worker keeps its data.
    pub disk_free_bytes: u64,
    /// Of so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// GPUs that can be measured: those of NVIDIA, where their driver is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuLoad>,
}

/// Most GPUs that a machine tells of: more than fit in one, and a bound for what a manager keeps of each worker.
pub const GPUS_MAX: usize = 32;

/// Longest name of a GPU in bytes.
pub const GPU_NAME_MAX: usize = 128;

/// How a GPU is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GpuLoad {
    /// Its name.
    pub name: String,
    /// Share of the last moment in which it computed, 0 to 1; none of one that does not tell (a part of a GPU).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<f32>,
    /// Memory in use in bytes.
    pub memory_bytes: u64,
    /// Of so many bytes.
    pub memory_total_bytes: u64,
    /// Its temperature, if it tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub celsius: Option<u32>,
}
