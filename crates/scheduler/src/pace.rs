//! How long things take, as measured: the cost of a job's frames and the speed of workers, in relation to each other.
//!
//! One measurement tells only the product of the two; each is moved towards what explains it, by the weight of what was measured
//! against the weight of what was known: a whole frame weighs one. A part of a frame tells little of who rendered it, since parts of
//! one picture differ by much more than machines do. Nothing of it is recorded: a restarted manager measures anew.

/// Most that what is known may weigh, in millionths of a frame: 7 to 1 follows a change within some ten frames and is not
/// thrown by a single one.
const KNOWN_MAX: u64 = 7 * FRAME;

/// The weight of a frame, and what weights are counted in.
pub(crate) const FRAME: u64 = 1_000_000;

/// What it weighs that a worker of which nothing is known is taken for an average one, against parts of a frame.
const TAKEN_FOR: u64 = FRAME;

/// A worker of average speed.
const AVERAGE: u32 = 1000;

/// No worker counts as more than so much faster or slower than the average, whatever was measured.
const SPEED_RATIO_MAX: u32 = 50;

/// Speed in thousandths of the average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Speed(pub u32);

impl Default for Speed {
    fn default() -> Self {
        Self(AVERAGE)
    }
}

/// Microseconds that a frame of a job takes at average speed, and what opening its scene and what parts of it take, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub frame_us: Option<u64>,
    /// What that weighs, in millionths of a frame.
    known: u64,
    pub load_us: Option<u64>,
    /// What each range of a frame's samples takes besides them, at average speed: the scene made ready and a file of the whole frame.
    /// Of tiles it is part of what they take.
    pub range_us: u64,
}

/// What was measured at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    /// What the whole frame would have taken so.
    pub frame_us: u64,
    /// How much of it was rendered, in millionths; all of a frame that is not divided.
    pub part: u64,
    /// What it says of the worker, in millionths of a frame.
    pub weight: u64,
}

impl Measured {
    /// A whole frame.
    pub(crate) fn frame(frame_us: u64) -> Self {
        Self {
            frame_us,
            part: FRAME,
            weight: FRAME,
        }
    }
}

impl Cost {
    /// Learns from what took so long on a worker of this speed, of which results of so much weight were measured before; returns
    /// its new speed. Of one that is new, the first whole frame tells how fast it is, if what the frame takes is known.
    pub(crate) fn learn(&mut self, measured: Measured, speed: Speed, before: u64) -> Speed {
        let Measured {
            frame_us,
            part,
            weight,
        } = measured;
        let took = frame_us.max(1);
        let is_part = weight < FRAME;
        let at_average = took.saturating_mul(speed.0.into()) / u64::from(AVERAGE);
        let Some(known) = self.frame_us else {
            self.frame_us = Some(at_average);
            self.known = if is_part { part } else { KNOWN_MAX };
            return speed;
        };
        if is_part || before > 0 {
            self.frame_us = Some(mean((known, self.known), (at_average, part)));
            self.known = (self.known + part).min(KNOWN_MAX);
        }
        let before = before.clamp(if is_part { TAKEN_FOR } else { 0 }, KNOWN_MAX);
        let seen = known.saturating_mul(AVERAGE.into()) / took;
        let seen = seen.clamp(
            u64::from(AVERAGE / SPEED_RATIO_MAX),
            u64::from(AVERAGE * SPEED_RATIO_MAX),
        );
        Speed(mean((speed.0.into(), before), (seen, weight)).max(1) as u32)
    }

    /// From now on a frame has more samples than it had.
    pub(crate) fn grow(&mut self, had: u32, has: u32) {
        let grown = |us: u64| us.saturating_mul(has.into()) / u64::from(had.max(1));
        self.frame_us = self.frame_us.map(grown);
    }

    /// Learns from an opening of the scene.
    pub(crate) fn learn_load(&mut self, took_us: u64) {
        let known = self.load_us.unwrap_or(took_us);
        self.load_us = Some(mean((known, KNOWN_MAX), (took_us, FRAME)));
    }

    /// Learns what a range of samples took besides them, on a worker of this speed.
    pub(crate) fn learn_range(&mut self, took_us: u64, speed: Speed) {
        let at_average = took_us.saturating_mul(speed.0.into()) / u64::from(AVERAGE);
        self.range_us = match self.range_us {
            0 => at_average,
            known => mean((known, KNOWN_MAX), (at_average, FRAME)),
        };
    }

    /// What each range of samples is expected to take besides them on a worker of this speed.
    pub(crate) fn expect_range_us(&self, speed: Speed) -> u64 {
        self.range_us.saturating_mul(AVERAGE.into()) / u64::from(speed.0.max(1))
    }

