//! How long to wait before trying again: twice as long each time up to a bound, and never as long as all the others.

use std::time::Duration;

/// Waits of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self {
            next: first,
            first,
            max,
        }
    }

    /// The next wait: between half and all of a span that doubles, so that a thousand workers that lost one manager
    /// do not come back in one moment.
    pub(crate) fn wait(&mut self) -> Duration {
        let span = self.next;
        self.next = (span * 2).min(self.max);
        span.mul_f64(0.5 + 0.5 * random_share())
    }

    /// It worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number from 0 to 1. Only spreads load, so the standard library's seeds are random enough.
fn random_share() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(std::time::Instant::now()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound_within_half() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 6);
        for span in [1, 2, 4, 6, 6] {
            let wait = backoff.wait();
            assert!(
                wait >= second * span / 2 && wait <= second * span,
                "{wait:?} of {span} s"
            );
        }
        backoff.reset();
        assert!(backoff.wait() <= second);
    }
}
