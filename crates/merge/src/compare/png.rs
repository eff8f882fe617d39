//! A PNG as a picture: its levels exactly, and the text that Blender writes into it.

use std::collections::BTreeMap;
use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Transformations};

use super::metadata::belongs_to_the_frame;
use super::picture::Picture;
use crate::Samples;

/// Reads the one image of a PNG. Palettes and grey levels of fewer than 8 bits become the 8-bit colours they stand for.
pub(crate) fn read(bytes: &[u8]) -> Result<Picture, DecodingError> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![
        0;
        reader
            .output_buffer_size()
            .ok_or(DecodingError::LimitsExceeded)?
    ];
    let frame = reader.next_frame(&mut pixels)?;
    reader.finish()?;

    let info = reader.info();
    let (depth_bits, samples) = match frame.bit_depth {
        BitDepth::Sixteen => {
            let (levels, _) = pixels.as_chunks::<2>();
            (
                16,
                levels
                    .iter()
                    .map(|level| u16::from_be_bytes(*level).into())
                    .collect(),
            )
        }
        _ => (8, pixels.iter().map(|level| u32::from(*level)).collect()),
    };
    let names: &[&str] = match frame.color_type {
        ColorType::Grayscale | ColorType::Indexed => &["Y"],
        ColorType::GrayscaleAlpha => &["Y", "A"],
        ColorType::Rgb => &["R", "G", "B"],
        ColorType::Rgba => &["R", "G", "B", "A"],
    };
    let stored = format!("{:?}, {:?} bits", info.color_type, info.bit_depth).to_lowercase();
    let container = if info.interlaced {
        format!("{stored}, interlaced")
    } else {
        stored
    };
    let size = (frame.width as usize, frame.height as usize);
    let format = format!("PNG of {depth_bits} bits");
    let mut picture = Picture::of_pixels(format, container, size, names, Samples::Uint(samples));
    picture.metadata = Some(metadata_of(info)?);
    Ok(picture)
}

/// The chunks that change what the levels mean, and the text that belongs to the frame.
fn metadata_of(info: &Info<'_>) -> Result<BTreeMap<String, String>, DecodingError> {
    let mut said = BTreeMap::new();
    let colour = [
        ("gAMA", info.gama_chunk.map(|value| format!("{value:?}"))),
        ("cHRM", info.chrm_chunk.map(|value| format!("{value:?}"))),
        ("sRGB", info.srgb.map(|value| format!("{value:?}"))),
        (
            "cICP",
            info.coding_independent_code_points
                .map(|value| format!("{value:?}")),
        ),
        (
            "iCCP",
            info.icc_profile.as_ref().map(|value| format!("{value:?}")),
        ),
        ("pHYs", info.pixel_dims.map(|value| format!("{value:?}"))),
    ];
    said.extend(
        colour
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    for text in &info.uncompressed_latin1_text {
        said.insert(text.keyword.clone(), text.text.clone());
    }
    for text in &info.compressed_latin1_text {
        said.insert(text.keyword.clone(), text.get_text()?);
    }
    for text in &info.utf8_text {
        said.insert(text.keyword.clone(), text.get_text()?);
    }
    said.retain(|name, _| belongs_to_the_frame(name));
    Ok(said)
}
