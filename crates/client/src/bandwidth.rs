//! A limit on how fast bytes go over the network: so many a second, in both directions together.
//!
//! A bucket of tokens, kept as one moment: the one at which what was let through is paid for. Whoever is about to send pays first
//! and waits until the payment falls due; whoever has received pays after, and reads on only then, so that the other end is
//! held up by the connection's own flow control. Clones are one: all connections of a program share its limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may go at once after a pause: as much as passes in this time. Less, and timers would set the pace; more, and a pause would
/// be followed by a burst that fills the line.
const BURST: Duration = Duration::from_millis(100);

/// So many bytes a second and no more. The default has no bound.
#[derive(Debug, Clone, Default)]
pub struct Bandwidth {
    limit: Option<Arc<Limit>>,
}

#[derive(Debug)]
struct Limit {
    bytes_per_s: f64,
    /// When everything let through so far is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Bandwidth {
    /// At most so many bytes a second; 0 means no bound.
    #[must_use]
    pub fn of(bytes_per_s: u64) -> Self {
        let limit = (bytes_per_s > 0).then(|| {
            Arc::new(Limit {
                bytes_per_s: bytes_per_s as f64,
                paid_at: Mutex::default(),
            })
        });
        Self { limit }
    }

    /// Whether there is a bound.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Waits until these bytes may go.
    pub async fn pay(&self, bytes: usize) {
        let Some(limit) = &self.limit else {
            return;
        };
        let due = limit.charge(Instant::now(), bytes);
        tokio::time::sleep_until(due).await;
    }
}

impl Limit {
    /// Adds these bytes to the bill; from when on they may go.
    fn charge(&self, now: Instant, bytes: usize) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        // A pause saves up a burst and no more. Timers are late by up to a millisecond: without any credit each would cost that.
        let oldest = now.checked_sub(BURST).unwrap_or(now);
        let due = paid_at.map_or(oldest, |paid| paid.max(oldest)) + cost;
        *paid_at = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const RATE: u64 = 20_000_000;

    /// The clock stands still but for the waiting: what is counted is exact.
    #[tokio::test(start_paused = true)]
    async fn no_second_carries_more_than_was_said() {
        let bandwidth = Bandwidth::of(RATE);
        let begun = Instant::now();
        let passed = Arc::new(AtomicU64::new(0));
        let senders: Vec<_> = (1..=4)
            .map(|number| {
                let (bandwidth, passed) = (bandwidth.clone(), passed.clone());
                tokio::spawn(async move {
                    let piece = number * 16_000;
                    for _ in 0..500 {
                        bandwidth.pay(piece).await;
                        let bytes = passed.fetch_add(piece as u64, Ordering::SeqCst) + piece as u64;
                        let most = RATE * (begun.elapsed() + BURST).as_millis() as u64 / 1000;
                        assert!(bytes <= most, "{bytes} after {:?}", begun.elapsed());
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        // 80 MB: it is a limit, and no brake beyond it.
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(passed.load(Ordering::SeqCst), 80_000_000);
        assert!((3.89..=4.01).contains(&took), "{took}");
        // An hour's pause is not an hour's credit.
        tokio::time::advance(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..10 {
            bandwidth.pay(RATE as usize / 10).await;
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((0.89..=1.01).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let begun = Instant::now();
        for bandwidth in [Bandwidth::default(), Bandwidth::of(0)] {
            bandwidth.pay(usize::MAX).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
