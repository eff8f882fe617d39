//! What an open file needs and what it will make.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use tessera_model::{FrameSet, Series};

/// Asks what the open file needs and makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Frames for which files of sequences and caches are listed, all of them if they are more than 50,000; `None`: those of
    /// every scene.
    pub frames: Option<FrameSet>,
    /// Output path that replaces that of every scene in `Output`; as Blender's, absolute.
    pub output: Option<String>,
}

/// First and last frame, both rendered, and the step between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRange {
    pub start: i32,
    pub end: i32,
    pub step: u32,
}

/// What an open file needs and makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// The series that saved the file.
    pub saved_by: Series,
    /// Every external file, missing ones too, sorted by path; not the .blend itself.
    pub files: Vec<ExternalFile>,
    /// In the file's order.
    pub scenes: Vec<SceneInfo>,
    pub active_scene: String,
    /// What does not run unless the file's scripts are allowed. Drivers that Blender evaluates without Python are not here.
    pub scripts: Vec<Script>,
    /// Add-ons that the file cannot do without.
    pub addons: Vec<AddonNeed>,
    /// File-output nodes of all scenes' compositors, also inside groups; `index` is the position here.
    pub file_outputs: Vec<FileOutput>,
    /// Anything else the user should know.
    pub notes: Vec<String>,
}

/// A file outside the .blend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// The path as the datablock stores it: `//tex/a.png`, with `<UDIM>`, or the first file of a sequence.
    pub stored: String,
    /// Absolute and normalised, always one file.
    pub path: PathBuf,
    pub kind: FileKind,
    /// Who needs it, for people: "image 'Wood' in lib.blend". Never empty.
    pub used_by: Vec<String>,
    /// The frame renders the same without it (a text block's copy on disk, say).
    pub optional: bool,
    pub exists: bool,
    /// The frames that need it, of those asked for; `None`: it is needed whatever frame is rendered.
    #[serde(default)]
    pub frames: Option<FrameSet>,
}

/// Kinds of external files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Library,
    Image,
    Sequence,
    Udim,
    Movie,
    Sound,
    Font,
    Volume,
    /// Alembic or USD.
    SceneCache,
    PointCache,
    FluidCache,
    /// A bake of geometry nodes.
    NodesBake,
    /// MDD or PC2.
    MeshCache,
    Text,
    /// Light profile.
    Ies,
    /// Open Shading Language.
    Osl,
    #[serde(other)]
    Other,
}

/// A scene and how it renders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneInfo {
    pub name: String,
    pub frames: FrameRange,
    pub current_frame: i32,
    /// Identifier, e.g. `CYCLES`.
    pub engine: String,
    /// Pixels of a frame, the percentage applied.
    pub resolution: [u32; 2],
    /// Pixels without the percentage.
    pub full_resolution: [u32; 2],
    /// Pixels that are written: of the region alone where a frame is cropped to one.
    pub written_resolution: [u32; 2],
    pub resolution_percentage: u32,
    /// Name of the camera object.
    pub camera: Option<String>,
    /// The view layers that render.
    pub view_layers: Vec<String>,
    /// The active views; empty unless multi-view rendering is on.
    pub views: Vec<View>,
    pub sampling: Sampling,
    pub split: Split,
    pub denoise: bool,
    pub compositor: bool,
    pub sequencer: bool,
    pub output: Output,
    /// Frames that depend on the frames before them, e.g. unbaked physics: such a scene renders on one machine, in order.
    pub order_dependent: Vec<Note>,
    /// Why keeping data between frames is not exact here; empty: it is on.
    pub no_persistent_data: Vec<Note>,
}

/// A view of a multi-view scene.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub name: String,
    /// What file names get: `_L`.
    pub suffix: String,
}

/// How the scene's engine samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    pub samples: u32,
    pub adaptive: bool,
    /// Noise threshold of adaptive sampling; 0 lets Cycles choose.
    pub adaptive_threshold: f64,
    /// Samples that every pixel has with adaptive sampling; 0 lets Cycles choose.
    #[serde(default)]
    pub adaptive_min_samples: u32,
    /// Cycles' time limit in seconds, 0 without: with it, results depend on the machine.
    pub time_limit_seconds: f64,
}

