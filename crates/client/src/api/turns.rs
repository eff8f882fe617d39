//! Which address a request goes to next, and whether it goes again at all.
//!
//! The loop stays with the caller (`let mut turns = …; loop { match try_at(turns.address()).await { … turns.failed(error).await? } }`),
//! so that a try may borrow what it likes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::ApiError;
use crate::address::AddressError;
use crate::connect::ConnectError;
use crate::retry::Outing;

/// Whether a request may be said again when nobody knows if it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is the same as once.
    Safe,
    /// Only if it certainly was not acted on.
    IfUnsent,
}

/// The tries of one request: each address in turn, beginning with the one that answered last, then again as the retry says.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    addresses: &'a [String],
    current: &'a AtomicUsize,
    repeat: Repeat,
    outing: Outing,
    at: usize,
    left_in_round: usize,
    /// The first failure of the round: the address that answered last says best what is wrong.
    first: Option<ApiError>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(
        addresses: &'a [String],
        current: &'a AtomicUsize,
        repeat: Repeat,
        outing: Outing,
    ) -> Result<Self, ApiError> {
        if addresses.is_empty() {
            let nowhere = AddressError {
                text: String::new(),
                why: "no address is known for this farm".into(),
            };
            return Err(ConnectError::Address(nowhere).into());
        }
        let at = current.load(Ordering::Relaxed) % addresses.len();
        Ok(Self {
            addresses,
            current,
            repeat,
            outing,
            at,
            left_in_round: addresses.len(),
            first: None,
        })
    }

    /// Where to try now.
    pub(crate) fn address(&self) -> &'a str {
        &self.addresses[self.at]
    }

    /// The present address answered.
    pub(crate) fn answered(&mut self) {
        self.current.store(self.at, Ordering::Relaxed);
        self.outing.back();
        self.left_in_round = self.addresses.len();
        self.first = None;
    }

    /// The try failed: moves on to the next one after a wait where there shall be one, else hands the error back.
    pub(crate) async fn failed(&mut self, error: ApiError) -> Result<(), ApiError> {
        let not_acted_on = matches!(
            &error,
            ApiError::Connect(_) | ApiError::Problem { .. } | ApiError::NotManager { .. }
        );
        let again = self.repeat == Repeat::Safe || not_acted_on;
        // Another address may be right where this one is wrong for good (a stranger on a recycled IP address).
        let next_may_do =
            again && (error.is_unreachable() || matches!(&error, ApiError::Connect(_)));
        let passes = again && error.is_unreachable();
        if !next_may_do {
            return Err(error);
        }
        self.left_in_round -= 1;
        if self.left_in_round > 0 {
            tracing::debug!(address = self.address(), %error, "manager not reached, trying its next address");
            self.at = (self.at + 1) % self.addresses.len();
            self.first.get_or_insert(error);
            return Ok(());
        }
        let any_passes = passes || self.first.as_ref().is_some_and(ApiError::is_unreachable);
        let first = self.first.take().unwrap_or(error);
        if !any_passes || !self.outing.lost(&first).await {
            return Err(first);
        }
        self.at = (self.at + 1) % self.addresses.len();
        self.left_in_round = self.addresses.len();
        Ok(())
    }
}
