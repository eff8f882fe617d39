//! Chance, all of it from one seed.
//!
//! Each concern draws from a stream of its own, so that a fault that is switched off does not shift what all others do: a
//! failing run can be made smaller one part at a time. Whole numbers only, so that every machine draws the same.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concern {
    Machines,
    Jobs,
    Network,
    Disk,
    Checks,
    Keeping,
    /// A kind of fault, by its number.
    Fault(u8),
}

/// A stream of chance.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, concern: Concern) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(match concern {
            Concern::Machines => 1,
            Concern::Jobs => 2,
            Concern::Network => 3,
            Concern::Disk => 4,
            Concern::Checks => 5,
            Concern::Keeping => 6,
            Concern::Fault(kind) => 100 + u64::from(kind),
        });
        Self(rng)
    }

    /// 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(n.max(1));
        (wide >> 64) as u64
    }

    /// `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True `percent` times of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// `from` to `to`, each doubling as likely as any other.
    pub(crate) fn spread(&mut self, from: u64, to: u64) -> u64 {
        let from = from.max(1);
        let doublings = u64::from((to.max(from) / from).ilog2());
        let low = from << self.below(doublings + 1);
        self.between(low, (2 * low).min(to.max(low)))
    }

    /// As [`spread`](Self::spread), to the millisecond.
    pub(crate) fn span(&mut self, from: Duration, to: Duration) -> Duration {
        Duration::from_millis(self.spread(from.as_millis() as u64, to.as_millis() as u64))
    }
}

/// Chance that does not depend on when it is asked: the same parts give the same number.
pub(crate) fn fate(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state, &part| {
        // SplitMix64's finaliser (Steele, Lea, Flood 2014).
        let mut mixed = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_streams_are_apart() {
        let draw = |concern| {
            let mut dice = Dice::new(7, concern);
            (0..4).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(Concern::Jobs), draw(Concern::Jobs));
        assert_ne!(draw(Concern::Jobs), draw(Concern::Machines));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut dice = Dice::new(1, Concern::Jobs);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!((10..=1000).contains(&dice.spread(10, 1000)));
            assert_eq!(dice.spread(7, 7), 7);
        }
    }
}
