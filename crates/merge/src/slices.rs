//! What of a frame each file holds, and whether all of them together are the frame.
//!
//! A frame is cut into tiles, and the samples of each tile into ranges. What is rendered of a tile may reach beyond what is
//! kept of it (overscan), so that filters and adaptive sampling see what lies around. Kept tiles never overlap and leave
//! nothing out; no more do the ranges of a tile.

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
    for (index, (slice, size)) in slices.iter().zip(sizes).enumerate() {
        let (kept, placed) = place(index, slice, *size, frame, total)?;
        let samples = u64::from(placed.samples.count);
        match tiles.iter_mut().find(|tile| tile.kept == kept) {
            Some(tile) => {
                tile.slices.push(placed);
                tile.samples += samples;
            }
            None => tiles.push(Tile {
                kept,
                slices: vec![placed],
                samples,
            }),
        }
    }
    tiles.sort_by_key(|tile| (tile.kept.y, tile.kept.x));
    let path = |placed: &Placed| slices[placed.index].path.clone();
    for tile in &mut tiles {
        tile.slices.sort_by_key(|placed| placed.samples);
        for [before, after] in tile.slices.array_windows() {
            if before.samples.offset + before.samples.count > after.samples.offset {
                return Err(MergeError::SamplesTwice {
                    a: path(before),
                    b: path(after),
                    samples: after.samples,
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
    hold_apart(&tiles, path)?;
    // Apart and inside of the frame: they are all of it if they are as many pixels.
    let area: usize = tiles.iter().map(|tile| tile.kept.area()).sum();
    if missing == Missing::Refused && area < frame.area() {
        return Err(MergeError::TilesMissing { there: area, frame });
    }
    Ok(tiles)
}

fn hold_apart(tiles: &[Tile], path: impl Fn(&Placed) -> PathBuf) -> Result<(), MergeError> {
    for (at, tile) in tiles.iter().enumerate() {
        // Sorted by their first row: those that begin below this one's end cannot meet it.
        let near = tiles[at + 1..]
            .iter()
            .take_while(|other| i64::from(other.kept.y) < tile.kept.bottom());
        for other in near {
            if tile.kept.overlaps(&other.kept) {
                return Err(MergeError::TilesOverlap {
                    a: path(&tile.slices[0]),
                    b: path(&other.slices[0]),
                });
            }
        }
    }
    Ok(())
}

fn place(
    index: usize,
    slice: &Slice,
    (width, height): (usize, usize),
    frame: Window,
    total: u32,
) -> Result<(Window, Placed), MergeError> {
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
    Ok((
        kept,
        Placed {
            index,
            rendered,
            samples,
        },
    ))
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
