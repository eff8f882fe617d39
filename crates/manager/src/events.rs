//! What happened, for those who watch.
//!
//! The newest events are kept, so that a watcher whose connection broke goes on where it was. Whoever was away longer
//! is told to read everything anew; nobody waits for a slow watcher, and a slow watcher costs nobody anything. While nobody
//! watches, nothing is kept, and what would be told is not even put together: on a large farm that is a third of the work.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tessera_model::{JobId, Term, Timestamp};
use tessera_wire::event::{Event, What};
use tokio::sync::broadcast;

/// Events kept for watchers that come back: some minutes of a busy farm.
const KEPT_MAX: usize = 4096;

/// Bytes of them: usually a quarter of it, but a frame may have thousands of files.
const KEPT_MAX_BYTES: usize = 16 << 20;

/// Events that a watcher may lag behind before it is told to read everything anew: what the busiest farm does in some tenths of a second.
const LAG_MAX: usize = 4096;

/// For so long after someone watched, events are kept for a watcher that comes back.
const AWAY_MAX: Duration = Duration::from_secs(300);

/// Numbers of one run of the manager. The term is the upper part, so a number of an earlier run is never taken for one of this.
const NUMBERS_BITS: u32 = 32;

/// One event, written once for all watchers.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    /// The one job it is about, if it is about one.
    pub(crate) job: Option<JobId>,
    /// Whether it says that events were missed.
    pub(crate) is_resync: bool,
    /// As it stands in the stream.
    pub(crate) text: String,
}

#[derive(Debug)]
struct Ring {
    next: u64,
    kept: VecDeque<Arc<Written>>,
    kept_bytes: usize,
    /// When someone was last seen watching.
    watched: Option<Instant>,
}

impl Ring {
    fn keep(&mut self, written: Arc<Written>) {
        self.kept_bytes += written.text.len();
        self.kept.push_back(written);
        while self.kept.len() > KEPT_MAX || self.kept_bytes > KEPT_MAX_BYTES {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            self.kept_bytes -= oldest.text.len();
        }
    }
}

/// All watchers' source.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Written>>,
}

/// A watcher's beginning: what it missed, and what comes.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) missed: Vec<Arc<Written>>,
    pub(crate) live: broadcast::Receiver<Arc<Written>>,
}

fn job_of(what: &What) -> Option<JobId> {
    match what {
        What::Job { job } => Some(job.id),
        What::JobRemoved { job } | What::FrameStarted { job, .. } => Some(*job),
        What::FrameDone { result } => Some(result.lease.unit.job),
        What::FrameFailed { error, .. } => Some(error.lease.unit.job),
        What::Resync | What::Worker { .. } | What::WorkerRemoved { .. } | What::Settings { .. } => {
            None
        }
    }
}

fn write(seq: u64, at: Timestamp, what: What) -> Arc<Written> {
    let job = job_of(&what);
    let is_resync = matches!(what, What::Resync);
    let json = serde_json::to_string(&Event { seq, at, what }).expect("plain data is always JSON");
    Arc::new(Written {
        seq,
        job,
        is_resync,
        text: format!("id: {seq}\ndata: {json}\n\n"),
    })
}