    /// What so many frames are expected to take on a worker of this speed.
    pub(crate) fn expect_us(&self, frames: u32, speed: Speed) -> Option<u64> {
        let frame = self.frame_us?.saturating_mul(AVERAGE.into()) / u64::from(speed.0.max(1));
        Some(frame.saturating_mul(frames.into()))
    }
}

/// The mean of two values by their weights.
fn mean((one, its): (u64, u64), (other, weight): (u64, u64)) -> u64 {
    let sum = u128::from(one) * u128::from(its) + u128::from(other) * u128::from(weight);
    u64::try_from(sum / u128::from((its + weight).max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_costs_are_told_apart() {
        // Two workers, one three times as fast, and two jobs of 1 s and 4 s.
        let (mut light, mut heavy) = (Cost::default(), Cost::default());
        let (mut slow, mut fast) = (Speed::default(), Speed::default());
        for before in (0..100).map(|frames| frames * FRAME) {
            slow = light.learn(Measured::frame(1_500_000), slow, before);
            fast = light.learn(Measured::frame(500_000), fast, before);
            slow = heavy.learn(Measured::frame(6_000_000), slow, before);
            fast = heavy.learn(Measured::frame(2_000_000), fast, before);
        }
        let near = |value: u64, of: u64| value.abs_diff(of) * 10 < of;
        assert!(near(u64::from(fast.0), 3 * u64::from(slow.0)));
        assert!(near(light.expect_us(1, slow).unwrap(), 1_500_000));
        assert!(near(heavy.expect_us(2, fast).unwrap(), 4_000_000));
    }

    #[test]
    fn a_new_workers_first_frame_tells_its_speed_and_nothing_of_the_job() {
        let mut cost = Cost::default();
        let mut learn = |us, speed, before| {
            (
                cost.learn(Measured::frame(us), speed, before),
                cost.frame_us,
            )
        };
        let average = Speed::default();
        assert_eq!(learn(1_000_000, average, 0), (average, Some(1_000_000)));
        assert_eq!(learn(4_000_000, average, 0), (Speed(250), Some(1_000_000)));
        let (speed, _) = learn(2_000_000, Speed(250), FRAME);
        assert_eq!(speed, Speed(375));
    }

    #[test]
    fn parts_tell_what_the_frame_takes_and_little_of_who_rendered_them() {
        let mut cost = Cost::default();
        let part = |frame_us, part| Measured {
            frame_us,
            part,
            weight: 2 * part,
        };
        let mut speed = Speed::default();
        // A cheap corner, then what is dear.
        speed = cost.learn(part(1_000_000, FRAME / 10), speed, 0);
        speed = cost.learn(part(10_000_000, FRAME / 10), speed, FRAME / 5);
        assert_eq!(cost.frame_us, Some(5_500_000));
        assert!((500..900).contains(&speed.0), "{speed:?}");
        // As much of it again counts as much as both together.
        let at_average = 7_500_000 * u64::from(speed.0) / 1000;
        cost.learn(part(7_500_000, FRAME / 5), speed, FRAME);
        assert_eq!(cost.frame_us, Some((5_500_000 + at_average) / 2));
        // Of a worker known by many frames they tell next to nothing.
        let known = cost.learn(part(55_000_000, FRAME / 10), Speed::default(), 50 * FRAME);
        assert!((950..=1000).contains(&known.0), "{known:?}");
    }

    #[test]
    fn what_ranges_of_samples_take_besides_them_depends_on_the_worker_too() {
        let mut cost = Cost::default();
        cost.learn_range(0, Speed::default());
        assert_eq!(cost.expect_range_us(Speed::default()), 0);
        cost.learn_range(800, Speed(500));
        assert_eq!(cost.expect_range_us(Speed::default()), 400);
        assert_eq!(cost.expect_range_us(Speed(2000)), 200);
        cost.learn_range(1200, Speed::default());
        assert_eq!(cost.range_us, 500);
        assert_eq!(cost.frame_us, None);
    }

    #[test]
    fn nothing_measured_can_make_a_worker_infinitely_slow() {
        let mut cost = Cost::default();
        let mut speed = Speed::default();
        for (frames, took) in (0..).zip([1, u64::MAX, 1, u64::MAX, 0, u64::MAX]) {
            speed = cost.learn(Measured::frame(took), speed, frames * FRAME);
            assert!(speed.0 > 0);
        }
        assert!(cost.expect_us(u32::MAX, speed).is_some());
    }
}
