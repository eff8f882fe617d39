//! Time left, from when frames were done.
//!
//! The rate is taken over the later half of the frames done so far: the window grows with the job, so
//! the figure settles, and still forgets a slow start or a worker that left. Between two frames the
//! figure counts down with the clock. Nothing is said before the first frame is done: a guess would
//! be wrong by the time the scene takes to load.

use std::time::Duration;

/// Most points in time that are kept. When there are more, every other one goes: 256 over half a job place its
/// middle to within half a percent.
const MARKS_MAX: usize = 512;

/// When how many frames were done. Times are since the job began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate {
    marks: Vec<Mark>,
    /// The latest one, kept or not.
    last: Option<Mark>,
    /// Frames between two kept marks.
    stride: u32,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    done: u32,
    at: Duration,
}

impl Estimate {
    /// The first frame begins at `at`.
    pub(crate) fn begin(&mut self, at: Duration) {
        if self.marks.is_empty() {
            self.stride = 1;
            self.marks.push(Mark { done: 0, at });
        }
    }

    /// One more frame is done at `at`.
    pub(crate) fn frame_done(&mut self, at: Duration) {
        self.begin(Duration::ZERO);
        let done = self.last.map_or(0, |last| last.done) + 1;
        self.last = Some(Mark { done, at });
        // Frames that arrive in one moment are one mark: the last of them counts.
        match self.marks.last_mut() {
            Some(mark) if mark.at == at && mark.done > 0 => mark.done = done,
            _ if done.is_multiple_of(self.stride) => self.marks.push(Mark { done, at }),
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

    /// Time left at `now` for `remaining` frames, once it can be told.
    pub(crate) fn left(&self, remaining: u32, now: Duration) -> Option<Duration> {
        let last = self.last?;
        if remaining == 0 {
            return Some(Duration::ZERO);
        }
        // The beginning counts as a mark only until two frames are there: it holds the time the scene took to load.
        let usable = if self.marks.len() > 2 {
            &self.marks[1..]
        } else {
            &self.marks[..]
        };
        let half = last.done / 2;
        let from = usable
            .iter()
            .rev()
            .find(|mark| mark.done <= half)
            .or(usable.first())?;
        let frames = f64::from(last.done - from.done);
        let span = last.at.saturating_sub(from.at).as_secs_f64();
        if frames <= 0.0 {
            return None;
        }
        let each = span / frames;
        let gone = now.saturating_sub(last.at).as_secs_f64();
        // A frame that takes longer than those before it does not make the time left negative: at least the frames
        // that have not begun are still to be done.
        let least = each * f64::from(remaining.saturating_sub(1));
        Some(Duration::from_secs_f64(
            (each * f64::from(remaining) - gone).max(least).max(0.0),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Feeds frames done at these times; gives the figure right after each.
    fn run(total: u32, times: &[f64]) -> Vec<Option<f64>> {
        let mut estimate = Estimate::default();
        estimate.begin(Duration::ZERO);
        times
            .iter()
            .zip(1..)
            .map(|(&at, done)| {
                estimate.frame_done(seconds(at));
                estimate
                    .left(total - done, seconds(at))
                    .map(|left| left.as_secs_f64())
            })
            .collect()
    }

    #[test]
    fn steady_frames_give_the_exact_time() {
        let times: Vec<f64> = (1..=1000).map(f64::from).collect();
        for (left, done) in run(1000, &times).into_iter().zip(1..) {
            let left = left.unwrap();
            assert!(
                (left - f64::from(1000 - done)).abs() < 1e-6,
                "{done}: {left}"
            );
        }
    }

    #[test]
    fn a_slow_first_frame_is_forgotten() {
        let times: Vec<f64> = (0..24).map(|i| 10.0 + f64::from(i)).collect();
        let left = run(24, &times);
        assert_eq!(left[0], Some(230.0));
        assert!((left[4].unwrap() - 19.0).abs() < 1e-6, "{left:?}");
    }

    #[test]
    fn bursts_of_several_workers_settle() {
        let times: Vec<f64> = (0..200).map(|i| f64::from(i / 4 + 1) * 4.0).collect();
        for (left, done) in run(200, &times).into_iter().zip(1_u32..) {
            let truth = f64::from(200 - done);
            if done > 40 {
                let off = (left.unwrap() - truth).abs();
                assert!(off <= 0.2 * truth + 4.0, "{done}: {left:?} for {truth}");
            }
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
        let left = run(100, &times);
        assert!((left[98].unwrap() - 3.0).abs() < 0.2, "{:?}", left[98]);
    }

    #[test]
    fn counts_down_and_never_below_the_frames_to_come() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.left(5, seconds(9.0)), None);
        estimate.begin(Duration::ZERO);
        assert_eq!(estimate.left(5, seconds(1.0)), None);
        estimate.frame_done(seconds(2.0));
        assert_eq!(estimate.left(5, seconds(3.0)), Some(seconds(9.0)));
        assert_eq!(estimate.left(5, seconds(60.0)), Some(seconds(8.0)));
        assert_eq!(estimate.left(0, seconds(60.0)), Some(Duration::ZERO));
    }

    #[test]
    fn a_million_frames_stay_small() {
        let mut estimate = Estimate::default();
        for frame in 0..1_000_000 {
            estimate.frame_done(seconds(f64::from(frame) * 0.01));
        }
        assert!(estimate.marks.len() <= MARKS_MAX);
        let left = estimate.left(1_000_000, seconds(10_000.0)).unwrap();
        assert!((left.as_secs_f64() - 10_000.0).abs() < 100.0, "{left:?}");
    }
}
