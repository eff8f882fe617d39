//! Parts of a frame: what to render of it, what came of it, and the frame that is made of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DeviceUsed, Overrides, PersistentUse, Timings};

/// Renders a part of a frame: what Cycles makes of it, without compositor, sequencer, denoising, stamps and the file's own format.
///
/// Parts of one frame are merged, and [`Assemble`] makes the frame's files of that. Scenes of which this would not be exact are
/// refused; [`Split`](super::Split) says so before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderSlice {
    pub scene: String,
    pub frame: i32,
    /// The file to write, in an existing folder: 32-bit multilayer EXR (ZIP) with all passes of all view layers and views, and those
    /// that are needed to denoise and to merge.
    pub out: PathBuf,
    /// As for the whole frame.
    pub overrides: Overrides,
    /// What is wanted of the frame.
    pub window: PixelWindow,
    /// Which samples of every pixel; `None`: all.
    pub samples: Option<SampleSpan>,
}

/// A rectangle of the frame's pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelWindow {
    /// Of its left column, from the left.
    pub x: u32,
    /// Of its top row, from the top.
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A range of a frame's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampleSpan {
    /// The first one.
    pub offset: u32,
    /// How many, at least one.
    pub length: u32,
}

/// A slice is rendered and its file is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenderedSlice {
    pub path: PathBuf,
    /// What was asked for, to be taken of the file.
    pub kept: PixelWindow,
    /// What the file holds: more than is kept where the sampling of a pixel depends on those around it.
    pub rendered: PixelWindow,
    pub samples: SampleSpan,
    /// Of a whole frame.
    pub samples_total: u32,
    /// Columns and rows of a whole frame.
    pub frame_size: (u32, u32),
    /// What says how the scene shows its colours; as long as this Blender lives.
    pub display: Option<PathBuf>,
    pub timings: Timings,
    pub persistent: PersistentUse,
    pub device: DeviceUsed,
    pub threads: u32,
    /// Most memory the Blender process had resident since it began.
    pub peak_memory_bytes: u64,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Makes the files that [`Render`](super::Render) of the frame would make, of a frame that is rendered already: denoises it and does all
/// that Blender does after that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assemble {
    pub scene: String,
    pub frame: i32,
    /// An existing, empty folder; everything the frame makes lands in it.
    pub out_dir: PathBuf,
    /// Last component of the output path, Blender's pattern (`shot_####`); `None`: the file's own.
    pub name: Option<String>,
    pub overrides: Overrides,
    /// The frame, merged of its slices, as multilayer EXR.
    pub merged: PathBuf,
}
