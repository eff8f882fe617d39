//! What a chunk of DWA says of its own sizes.
//!
//! The exr crate (1.74) makes room for what a chunk promises before it looks at what is there, and a process whose memory does not suffice
//! for that is ended. So a promise of more than the chunk's pixels can need is refused before.
//!
//! A chunk begins with eleven numbers of eight bytes; `DwaCompressor_uncompress` in OpenEXR's `internal_dwa_compressor.h` reads them.

use exr::block::chunk::{Chunk, CompressedBlock};
use exr::error::Error as ExrError;
use exr::meta::attribute::Compression;
use exr::meta::header::Header;

/// Which of the numbers say how much something is once it is unpacked: what is only deflated, run lengths and what they stand for, and
/// two kinds of coefficients.
const UNPACKED: [usize; 5] = [1, 6, 7, 8, 9];

/// Pixels are transformed by squares of so many each way.
const SQUARE: usize = 8;

/// Refuses a chunk that promises more than it can hold; what is not DWA passes.
pub(crate) fn refuse_oversold(chunk: &Chunk, headers: &[Header]) -> Result<(), ExrError> {
    let is_dwa =
        |it: &&Header| matches!(it.compression, Compression::DWAA(_) | Compression::DWAB(_));
    let Some(header) = headers.get(chunk.layer_index).filter(is_dwa) else {
        return Ok(());
    };
    let payload = match &chunk.compressed_block {
        CompressedBlock::ScanLine(lines) => &lines.compressed_pixels_le,
        CompressedBlock::Tile(tile) => &tile.compressed_pixels_le,
        _ => return Ok(()),
    };
    let place = header.get_block_data_indices(&chunk.compressed_block)?;
    let size = header.get_absolute_block_pixel_coordinates(place)?.size;
    // One that would not get smaller is stored as it is, without numbers.
    if payload.len() == size.area() * header.channels.bytes_per_pixel {
        return Ok(());
    }
    let squares = size.width().div_ceil(SQUARE) * size.height().div_ceil(SQUARE);
    // Four bytes for each sample, and as much again for run lengths that make it longer.
    let most = squares * SQUARE * SQUARE * header.channels.list.len() * 4 * 2;
    let (numbers, _) = payload.as_chunks::<8>();
    let promised = UNPACKED.iter().filter_map(|at| numbers.get(*at));
    match promised.map(|number| u64::from_le_bytes(*number)).max() {
        Some(promised) if promised > most as u64 => Err(ExrError::Invalid(
            "compressed pixels that promise too many".into(),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use exr::block::chunk::CompressedScanLineBlock;
    use exr::meta::BlockDescription;
    use exr::prelude::*;

    use super::*;

    fn check(numbers: [u64; 11], is_sound: bool) {
        let channels = ["R", "G"].map(|name| ChannelDescription::named(name, SampleType::F16));
        let header = Header::new(
            Text::from("part"),
            Vec2(20, 10),
            SmallVec::from_vec(channels.to_vec()),
        );
        let header = header.with_encoding(
            Compression::DWAA(None),
            BlockDescription::ScanLines,
            LineOrder::Increasing,
        );
        let chunk = Chunk {
            layer_index: 0,
            compressed_block: CompressedBlock::ScanLine(CompressedScanLineBlock {
                y_coordinate: 0,
                compressed_pixels_le: numbers.iter().flat_map(|it| it.to_le_bytes()).collect(),
            }),
        };
        let said = refuse_oversold(&chunk, &[header]);
        assert_eq!(said.is_ok(), is_sound, "{numbers:?}: {said:?}");
    }

    #[test]
    fn no_more_is_promised_than_the_pixels_need() {
        // 3 × 2 squares of 64 in two channels.
        let most = 6 * 64 * 2 * 4 * 2;
        check([0; 11], true);
        for at in UNPACKED {
            let mut numbers = [0; 11];
            numbers[at] = most;
            check(numbers, true);
            for too_many in [most + 1, u64::MAX] {
                numbers[at] = too_many;
                check(numbers, false);
            }
        }
    }
}
