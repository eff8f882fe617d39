//! Connections of which nobody knows yet who is at the other end: few at once, and none for long.
//!
//! Everybody may connect, and a connection costs memory and a file descriptor for as long as its other end answers pings. One is
//! a guest until a request with good credentials comes over it. When there are many guests the one that came first goes, rather
//! than that nobody else gets in: whoever has credentials shows them within a second of being let in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Guests at once. When a manager comes back some hundred workers do, which are guests for the milliseconds of a handshake.
const GUESTS_MAX: usize = 256;

/// How long guests may stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stay {
    /// From coming, and from each answer that needs no credentials.
    quiet: Duration,
    /// From coming, if others wait for room.
    full: Duration,
}

impl Stay {
    /// What a manager grants.
    pub(crate) const USUAL: Self = Self {
        // Longer than any handshake and pairing takes, and than the pauses of a monitor that looks after the manager's health.
        quiet: Duration::from_secs(60),
        // Several round trips over the worst network, so that nobody who means well is sent away in the middle of a handshake.
        full: Duration::from_secs(5),
    };
}

/// All guests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guests {
    stay: Stay,
    room: Arc<Semaphore>,
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    next: u64,
    /// By number, so the one that came first first: when it came, and what tells it to leave.
    guests: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// One connection and whether it is a guest's. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    guests: Guests,
    number: u64,
    leave: CancellationToken,
    /// When it came, or was last answered.
    answered: Mutex<Instant>,
    known: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

impl Guests {
    /// Where there may be so many connections at once, a part of them are guests.
    pub(crate) fn new(connections_max: usize, stay: Stay) -> Self {
        let room = GUESTS_MAX.min(connections_max / 2).max(1);
        Self {
            stay,
            room: Arc::new(Semaphore::new(room)),
            present: Arc::default(),
        }
    }

    /// Lets one in as soon as there is room. If there is none, the one that came first has to make it.
    pub(crate) async fn admit(&self) -> Guest {
        loop {
            tokio::select! {
                biased;
                room = self.room.acquire() => {
                    room.expect("the semaphore is never closed").forget();
                    return self.enter();
                }
                () = self.send_first_away() => {}
            }
        }
    }

    async fn send_first_away(&self) {
        let first = lock(&self.present)
            .guests
            .first_key_value()
            .map(|(number, (since, leave))| (*number, *since, leave.clone()));
        let Some((number, since, leave)) = first else {
            return std::future::pending().await;
        };
        sleep_until(since + self.stay.full).await;
        // It may have become known meanwhile.
        if self.leave(number) {
            leave.cancel();
        }
    }

    fn enter(&self) -> Guest {
        let now = Instant::now();
        let leave = CancellationToken::new();
        let mut present = lock(&self.present);
        let number = present.next;
        present.next += 1;
        present.guests.insert(number, (now, leave.clone()));
        drop(present);
        Guest {
            inner: Arc::new(Inner {
                guests: self.clone(),
                number,
                leave,
                answered: Mutex::new(now),
                known: CancellationToken::new(),
            }),
        }
    }

    /// Whether it still was a guest.
    fn leave(&self, number: u64) -> bool {
        let was = lock(&self.present).guests.remove(&number).is_some();
        if was {
            self.room.add_permits(1);
        }
        was
    }
}

impl Guest {
    /// Good credentials came: it is no guest any more.
    pub(crate) fn is_known(&self) {
        let inner = &self.inner;
        if !inner.known.is_cancelled() {
            inner.known.cancel();
            inner.guests.leave(inner.number);
        }
    }

    /// It got an answer that needs no credentials.
    pub(crate) fn was_answered(&self) {
        *lock(&self.inner.answered) = Instant::now();
    }

    /// Returns when the connection is to be closed; never, once it is known.
    pub(crate) async fn overstays(&self) {
        tokio::select! {
            biased;
            () = self.inner.known.cancelled() => std::future::pending().await,
            () = self.inner.leave.cancelled() => {}
            () = self.time_is_up() => {}
        }
    }

    async fn time_is_up(&self) {
        loop {
            let until = *lock(&self.inner.answered) + self.inner.guests.stay.quiet;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.guests.leave(self.number);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use futures_util::FutureExt;

    use super::*;

    pub(crate) const SHORT: Stay = Stay {
        quiet: Duration::from_millis(50),
        full: Duration::from_millis(20),
    };

    #[tokio::test]
    async fn a_guest_goes_and_who_is_known_stays() {
        let guests = Guests::new(100, SHORT);
        let known = guests.admit().await;
        known.is_known();
        let guest = guests.admit().await;
        guest.overstays().await;
        assert!(known.overstays().now_or_never().is_none());
        // An answer gives it the time anew.
        guest.was_answered();
        assert!(guest.overstays().now_or_never().is_none());
        guest.overstays().await;
    }

    #[tokio::test]
    async fn the_first_makes_room() {
        let guests = Guests::new(
            6,
            Stay {
                quiet: Duration::from_secs(3600),
                ..SHORT
            },
        );
        let known = guests.admit().await;
        let first = guests.admit().await;
        let second = guests.admit().await;
        known.is_known();
        let _third = guests.admit().await;
        // Full: this waits for the first one's time.
        let _fourth = guests.admit().await;
        first.overstays().now_or_never().unwrap();
        assert!(second.overstays().now_or_never().is_none());
        assert!(known.overstays().now_or_never().is_none());
        // Who goes leaves room, once.
        drop((first, known));
        assert_eq!(guests.room.available_permits(), 0);
        drop(second);
        assert_eq!(guests.room.available_permits(), 1);
    }
}
