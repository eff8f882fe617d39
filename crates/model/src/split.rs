//! How a frame is divided among workers.
//!
//! A frame that is divided has so many *places*, in one order; what a worker is given is a run of neighbouring ones, as many as
//! suits it. Tiles are made by halving the longer side again and again, so that a run of places is a few rectangles
//! and not many small ones. A run of places of samples is one range of them, over the whole frame. Where samples are added
//! as long as there is noise, each round of them is a range of the samples of some tiles.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most places of one frame: bounds what is kept of it.
pub const PLACES_MAX: u32 = 4096;

/// Most times that a frame is halved: 4,096 tiles.
const HALVINGS_MAX: u8 = 12;

/// Most places of a frame that is divided by its samples: fine enough for any number of workers. Of a frame with more samples each
/// place is several.
const SAMPLE_PLACES_MAX: u32 = 512;

/// Longest side of a frame in pixels, as far as Blender goes.
pub const SIDE_MAX: u32 = 65_536;

/// A rectangle in pixels of the frame, from its top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// By what a frame is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// Halved so many times: 2 to the power of it tiles.
    Halvings(u8),
    /// Tiles in rows and columns, each rendered as it is.
    Grid {
        /// Tiles side by side.
        columns: u32,
        /// Tiles one above the other.
        rows: u32,
    },
    /// Samples: each place is as many of them, over the whole frame.
    Samples,
    /// So many tiles of a frame that is halved so often; which, the step says.
    Chosen {
        /// How often the frame is halved.
        halvings: u8,
        /// How many of its tiles.
        tiles: u16,
    },
}

/// How a frame is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// Columns of the frame in pixels.
    pub width: u32,
    /// Rows of the frame in pixels.
    pub height: u32,
    /// Samples of a pixel of the whole frame.
    pub samples: u32,
    /// Of a frame to which samples were added: those before this one were rendered before, and its places are the others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: u32,
    /// Most samples that the frame can have with more added: so many have the pattern that its ranges are rendered in. None if
    /// nothing can be added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grows_to: Option<u32>,
    /// Of a frame to which samples are added, tile by tile, as long as there is noise in them: how much may be left, in millionths, as Cycles
    /// measures it. Its tiles are of the samples from `first` on, and not of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<u32>,
    /// By what.
    pub by: SplitBy,
}

fn is_zero(first: &u32) -> bool {
    *first == 0
}

/// What one call of a renderer makes of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// Which pixels.
    pub window: Window,
    /// Which of the frame's samples; all if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Range<u32>>,
}

impl Split {
    /// Places of a frame.
    #[must_use]
    pub fn places(&self) -> u32 {
        match self.by {
            SplitBy::Halvings(times) => 1 << times.min(HALVINGS_MAX),
            SplitBy::Grid { columns, rows } => columns.saturating_mul(rows),
            SplitBy::Samples => self.ranged().min(SAMPLE_PLACES_MAX),
            SplitBy::Chosen { tiles, .. } => tiles.into(),
        }
    }

    /// Whether neighbouring places may be given out together.
    #[must_use]
    pub fn joins(&self) -> bool {
        !matches!(self.by, SplitBy::Grid { .. })
    }

    /// How many places from `first` on to give out together where about `wished` are meant, of `free` that are there: of halved
    /// frames down to half as many, so that they are few rectangles, each with little around it.
    #[must_use]
    pub fn run(&self, first: u32, wished: u32, free: u32) -> u32 {
        let wished = wished.clamp(1, free.max(1));
        if !matches!(self.by, SplitBy::Halvings(_)) {
            return wished;
        }
        // A rectangle of so many places, a power of two, ends where that divides the number of the next place.
        let size = |len: &u32| (first + len).trailing_zeros();
        (wished.div_ceil(2)..=wished)
            .max_by_key(size)
            .unwrap_or(wished)
    }

