//! The normal form of a frame: a sorted list of channels, each with its own window and its samples to the last bit.
//!
//! Samples stay in the type that the file has, so that nothing is rounded on the way: what reads a frame to compare it must
//! see every bit, NaN payloads and negative zeros included, and what merges frames converts when it sums and not before.

use exr::meta::attribute::Compression;
use exr::prelude::f16;

use crate::{Attributes, ChannelName, Cryptomatte, PassName};

/// A frame as read from one file.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The frame's rectangle. Channels may cover less or more of the plane than this.
    pub display_window: Window,
    /// Width of a pixel over its height.
    pub pixel_aspect: f32,
    /// How the file held the channels.
    pub container: Container,
    /// The parts in the order of the file, at least one. Blender puts the metadata of the frame into the first.
    pub parts: Vec<Part>,
    /// All channels of all parts, sorted by name; no name occurs twice.
    pub channels: Vec<Channel>,
}

/// The two layouts of a file, which say nothing about its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// All channels in one part, as before Blender 5.0 and with its "interleave" option.
    SinglePart,
    /// One part per pass, as Blender 5.0 writes.
    MultiPart,
}

/// What one part says about itself, other than its channels.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name; always there in a file of many parts.
    pub name: Option<String>,
    /// The view of all its channels.
    pub view: Option<String>,
    /// How its pixels were compressed.
    pub compression: Compression,
    /// Metadata: all attributes that do not describe the layout of the pixels.
    pub attributes: Attributes,
}

/// One channel and its samples.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its normal name.
    pub name: ChannelName,
    /// Where the samples lie: the data window of the part.
    pub window: Window,
    /// `window.width × window.height` samples, row by row from the top.
    pub samples: Samples,
}

/// A rectangle of pixels. x grows to the right, y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Left column.
    pub x: i32,
    /// Top row.
    pub y: i32,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Samples of one channel in the type of the file.
#[derive(Debug, Clone)]
pub enum Samples {
    /// 16-bit floats.
    Half(Vec<f16>),
    /// 32-bit floats.
    Float(Vec<f32>),
    /// 32-bit unsigned integers.
    Uint(Vec<u32>),
}

/// The types that a sample can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SampleType {
    /// 16-bit float.
    Half,
    /// 32-bit float.
    Float,
    /// 32-bit unsigned integer.
    Uint,
}

/// The channels of one pass.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Name of the pass.
    pub name: &'a PassName,
    /// Its channels by name, at least one.
    pub channels: &'a [Channel],
}

impl Frame {
    /// The passes, sorted by name.
    pub fn passes(&self) -> impl Iterator<Item = Pass<'_>> {
        let same_pass = |a: &Channel, b: &Channel| a.name.pass == b.name.pass;
        self.channels.chunk_by(same_pass).map(|channels| Pass {
            name: &channels[0].name.pass,
            channels,
        })
    }

    /// The channels of one pass, empty if the frame has no such pass.
    pub fn pass(&self, name: &PassName) -> &[Channel] {
        channels_of(name, &self.channels)
    }

    /// One channel by name.
    pub fn channel(&self, name: &ChannelName) -> Option<&Channel> {
        let index = self
            .channels
            .binary_search_by(|channel| channel.name.cmp(name))
            .ok()?;
        Some(&self.channels[index])
    }

    /// The metadata of the frame: the attributes of the first part, where Blender writes its own.
    pub fn attributes(&self) -> &Attributes {
        &self.parts[0].attributes
    }

    /// The Cryptomatte layers that the metadata names.
    pub fn cryptomattes(&self) -> Vec<Cryptomatte> {
        self.attributes().cryptomattes()
    }
}

/// The channels of one pass in a sorted list of channels.
pub(crate) fn channels_of<'a>(pass: &PassName, channels: &'a [Channel]) -> &'a [Channel] {
    let start = channels.partition_point(|channel| channel.name.pass < *pass);
    let length = channels[start..].partition_point(|channel| channel.name.pass == *pass);
    &channels[start..start + length]
}

impl Window {
    /// The number of pixels.
    pub fn area(&self) -> usize {
        self.width * self.height
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{}×{} at ({}, {})",
            self.width, self.height, self.x, self.y
        )
    }
}

impl Samples {
    /// The type of every sample.
    pub fn sample_type(&self) -> SampleType {
        match self {
            Self::Half(_) => SampleType::Half,
            Self::Float(_) => SampleType::Float,
            Self::Uint(_) => SampleType::Uint,
        }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Half(samples) => samples.len(),
            Self::Float(samples) => samples.len(),
            Self::Uint(samples) => samples.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SampleType {
    /// Size of one sample in a file and in memory.
    pub fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Float | Self::Uint => 4,
        }
    }
}

impl std::fmt::Display for SampleType {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Half => "half",
            Self::Float => "float",
            Self::Uint => "uint",
        })
    }
}
