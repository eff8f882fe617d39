//! How long a manager that cannot be reached is waited for, as a value that callers hand in.
//!
//! A render waits for a restarting manager and says so; `tessera jobs` fails after one try. Waits double up to
//! [`WAIT_MAX`] with jitter, so that a hundred workers do not come back in the same instant.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::api::ApiError;

/// First wait between two tries.
const WAIT_FIRST: Duration = Duration::from_millis(200);

/// Longest wait between two tries: a manager that is back is found again within this time.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What waiting requests say, once when the manager is lost and once when it is back, however many of them wait.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outage<'a> {
    /// The manager cannot be reached; tries go on.
    Lost {
        /// How the first try failed.
        error: &'a ApiError,
    },
    /// It answers again.
    Back {
        /// How long it was away.
        after: Duration,
    },
}

type Tell = dyn Fn(&Outage<'_>) + Send + Sync;

/// What is known of the way to the manager, shared by all requests under one [`Retry`]. A request that is dropped while it
/// waits leaves nothing behind: whichever is answered next says that the manager is back.
#[derive(Default)]
struct Way {
    tell: Option<Box<Tell>>,
    lost_at: Mutex<Option<Instant>>,
}

impl Way {
    fn lost(&self, error: &ApiError) {
        let mut lost_at = self.lost_at.lock().unwrap_or_else(PoisonError::into_inner);
        if lost_at.is_none() {
            *lost_at = Some(Instant::now());
            if let Some(tell) = &self.tell {
                tell(&Outage::Lost { error });
            }
        }
    }

    fn back(&self) {
        let mut lost_at = self.lost_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = lost_at.take()
            && let Some(tell) = &self.tell
        {
            tell(&Outage::Back {
                after: since.elapsed(),
            });
        }
    }
}

/// Whether and how long to wait for a manager that cannot be reached. Clones are one: what they tell is told once.
#[derive(Clone)]
pub struct Retry {
    give_up_after: Option<Duration>,
    way: Arc<Way>,
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("give_up_after", &self.give_up_after)
            .finish_non_exhaustive()
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::once()
    }
}

impl Retry {
    /// One try at each address.
    #[must_use]
    pub fn once() -> Self {
        Self::for_at_most(Duration::ZERO)
    }

    /// Tries that begin within this time.
    #[must_use]
    pub fn for_at_most(time: Duration) -> Self {
        Self {
            give_up_after: Some(time),
            way: Arc::default(),
        }
    }

    /// Tries without an end; dropping the request ends them.
    #[must_use]
    pub fn forever() -> Self {
        Self {
            give_up_after: None,
            way: Arc::default(),
        }
    }

    /// Tells `tell` when the manager is lost and when it is back. It is called from requests and must not wait.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&Outage<'_>) + Send + Sync + 'static) -> Self {
        let way = Way {
            tell: Some(Box::new(tell)),
            ..Way::default()
        };
        Self {
            way: Arc::new(way),
            ..self
        }
    }

    pub(crate) fn begin(&self) -> Outing {
        Outing {
            retry: self.clone(),
            lost_at: None,
            wait: WAIT_FIRST,
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Outing {
    retry: Retry,
    lost_at: Option<Instant>,
    wait: Duration,
}

impl Outing {
    /// Waits before the next try; false if there shall be none.
    pub(crate) async fn lost(&mut self, error: &ApiError) -> bool {
        let wait = self.wait.mul_f64(0.5 + 0.5 * jitter());
        let since = *self.lost_at.get_or_insert_with(Instant::now);
        if self
            .retry
            .give_up_after
            .is_some_and(|end| since.elapsed() + wait > end)
        {
            return false;
        }
        self.retry.way.lost(error);
        tokio::time::sleep(wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        true
    }

    /// The manager answered: the next loss starts from the beginning.
    pub(crate) fn back(&mut self) {
        self.lost_at = None;
        self.wait = WAIT_FIRST;
        self.retry.way.back();
    }
}

/// A number from 0 to 1, different on each machine and in each process; nothing secret hangs on it.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let number = RandomState::new().build_hasher().finish();
    (number >> 11) as f64 / (1u64 << 53) as f64
}
