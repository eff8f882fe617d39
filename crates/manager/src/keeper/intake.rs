//! Who was told that blocks are here, and has not had them recorded yet.
//!
//! Between the check that all of a job's blocks are in the store and the record that names them, nothing but the horizon protects them. So
//! whoever is in between holds an [`Intake`], and a horizon counts only when all that had begun before it have ended. Nobody waits for a
//! sweep, and a sweep waits for a submission at most.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Intakes {
    open: Mutex<Open>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    numbers: BTreeSet<u64>,
}

/// Held from the check to the record.
#[derive(Debug)]
#[must_use = "it protects for as long as it is held"]
pub(crate) struct Intake<'a> {
    intakes: &'a Intakes,
    number: u64,
}

impl Intakes {
    pub(super) fn begin(&self) -> Intake<'_> {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.numbers.insert(number);
        Intake {
            intakes: self,
            number,
        }
    }

    /// Waits until all that have begun by now are over.
    pub(super) async fn wait(&self) {
        let until = self.open().next;
        loop {
            let ended = self.ended.notified();
            if self
                .open()
                .numbers
                .first()
                .is_none_or(|&first| first >= until)
            {
                return;
            }
            ended.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open
            .lock()
            .expect("nothing panics while it holds this")
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        self.intakes.open().numbers.remove(&self.number);
        self.intakes.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn those_that_began_before_are_waited_for_and_no_others() {
        let intakes = Intakes::default();
        assert!(intakes.wait().now_or_never().is_some());
        let (first, second) = (intakes.begin(), intakes.begin());
        let mut waiting = Box::pin(intakes.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        let later = intakes.begin();
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(second);
        waiting.await;
        drop(later);
    }
}
