//! Small pictures of a frame, for whoever wants to see it and not to have it.
//!
//! What a screen is to show is in most formats as it is. In those that hold light ([`read`](crate::read)'s, and Radiance's)
//! it is made of the light by a [`Display`], which Blender wrote down. Transparent pixels are shown in front of black, as in
//! Blender's own pictures without alpha; of several views the first is shown.

mod display;
mod light;
mod parts;
mod shrink;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, ImageReader, RgbImage};

pub use display::{Display, DisplayError};
pub use parts::{Mosaic, part_previews};
use shrink::Shrink;

use crate::ReadError;

/// Pixels of the longest side of a preview: as many as most screens have. A smaller frame keeps its size.
pub const PREVIEW_SIDE: u32 = 1920;

/// The same of a thumbnail: in a list or on a page with many others.
pub const THUMBNAIL_SIDE: u32 = 256;

/// Of JPEG, of 100: what is lost is not seen, at a tenth of the bytes.
const QUALITY: u8 = 90;

/// Most pixels of a frame of which there is a preview. 268 million (16,384 each way) of light take a processor a minute or two.
const PIXELS_MAX: u64 = 1 << 28;

/// Pictures of one frame, as JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previews {
    /// [`THUMBNAIL_SIDE`] pixels at most.
    pub thumbnail: Vec<u8>,
    /// [`PREVIEW_SIDE`] pixels at most.
    pub preview: Vec<u8>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// An EXR that cannot be read.
    #[error(transparent)]
    Exr(#[from] ReadError),
    /// Another format's file that cannot be read, or a format that nobody here knows.
    #[error("{subject} cannot be decoded")]
    Picture {
        /// The file.
        subject: String,
        /// Why.
        source: image::ImageError,
    },
    /// There are no colours in it.
    #[error("{subject} has no pass of colours")]
    Colourless {
        /// The file.
        subject: String,
    },
    /// It holds light, and how that is shown was not said.
    #[error("{subject} holds light, and it is not known how the scene shows it")]
    NoDisplay {
        /// The file.
        subject: String,
    },
    /// It does not say where in the frame it lies, or not rightly.
    #[error("it is not known where {subject} lies in the frame")]
    Unplaced {
        /// The file.
        subject: String,
    },
    /// A picture that is not one of the parts that it is said to be of.
    #[error("the picture is none of these parts of the frame")]
    OtherParts,
    /// More pixels than are looked at.
    #[error("{subject} has more than {PIXELS_MAX} pixels")]
    TooLarge {
        /// The file.
        subject: String,
    },
    /// A decoder gave up in its own way.
    #[error("{subject} cannot be decoded: its decoder failed")]
    Decoder {
        /// The file.
        subject: String,
    },
    /// It was read and could not be written as JPEG.
    #[error("a preview cannot be encoded")]
    Encode(#[source] image::ImageError),
}

/// Makes the previews of a frame's file. Memory is bounded for EXR, whatever the size; other formats are held as they are decoded, 512 MiB at
/// most.
///
/// # Errors
/// If the file cannot be shown. That is so for some formats that Blender writes (Cineon, DPX, JPEG 2000, SGI).
pub fn previews(path: &Path, display: Option<&Display>) -> Result<Previews, PreviewError> {
    caught(&path.display().to_string(), || {
        let preview = picture(path, display)?;
        let (width, height) = within(preview.dimensions(), THUMBNAIL_SIDE);
        let thumbnail = resized(&preview, (width, height));
        Ok(Previews {
            thumbnail: jpeg(thumbnail.as_ref().unwrap_or(&preview))?,
            preview: jpeg(&preview)?,
        })
    })
}

/// Decoders of foreign files may give up in their own way.
fn caught(
    subject: &str,
    make: impl FnOnce() -> Result<Previews, PreviewError>,
) -> Result<Previews, PreviewError> {
    let made = catch_unwind(AssertUnwindSafe(make));
    made.unwrap_or_else(|_| {
        Err(PreviewError::Decoder {
            subject: subject.to_owned(),
        })
    })
}

/// The frame, small enough for a preview.
fn picture(path: &Path, display: Option<&Display>) -> Result<RgbImage, PreviewError> {
    let subject = || path.display().to_string();
    let undecoded = |source| PreviewError::Picture {
        subject: subject(),
        source,
    };
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|error| undecoded(error.into()))?;
    let no_display = || PreviewError::NoDisplay { subject: subject() };
    if reader.format() == Some(ImageFormat::OpenExr) {
        return light::of_exr(path, display.ok_or_else(no_display)?);
    }
    let whole = reader.decode().map_err(undecoded)?;
    let size = (whole.width(), whole.height());
    let mut small = Shrink::new(subject, size, within(size, PREVIEW_SIDE))?;
    match whole {
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            let display = display.ok_or_else(no_display)?;
            for row in whole.into_rgb32f().rows() {
                small.add_row(row.map(|pixel| display.show(pixel.0)));
            }
        }
        shown => {
            for row in shown.into_rgba8().rows() {
                small.add_row(row.map(|pixel| {
                    let [red, green, blue, alpha] = pixel.0.map(|level| f32::from(level) / 255.0);
                    [red * alpha, green * alpha, blue * alpha]
                }));
            }
        }
    }
    Ok(small.finish())
}

/// The size that keeps proportions and has no side longer than `side`; the size itself if it has none.
fn within((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scaled = |of: u32| {
        let rounded =
            (u64::from(of) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(rounded).map_or(side, |scaled| scaled.clamp(1, side))
    };
    (scaled(width), scaled(height))
}

/// In another size; nothing if it has that already.
fn resized(picture: &RgbImage, (width, height): (u32, u32)) -> Option<RgbImage> {
    let differs = picture.dimensions() != (width, height);
    differs.then(|| imageops::resize(picture, width, height, FilterType::Triangle))
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, PreviewError> {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    picture
        .write_with_encoder(encoder)
        .map_err(PreviewError::Encode)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept() {
        for (size, side, expected) in [
            ((160, 90), 256, (160, 90)),
            ((1920, 1080), 256, (256, 144)),
            ((1080, 1920), 256, (144, 256)),
            ((7680, 4320), 1920, (1920, 1080)),
            ((65_536, 4), 256, (256, 1)),
            ((257, 257), 256, (256, 256)),
        ] {
            assert_eq!(within(size, side), expected, "{size:?}");
        }
    }
}
