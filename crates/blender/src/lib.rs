//! Finds Blenders on this machine and drives a living one.
//!
//! Two callers share this crate: the client, which asks Blender what a file depends on, and the worker, which keeps one
//! Blender per slot alive and renders with it. Neither frames' owners, networks nor digests are known here: paths go in,
//! paths and facts come out.
//!
//! - [`find`](fn@find) looks for Blenders (executables, or Python interpreters that can `import bpy`), asks each once what it is
//!   and keeps the answer; [`choose`] picks the one for a file; [`saved_by`] reads out of a .blend which version wrote it.
//! - [`Blender`] is one living Blender. [`Blender::open`], [`Blender::scan`], [`Blender::render`] and so on are one request each
//!   to the driver (`driver/`, Python), which holds all that differs between Blender versions, over a private socket: stdout
//!   and stderr are log and nothing else, and every byte lands in the [`LogFiles`] of the request during which it was written.
//! - [`Blender::slice`] renders a part of a frame and [`Blender::assemble`] makes a frame of its parts, once they are merged
//!   (which is nothing of this crate's).
//! - Blender is expendable: crash, hang, memory exhaustion and refusal are the ordinary values of [`Error`].
//!
//! Nothing here is shared between two living Blenders, and nothing is read from the user's Blender preferences. Processes, pipes
//! and sockets are those of Unix; what asks for more than that of Linux (children's lists, end with the parent) falls back.

mod blend;
mod build;
mod choose;
mod driver;
mod find;
mod header;
mod message;
mod probe;
mod process;
#[cfg(feature = "testing")]
pub mod testing;
mod written;

pub use build::Build;
pub use choose::choose;
pub use find::{Broken, Found, Search, find};
pub use header::{HeaderError, saved_by};
pub use message::{
    AddonNeed, Assemble, Copied, CopyFile, Device, DeviceKind, DeviceRequest, DeviceUsed,
    ExternalFile, FileKind, FileOutput, FrameRange, Hello, NamePattern, Note, Open, Opened, Output,
    OutputName, Overrides, PersistentUse, PixelWindow, Pong, Refusal, RefusalCode, Remap, Render,
    RenderSlice, Rendered, RenderedFile, RenderedSlice, Role, Running, SamplePattern, SampleSpan,
    Sampling, Scan, ScanRequest, SceneInfo, Script, Split, Timings, View,
};
pub use probe::{ProbeError, probe};
pub use process::{Blender, Error, Handle, Launch, LogFiles, Usage};
pub use tessera_model::{BlenderVersion, BuildKind, Series};
