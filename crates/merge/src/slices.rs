//! What of a frame each file holds, and whether all of them together are the frame.
//!
//! A frame is cut into tiles, and the samples of each tile into ranges. What is rendered of a tile may reach beyond what is
//! kept of it (overscan), so that filters and adaptive sampling see what lies around. Slices of other samples may hold other tiles,
//! the whole frame some: it is then cut further, so that each piece has the same slices everywhere. No pixel has a sample twice, and none
//! is left out.

use std::path::PathBuf;

use crate::{MergeError, Window};

/// A range of the samples of every pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRange {
    /// The first one.
    pub offset: u32,
    /// How many, at least one.
    pub count: u32,
}

/// One file with a part of a frame.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The file.
    pub path: PathBuf,
    /// Where its pixels lie in the frame, if it holds less than the frame. A file as large as the frame is the frame, black
    /// where nothing was rendered.
    pub rendered: Option<Window>,
    /// What is taken of it; all that was rendered if none.
    pub kept: Option<Window>,
    /// Its samples; all there are if none.
    pub samples: Option<SampleRange>,
}

impl std::fmt::Display for SampleRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}+{}", self.offset, self.count)
    }
}

impl Window {
    pub(crate) fn right(&self) -> i64 {
        i64::from(self.x) + self.width as i64
    }

    pub(crate) fn bottom(&self) -> i64 {
        i64::from(self.y) + self.height as i64
    }

    pub(crate) fn holds(&self, other: &Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && self.right() >= other.right()
            && self.bottom() >= other.bottom()
    }

    /// What both hold, if they overlap.
    fn shared(&self, other: &Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let side = |end: i64, other_end: i64, begin: i32| {
            usize::try_from(end.min(other_end) - i64::from(begin)).unwrap_or(0)
        };
        Self {
            x,
            y,
            width: side(self.right(), other.right(), x),
            height: side(self.bottom(), other.bottom(), y),
        }
    }

    /// What it holds besides a window in it: above, below, left and right of that, as far as there is anything.
    fn around(&self, inner: &Self) -> impl Iterator<Item = Self> + use<> {
        let side = |from: i64, to: i64| usize::try_from(to - from).unwrap_or(0);
        let whole = *self;
        let (left, top) = (i64::from(self.x), i64::from(self.y));
        let (inner_left, inner_top) = (i64::from(inner.x), i64::from(inner.y));
        let begin = |at: i64| i32::try_from(at).unwrap_or(i32::MAX);
        let above = Self {
            height: side(top, inner_top),
            ..whole
        };
        let below = Self {
            y: begin(inner.bottom()),
            height: side(inner.bottom(), self.bottom()),
            ..whole
        };
        let before = Self {
            width: side(left, inner_left),
            x: self.x,
            ..*inner
        };
        let behind = Self {
            x: begin(inner.right()),
            width: side(inner.right(), self.right()),
            ..*inner
        };
        let parts = [above, below, before, behind];
        parts.into_iter().filter(|part| part.area() > 0)
    }

    fn overlaps(&self, other: &Self) -> bool {
        i64::from(self.x) < other.right()
            && i64::from(other.x) < self.right()
            && i64::from(self.y) < other.bottom()
            && i64::from(other.y) < self.bottom()
    }
}

/// A slice of known place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// Which of the slices.
    pub index: usize,
    pub rendered: Window,
    /// What is taken of it, in however many tiles.
    pub kept: Window,
    pub samples: SampleRange,
}

/// All slices of one tile, by their samples.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    pub kept: Window,
    pub slices: Vec<Placed>,
    /// How many samples they have together.
    pub samples: u64,
}

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// Nothing: the frame is to be whole.
    #[default]
    Refused,
    /// Tiles, which stay black, and samples: the frame so far.
    Allowed,
}

