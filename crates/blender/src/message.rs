//! What is said between this crate and `driver.py`: one request, then events, the last of which ends it.
//!
//! On the socket every message is a `u32` length (big-endian) and that many bytes of JSON. A request is
//! `{id, op, ...}`, an event `{id, event, ...}`. `ping` is answered at any time, everything else in turn.

mod copy;
mod render;
mod scan;
mod slice;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use tessera_model::BuildKind;
use tessera_model::{BlenderVersion, Series};

pub use copy::{Copied, CopyFile};
pub use render::{
    DeviceRequest, DeviceUsed, Overrides, PersistentUse, Render, Rendered, RenderedFile, Role,
    Timings,
};
pub use scan::{
    AddonNeed, ExternalFile, FileKind, FileOutput, FrameRange, NamePattern, Note, Output,
    OutputName, SamplePattern, Sampling, Scan, ScanRequest, SceneInfo, Script, Split, View,
};
pub use slice::{Assemble, PixelWindow, RenderSlice, RenderedSlice, SampleSpan};

/// A request as it goes over the socket.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    Hello,
    Ping,
    Open {
        #[serde(flatten)]
        open: &'a Open,
        /// Scenes and the engines that the file stores for them.
        engines: &'a [(String, String)],
    },
    Scan(&'a ScanRequest),
    Render(&'a Render),
    Slice(&'a RenderSlice),
    Assemble(&'a Assemble),
    Copy(&'a CopyFile),
    Quit,
}

/// An event as it comes over the socket.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    Hello(Hello),
    Pong(Pong),
    /// The request was taken up.
    Started,
    Opened(Opened),
    Scanned(Box<Scan>),
    Rendered(Box<Rendered>),
    Sliced(Box<RenderedSlice>),
    Copied(Copied),
    /// Blender goes on living, but did not do what was asked.
    Refused(Refusal),
    /// A render was begun and ended in an error: nothing of this Blender is to be used again.
    Failed(Refusal),
    /// Answer to quit; the process ends next.
    Bye,
}

/// What Blender says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: BlenderVersion,
    pub hash: String,
    pub date: String,
    pub platform: String,
    pub kind: BuildKind,
    pub engines: Vec<String>,
    pub devices: Vec<Device>,
}

/// A device that Cycles can render on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub kind: DeviceKind,
    pub name: String,
    /// Cycles' own identifier, unique on the machine.
    pub id: String,
}

/// Cycles' kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    Cpu,
    Cuda,
    Optix,
    Hip,
    Oneapi,
    Metal,
}

/// Loads a file, with factory settings whatever the user's preferences are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The .blend.
    pub path: PathBuf,
    /// Run the scripts of the file: registered text blocks and drivers in full Python.
    pub autoexec: bool,
    /// Where files named by absolute paths are found instead. The first rule with a file there is used.
    pub remap: Vec<Remap>,
    /// The files belong to a user: nothing in them is changed. Libraries that `remap` finds are then looked for again once the file
    /// is loaded, which shows what they need; it does not bring back all that hangs on them.
    pub read_only: bool,
    /// Modules of the add-ons to enable first.
    pub addons: Vec<String>,
}

/// Paths that begin with `from` are found at `to` + the rest, if something is there.
///
/// Both `/` and `\` part the rest, so a Windows path can be found on any system: `{from: "C:\\", to: "/root/C"}`.
/// `from` is matched in whole components. A tree mirrored below a root needs one rule, `{from: "/", to: ROOT}`.
///
/// Libraries must be found while Blender loads, so their paths are changed in the .blend files themselves, and only in those
/// that are below `to`: what is there must be copies that belong to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remap {
    pub from: String,
    pub to: PathBuf,
}

/// A file is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub load_seconds: f64,
    /// The series that saved the file.
    pub saved_by: Series,
    pub scenes: Vec<String>,
    pub active_scene: String,
    /// How many stored paths `remap` changed.
    pub repointed: u32,
    /// Libraries that could not be loaded, by absolute path: what they hold is missing from the scene.
    pub missing_libraries: Vec<PathBuf>,
}

/// Answer to a ping, also in the middle of a render.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    pub running: Option<Running>,
}

/// What Blender is busy with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// "open", "scan", "render", "slice", "assemble".
    pub op: String,
    pub frame: Option<i32>,
    pub seconds: f64,
}

/// Why Blender did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: RefusalCode,
    /// A sentence for the user: what, to what, and what to do.
    pub text: String,
}

/// The reasons that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The file is absent or unreadable.
    Unreadable,
    /// Not a .blend, or a damaged or cut one.
    NotBlend,
    /// Saved by a newer Blender than this.
    TooNew,
    /// An add-on is not installed here, or failed to start.
    Addon,
    /// No such scene.
    Scene,
    /// The scene has no camera, or the named one is absent.
    Camera,
    /// No such render engine here.
    Engine,
    /// No such device here.
    Device,
    /// Nothing is open.
    NothingOpen,
    /// The image could not be written.
    Write,
    /// Blender ended the render with an error.
    Render,
    /// A request that this driver does not know, or whose values do not fit.
    Request,
    #[serde(other)]
    Other,
}