impl Events {
    pub(crate) fn new(term: Term) -> Self {
        Self {
            ring: Mutex::new(Ring {
                next: (term.0 << NUMBERS_BITS) + 1,
                kept: VecDeque::new(),
                kept_bytes: 0,
                watched: None,
            }),
            live: broadcast::channel(LAG_MAX).0,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// Tells everyone. With nobody to tell it to, it is not asked what happened.
    pub(crate) fn publish(&self, at: Timestamp, told: impl FnOnce() -> Vec<What>) {
        if self.pass_over() {
            return;
        }
        let told = told();
        let mut ring = self.ring();
        for what in told {
            let written = write(ring.next, at, what);
            ring.next += 1;
            ring.keep(Arc::clone(&written));
            // An error only says that nobody watches.
            let _ = self.live.send(written);
        }
    }

    /// Whether nobody watches, nor will come back for what happens now: from now on nothing is known of what was before.
    fn pass_over(&self) -> bool {
        let mut ring = self.ring();
        if self.live.receiver_count() > 0 {
            ring.watched = Some(Instant::now());
        }
        if ring.watched.is_some_and(|at| at.elapsed() < AWAY_MAX) {
            return false;
        }
        // A number that nobody was told, so that who asks for what came after an earlier one learns that something is missing.
        ring.next += 1;
        ring.kept.clear();
        ring.kept_bytes = 0;
        true
    }

    /// Watches from now on, or from after `since`. If that cannot be told any more, a resync comes first.
    pub(crate) fn watch(&self, since: Option<u64>, now: Timestamp) -> Watch {
        let mut ring = self.ring();
        ring.watched = Some(Instant::now());
        let live = self.live.subscribe();
        let newest = ring.next - 1;
        let oldest_known = ring.kept.front().map_or(newest, |first| first.seq - 1);
        let missed = match since {
            None => Vec::new(),
            Some(since) if (oldest_known..=newest).contains(&since) => {
                let from = ring.kept.partition_point(|written| written.seq <= since);
                ring.kept.range(from..).cloned().collect()
            }
            Some(_) => vec![write(newest, now, What::Resync)],
        };
        Watch { missed, live }
    }

    /// For a watcher that fell behind.
    pub(crate) fn resync(&self, now: Timestamp) -> Arc<Written> {
        let newest = self.ring().next - 1;
        write(newest, now, What::Resync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happen(events: &Events, count: u64) {
        for job in 0..count {
            events.publish(Timestamp(0), || vec![What::JobRemoved { job: JobId(job) }]);
        }
    }

    fn check(events: &Events, since: u64, missed: &[u64], resync: bool) {
        let watch = events.watch(Some(since), Timestamp(0));
        let seqs: Vec<u64> = watch.missed.iter().map(|written| written.seq).collect();
        assert_eq!(seqs, missed, "since {since}");
        let is_resync = watch
            .missed
            .first()
            .is_some_and(|first| first.text.contains("resync"));
        assert_eq!(is_resync, resync, "since {since}");
    }

    #[test]
    fn goes_on_where_it_was_or_says_that_it_cannot() {
        let base = 3 << 32;
        let events = Events::new(Term(3));
        check(&events, base, &[], false);
        happen(&events, 3);
        check(&events, base, &[base + 1, base + 2, base + 3], false);
        check(&events, base + 2, &[base + 3], false);
        check(&events, base + 3, &[], false);
        check(&events, base + 4, &[base + 3], true);
        check(&events, (2 << 32) + 2, &[base + 3], true);
        check(&events, 0, &[base + 3], true);
        happen(&events, KEPT_MAX as u64);
        let newest = base + 3 + KEPT_MAX as u64;
        check(&events, base + 2, &[newest], true);
        check(&events, newest - 1, &[newest], false);
        assert_eq!(
            events.watch(Some(base + 3), Timestamp(0)).missed.len(),
            KEPT_MAX
        );
    }

    #[test]
    fn what_nobody_watches_is_not_put_together() {
        let base = 3 << 32;
        let events = Events::new(Term(3));
        events.publish(Timestamp(0), || unreachable!("nobody watches"));
        check(&events, base, &[base + 1], true);
        check(&events, base + 1, &[], false);
        happen(&events, 1);
        check(&events, base + 1, &[base + 2], false);
    }

    #[tokio::test]
    async fn nothing_lies_between_missed_and_live() {
        let events = Events::new(Term(1));
        let mut watch = events.watch(None, Timestamp(0));
        happen(&events, 1);
        assert_eq!(watch.live.recv().await.unwrap().job, Some(JobId(0)));
    }
}
