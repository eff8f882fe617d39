//! The codec of ZIP in EXR, by libdeflate.
//!
//! What Blender writes is ZIP, and un- and recompressing it is most of what merging costs; the exr crate's own codec takes two to
//! three times as long for the same pixels. Here the payload of a chunk is exchanged: one that a file holds for the bytes that it
//! stands for, which the exr crate then takes as they are (a chunk may be stored raw), and raw ones for packed ones. What is not ZIP in
//! scan lines passes as it is.
//!
//! A chunk's bytes are first taken apart into those at even and those at odd places, then each byte is replaced by its
//! difference to the one before it, plus 128, and that is deflated: <https://openexr.com/en/latest/OpenEXRFileLayout.html>, "Scan
//! Line Pixel Data", and `ImfZip.cpp` of OpenEXR.

use exr::block::UncompressedBlock;
use exr::block::chunk::{Chunk, CompressedBlock, CompressedScanLineBlock};
use exr::error::Error as ExrError;
use exr::meta::BlockDescription;
use exr::meta::attribute::Compression;
use exr::meta::header::Header;
use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// As OpenEXR does by default.
const LEVEL: i32 = 4;

/// Whether chunks of a part are what this is for. (Bytes of a file are little-endian; on other machines the exr crate turns them.)
fn is_zip(header: &Header) -> bool {
    let plain = |channel: &exr::meta::attribute::ChannelDescription| {
        channel.sampling.x() == 1 && channel.sampling.y() == 1
    };
    cfg!(target_endian = "little")
        && matches!(header.compression, Compression::ZIP1 | Compression::ZIP16)
        && header.blocks == BlockDescription::ScanLines
        && header.channels.list.iter().all(plain)
}

/// A chunk as it is read, with its pixels raw if they were ZIP.
pub(crate) fn unpacked(mut chunk: Chunk, headers: &[Header]) -> Result<Chunk, ExrError> {
    let Some(header) = headers.get(chunk.layer_index).filter(|it| is_zip(it)) else {
        return Ok(chunk);
    };
    let place = header.get_block_data_indices(&chunk.compressed_block)?;
    let place = header.get_absolute_block_pixel_coordinates(place)?;
    place.validate(Some(header.layer_size))?;
    let raw_bytes = place.size.area() * header.channels.bytes_per_pixel;
    if let CompressedBlock::ScanLine(lines) = &mut chunk.compressed_block
        && lines.compressed_pixels_le.len() != raw_bytes
    {
        let mut packed = vec![0; raw_bytes];
        let inflated =
            Decompressor::new().zlib_decompress(&lines.compressed_pixels_le, &mut packed);
        if inflated != Ok(raw_bytes) {
            return Err(ExrError::Invalid("damaged compressed pixels".into()));
        }
        sums(&mut packed);
        interleaved(&packed, &mut lines.compressed_pixels_le);
    }
    Ok(chunk)
}

/// A block as it is written.
pub(crate) fn packed(block: UncompressedBlock, headers: &[Header]) -> Result<Chunk, ExrError> {
    let layer_index = block.index.layer;
    let Some(header) = headers.get(layer_index).filter(|it| is_zip(it)) else {
        return block.compress_to_chunk(headers);
    };
    let top = i32::try_from(block.index.pixel_position.y())
        .map_err(|_| ExrError::Invalid("too many rows".into()))?;
    let mut pixels = block.data;
    let apart = differences(&pixels);
    let mut deflater = Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default());
    let mut deflated = vec![0; deflater.zlib_compress_bound(apart.len())];
    let bytes = deflater.zlib_compress(&apart, &mut deflated);
    let bytes = bytes.map_err(|_| ExrError::Invalid("no room to compress".into()))?;
    // What does not get smaller is stored as it is, and known by that.
    if bytes < pixels.len() {
        deflated.truncate(bytes);
        pixels = deflated;
    }
    Ok(Chunk {
        layer_index,
        compressed_block: CompressedBlock::ScanLine(CompressedScanLineBlock {
            y_coordinate: top + header.own_attributes.layer_position.y(),
            compressed_pixels_le: pixels,
        }),
    })
}

/// Undoes the differences: each byte is the sum of those up to it, less 128 for each after the first; that is 128 more at
/// odd places and nothing at even ones.
fn sums(bytes: &mut [u8]) {
    /// One in each of four lanes of 16 bits; multiplied by it, each lane holds the sum of the lanes up to it.
    const ONES: u64 = 0x0001_0001_0001_0001;
    const LOW: u64 = 0x00ff_00ff_00ff_00ff;
    const ODD: u64 = 0x8000_8000_8000_8000;
    // Eight at once: even and odd ones in lanes that have room for the sum of all.
    let mut before = 0_u64;
    let (eights, rest) = bytes.as_chunks_mut::<8>();
    for eight in eights {
        let word = u64::from_le_bytes(*eight);
        let even = (word & LOW).wrapping_mul(ONES);
        let odd = ((word >> 8) & LOW).wrapping_mul(ONES);
        let so_far = before * ONES;
        let at_even = even.wrapping_add(odd << 16).wrapping_add(so_far) & LOW;
        let at_odd = even.wrapping_add(odd).wrapping_add(so_far) & LOW;
        before = at_odd >> 48;
        *eight = ((at_even | at_odd << 8) ^ ODD).to_le_bytes();
    }
    let mut sum = before as u8;
    for (at, byte) in rest.iter_mut().enumerate() {
        sum = sum.wrapping_add(*byte);
        *byte = sum ^ if at % 2 == 1 { 0x80 } else { 0 };
    }
}

