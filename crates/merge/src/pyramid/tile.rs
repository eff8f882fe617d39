//! How tiles are packed.

use libdeflater::{CompressionLvl, Compressor};

use crate::Samples;

/// Low: what is made is read once or twice, and somebody waits for it.
const LEVEL: i32 = 3;

/// A rectangle of a plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Columns of the plane.
    pub(super) stride: usize,
    pub(super) x: usize,
    pub(super) width: usize,
    /// From the first row on.
    pub(super) rows: usize,
}

/// Packs a rectangle of the planes of a pass, which are as large as each other.
pub(super) fn packed(planes: &[Samples], cut: Cut) -> Vec<u8> {
    let count = cut.width * cut.rows;
    let bytes: usize = planes
        .iter()
        .map(|plane| plane.sample_type().bytes() * count)
        .sum();
    let mut apart = Vec::with_capacity(bytes);
    for plane in planes {
        match plane {
            Samples::Half(samples) => differences(samples, cut, |it| it.to_le_bytes(), &mut apart),
            Samples::Float(samples) => differences(samples, cut, |it| it.to_le_bytes(), &mut apart),
            Samples::Uint(samples) => differences(samples, cut, |it| it.to_le_bytes(), &mut apart),
        }
    }
    deflated(&apart)
}

/// The lowest bytes of all samples, then the next higher and so on, each as the difference to the one before.
fn differences<T: Copy, const N: usize>(
    samples: &[T],
    cut: Cut,
    bytes_of: impl Fn(T) -> [u8; N],
    apart: &mut Vec<u8>,
) {
    let count = cut.width * cut.rows;
    let begin = apart.len();
    apart.resize(begin + N * count, 0);
    let to = &mut apart[begin..];
    let mut before = [0_u8; N];
    let lines = samples.chunks_exact(cut.stride).take(cut.rows);
    let pixels = lines.flat_map(|line| &line[cut.x..cut.x + cut.width]);
    for (at, sample) in pixels.enumerate() {
        let bytes = bytes_of(*sample);
        for (rank, (byte, before)) in bytes.iter().zip(&mut before).enumerate() {
            to[rank * count + at] = byte.wrapping_sub(*before);
            *before = *byte;
        }
    }
}

/// As a zlib stream.
pub(super) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut deflater = Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default());
    let mut to = vec![0; deflater.zlib_compress_bound(bytes.len())];
    let len = deflater
        .zlib_compress(bytes, &mut to)
        .expect("there is as much room as it asked for");
    to.truncate(len);
    to
}