/// How a frame of a scene can be rendered in parts, so that it is as if it had been rendered at once. It is said of the scene as
/// the file stores it: [`Overrides`](super::Overrides) of the engine may make it another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// It can be cut into rectangles.
    pub tiles: bool,
    /// Its samples can be cut into ranges.
    pub samples: bool,
    /// Of at most so many samples; any number if none. The job may ask for others than the file.
    #[serde(default)]
    pub samples_max: Option<u32>,
    /// Of which numbers of samples the first ones are the same.
    #[serde(default)]
    pub pattern: SamplePattern,
    /// A range of samples can have the pattern of any number of them.
    #[serde(default)]
    pub room: bool,
    /// Why not, if it is neither or only one: sentences that follow the scene's name and "because".
    pub reasons: Vec<String>,
    /// Why samples cannot be added to it tile by tile, as long as there is noise; none: they can.
    #[serde(default)]
    pub no_added: Vec<String>,
    /// Pixels that are rendered around each rectangle, and cut away.
    pub overscan: u32,
    /// Passes by names of the user's own that are means of the samples.
    pub averaged: Vec<String>,
}

/// Of which numbers of samples the first ones are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplePattern {
    /// Of none: each number has a pattern of its own.
    #[default]
    Number,
    /// Of those up to the same power of two, 256 or more: they come from a table of so many.
    Table,
    /// Of all.
    Any,
}

/// Where and how a scene writes its frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The output path as stored.
    pub path: String,
    /// Its folder, absolute.
    pub directory: PathBuf,
    /// Blender's identifier, e.g. `PNG`, `OPEN_EXR_MULTILAYER`, `FFMPEG`.
    pub format: String,
    /// A movie is rendered as PNG frames.
    pub is_movie: bool,
    pub use_extension: bool,
    /// Frames that exist are rendered again.
    pub overwrite: bool,
    /// An empty file marks a frame in work.
    pub placeholder: bool,
    /// The files that a frame makes here, one, or one per view.
    pub names: Vec<OutputName>,
    /// The same with [`Overrides::exr`](super::Overrides::exr).
    pub exr_names: Vec<OutputName>,
}

/// Name of a file that each frame makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputName {
    /// The view that it shows, if views have files of their own.
    pub view: Option<String>,
    pub name: NamePattern,
}

/// A file name with the frame's number in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NamePattern {
    pub prefix: String,
    /// The number is filled with zeros to this many digits, the sign not counted.
    pub digits: u32,
    pub suffix: String,
}

/// A fact about a datablock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// "object 'Cloth' in lib.blend".
    pub datablock: String,
    pub text: String,
}

/// Something of the file that runs Python.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// "object 'Cube'", "text 'rig_ui.py'".
    pub datablock: String,
    /// The driver's property and expression, or that the text block registers itself.
    pub text: String,
}

/// An add-on that the file cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonNeed {
    /// Identifier of its engine, node type, ….
    pub name: String,
    pub used_by: String,
    /// This Blender has it enabled.
    pub present: bool,
}

/// A file-output node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOutput {
    pub index: u32,
    pub scene: String,
    /// Name of the node, with the names of the groups around it: "Group/File Output".
    pub node: String,
    /// Its folder as stored, and absolute.
    pub stored: String,
    pub directory: PathBuf,
    /// File names (patterns): one for each input, or that of the one file with a layer for each.
    pub slots: Vec<String>,
    pub format: String,
}

impl NamePattern {
    /// The file's name at a frame, exactly as Blender writes it.
    #[must_use]
    pub fn at(&self, frame: i32) -> String {
        let sign = if frame < 0 { "-" } else { "" };
        let digits = usize::try_from(self.digits).unwrap_or(usize::MAX);
        format!(
            "{}{sign}{:0digits$}{}",
            self.prefix,
            frame.unsigned_abs(),
            self.suffix
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_names() {
        let pattern = NamePattern {
            prefix: "shot_".into(),
            digits: 4,
            suffix: "_L.png".into(),
        };
        assert_eq!(pattern.at(7), "shot_0007_L.png");
        assert_eq!(pattern.at(-7), "shot_-0007_L.png");
        assert_eq!(pattern.at(123_456), "shot_123456_L.png");
        assert_eq!(pattern.at(i32::MIN), "shot_-2147483648_L.png");
    }
}