/// Puts the two halves back between each other.
fn interleaved(halves: &[u8], to: &mut Vec<u8>) {
    let (even, odd) = halves.split_at(halves.len().div_ceil(2));
    to.clear();
    to.resize(halves.len(), 0);
    for ((to, even), odd) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
        *to = [*even, *odd];
    }
    if even.len() > odd.len()
        && let (Some(to), Some(last)) = (to.last_mut(), even.last())
    {
        *to = *last;
    }
}

/// Bytes at even places, then those at odd ones, each as its difference to the one before.
fn differences(bytes: &[u8]) -> Vec<u8> {
    let half = bytes.len().div_ceil(2);
    let mut apart = vec![0; bytes.len()];
    let (even, odd) = apart.split_at_mut(half);
    let (pairs, last) = bytes.as_chunks::<2>();
    for ((pair, even), odd) in pairs.iter().zip(&mut *even).zip(odd) {
        [*even, *odd] = *pair;
    }
    if let (Some(last), Some(to)) = (last.first(), even.last_mut()) {
        *to = *last;
    }
    let mut differences = apart.clone();
    for (to, two) in differences[1.min(half)..].iter_mut().zip(apart.windows(2)) {
        *to = two[1].wrapping_sub(two[0]).wrapping_add(128);
    }
    differences
}

#[cfg(test)]
mod tests {
    use exr::block::BlockIndex;
    use exr::math::Vec2;
    use exr::meta::attribute::{ChannelDescription, IntegerBounds};
    use exr::prelude::*;

    use super::*;

    /// Numbers without a pattern.
    fn noise(count: usize) -> Vec<u8> {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    fn part(width: usize, height: usize, compression: Compression) -> Header {
        let channels = ["a", "b", "c"].map(|name| ChannelDescription::named(name, SampleType::F16));
        let header = Header::new(
            Text::from("part"),
            Vec2(width, height),
            SmallVec::from_vec(channels.to_vec()),
        );
        let header = header.with_encoding(
            compression,
            BlockDescription::ScanLines,
            LineOrder::Increasing,
        );
        let bounds = IntegerBounds::from_dimensions(Vec2(width, height));
        header.with_display_window(bounds)
    }

    fn block(width: usize, rows: usize, data: Vec<u8>) -> UncompressedBlock {
        UncompressedBlock {
            index: BlockIndex {
                layer: 0,
                pixel_position: Vec2(0, 0),
                pixel_size: Vec2(width, rows),
                level: Vec2(0, 0),
            },
            data,
        }
    }

    fn payload(chunk: &Chunk) -> &[u8] {
        match &chunk.compressed_block {
            CompressedBlock::ScanLine(lines) => &lines.compressed_pixels_le,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_one_codec_packs_the_other_unpacks() {
        for (width, rows, compression) in [
            (1, 1, Compression::ZIP1),
            (7, 1, Compression::ZIP1),
            (5, 3, Compression::ZIP16),
            (64, 16, Compression::ZIP16),
        ] {
            let headers = [part(width, rows, compression)];
            let bytes = width * rows * 3 * 2;
            let smooth: Vec<u8> = (0..bytes).map(|at| (at / 11) as u8).collect();
            for pixels in [smooth, noise(bytes), vec![255; bytes]] {
                let block = || block(width, rows, pixels.clone());
                let ours = packed(block(), &headers).unwrap();
                let theirs = block().compress_to_chunk(&headers).unwrap();
                let meta = MetaData {
                    requirements: exr::meta::Requirements {
                        file_format_version: 2,
                        is_single_layer_and_tiled: false,
                        has_long_names: false,
                        has_deep_data: false,
                        has_multiple_layers: false,
                    },
                    headers: headers.iter().cloned().collect(),
                };
                let read = UncompressedBlock::decompress_chunk(ours.clone(), &meta, true).unwrap();
                assert_eq!(read.data, pixels);
                for chunk in [ours, theirs] {
                    let raw = unpacked(chunk, &headers).unwrap();
                    assert_eq!(payload(&raw), pixels);
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        let headers = [part(64, 16, Compression::ZIP16)];
        let pixels: Vec<u8> = (0..64 * 16 * 6).map(|at| (at / 11) as u8).collect();
        let chunk = packed(block(64, 16, pixels), &headers).unwrap();
        for length in [0, 1, payload(&chunk).len() - 1] {
            let mut cut = chunk.clone();
            if let CompressedBlock::ScanLine(lines) = &mut cut.compressed_block {
                lines.compressed_pixels_le.truncate(length);
            }
            assert!(unpacked(cut, &headers).is_err());
        }
    }
}
