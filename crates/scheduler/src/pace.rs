//! How long things take, as measured: the cost of a job's frames and the speed of workers, in relation to each other.
//!
//! One frame tells only the product of the two; each is moved an eighth of the way to what explains it, a new worker further. Nothing of it
//! is recorded: a restarted manager measures anew.

/// Weight of what was known against one new measurement: 7 to 1 follows a change within some ten frames and is not
/// thrown by a single one.
const KNOWN: u64 = 7;

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

/// Microseconds that a frame of a job takes at average speed, and what opening its scene takes, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    pub frame_us: Option<u64>,
    pub load_us: Option<u64>,
}

impl Cost {
    /// Learns from a frame that took `took_us` on a worker of this speed, of which so many frames were measured before; returns
    /// the worker's new speed. Of one that is new, the first frame tells how fast it is, if what the frame takes is known.
    pub(crate) fn learn(&mut self, took_us: u64, speed: Speed, measured: u32) -> Speed {
        let took = took_us.max(1);
        let at_average = took.saturating_mul(speed.0.into()) / u64::from(AVERAGE);
        let Some(known) = self.frame_us else {
            self.frame_us = Some(at_average);
            return speed;
        };
        if measured > 0 {
            self.frame_us = Some((known.saturating_mul(KNOWN) + at_average) / (KNOWN + 1));
        }
        let weight = u64::from(measured).min(KNOWN);
        let seen = known.saturating_mul(AVERAGE.into()) / took;
        let seen = seen.clamp(
            u64::from(AVERAGE / SPEED_RATIO_MAX),
            u64::from(AVERAGE * SPEED_RATIO_MAX),
        );
        Speed(((u64::from(speed.0) * weight + seen) / (weight + 1)) as u32)
    }

    /// Learns from an opening of the scene.
    pub(crate) fn learn_load(&mut self, took_us: u64) {
        let known = self.load_us.unwrap_or(took_us);
        self.load_us = Some((known.saturating_mul(KNOWN) + took_us) / (KNOWN + 1));
    }

    /// What so many frames are expected to take on a worker of this speed.
    pub(crate) fn expect_us(&self, frames: u32, speed: Speed) -> Option<u64> {
        let frame = self.frame_us?.saturating_mul(AVERAGE.into()) / u64::from(speed.0.max(1));
        Some(frame.saturating_mul(frames.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_costs_are_told_apart() {
        // Two workers, one three times as fast, and two jobs of 1 s and 4 s.
        let (mut light, mut heavy) = (Cost::default(), Cost::default());
        let (mut slow, mut fast) = (Speed::default(), Speed::default());
        for measured in 0..100 {
            slow = light.learn(1_500_000, slow, measured);
            fast = light.learn(500_000, fast, measured);
            slow = heavy.learn(6_000_000, slow, measured);
            fast = heavy.learn(2_000_000, fast, measured);
        }
        let near = |value: u64, of: u64| value.abs_diff(of) * 10 < of;
        assert!(near(u64::from(fast.0), 3 * u64::from(slow.0)));
        assert!(near(light.expect_us(1, slow).unwrap(), 1_500_000));
        assert!(near(heavy.expect_us(2, fast).unwrap(), 4_000_000));
    }

    #[test]
    fn a_new_workers_first_frame_tells_its_speed_and_nothing_of_the_job() {
        let mut cost = Cost::default();
        assert_eq!(cost.learn(1_000_000, Speed::default(), 0), Speed::default());
        assert_eq!(cost.learn(4_000_000, Speed::default(), 0), Speed(250));
        assert_eq!(cost.frame_us, Some(1_000_000));
        assert_eq!(cost.learn(2_000_000, Speed(250), 1), Speed(375));
    }

    #[test]
    fn nothing_measured_can_make_a_worker_infinitely_slow() {
        let mut cost = Cost::default();
        let mut speed = Speed::default();
        for (measured, took) in (0..).zip([1, u64::MAX, 1, u64::MAX, 0, u64::MAX]) {
            speed = cost.learn(took, speed, measured);
            assert!(speed.0 > 0);
        }
        assert!(cost.expect_us(u32::MAX, speed).is_some());
    }
}
