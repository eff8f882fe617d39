//! Time left, from when frames were done.
//!
//! Times are the farm's own: when a frame began and when its result was accepted. So frames that were done before
//! anyone watched count for what they were, and a slow download does not look like a slow farm.
//!
//! The rate is taken over the later half of the frames done so far: the window grows with the job, so
//! the figure settles, and still forgets a slow start or a worker that left. While fewer than three rounds of frames
//! are done there is no rate to speak of, several workers finish at the same moment, and what one frame took stands
//! in for it. Between two frames the figure counts down with the clock. Nothing is said before the first
//! frame is done: a guess would be wrong by the time the scene takes to load.

use std::time::Duration;

use tessera_model::Timestamp;

/// Most points in time that are kept. When there are more, every other one goes: 256 over half a job place its
/// middle to within half a percent.
const MARKS_MAX: usize = 512;

/// Rounds (each worker's slot one frame) after which the rate is believed.
const ROUNDS: u32 = 3;

/// When how many frames were done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate {
    marks: Vec<Mark>,
    /// The latest one, kept or not.
    last: Option<Mark>,
    /// Frames between two kept marks.
    stride: u32,
    /// Rendering time of all frames done.
    took: Duration,
    /// Most frames that were rendered at once.
    parallel: u32,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    done: u32,
    at: Timestamp,
}

impl Estimate {
    /// So many frames are being rendered at once now.
    pub(crate) fn rendering(&mut self, frames: usize) {
        self.parallel = self.parallel.max(u32::try_from(frames).unwrap_or(u32::MAX));
    }

    /// One more frame was done at `at`; it took so long to render.
    pub(crate) fn frame_done(&mut self, at: Timestamp, took: Duration) {
        self.took += took;
        self.stride = self.stride.max(1);
        let before = self.last.unwrap_or(Mark { done: 0, at });
        // Frames are fetched in no strict order; what comes late was done by now at the latest.
        let mark = Mark {
            done: before.done + 1,
            at: at.max(before.at),
        };
        self.last = Some(mark);
        // Frames that were done in one moment are one mark: the last of them counts.
        match self.marks.last_mut() {
            Some(last) if last.at == mark.at => *last = mark,
            _ if mark.done.is_multiple_of(self.stride) => self.marks.push(mark),
            _ => {}
        }
        if self.marks.len() > MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// Time left for `remaining` frames, once it can be told. `since` is how long ago the last frame was heard of.
    pub(crate) fn left(&self, remaining: u32, since: Duration) -> Option<Duration> {
        let last = self.last?;
        if remaining == 0 {
            return Some(Duration::ZERO);
        }
        let each = self.each(last);
        // A frame that takes longer than those before it does not make the time left negative: at least the frames
        // that have not begun are still to be done.
        let begun = self.parallel.max(1);
        let least = each * f64::from(remaining.saturating_sub(begun));
        let left = each * f64::from(remaining) - since.as_secs_f64();
        Some(Duration::from_secs_f64(left.max(least).max(0.0)))
    }

    /// Seconds from one frame done to the next.
    fn each(&self, last: Mark) -> f64 {
        let parallel = self.parallel.max(1);
        let one = self.took.as_secs_f64() / f64::from(last.done) / f64::from(parallel);
        // The moment of the last frame may not be over: of several that are done together some are still to come.
        let to = self.marks.iter().rev().find(|mark| mark.at < last.at);
        let Some(to) = to.filter(|_| last.done > ROUNDS * parallel) else {
            return one;
        };
        let half = to.done / 2;
        let from = self.marks.iter().rev().find(|mark| mark.done <= half);
        match from.or(self.marks.first()) {
            Some(from) if to.done > from.done => {
                let span = to.at.0.saturating_sub(from.at.0).max(0);
                span as f64 / 1000.0 / f64::from(to.done - from.done)
            }
            _ => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        // As far from zero as clocks are.
        Timestamp(1_795_000_000_000 + (seconds * 1000.0) as i64)
    }

    /// Feeds frames done at these times by so many workers; gives the figure right after each.
    fn run(total: u32, parallel: usize, took: f64, times: &[f64]) -> Vec<f64> {
        let mut estimate = Estimate::default();
        estimate.rendering(parallel);
        times
            .iter()
            .zip(1..)
            .map(|(&time, done)| {
                estimate.frame_done(at(time), Duration::from_secs_f64(took));
                let left = estimate.left(total - done, Duration::ZERO);
                left.unwrap().as_secs_f64()
            })
            .collect()
    }

    #[test]
    fn steady_frames_give_the_exact_time() {
        let times: Vec<f64> = (1..=1000).map(f64::from).collect();
        for (left, done) in run(1000, 1, 1.0, &times).into_iter().zip(1..) {
            assert!(
                (left - f64::from(1000 - done)).abs() < 1e-6,
                "{done}: {left}"
            );
        }
    }

    #[test]
    fn time_to_load_is_not_taken_for_rendering() {
        let times: Vec<f64> = (0..24).map(|i| 100.0 + f64::from(i)).collect();
        for (left, done) in run(24, 1, 1.0, &times).into_iter().zip(1..) {
            assert!((left - f64::from(24 - done)).abs() < 1e-6, "{done}: {left}");
        }
    }

    #[test]
    fn bursts_of_several_workers_settle() {
        let times: Vec<f64> = (0..200).map(|i| f64::from(i / 4 + 1) * 4.0).collect();
        for (left, done) in run(200, 4, 4.0, &times).into_iter().zip(1_u32..) {
            let truth = f64::from(200 - done);
            assert!(
                (left - truth).abs() <= 0.2 * truth + 4.0,
                "{done}: {left} for {truth}"
            );
        }
    }

    #[test]
    fn frames_that_become_slower_are_followed() {
        let times: Vec<f64> = (0..100)
            .scan(0.0, |at, i| {
                *at += if i < 50 { 1.0 } else { 3.0 };
                Some(*at)
            })
            .collect();
        let left = run(100, 1, 2.0, &times);
        assert!((left[98] - 3.0).abs() < 0.2, "{:?}", left[98]);
    }

    #[test]
    fn frames_heard_of_late_count_for_when_they_were_done() {
        // Ten frames at ten seconds each, all heard of now, in no order.
        let times = [10.0, 30.0, 20.0, 40.0, 50.0, 70.0, 60.0, 80.0, 100.0, 90.0];
        let left = run(20, 1, 10.0, &times);
        assert!((left[9] - 100.0).abs() < 15.0, "{left:?}");
    }

    #[test]
    fn counts_down_and_never_below_the_frames_to_come() {
        let mut estimate = Estimate::default();
        let seconds = Duration::from_secs;
        assert_eq!(estimate.left(5, Duration::ZERO), None);
        estimate.frame_done(at(2.0), seconds(2));
        assert_eq!(estimate.left(5, seconds(1)), Some(seconds(9)));
        assert_eq!(estimate.left(5, seconds(60)), Some(seconds(8)));
        assert_eq!(estimate.left(0, seconds(60)), Some(Duration::ZERO));
    }

    #[test]
    fn a_million_frames_stay_small() {
        let mut estimate = Estimate::default();
        for frame in 0..1_000_000 {
            estimate.frame_done(at(f64::from(frame) * 0.01), Duration::from_millis(10));
        }
        assert!(estimate.marks.len() <= MARKS_MAX);
        let left = estimate.left(1_000_000, Duration::ZERO).unwrap();
        assert!((left.as_secs_f64() - 10_000.0).abs() < 100.0, "{left:?}");
    }
}
