//! Which format a file has, and how its bytes become a picture.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader};

use super::picture::Picture;
use super::png;
use crate::{Samples, read_from};

/// How a file is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Exr,
    Png,
    /// Decoded by the image crate.
    Other(ImageFormat),
    /// By its bytes.
    Unknown,
}

/// The formats of the image crate that Blender writes and this build can decode.
const DECODED: [ImageFormat; 6] = [
    ImageFormat::Bmp,
    ImageFormat::Hdr,
    ImageFormat::Jpeg,
    ImageFormat::Tga,
    ImageFormat::Tiff,
    ImageFormat::WebP,
];

impl Format {
    /// By the first bytes; TGA has none of its own and goes by its name. A name that promises an EXR or PNG holds the file
    /// to it, so that a broken one is an unreadable picture and not an unknown file.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Self {
        let by_name = ImageFormat::from_path(path).ok();
        match image::guess_format(bytes).ok().or(by_name) {
            Some(ImageFormat::OpenExr) => Self::Exr,
            Some(ImageFormat::Png) => Self::Png,
            Some(format) if DECODED.contains(&format) => Self::Other(format),
            _ => Self::Unknown,
        }
    }

    /// The picture in the bytes, or why there is none.
    pub(crate) fn picture(self, path: &Path, bytes: &[u8]) -> Result<Option<Picture>, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Exr => match read_from(&name, Cursor::new(bytes)) {
                Ok(frame) => Ok(Some(Picture::of_frame(frame))),
                Err(error) => Err(with_causes(&error)),
            },
            Self::Png => png::read(bytes)
                .map(Some)
                .map_err(|error| format!("{name} is not a sound PNG: {error}")),
            Self::Other(format) => {
                let decoded = ImageReader::with_format(Cursor::new(bytes), format).decode();
                let image =
                    decoded.map_err(|error| format!("{name} cannot be decoded: {error}"))?;
                Ok(Some(picture_of(format, image)?))
            }
            Self::Unknown => Ok(None),
        }
    }
}

/// An error and its causes on one line.
fn with_causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut error = error;
    while let Some(cause) = error.source() {
        said = format!("{said}: {cause}");
        error = cause;
    }
    said
}

fn picture_of(format: ImageFormat, image: DynamicImage) -> Result<Picture, String> {
    fn uints<T: Copy + Into<u32>>(levels: &[T]) -> Samples {
        Samples::Uint(levels.iter().map(|level| (*level).into()).collect())
    }
    const Y: &[&str] = &["Y"];
    const YA: &[&str] = &["Y", "A"];
    const RGB: &[&str] = &["R", "G", "B"];
    const RGBA: &[&str] = &["R", "G", "B", "A"];
    let size = (image.width() as usize, image.height() as usize);
    let (names, depth, samples) = match &image {
        DynamicImage::ImageLuma8(pixels) => (Y, "8 bits", uints(pixels)),
        DynamicImage::ImageLumaA8(pixels) => (YA, "8 bits", uints(pixels)),
        DynamicImage::ImageRgb8(pixels) => (RGB, "8 bits", uints(pixels)),
        DynamicImage::ImageRgba8(pixels) => (RGBA, "8 bits", uints(pixels)),
        DynamicImage::ImageLuma16(pixels) => (Y, "16 bits", uints(pixels)),
        DynamicImage::ImageLumaA16(pixels) => (YA, "16 bits", uints(pixels)),
        DynamicImage::ImageRgb16(pixels) => (RGB, "16 bits", uints(pixels)),
        DynamicImage::ImageRgba16(pixels) => (RGBA, "16 bits", uints(pixels)),
        DynamicImage::ImageRgb32F(pixels) => (RGB, "floats", Samples::Float(pixels.to_vec())),
        DynamicImage::ImageRgba32F(pixels) => (RGBA, "floats", Samples::Float(pixels.to_vec())),
        _ => {
            return Err(format!(
                "{format:?} of the type {:?} cannot be compared",
                image.color()
            ));
        }
    };
    Ok(Picture::of_pixels(
        format!("{format:?} of {depth}"),
        format!("{format:?}"),
        size,
        names,
        samples,
    ))
}
