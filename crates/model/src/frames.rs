//! Which frames: Blender's own command-line syntax plus steps.
//!
//! `1..24`, `1,5,9`, `-10..-1`, `1..100x5`. The order is kept (frames are handed out in it), a frame
//! named twice counts once, at its first place. Positions, not frame numbers, index every bitmap.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most frames of one job. Blender's own last frame is 1,048,574; the bound keeps a mistyped range from taking the memory.
pub const MAX_FRAMES: u32 = 4_000_000;

/// Blender's own limits of a frame number (MINAFRAME, MAXFRAME in its DNA).
const FRAME_MIN: i32 = -1_048_574;
const FRAME_MAX: i32 = 1_048_574;

/// Most runs of one set: bounds the work of parsing and of finding a frame's position.
const MAX_RUNS: usize = 100_000;

/// Frames `start, start + step, …`, `count` of them. `step` is at least 1, `count` at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRun {
    /// The first frame.
    pub start: i32,
    /// Distance between two frames.
    pub step: u32,
    /// Number of frames.
    pub count: u32,
}

impl FrameRun {
    fn last(&self) -> i32 {
        self.start + (self.step * (self.count - 1)) as i32
    }

    fn position(&self, frame: i32) -> Option<u32> {
        let offset = frame.checked_sub(self.start)?;
        let offset = u32::try_from(offset).ok()?;
        (offset.is_multiple_of(self.step) && offset / self.step < self.count)
            .then_some(offset / self.step)
    }
}

/// A non-empty ordered set of frames.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameSet {
    runs: Vec<FrameRun>,
    len: u32,
}

/// A text that is not a frame list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameSetError {
    /// Nothing named.
    #[error("no frames given: write them as 1..24, 1,5,9 or 1..100x5")]
    Empty,
    /// A part is not of the form.
    #[error("'{part}' is not a frame, a range or a stepped range: write 5, 1..24 or 1..100x5")]
    Part {
        /// The part.
        part: String,
    },
    /// The end lies before the start.
    #[error("the frame range {start}..{end} is reversed: write {end}..{start}")]
    Reversed {
        /// As given.
        start: i32,
        /// As given.
        end: i32,
    },
    /// A step of zero.
    #[error("'{part}' has a step of 0: the step is at least 1")]
    ZeroStep {
        /// The part.
        part: String,
    },
    /// Outside of what Blender can hold.
    #[error("frame {frame} is outside of Blender's range {FRAME_MIN}..{FRAME_MAX}")]
    OutOfRange {
        /// The frame.
        frame: i64,
    },
    /// More than [`MAX_FRAMES`] frames or too many parts.
    #[error(
        "the list names more than {MAX_FRAMES} frames or {MAX_RUNS} parts: split it into several jobs"
    )]
    TooMany,
}

impl FrameSet {
    /// Frames `start..=end` by `step`.
    ///
    /// # Errors
    /// If it is reversed, has no step, or leaves Blender's range.
    pub fn range(start: i32, end: i32, step: u32) -> Result<Self, FrameSetError> {
        let part = || format!("{start}..{end}x{step}");
        for frame in [start, end] {
            if !(FRAME_MIN..=FRAME_MAX).contains(&frame) {
                return Err(FrameSetError::OutOfRange {
                    frame: frame.into(),
                });
            }
        }
        if step == 0 {
            return Err(FrameSetError::ZeroStep { part: part() });
        }
        if end < start {
            return Err(FrameSetError::Reversed { start, end });
        }
        let count = (end - start) as u32 / step + 1;
        Ok(Self {
            runs: vec![FrameRun { start, step, count }],
            len: count,
        })
    }

    /// A single frame.
    ///
    /// # Errors
    /// If it is outside of Blender's range.
    pub fn single(frame: i32) -> Result<Self, FrameSetError> {
        Self::range(frame, frame, 1)
    }

    /// These frames in this order; one named twice counts once, at its first place.
    ///
    /// # Errors
    /// If there are none or too many, or one is outside of Blender's range.
    pub fn of(frames: impl IntoIterator<Item = i32>) -> Result<Self, FrameSetError> {
        let mut bad = None;
        let inside = frames.into_iter().take_while(|&frame| {
            let fits = (FRAME_MIN..=FRAME_MAX).contains(&frame);
            if !fits {
                bad = Some(FrameSetError::OutOfRange {
                    frame: frame.into(),
                });
            }
            fits
        });
        let set = Self::from_frames(inside.take(MAX_FRAMES as usize + 1))?;
        match bad {
            Some(error) => Err(error),
            None if set.len == 0 => Err(FrameSetError::Empty),
            None if set.len > MAX_FRAMES => Err(FrameSetError::TooMany),
            None => Ok(set),
        }
    }

    /// Number of frames, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame set is never empty")]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The frame at `position`, in the order given.
    #[must_use]
    pub fn at(&self, mut position: u32) -> Option<i32> {
        for run in &self.runs {
            if position < run.count {
                return Some(run.start + (position * run.step) as i32);
            }
            position -= run.count;
        }
        None
    }

    /// The position of `frame`.
    #[must_use]
    pub fn position(&self, frame: i32) -> Option<u32> {
        let mut before = 0;
        for run in &self.runs {
            if let Some(position) = run.position(frame) {
                return Some(before + position);
            }
            before += run.count;
        }
        None
    }

