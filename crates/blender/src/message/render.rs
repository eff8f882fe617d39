//! One frame: what to render, and what came of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Device, DeviceKind};

/// Renders a frame as `blender -b FILE -f N` would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Render {
    pub scene: String,
    pub frame: i32,
    /// An existing, empty folder; everything the frame makes lands in it.
    pub out_dir: PathBuf,
    /// Last component of the output path, Blender's pattern (`shot_####`); `None`: the file's own.
    pub name: Option<String>,
    pub overrides: Overrides,
}

/// What the job changes of the file's settings; the default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Identifier of a render engine, e.g. `CYCLES`.
    pub engine: Option<String>,
    pub samples: Option<u32>,
    pub device: Option<DeviceRequest>,
    /// 32-bit multilayer EXR (ZIP) with all passes of all view layers instead of the file's format.
    pub exr: bool,
    pub resolution_percentage: Option<u32>,
    /// Name of a camera object in the scene.
    pub camera: Option<String>,
    /// Never keep data between frames, even where that is exact.
    pub no_persistent_data: bool,
}

/// Which device to render on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceRequest {
    Cpu,
    /// The fastest kind of GPU that is there.
    Gpu,
    Cuda,
    Optix,
    Hip,
    Oneapi,
    Metal,
}

/// A frame is rendered and its files are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// Sorted by role, then name.
    pub files: Vec<RenderedFile>,
    /// What says how the scene shows its colours, where the files hold light; as long as this Blender lives.
    pub display: Option<PathBuf>,
    pub timings: Timings,
    pub persistent: PersistentUse,
    pub device: DeviceUsed,
    pub threads: u32,
    /// Most memory the Blender process had resident since it began.
    pub peak_memory_bytes: u64,
    /// What the user should know: a movie format replaced by PNG, a GPU asked for by the file but absent.
    pub notes: Vec<String>,
}

/// A file that a frame made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    #[serde(flatten)]
    pub role: Role,
    /// As Blender names it, relative to the folder of its role: the output path's folder, or the node's. May contain `/`.
    pub name: String,
    /// Where it is now, absolute, below `out_dir`.
    pub path: PathBuf,
}

/// What a file is to its frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// The frame itself.
    Main,
    /// One of several views (stereo) that are written to files of their own.
    View { view: String },
    /// Of the file-output node with this index in [`Scan::file_outputs`](super::Scan::file_outputs).
    Node { index: u32 },
}

/// Where the time of a frame went. `begin` and `end` are the machine's monotonic clock (`CLOCK_MONOTONIC`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    pub begin_seconds: f64,
    pub end_seconds: f64,
    /// From the request to Blender's `render_pre`.
    pub prepare_seconds: f64,
    /// From then to the last word of engine or compositor: scene evaluation, synchronisation, sampling, compositing.
    pub render_seconds: f64,
    /// From then to `render_write`: view transform, encoding, writing.
    pub write_seconds: f64,
}

/// Whether data was kept between frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentUse {
    pub on: bool,
    /// Why it is off; empty if on.
    pub reasons: Vec<String>,
}

/// What rendered the frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceUsed {
    pub kind: DeviceKind,
    pub devices: Vec<Device>,
}