    /// What is wrong with it, in words; nothing if it can be used.
    ///
    /// # Errors
    /// If it has no places or too many, or tiles without pixels.
    pub fn check(&self) -> Result<(), String> {
        let Self { width, height, .. } = *self;
        if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
            return Err(format!(
                "a frame has 1 to {SIDE_MAX} pixels on each side, not {width} by {height}"
            ));
        }
        let places = match self.by {
            SplitBy::Halvings(times)
            | SplitBy::Chosen {
                halvings: times, ..
            } if times > HALVINGS_MAX => u32::MAX,
            _ => self.places(),
        };
        if !(1..=PLACES_MAX).contains(&places) {
            return Err(format!(
                "a frame is divided into 1 to {PLACES_MAX} parts: choose fewer"
            ));
        }
        let smallest = match self.by {
            SplitBy::Halvings(times)
            | SplitBy::Chosen {
                halvings: times, ..
            } => self.tile((1 << times) - 1, times),
            SplitBy::Grid { columns, rows } => Window {
                x: 0,
                y: 0,
                width: width / columns,
                height: height / rows,
            },
            SplitBy::Samples => self.whole(),
        };
        let rises = self.grows_to.is_some_and(|most| most > self.samples);
        if self.noise.is_some()
            && (self.samples.saturating_sub(self.first) < 2 || !rises || self.tile_count() == 0)
        {
            return Err(
                "samples are added where noise is left to tiles of a halved frame that have two samples and can have more".into(),
            );
        }
        if let SplitBy::Chosen { halvings, tiles } = self.by
            && u32::from(tiles) > 1 << halvings
        {
            return Err(format!(
                "a frame halved {halvings} times has no {tiles} tiles"
            ));
        }
        if smallest.width == 0 || smallest.height == 0 {
            return Err(format!(
                "a frame of {width} by {height} pixels has no {places} tiles: choose fewer"
            ));
        }
        Ok(())
    }

    /// What is rendered for a run of places; of chosen tiles, these.
    #[must_use]
    pub fn slices(&self, places: Range<u32>, chosen: &[u16]) -> Vec<Slice> {
        let places = places.start..places.end.min(self.places());
        if places.is_empty() {
            return Vec::new();
        }
        let tile = |window| Slice {
            window,
            samples: self.noise.map(|_| self.first..self.samples),
        };
        match self.by {
            // What noise there is shows where two halves of the samples differ.
            SplitBy::Halvings(times) if self.noise.is_some() => {
                let middle = self.samples / 2;
                let halves = |window| {
                    [0..middle, middle..self.samples].map(|samples| Slice {
                        window,
                        samples: Some(samples),
                    })
                };
                let rectangles = self.rectangles(places, times);
                rectangles.into_iter().flat_map(halves).collect()
            }
            SplitBy::Halvings(times) => self
                .rectangles(places, times)
                .into_iter()
                .map(tile)
                .collect(),
            SplitBy::Grid { columns, rows } => places
                .map(|place| tile(self.cell(place, columns, rows)))
                .collect(),
            SplitBy::Samples => vec![Slice {
                window: self.whole(),
                samples: Some(self.sample(places.start)..self.sample(places.end)),
            }],
            SplitBy::Chosen { halvings, .. } => {
                let chosen = chosen.get(places.start as usize..places.end as usize);
                chosen
                    .unwrap_or_default()
                    .chunk_by(|&one, &next| one.checked_add(1) == Some(next))
                    .filter_map(|run| Some(u32::from(*run.first()?)..u32::from(*run.last()?) + 1))
                    .flat_map(|run| self.rectangles(run, halvings))
                    .map(tile)
                    .collect()
            }
        }
    }

    /// How many tiles the frame has, if it is halved.
    #[must_use]
    pub fn tile_count(&self) -> u32 {
        match self.by {
            SplitBy::Halvings(times)
            | SplitBy::Chosen {
                halvings: times, ..
            } => 1 << times,
            SplitBy::Grid { .. } | SplitBy::Samples => 0,
        }
    }

    /// These tiles, in the order of their numbers, if it is a frame that is halved.
    #[must_use]
    pub fn tiles(&self) -> Vec<Window> {
        match self.by {
            SplitBy::Halvings(halvings) | SplitBy::Chosen { halvings, .. } => (0..self
                .tile_count())
                .map(|number| self.tile(number, halvings))
                .collect(),
            SplitBy::Grid { .. } | SplitBy::Samples => Vec::new(),
        }
    }

    /// The same for frames that are rendered with all their samples at once.
    #[must_use]
    pub fn evened(self) -> Self {
        match self.noise {
            None => self,
            Some(_) => Self {
                samples: self.grows_to.unwrap_or(self.samples),
                grows_to: None,
                noise: None,
                ..self
            },
        }
    }

    /// What comes next of a frame in which noise is left in these tiles, a list in order: as many samples there as it has by now.
    /// None if it has all that it can come to.
    #[must_use]
    pub fn next(&self, noisy: &[u16]) -> Option<Self> {
        let (SplitBy::Halvings(halvings) | SplitBy::Chosen { halvings, .. }) = self.by else {
            return None;
        };
        let most = self.grows_to.filter(|&most| self.samples < most)?;
        Some(Self {
            first: self.samples,
            samples: self.samples.saturating_mul(2).min(most),
            by: SplitBy::Chosen {
                halvings,
                tiles: u16::try_from(noisy.len()).ok()?,
            },
            ..*self
        })
    }

    /// Samples that its places are.
    #[must_use]
    pub fn ranged(&self) -> u32 {
        self.samples.saturating_sub(self.first)
    }

    /// The first sample of a place.
    fn sample(&self, place: u32) -> u32 {
        self.first + share(self.ranged(), place, self.places())
    }

    fn whole(&self) -> Window {
        Window {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        }
    }

    fn cell(&self, place: u32, columns: u32, rows: u32) -> Window {
        let (column, row) = (place % columns, place / columns);
        let (x, y) = (
            share(self.width, column, columns),
            share(self.height, row, rows),
        );
        Window {
            x,
            y,
            width: share(self.width, column + 1, columns) - x,
            height: share(self.height, row + 1, rows) - y,
        }
    }

    /// A tile of the frame halved so often, by its number.
    fn tile(&self, number: u32, halvings: u8) -> Window {
        self.block(number, 1, halvings)
    }

    /// The rectangle of `len` tiles from `first` on, both multiples of a power of two that `len` is.
    fn block(&self, first: u32, len: u32, halvings: u8) -> Window {
        let mut window = self.whole();
        let (mut from, mut count) = (0, 1 << halvings);
        while count > len {
            count /= 2;
            let second = first >= from + count;
            if window.width >= window.height {
                let half = window.width.div_ceil(2);
                if second {
                    window.x += half;
                    window.width -= half;
                } else {
                    window.width = half;
                }
            } else {
                let half = window.height.div_ceil(2);
                if second {
                    window.y += half;
                    window.height -= half;
                } else {
                    window.height = half;
                }
            }
            from += if second { count } else { 0 };
        }
        window
    }

    /// A run of tiles as the fewest blocks.
    fn rectangles(&self, places: Range<u32>, halvings: u8) -> Vec<Window> {
        let mut rectangles = Vec::new();
        let mut at = places.start;
        while at < places.end {
            let fits = 1 << (31 - (places.end - at).leading_zeros());
            let aligned = match at {
                0 => u32::MAX,
                at => 1 << at.trailing_zeros(),
            };
            let len = fits.min(aligned);
            rectangles.push(self.block(at, len, halvings));
            at += len;
        }
        rectangles
    }
}