    /// All frames in order.
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        self.runs
            .iter()
            .flat_map(|run| (0..run.count).map(move |i| run.start + (i * run.step) as i32))
    }

    /// The runs it is made of, without overlap.
    #[must_use]
    pub fn runs(&self) -> &[FrameRun] {
        &self.runs
    }

    fn from_frames(frames: impl Iterator<Item = i32>) -> Result<Self, FrameSetError> {
        let mut seen = std::collections::HashSet::new();
        let mut runs: Vec<FrameRun> = Vec::new();
        let mut len = 0;
        for frame in frames {
            if !seen.insert(frame) {
                continue;
            }
            len += 1;
            match runs.last_mut() {
                Some(run) if frame > run.start && run.count == 1 => {
                    run.step = (frame - run.start) as u32;
                    run.count = 2;
                }
                Some(run) if i64::from(frame) == i64::from(run.last()) + i64::from(run.step) => {
                    run.count += 1;
                }
                _ => runs.push(FrameRun {
                    start: frame,
                    step: 1,
                    count: 1,
                }),
            }
        }
        // A pair that nothing followed reads better as two frames than as a stepped range of two.
        let mut split = Vec::with_capacity(runs.len());
        for run in runs {
            if run.count == 2 && run.step > 1 {
                split.push(FrameRun {
                    start: run.start,
                    step: 1,
                    count: 1,
                });
                split.push(FrameRun {
                    start: run.last(),
                    step: 1,
                    count: 1,
                });
            } else {
                split.push(run);
            }
        }
        if split.len() > MAX_RUNS {
            return Err(FrameSetError::TooMany);
        }
        Ok(Self { runs: split, len })
    }
}

fn parse_frame(text: &str, part: &str) -> Result<i32, FrameSetError> {
    let frame: i64 = text.trim().parse().map_err(|_| FrameSetError::Part {
        part: part.to_owned(),
    })?;
    match i32::try_from(frame) {
        Ok(small) if (FRAME_MIN..=FRAME_MAX).contains(&small) => Ok(small),
        _ => Err(FrameSetError::OutOfRange { frame }),
    }
}

fn parse_part(part: &str) -> Result<FrameSet, FrameSetError> {
    let bad = || FrameSetError::Part {
        part: part.to_owned(),
    };
    let Some((start, rest)) = part.split_once("..") else {
        return FrameSet::single(parse_frame(part, part)?);
    };
    let (end, step) = match rest.split_once('x') {
        Some((end, step)) => (end, step.trim().parse::<u32>().map_err(|_| bad())?),
        None => (rest, 1),
    };
    if step == 0 {
        return Err(FrameSetError::ZeroStep {
            part: part.to_owned(),
        });
    }
    FrameSet::range(parse_frame(start, part)?, parse_frame(end, part)?, step)
}

impl FromStr for FrameSet {
    type Err = FrameSetError;

    fn from_str(text: &str) -> Result<Self, FrameSetError> {
        if text.trim().is_empty() {
            return Err(FrameSetError::Empty);
        }
        let mut parts = Vec::new();
        let mut total: u64 = 0;
        for part in text.split(',') {
            let set = parse_part(part.trim())?;
            total += u64::from(set.len);
            if total > u64::from(MAX_FRAMES) || parts.len() >= MAX_RUNS {
                return Err(FrameSetError::TooMany);
            }
            parts.push(set);
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        Self::from_frames(parts.iter().flat_map(FrameSet::iter))
    }
}

impl fmt::Display for FrameSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.runs.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match (run.count, run.step) {
                (1, _) => write!(f, "{}", run.start)?,
                (_, 1) => write!(f, "{}..{}", run.start, run.last())?,
                (_, step) => write!(f, "{}..{}x{step}", run.start, run.last())?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for FrameSet {
    type Error = FrameSetError;
    fn try_from(text: String) -> Result<Self, FrameSetError> {
        text.parse()
    }
}

impl From<FrameSet> for String {
    fn from(set: FrameSet) -> String {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, frames: &[i32], shown: &str) {
        let set: FrameSet = text.parse().unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), frames, "{text}");
        assert_eq!(set.len() as usize, frames.len());
        assert_eq!(set.to_string(), shown, "{text}");
        assert_eq!(
            shown
                .parse::<FrameSet>()
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            frames
        );
        for (i, &frame) in frames.iter().enumerate() {
            assert_eq!(set.at(i as u32), Some(frame));
            assert_eq!(set.position(frame), Some(i as u32));
        }
        assert_eq!(set.at(set.len()), None);
    }

    #[test]
    fn reads_every_form() {
        check("1..3", &[1, 2, 3], "1..3");
        check("7", &[7], "7");
        check("1,5,9", &[1, 5, 9], "1..9x4");
        check("1,5", &[1, 5], "1,5");
        check("-10..-8", &[-10, -9, -8], "-10..-8");
        check("-2..2x2", &[-2, 0, 2], "-2..2x2");
        check("1..10x5", &[1, 6], "1..6x5");
        check("9,1..3", &[9, 1, 2, 3], "9,1..3");
        check("1..3,2..4", &[1, 2, 3, 4], "1..4");
        check(" 1 .. 3 , 8 ", &[1, 2, 3, 8], "1..3,8");
    }

    #[test]
    fn is_made_of_single_frames() {
        let set = FrameSet::of([9, 1, 2, 3, 9]).unwrap();
        assert_eq!(set.to_string(), "9,1..3");
        assert_eq!(FrameSet::of([]), Err(FrameSetError::Empty));
        for frame in [i32::MIN, i32::MAX] {
            let outside = FrameSetError::OutOfRange {
                frame: frame.into(),
            };
            assert_eq!(FrameSet::of([-1, frame]), Err(outside));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |text: &str, part: &str| {
            let error = text.parse::<FrameSet>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("", "no frames");
        check("5..1", "write 1..5");
        check("1..x", "'1..x'");
        check("a", "'a'");
        check("1..5x0", "step of 0");
        check("1..9999999999", "outside of Blender's range");
        check("1,,2", "''");
        check(
            "1..1000000,1..1000000,1..1000000,1..1000000,1..1000000",
            "more than",
        );
    }
}
