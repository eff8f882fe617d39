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

use crate::read::caught;

/// The fastest: files are 1 to 2 % larger than by OpenEXR's own level, 4, which takes twice as long.
const LEVEL: i32 = 1;

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

/// What un- and recompresses chunks, one after the other: memory that is new costs more than most of what is done with it.
pub(crate) struct Codec {
    inflater: Decompressor,
    deflater: Compressor,
    /// A chunk's bytes taken apart.
    apart: Vec<u8>,
    /// Room for raw bytes; those of a chunk that was done with serve the next one.
    pub spare: Vec<u8>,
    /// The same for packed ones.
    pub chunk: Vec<u8>,
}

impl Codec {
    pub(crate) fn new() -> Self {
        Self {
            inflater: Decompressor::new(),
            deflater: Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default()),
            apart: Vec::new(),
            spare: Vec::new(),
            chunk: Vec::new(),
        }
    }

    /// A chunk as it is read, with its pixels raw if they were ZIP.
    pub(crate) fn unpacked(
        &mut self,
        mut chunk: Chunk,
        headers: &[Header],
    ) -> Result<Chunk, ExrError> {
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
            self.apart.resize(raw_bytes, 0);
            let inflated = self
                .inflater
                .zlib_decompress(&lines.compressed_pixels_le, &mut self.apart);
            if inflated != Ok(raw_bytes) {
                return Err(ExrError::Invalid("damaged compressed pixels".into()));
            }
            let mut raw = std::mem::take(&mut self.spare);
            raw.resize(raw_bytes, 0);
            put_together(&self.apart, &mut raw);
            self.chunk = std::mem::replace(&mut lines.compressed_pixels_le, raw);
        }
        Ok(chunk)
    }

    /// A block as it is written.
    pub(crate) fn packed(
        &mut self,
        block: UncompressedBlock,
        headers: &[Header],
    ) -> Result<Chunk, ExrError> {
        let layer_index = block.index.layer;
        let Some(header) = headers.get(layer_index).filter(|it| is_zip(it)) else {
            return caught(|| block.compress_to_chunk(headers));
        };
        let top = i32::try_from(block.index.pixel_position.y())
            .map_err(|_| ExrError::Invalid("too many rows".into()))?;
        let mut pixels = block.data;
        self.apart.resize(pixels.len(), 0);
        self.spare.resize(pixels.len(), 0);
        taken_apart(&pixels, &mut self.apart);
        differences(&self.apart, &mut self.spare);
        let mut deflated = vec![0; self.deflater.zlib_compress_bound(pixels.len())];
        let bytes = self.deflater.zlib_compress(&self.spare, &mut deflated);
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
}

/// Undoes the differences, and puts the two halves back between each other. Each byte is the sum of those up to it, less 128 for each
/// after the first; that is 128 more at odd places and nothing at even ones.
fn put_together(halves: &[u8], to: &mut [u8]) {
    /// The bytes at even places in four lanes, and those at odd ones.
    const LOW: u64 = 0x00ff_00ff_00ff_00ff;
    const HALF: u64 = 0x0080_0080_0080_0080;
    let half = halves.len().div_ceil(2);
    let (even, odd) = halves.split_at(half);
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let mut before = [0, u64::from(sum(even))];
    // Where in pairs of both halves those lie that are at odd places of all: the second half may begin at one.
    let at_odd = match half % 2 {
        0 => [0, HALF | HALF << 8],
        _ => [HALF << 8, HALF],
    };
    // Eight of each half at once.
    let eights = even.as_chunks::<8>().0.iter().zip(odd.as_chunks::<8>().0);
    for (to, (even, odd)) in to.as_chunks_mut::<16>().0.iter_mut().zip(eights) {
        let even = sums(u64::from_le_bytes(*even), &mut before[0]);
        let odd = sums(u64::from_le_bytes(*odd), &mut before[1]);
        let pairs = |at: usize| (even[at] & LOW | (odd[at] & LOW) << 8) ^ at_odd[at];
        let (first, second) = (pairs(0), pairs(1));
        let two = |first: u64, second: u64| {
            let apart = |pairs: u64| (pairs & 0xffff) | (pairs & 0xffff_0000) << 16;
            (apart(first) | apart(second) << 16).to_le_bytes()
        };
        let (low, high) = to.split_at_mut(8);
        low.copy_from_slice(&two(first, second));
        high.copy_from_slice(&two(first >> 32, second >> 32));
    }
    let mut before = before.map(|sum| sum as u8);
    for at in odd.len() / 8 * 8..half {
        for (side, byte) in [even.get(at), odd.get(at)].into_iter().enumerate() {
            if let Some(byte) = byte {
                before[side] = before[side].wrapping_add(*byte);
                let place = side * half + at;
                to[2 * at + side] = before[side] ^ if place % 2 == 1 { 0x80 } else { 0 };
            }
        }
    }
}

/// Of eight bytes the sums up to those at even places, and to those at odd ones, each in the lower half of a lane of 16 bits. What comes
/// before them is added last, so that eights wait for each other in one addition only.
fn sums(bytes: u64, before: &mut u64) -> [u64; 2] {
    /// One in each of four lanes of 16 bits; multiplied by it, each lane holds the sum of the lanes up to it.
    const ONES: u64 = 0x0001_0001_0001_0001;
    const LOW: u64 = 0x00ff_00ff_00ff_00ff;
    let even = (bytes & LOW).wrapping_mul(ONES);
    let odd = ((bytes >> 8) & LOW).wrapping_mul(ONES);
    let so_far = (*before & 0xff) * ONES;
    let both = even.wrapping_add(odd);
    *before = before.wrapping_add(both >> 48);
    [
        even.wrapping_add(odd << 16).wrapping_add(so_far),
        both.wrapping_add(so_far),
    ]
}

/// Bytes at even places, then those at odd ones.
fn taken_apart(bytes: &[u8], to: &mut [u8]) {
    let (even, odd) = to.split_at_mut(bytes.len().div_ceil(2));
    let (pairs, last) = bytes.as_chunks::<2>();
    for ((pair, even), odd) in pairs.iter().zip(&mut *even).zip(odd) {
        [*even, *odd] = *pair;
    }
    if let (Some(last), Some(to)) = (last.first(), even.last_mut()) {
        *to = *last;
    }
}

/// Each byte as its difference to the one before.
fn differences(bytes: &[u8], to: &mut [u8]) {
    if let (Some(first), Some(to)) = (bytes.first(), to.first_mut()) {
        *to = *first;
    }
    for (to, [before, byte]) in to.iter_mut().skip(1).zip(bytes.array_windows()) {
        *to = byte.wrapping_sub(*before).wrapping_add(128);
    }
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
                let ours = Codec::new().packed(block(), &headers).unwrap();
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
                    let raw = Codec::new().unpacked(chunk, &headers).unwrap();
                    assert_eq!(payload(&raw), pixels);
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        let headers = [part(64, 16, Compression::ZIP16)];
        let pixels: Vec<u8> = (0..64 * 16 * 6).map(|at| (at / 11) as u8).collect();
        let mut codec = Codec::new();
        let chunk = codec.packed(block(64, 16, pixels), &headers).unwrap();
        for length in [0, 1, payload(&chunk).len() - 1] {
            let mut cut = chunk.clone();
            if let CompressedBlock::ScanLine(lines) = &mut cut.compressed_block {
                lines.compressed_pixels_le.truncate(length);
            }
            assert!(codec.unpacked(cut, &headers).is_err());
        }
    }
}