/// Sorts slices into tiles and holds them to what a frame is. `sizes` are those of the files.
pub(crate) fn tiles(
    slices: &[Slice],
    sizes: &[(usize, usize)],
    frame: Window,
    total: u32,
    missing: Missing,
) -> Result<Vec<Tile>, MergeError> {
    let mut tiles: Vec<Tile> = Vec::new();
    for placed in placed(slices, sizes, frame, total)? {
        add(&mut tiles, placed.kept, placed);
    }
    tiles.sort_by_key(|tile| (tile.kept.y, tile.kept.x));
    let path = |placed: &Placed| slices[placed.index].path.clone();
    for tile in &mut tiles {
        tile.slices.sort_by_key(|placed| placed.samples);
        for [before, after] in tile.slices.array_windows() {
            if before.samples.offset + before.samples.count > after.samples.offset {
                let (a, b, samples) = (path(before), path(after), after.samples);
                return Err(match before.kept == after.kept {
                    true => MergeError::SamplesTwice { a, b, samples },
                    false => MergeError::TilesOverlap { a, b },
                });
            }
        }
        if missing == Missing::Refused && tile.samples < u64::from(total) {
            return Err(MergeError::SamplesMissing {
                tile: tile.kept,
                there: tile.samples,
                total,
            });
        }
    }
    // Apart and inside of the frame: they are all of it if they are as many pixels.
    let area: usize = tiles.iter().map(|tile| tile.kept.area()).sum();
    if missing == Missing::Refused && area < frame.area() {
        return Err(MergeError::TilesMissing { there: area, frame });
    }
    Ok(tiles)
}

/// The slices in their places, held to a frame with so many samples. `sizes` are those of the files.
pub(crate) fn placed(
    slices: &[Slice],
    sizes: &[(usize, usize)],
    frame: Window,
    total: u32,
) -> Result<Vec<Placed>, MergeError> {
    let all = slices.iter().zip(sizes).enumerate();
    let placed = all.map(|(index, (slice, size))| place(index, slice, *size, frame, total));
    placed.collect()
}

/// Adds a slice to what is kept of it. Tiles that it covers in part are cut, so that every tile has all of its pixels from the same slices
/// and no two have a pixel in common.
fn add(tiles: &mut Vec<Tile>, kept: Window, placed: Placed) {
    let samples = u64::from(placed.samples.count);
    let mut uncovered = vec![kept];
    while let Some(window) = uncovered.pop() {
        let met = tiles.iter().position(|tile| tile.kept.overlaps(&window));
        let Some(at) = met else {
            tiles.push(Tile {
                kept: window,
                slices: vec![placed],
                samples,
            });
            continue;
        };
        let shared = tiles[at].kept.shared(&window);
        let rest = tiles[at].kept.around(&shared).map(|kept| Tile {
            kept,
            ..tiles[at].clone()
        });
        let rest: Vec<Tile> = rest.collect();
        uncovered.extend(window.around(&shared));
        let tile = &mut tiles[at];
        tile.kept = shared;
        tile.slices.push(placed);
        tile.samples += samples;
        tiles.extend(rest);
    }
}

