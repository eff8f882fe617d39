//! How a step's frames are laid out in units.
//!
//! A chunk can be changed while the job runs: the units handed out before keep their numbers and frames, and from the
//! first position after them on the new size holds.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most changes of one step's layout: bounds the search for a unit's frames.
pub const CHUNK_RUNS_MAX: usize = 32;

/// Units of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChunkRun {
    /// Position of its first frame.
    pub position: u32,
    /// Number of its first unit.
    pub unit: u32,
    /// Frames of each unit, at least 1; the last one of a run may have fewer.
    pub chunk: u32,
}

/// The units of a step, in runs of one size. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Chunking {
    runs: Vec<ChunkRun>,
}

impl Chunking {
    /// Units of one size throughout; a size of zero counts as 1.
    #[must_use]
    pub fn of(chunk: u32) -> Self {
        let chunk = chunk.max(1);
        Self {
            runs: vec![ChunkRun {
                position: 0,
                unit: 0,
                chunk,
            }],
        }
    }

    /// The runs in order.
    #[must_use]
    pub fn runs(&self) -> &[ChunkRun] {
        &self.runs
    }

    fn run_of_unit(&self, unit: u32) -> usize {
        self.runs.partition_point(|run| run.unit <= unit).max(1) - 1
    }

    /// The unit that a position belongs to.
    #[must_use]
    pub fn unit_of(&self, position: u32) -> u32 {
        let at = self
            .runs
            .partition_point(|run| run.position <= position)
            .max(1)
            - 1;
        let run = self.runs[at];
        run.unit + (position - run.position) / run.chunk
    }

    /// The positions of a unit in a set of `frames`; empty past the end.
    #[must_use]
    pub fn positions(&self, unit: u32, frames: u32) -> Range<u32> {
        let at = self.run_of_unit(unit);
        let run = self.runs[at];
        let end = self.runs.get(at + 1).map_or(frames, |next| next.position);
        let start = u64::from(run.position) + u64::from(unit - run.unit) * u64::from(run.chunk);
        let stop = start + u64::from(run.chunk);
        let clamp = |at: u64| at.min(u64::from(end)) as u32;
        clamp(start)..clamp(stop)
    }

    /// Number of units of a set of `frames`.
    #[must_use]
    pub fn units(&self, frames: u32) -> u32 {
        let run = self.runs[self.runs.len() - 1];
        run.unit + frames.saturating_sub(run.position).div_ceil(run.chunk)
    }

    /// Units of `chunk` frames from unit `first` on; those before stay as they are. False, and nothing changed, if that
    /// is the layout already, or would be one change too many.
    pub fn rechunk(&mut self, first: u32, chunk: u32, frames: u32) -> bool {
        let position = self.positions(first, frames).start;
        let mut runs = self.runs.clone();
        runs.retain(|run| run.unit < first);
        let chunk = chunk.max(1);
        let same = runs.last().is_some_and(|last| {
            last.chunk == chunk && (position - last.position).is_multiple_of(chunk)
        });
        if !same {
            runs.push(ChunkRun {
                position,
                unit: first,
                chunk,
            });
        }
        if runs == self.runs || runs.len() > CHUNK_RUNS_MAX {
            return false;
        }
        self.runs = runs;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every position is in the unit that says so, and the units follow one another without a gap.
    fn check(chunking: &Chunking, frames: u32) {
        let mut next = 0;
        for unit in 0..chunking.units(frames) {
            let positions = chunking.positions(unit, frames);
            assert_eq!(positions.start, next, "{chunking:?} unit {unit}");
            assert!(!positions.is_empty(), "{chunking:?} unit {unit}");
            for position in positions.clone() {
                assert_eq!(chunking.unit_of(position), unit, "{chunking:?}");
            }
            next = positions.end;
        }
        assert_eq!(next, frames);
    }

    #[test]
    fn units_cover_the_frames() {
        for (chunk, frames) in [(1, 1), (3, 10), (4, 8), (100, 7)] {
            check(&Chunking::of(chunk), frames);
        }
    }

    #[test]
    fn a_new_chunk_leaves_what_was_handed_out() {
        let mut chunking = Chunking::of(3);
        assert!(chunking.rechunk(2, 5, 23));
        check(&chunking, 23);
        assert_eq!(chunking.positions(1, 23), 3..6);
        assert_eq!(chunking.positions(2, 23), 6..11);
        assert!(chunking.rechunk(3, 1, 23));
        check(&chunking, 23);
        assert!(!chunking.rechunk(7, 1, 23), "it is so already");
        assert!(chunking.rechunk(0, 4, 23));
        assert_eq!(chunking, Chunking::of(4));
    }

    #[test]
    fn the_number_of_changes_has_a_bound() {
        let mut chunking = Chunking::of(1);
        let changed = (1..100).filter(|&n| chunking.rechunk(n, 1 + n % 2, 1000));
        assert_eq!(changed.count(), CHUNK_RUNS_MAX - 1);
        check(&chunking, 1000);
    }
}
