//! Counts what goes over the wire, for progress and for the benches that hold what a transfer may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of bodies that went over the wire, without headers and TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Of requests.
    pub sent_bytes: u64,
    /// Of answers.
    pub received_bytes: u64,
}

/// Counts the bytes of bodies; one made of another counts into both.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    whole: Option<Arc<Meter>>,
}

impl Meter {
    /// One from zero that counts into this one too.
    pub(crate) fn part(self: &Arc<Self>) -> Self {
        Self {
            whole: Some(self.clone()),
            ..Self::default()
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.sent(bytes);
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.received(bytes);
        }
    }
}