/// Where the part with this number begins if so much is cut into equal ones.
fn share(all: u32, at: u32, of: u32) -> u32 {
    (u64::from(all) * u64::from(at) / u64::from(of)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(width: u32, height: u32, by: SplitBy) -> Split {
        Split {
            width,
            height,
            samples: 64,
            first: 0,
            grows_to: None,
            noise: None,
            by,
        }
    }

    /// How often each pixel is rendered when the places are given out in runs of these lengths.
    fn coverage(split: &Split, lengths: &[u32]) -> Vec<u32> {
        let mut pixels = vec![0; (split.width * split.height) as usize];
        let mut lengths = lengths.iter().cycle();
        let mut at = 0;
        while at < split.places() {
            let next = at + lengths.next().unwrap();
            for slice in split.slices(at..next, &[]) {
                let Window {
                    x,
                    y,
                    width,
                    height,
                } = slice.window;
                for row in y..y + height {
                    for column in x..x + width {
                        pixels[(row * split.width + column) as usize] += 1;
                    }
                }
            }
            at = next;
        }
        pixels
    }

    #[test]
    fn every_pixel_is_in_one_slice_however_the_places_are_given_out() {
        for (width, height) in [(160, 90), (97, 33), (64, 64), (1920, 17)] {
            for lengths in [&[1][..], &[64], &[32, 16, 8], &[1, 5, 7, 2, 11], &[3, 40]] {
                let halved = split(width, height, SplitBy::Halvings(6));
                assert_eq!(halved.check(), Ok(()));
                assert!(coverage(&halved, lengths).iter().all(|&times| times == 1));
            }
            let (columns, rows) = (7, 5);
            let grid = split(width, height, SplitBy::Grid { columns, rows });
            assert!(coverage(&grid, &[1]).iter().all(|&times| times == 1));
        }
    }

    #[test]
    fn a_run_that_is_a_block_is_one_rectangle() {
        let halved = split(1920, 1080, SplitBy::Halvings(8));
        let windows = |places| -> Vec<Window> {
            let slices = halved.slices(places, &[]).into_iter();
            slices.map(|slice| slice.window).collect()
        };
        let window = |x, y, width, height| Window {
            x,
            y,
            width,
            height,
        };
        assert_eq!(windows(0..256), [window(0, 0, 1920, 1080)]);
        assert_eq!(windows(0..128), [window(0, 0, 960, 1080)]);
        assert_eq!(windows(192..256), [window(960, 540, 960, 540)]);
        assert_eq!(windows(1..8).len(), 3);
        assert_eq!(windows(250..999).len(), 2);
        assert_eq!(windows(7..7), []);
    }

    #[test]
    fn a_run_is_near_what_is_meant_and_ends_where_rectangles_end() {
        let halved = split(1920, 1080, SplitBy::Halvings(8));
        assert_eq!(halved.run(0, 42, 256), 32);
        assert_eq!(halved.run(32, 28, 224), 16);
        assert_eq!(halved.run(48, 28, 208), 16);
        assert_eq!(halved.run(64, 10, 160), 8);
        assert_eq!(halved.run(255, 10, 1), 1);
        assert_eq!(halved.run(7, 1, 249), 1);
        assert_eq!(halved.run(0, 0, 3), 1);
        for first in 0..256 {
            for wished in 1..=256 - first {
                let run = halved.run(first, wished, 256 - first);
                assert!(run >= 1 && first + run <= 256);
                assert!(2 * run >= wished && run <= wished);
            }
        }
        let samples = split(16, 9, SplitBy::Samples);
        assert_eq!(samples.run(3, 42, 50), 42);
    }

    #[test]
    fn samples_are_one_slice_of_the_whole_frame() {
        let samples = split(16, 9, SplitBy::Samples);
        let slices = samples.slices(8..32, &[]);
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0].samples, Some(8..32));
        assert_eq!((slices[0].window.width, slices[0].window.height), (16, 9));
    }

    #[test]
    fn every_sample_is_in_one_place_however_many_there_are() {
        for samples in [1, 64, 512, 513, 1000, 4096, 16_777_216] {
            let split = Split {
                samples,
                ..split(16, 9, SplitBy::Samples)
            };
            assert_eq!(split.check(), Ok(()), "{samples}");
            let mut next = 0;
            for place in 0..split.places() {
                let slices = split.slices(place..place + 1, &[]);
                let range = slices[0].samples.clone().unwrap();
                assert!(range.start == next && range.end > next, "{samples}");
                next = range.end;
            }
            assert_eq!(next, samples);
        }
    }

    #[test]
    fn places_of_added_samples_are_those_that_were_not_there() {
        for (first, samples) in [(64, 128), (64, 65), (1000, 4096)] {
            let more = Split {
                samples,
                first,
                ..split(16, 9, SplitBy::Samples)
            };
            assert_eq!(more.check(), Ok(()));
            let places = more.places();
            assert_eq!(places, (samples - first).min(SAMPLE_PLACES_MAX));
            let all = more.slices(0..places, &[]);
            assert_eq!(all[0].samples, Some(first..samples));
            let last = more.slices(places - 1..places, &[])[0].samples.clone();
            assert_eq!(last.map(|range| range.end), Some(samples));
        }
    }

    #[test]
    fn what_cannot_be_divided_so_is_refused() {
        for bad in [
            split(0, 9, SplitBy::Samples),
            split(16, SIDE_MAX + 1, SplitBy::Samples),
            split(16, 9, SplitBy::Halvings(8)),
            split(4096, 4096, SplitBy::Halvings(13)),
            split(
                16,
                9,
                SplitBy::Grid {
                    columns: 17,
                    rows: 1,
                },
            ),
            split(
                16,
                9,
                SplitBy::Grid {
                    columns: 0,
                    rows: 1,
                },
            ),
            split(
                16,
                9,
                SplitBy::Grid {
                    columns: u32::MAX,
                    rows: u32::MAX,
                },
            ),
            Split {
                samples: 0,
                ..split(16, 9, SplitBy::Samples)
            },
            Split {
                first: 64,
                ..split(16, 9, SplitBy::Samples)
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
