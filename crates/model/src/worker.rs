//! What a worker is and what its owner wants of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Build, Timestamp};

/// Slots of one worker: more than processors of any machine, and a bound for the leases it is given.
pub const SLOTS_MAX: u32 = 1024;

/// A GPU that Cycles on the worker can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gpu {
    /// Cycles' name of the interface in lower case: "cuda", "optix", "hip", "oneapi", "metal".
    pub interface: String,
    /// The device's own name.
    pub name: String,
    /// Its memory in bytes, if that could be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a worker says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerFacts {
    /// Living Blenders it keeps at once, at least 1.
    pub slots: u32,
    /// Processor threads of each slot's Blender.
    pub threads: u32,
    /// Whether it renders parts of frames, and puts them together.
    #[serde(default)]
    pub divides: bool,
    /// Logical processors of the host.
    pub cores: u32,
    /// Physical memory of the host in bytes.
    pub memory_bytes: u64,
    /// "linux", "macos", "windows".
    pub os: String,
    /// "x86_64", "aarch64".
    pub arch: String,
    /// The host's name.
    pub host: String,
    /// Labels its owner gave it.
    pub tags: Vec<String>,
    /// Blenders it can run.
    pub builds: Vec<Build>,
    /// GPUs its Blenders can render on.
    pub gpus: Vec<Gpu>,
    /// Version of the worker's program.
    pub version: String,
    /// Its owner's hours say that it rests now: nothing new for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// Why and how long a worker rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rest {
    /// Why, for people: "works Mon-Fri 19:00-07:00".
    pub reason: String,
    /// When it works again, if that is known.
    pub until: Option<Timestamp>,
}

/// What may be given to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerMode {
    /// Work as it comes.
    #[default]
    Active,
    /// Nothing new; what it renders is finished.
    Paused,
    /// As paused, and the worker ends once it is idle.
    Draining,
    /// Nothing at all: what it renders is taken from it.
    Blocked,
}
