//! The levels of one pass in the making: rows come in at the lowest, and what is full goes up by half.

use exr::prelude::f16;

use super::head::PassHead;
use super::tile::{Cut, packed};
use crate::{SampleType, Samples};

/// See the module.
#[derive(Debug)]
pub(super) struct Stack {
    head: PassHead,
    levels: Vec<Level>,
    /// Columns and rows of a tile.
    tile: (usize, usize),
    /// Whether the first of four pixels stands for them, and not their mean.
    is_first: bool,
}

#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    /// Rows that are packed.
    done: usize,
    /// Rows that are not, of each channel.
    pending: Vec<Samples>,
    /// Where tiles lie, row by row.
    places: Vec<(u64, u32)>,
}

/// A tile, to be written.
#[derive(Debug)]
pub(super) struct Packed {
    level: usize,
    pub(super) bytes: Vec<u8>,
}

impl Stack {
    /// Of channels of these types, with so many columns and rows.
    pub(super) fn new(
        head: PassHead,
        types: Vec<SampleType>,
        size: (usize, usize),
        tile: (usize, usize),
        is_first: bool,
    ) -> Self {
        let (mut width, mut height) = size;
        let mut levels = Vec::new();
        loop {
            levels.push(Level {
                width,
                height,
                done: 0,
                pending: types.iter().copied().map(none).collect(),
                places: Vec::new(),
            });
            if width <= tile.0 && height <= tile.1 {
                break;
            }
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        Self {
            head,
            levels,
            tile,
            is_first,
        }
    }

    pub(super) fn head(&self) -> &PassHead {
        &self.head
    }

    pub(super) fn channels(&self) -> usize {
        self.levels[0].pending.len()
    }

    /// Takes the next rows, a tile's height of them or the last, and gives the tiles that are full by them.
    pub(super) fn add(&mut self, mut planes: Vec<Samples>) -> Vec<Packed> {
        let (tile_width, tile_rows) = self.tile;
        let mut full = Vec::new();
        let count = self.levels.len();
        for (index, level) in self.levels.iter_mut().enumerate() {
            for (pending, plane) in level.pending.iter_mut().zip(planes) {
                append(pending, plane);
            }
            let rows = level.pending[0].len() / level.width;
            if rows < tile_rows && level.done + rows < level.height {
                break;
            }
            let band: Vec<Samples> = level
                .pending
                .iter_mut()
                .map(|plane| std::mem::replace(plane, none(plane.sample_type())))
                .collect();
            level.done += rows;
            for x in (0..level.width).step_by(tile_width) {
                let cut = Cut {
                    stride: level.width,
                    x,
                    width: tile_width.min(level.width - x),
                    rows,
                };
                full.push(Packed {
                    level: index,
                    bytes: packed(&band, cut),
                });
            }
            if index + 1 == count {
                break;
            }
            let halve = |plane: &Samples| halved(plane, level.width, self.is_first);
            planes = band.iter().map(halve).collect();
        }
        full
    }

    /// A tile was written there. They come in the order in which they were given.
    pub(super) fn placed(&mut self, tile: &Packed, place: (u64, u32)) {
        self.levels[tile.level].places.push(place);
    }

    /// Where all tiles lie: of each level, row by row.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, u32)> {
        self.levels
            .iter()
            .flat_map(|level| level.places.iter().copied())
    }
}

fn none(sample_type: SampleType) -> Samples {
    match sample_type {
        SampleType::Half => Samples::Half(Vec::new()),
        SampleType::Float => Samples::Float(Vec::new()),
        SampleType::Uint => Samples::Uint(Vec::new()),
    }
}

/// Both are of one type.
fn append(to: &mut Samples, more: Samples) {
    match (to, more) {
        (Samples::Half(to), Samples::Half(more)) => join(to, more),
        (Samples::Float(to), Samples::Float(more)) => join(to, more),
        (Samples::Uint(to), Samples::Uint(more)) => join(to, more),
        _ => unreachable!("a channel is of one type throughout"),
    }
}

fn join<T>(to: &mut Vec<T>, mut more: Vec<T>) {
    match to.is_empty() {
        true => *to = more,
        false => to.append(&mut more),
    }
}

/// In half the columns and rows; what is over at the edges stands for itself.
fn halved(plane: &Samples, width: usize, is_first: bool) -> Samples {
    fn first<T: Copy>(pixels: &[T]) -> T {
        pixels[0]
    }
    match plane {
        Samples::Half(samples) if is_first => Samples::Half(quarters(samples, width, first)),
        Samples::Float(samples) if is_first => Samples::Float(quarters(samples, width, first)),
        Samples::Uint(samples) => Samples::Uint(quarters(samples, width, first)),
        Samples::Half(samples) => Samples::Half(quarters(samples, width, |pixels: &[f16]| {
            let sum: f32 = pixels.iter().map(|pixel| pixel.to_f32()).sum();
            f16::from_f32(sum / pixels.len() as f32)
        })),
        // In 64 bits, in which the sum of the largest is a number.
        Samples::Float(samples) => Samples::Float(quarters(samples, width, |pixels: &[f32]| {
            let sum: f64 = pixels.iter().copied().map(f64::from).sum();
            (sum / pixels.len() as f64) as f32
        })),
    }
}

fn quarters<T: Copy>(samples: &[T], width: usize, one_of: impl Fn(&[T]) -> T) -> Vec<T> {
    let mut small = Vec::with_capacity(samples.len().div_ceil(4) + width);
    for pair in samples.chunks(2 * width) {
        let (upper, lower) = pair.split_at(width);
        match lower.is_empty() {
            true => small.extend(upper.chunks(2).map(&one_of)),
            false => {
                for (upper, lower) in upper.chunks(2).zip(lower.chunks(2)) {
                    small.push(match (upper, lower) {
                        (&[a, b], &[c, d]) => one_of(&[a, b, c, d]),
                        _ => one_of(&[upper[0], lower[0]]),
                    });
                }
            }
        }
    }
    small
}
