//! What comes back of a frame.

use std::fmt;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Build, LeaseKey, Slice, Timestamp, Window, WorkerId};

/// A name of bytes: BLAKE3 digest of the root block, size in bytes, depth of the block tree.
///
/// The record keeps it as the three numbers it is; `blobs` knows what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob {
    /// BLAKE3 digest of the root block.
    pub digest: [u8; 32],
    /// Bytes of the whole.
    pub size: u64,
    /// Levels of lists above the data: 0 when the root block is the data.
    pub depth: u8,
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.digest {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ":{}:{}", self.size, self.depth)
    }
}

impl std::str::FromStr for Blob {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a blob name (digest:size:depth)");
        let mut parts = text.split(':');
        let (Some(hex), Some(size), Some(depth), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(bad());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self {
            digest,
            size: size.parse().map_err(|_| bad())?,
            depth: depth.parse().map_err(|_| bad())?,
        })
    }
}

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which of a frame's files one is, hence where the client puts it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The frame itself, in the output folder.
    Main,
    /// One view of a stereo frame, in the output folder.
    View(String),
    /// Written by a file-output node: its number in the packing client's list of such nodes.
    Node(u32),
    /// A part of a frame, to be put together with others.
    Slice {
        /// Which.
        slice: Slice,
        /// What the file holds: more than is kept where the pixels around matter.
        rendered: Window,
    },
}

/// One file of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameFile {
    /// What it is.
    pub role: FileRole,
    /// File name as Blender named it; may hold `/` below a file-output node's folder.
    pub name: String,
    /// Its bytes.
    pub blob: Blob,
}

/// Small pictures of a frame, as a screen shows it: JPEG, for lists and for a look, and no part of what was asked for. Those of
/// parts of a frame hold them one below the other, each as large as it is in the whole frame's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previews {
    /// 256 pixels at most on its longest side.
    pub thumbnail: Blob,
    /// 1920 pixels at most; the whole frame if it has no more.
    pub preview: Blob,
}

/// Where a frame's time went, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResultTimings {
    /// Bringing missing files to the worker and laying them out.
    pub transfer_us: u64,
    /// Starting Blender and opening the scene; zero while it is kept loaded.
    pub load_us: u64,
    /// From the start of the frame to the start of its rendering: depsgraph and scene update.
    pub sync_us: u64,
    /// Rendering, compositing included.
    pub render_us: u64,
    /// Writing the files.
    pub write_us: u64,
    /// The slot's wait since its previous frame of the same job ended, without the writing; zero for its first.
    pub idle_us: u64,
}

impl ResultTimings {
    /// What the frame took in all, without the wait before it.
    #[must_use]
    pub fn total_us(&self) -> u64 {
        let stages = [
            self.transfer_us,
            self.load_us,
            self.sync_us,
            self.render_us,
            self.write_us,
        ];
        stages.into_iter().fold(0, u64::saturating_add)
    }
}

impl AddAssign for ResultTimings {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.transfer_us, other.transfer_us),
            (&mut self.load_us, other.load_us),
            (&mut self.sync_us, other.sync_us),
            (&mut self.render_us, other.render_us),
            (&mut self.write_us, other.write_us),
            (&mut self.idle_us, other.idle_us),
        ] {
            // A worker may say anything.
            *sum = sum.saturating_add(more);
        }
    }
}

/// A finished frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameResult {
    /// The lease it was rendered under.
    pub lease: LeaseKey,
    /// Position in the step's frame set.
    pub position: u32,
    /// Its number in Blender.
    pub frame: i32,
    /// Who rendered it.
    pub worker: WorkerId,
    /// With what.
    pub build: Build,
    /// The device it was rendered on, as Cycles names it ("CPU", "OPTIX: NVIDIA …").
    pub device: String,
    /// Whether the scene's data was kept between frames.
    pub persistent: bool,
    /// The files, main one first.
    pub files: Vec<FrameFile>,
    /// Blender's stdout of the frame.
    pub stdout: Blob,
    /// Blender's stderr of the frame.
    pub stderr: Blob,
    /// Where the time went.
    pub timings: ResultTimings,
    /// Its previews; none where its files cannot be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<Previews>,
    /// What the user should know of how it was rendered, a line each: the same for every frame it is true of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of a frame to which samples are added as long as there is noise: the tiles in which there still is, in order. It has no files then, and
    /// is put together again once these tiles have more samples. The record keeps what follows from it: the next step's tiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noisy: Vec<u16>,
    /// When it was accepted; set by the manager.
    pub at: Timestamp,
}

impl FrameResult {
    /// What is kept of a frame that was put together out of ranges of its samples: their sum, as one such range.
    #[must_use]
    pub fn sum(&self) -> Option<&FrameFile> {
        self.files.iter().find(|file| file.is_part())
    }

    /// The frame as those know it who wait for it, without what the farm keeps for itself.
    #[must_use]
    pub fn without_sum(mut self) -> Self {
        self.files.retain(|file| !file.is_part());
        self
    }
}

impl FrameFile {
    /// Whether it is a part of a frame, to be put together with others.
    #[must_use]
    pub fn is_part(&self) -> bool {
        matches!(self.role, FileRole::Slice { .. })
    }
}

/// Why a frame failed on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameErrorKind {
    /// Blender died.
    Crash,
    /// Blender used no processor time for too long.
    Hang,
    /// Blender ran out of memory.
    Memory,
    /// Blender said no: the scene can not be opened or rendered.
    Scene,
    /// Files of the job could not be brought or laid out.
    Files,
    /// The worker's disk is full.
    Disk,
    /// The worker itself failed.
    Worker,
}

/// A frame's failure on one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameError {
    /// The lease it failed under.
    pub lease: LeaseKey,
    /// Position in the step's frame set.
    pub position: u32,
    /// Its number in Blender.
    pub frame: i32,
    /// Where.
    pub worker: WorkerId,
    /// Which sort.
    pub kind: FrameErrorKind,
    /// What happened, to what, and what to do: one sentence for the user.
    pub message: String,
    /// Blender's stdout up to then.
    pub stdout: Option<Blob>,
    /// Blender's stderr up to then.
    pub stderr: Option<Blob>,
    /// When it was accepted; set by the manager.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_name_reads_back() {
        let blob = Blob {
            digest: std::array::from_fn(|i| i as u8),
            size: 77,
            depth: 2,
        };
        assert_eq!(blob.to_string().parse(), Ok(blob));
        for bad in [
            "",
            "00-1-0",
            "zz-1-0",
            &"é".repeat(32),
            &format!("{blob}:1"),
        ] {
            assert!(bad.parse::<Blob>().is_err(), "{bad}");
        }
    }
}