fn place(
    index: usize,
    slice: &Slice,
    (width, height): (usize, usize),
    frame: Window,
    total: u32,
) -> Result<Placed, MergeError> {
    let path = || slice.path.clone();
    let is_frame = (width, height) == (frame.width, frame.height);
    let rendered = match slice.rendered {
        Some(window) if (width, height) == (window.width, window.height) => window,
        _ if is_frame => frame,
        Some(window) => {
            return Err(MergeError::Size {
                path: path(),
                width,
                height,
                expected: window,
            });
        }
        None => {
            return Err(MergeError::Size {
                path: path(),
                width,
                height,
                expected: frame,
            });
        }
    };
    let kept = slice.kept.or(slice.rendered).unwrap_or(rendered);
    if !rendered.holds(&kept) || !frame.holds(&kept) || kept.area() == 0 {
        return Err(MergeError::Outside {
            path: path(),
            kept,
            frame,
        });
    }
    let samples = slice.samples.unwrap_or(SampleRange {
        offset: 0,
        count: total,
    });
    let end = samples.offset.checked_add(samples.count);
    if samples.count == 0 || end.is_none_or(|end| end > total) {
        return Err(MergeError::Samples {
            path: path(),
            samples,
            total,
        });
    }
    Ok(Placed {
        index,
        rendered,
        kept,
        samples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Window = window(0, 0, 8, 4);

    const fn window(x: i32, y: i32, width: usize, height: usize) -> Window {
        Window {
            x,
            y,
            width,
            height,
        }
    }

    fn slice(kept: Window, offset: u32, count: u32) -> (Slice, (usize, usize)) {
        let slice = Slice {
            path: format!("{kept} {offset}+{count}").into(),
            rendered: Some(kept),
            kept: None,
            samples: Some(SampleRange { offset, count }),
        };
        (slice, (kept.width, kept.height))
    }

    fn check(slices: &[(Slice, (usize, usize))], missing: Missing, expected: Result<usize, &str>) {
        let (slices, sizes): (Vec<_>, Vec<_>) = slices.iter().cloned().unzip();
        let said = tiles(&slices, &sizes, FRAME, 16, missing);
        match (said, expected) {
            (Ok(tiles), Ok(count)) => assert_eq!(tiles.len(), count),
            (Err(error), Err(words)) => {
                let said = error.to_string();
                assert!(said.contains(words), "{said}");
            }
            (said, expected) => panic!("{said:?} and not {expected:?}"),
        }
    }

    #[test]
    fn tiles_and_samples_make_a_frame_whatever_their_order() {
        let (left, right) = (window(0, 0, 3, 4), window(3, 0, 5, 4));
        let all = [slice(right, 4, 12), slice(left, 0, 16), slice(right, 0, 4)];
        check(&all, Missing::Refused, Ok(2));
        check(&all[..2], Missing::Refused, Err("12 of 16 samples"));
        check(&all[..2], Missing::Allowed, Ok(2));
        check(&all[1..2], Missing::Refused, Err("12 of 32 pixels"));
        check(&all[1..2], Missing::Allowed, Ok(1));
    }

    /// Some samples of the whole frame, the others of its parts: each pixel has all of them.
    #[test]
    fn ranges_may_be_cut_into_other_tiles() {
        let all = slice(FRAME, 0, 4);
        let (top, bottom) = (window(0, 0, 8, 1), window(0, 1, 8, 3));
        let mixed = [all.clone(), slice(top, 4, 12), slice(bottom, 4, 12)];
        check(&mixed, Missing::Refused, Ok(2));
        let other_order = [mixed[2].clone(), mixed[1].clone(), mixed[0].clone()];
        check(&other_order, Missing::Refused, Ok(2));
        check(&mixed[..2], Missing::Refused, Err("4 of 16 samples"));
        // What is left of the frame around a tile in its middle: above, below, left and right of it.
        let middle = [all.clone(), slice(window(2, 1, 3, 2), 4, 12)];
        check(&middle, Missing::Allowed, Ok(5));
        // Three cuts of the same frame, none of which is like another.
        let left = [window(0, 0, 3, 4), window(3, 0, 5, 4)];
        let cut = [
            all,
            slice(left[0], 4, 6),
            slice(left[1], 4, 6),
            slice(top, 10, 6),
            slice(bottom, 10, 6),
        ];
        check(&cut, Missing::Refused, Ok(4));
        let twice = [cut[0].clone(), slice(top, 3, 13)];
        check(
            &twice,
            Missing::Allowed,
            Err("hold some of the same pixels"),
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (left, right) = (window(0, 0, 3, 4), window(2, 1, 6, 3));
        let both = [slice(left, 0, 16), slice(right, 0, 16)];
        check(&both, Missing::Allowed, Err("hold some of the same pixels"));
        let twice = [slice(left, 0, 9), slice(left, 8, 8)];
        check(&twice, Missing::Allowed, Err("same samples, 8+8"));
        let beyond = [slice(left, 10, 7)];
        check(&beyond, Missing::Allowed, Err("16 samples"));
        let huge = [slice(left, u32::MAX, 2)];
        check(&huge, Missing::Allowed, Err("16 samples"));
        let none = [slice(left, 1, 0)];
        check(&none, Missing::Allowed, Err("16 samples"));
        let outside = [slice(window(6, 0, 3, 4), 0, 16)];
        check(&outside, Missing::Allowed, Err("not in the frame"));
        let mut other_size = slice(left, 0, 16);
        other_size.1 = (4, 4);
        check(&[other_size], Missing::Allowed, Err("4×4"));
    }
}
