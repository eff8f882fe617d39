//! Frames as channels.
//!
//! Every version of Blender lays a multilayer EXR out differently: 3.4 and 4.x write one part whose channels are named
//! `ViewLayer.Combined.R`, 5.x writes one part per pass, and both can hold several views. This crate reads all of them
//! into one normal form, [`Frame`], so that nothing above it needs to know which Blender wrote a file.
//!
//! - [`read`] and [`read_from`] give a [`Frame`] or a [`ReadError`] that says what is wrong with the file;
//! - [`ChannelName`] and [`PassName`] are the names of that form, [`Samples`] its values, kept to the last bit;
//! - [`Cryptomatte`] is the metadata of the Cryptomatte passes;
//! - [`merge`] makes one frame out of slices of it, tiles and ranges of samples; [`class_of`] says how each pass is merged;
//! - [`noise`] says how much of it is left in each tile of a frame that can have more samples;
//! - [`previews`] makes small pictures of a frame, as the scene's [`Display`] shows it; [`Mosaic`] one of a frame of which
//!   there are only some parts;
//! - [`pyramid`] writes all of a frame in tiles of falling size, of which a viewer reads what it shows;
//! - [`compare`] (feature `compare`) says exactly where two frames or two folders of frames differ.
//!
//! The crate knows no network, no job and no clock: bytes go in, channels come out.

mod attributes;
mod bands;
mod class;
#[cfg(feature = "compare")]
pub mod compare;
mod dwa;
mod frame;
mod head;
mod merge;
mod name;
mod noise;
mod preview;
mod pyramid;
mod read;
mod recipe;
mod rows;
mod slices;
mod sums;
mod zip;

pub use attributes::{AttributeValue, Attributes, Cryptomatte};
pub use class::{Class, class_of};
pub use frame::{Channel, Container, Frame, Part, Pass, SampleType, Samples, Window};
pub use merge::{MergeError, MergeOptions, Merged, merge};
pub use name::{ChannelName, PassName};
pub use noise::noise;
pub use preview::{
    Display, DisplayError, Mosaic, PREVIEW_SIDE, PreviewError, Previews, THUMBNAIL_SIDE,
    part_previews, previews,
};
pub use pyramid::{PyramidError, pyramid};
pub use read::{ReadError, read, read_from};
pub use slices::{Missing, SampleRange, Slice};
