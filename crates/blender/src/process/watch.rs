//! Watches the process tree of a Blender: too much memory, or a request during which nothing moves, and it is ended.
//!
//! Output is no sign of life: Blender may render for minutes without a word. CPU time is, and so is disk traffic.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Launch;
use super::tree::{self, Sample, Sampler, Usage};

/// How often the tree is sampled. Blender can fill a few hundred MiB in this time, so limits are kept that closely.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Why a Blender was ended by this program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sealed {
    Killed,
    Hung { idle: Duration },
    OutOfMemory { used_bytes: u64, limit_bytes: u64 },
}

/// What is known of the life of one Blender.
#[derive(Debug)]
pub(super) struct Fate {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sealed: Option<Sealed>,
    usage: Usage,
    /// Since when a request runs.
    running_since: Option<Instant>,
    /// Its process is reaped: the id may belong to another one by now.
    buried: bool,
}

/// While it lives, a request runs.
pub(super) struct Running {
    fate: Arc<Fate>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.fate.lock().running_since = None;
    }
}

impl Fate {
    /// Begins to watch; ends with the last owner, or with the process.
    pub(super) fn watch(self: &Arc<Self>, root: u32, launch: &Launch) {
        let weak = Arc::downgrade(self);
        let (hang_after, limit) = (launch.hang_after, launch.memory_max_bytes);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(
                SAMPLE_EVERY
                    .min(hang_after / 4)
                    .max(Duration::from_millis(10)),
            );
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut sampler = Sampler::new(root);
            let mut still = Still {
                sample: Sample::default(),
                since: Instant::now(),
            };
            loop {
                ticks.tick().await;
                let Some(fate) = weak.upgrade() else { return };
                // Reading a few files of /proc takes less than a hop to a blocking thread.
                let Some(sample) = sampler.sample() else {
                    return;
                };
                still.see(&sample);
                if fate.judge(root, &sample, &still, hang_after, limit) {
                    return;
                }
            }
        });
    }

    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
        })
    }

    /// Ends the tree if it must end. `true`: nothing is left to watch.
    fn judge(
        &self,
        root: u32,
        sample: &Sample,
        still: &Still,
        hang_after: Duration,
        limit: Option<u64>,
    ) -> bool {
        let mut inner = self.lock();
        if inner.sealed.is_some() || inner.buried {
            return true;
        }
        inner.usage = sample.usage;
        if let Some(limit_bytes) = limit.filter(|limit| sample.usage.memory_bytes > *limit) {
            inner.sealed = Some(Sealed::OutOfMemory {
                used_bytes: sample.usage.memory_bytes,
                limit_bytes,
            });
        } else if let Some(since) = inner.running_since {
            let idle = since.max(still.since).elapsed();
            if idle > hang_after {
                inner.sealed = Some(Sealed::Hung { idle });
            }
        }
        let end = inner.sealed.is_some();
        if end {
            tree::kill(root);
        }
        end
    }

    /// A request begins.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        self.lock().running_since = Some(Instant::now());
        Running {
            fate: Arc::clone(self),
        }
    }

    pub(super) fn sealed(&self) -> Option<Sealed> {
        self.lock().sealed
    }

    pub(super) fn usage(&self) -> Usage {
        self.lock().usage
    }

    pub(super) fn kill(&self, root: u32) {
        let mut inner = self.lock();
        if inner.buried {
            return;
        }
        inner.sealed.get_or_insert(Sealed::Killed);
        // Under the lock: the keeper reaps only after it said so here, so the id is still that of this Blender.
        tree::kill(root);
    }

    /// The keeper is about to reap the process.
    pub(super) fn bury(&self) {
        self.lock().buried = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last sample that showed a change, and when.
struct Still {
    sample: Sample,
    since: Instant,
}

impl Still {
    fn see(&mut self, sample: &Sample) {
        if sample.trace != self.sample.trace {
            *self = Self {
                sample: sample.clone(),
                since: Instant::now(),
            };
        }
    }
}
