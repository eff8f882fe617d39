//! The keeper of the block store: knows what is wanted, gives back the rest, and says what uses the space.
//!
//! The record says what jobs need, [`Keeping`] what uploads do. Sweeps follow each other, at intervals, when jobs are removed, and when an
//! administrator asks; one at a time, in the order in which they were asked for. A sweep begins with a horizon, then reads the record:
//! whatever is recorded later was younger than the horizon when it was checked (`intake`).

mod expiry;
mod intake;
mod users;
mod walk;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tessera_blobs::{Collected, Keeping, ReadError, Store, StoreError, StoreStats, Usage};
use tessera_model::{Blob, JobId, UserName};
use tessera_state::{RootKind, State};
use tessera_wire::blob::to_store;
use tessera_wire::store::{Collection, JobUse, StoreLevel};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub(crate) use expiry::{kept_until, unfetched_since};
pub(crate) use intake::Intake;

use crate::clock::{self, Clock};
use crate::engine::{EngineError, EngineHandle};
use crate::notify::{Notifier, Occasion};
use intake::Intakes;
use users::Users;
use walk::{Walked, Whose, blocking, walk};

/// Sweeps without any reason follow each other so: what an upload that was given up left behind goes within two of them.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// After a sweep because of a removed job, the next such waits this many times as long as it took: somebody who removes jobs one by one
/// must not keep the disk busy.
const REST_FACTOR: u32 = 4;

/// Without a grace there is no measure of how often horizons are wanted.
const HORIZON_EVERY_MIN: Duration = Duration::from_secs(10);

/// A look at what is kept that could not be completed. Nothing was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The record could not be read.
    #[error("what is wanted cannot be read from the record")]
    Record(#[source] tessera_state::ReadError),
    /// A list of blocks could not be read.
    #[error("what is wanted cannot be read from the block store")]
    Walk(#[source] ReadError),
    /// Jobs could not be removed.
    #[error("jobs that were kept for long enough cannot be removed")]
    Engine(#[from] EngineError),
    /// The store failed.
    #[error("the block store cannot be swept")]
    Store(#[source] StoreError),
}

/// See the module.
pub(crate) struct Keeper {
    engine: EngineHandle,
    state: Arc<State>,
    store: Arc<Store>,
    clock: Clock,
    keeping: Mutex<Keeping<UserName>>,
    intakes: Intakes,
    /// Held during a walk: a second one would only make both slower.
    turn: tokio::sync::Mutex<()>,
    removed: Notify,
    last: Mutex<Option<Collection>>,
    /// The level that was warned of last.
    warned: Mutex<StoreLevel>,
    users: Mutex<Users>,
    notifier: Arc<Notifier>,
    ending: CancellationToken,
}

/// What uses the store.
#[derive(Debug, Default)]
pub(crate) struct StoreUse {
    pub(crate) stats: StoreStats,
    pub(crate) jobs: Vec<(JobId, JobUse)>,
    pub(crate) users: Vec<(UserName, UserUse)>,
    pub(crate) shared_bytes: u64,
    pub(crate) uploads_bytes: u64,
    pub(crate) unheld_bytes: u64,
}

/// What a user's jobs and uploads need and nobody else's do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserUse {
    pub(crate) jobs: u32,
    pub(crate) bytes: u64,
}

impl Keeper {
    pub(crate) fn new(
        engine: EngineHandle,
        state: Arc<State>,
        store: Arc<Store>,
        clock: Clock,
        upload_grace: Duration,
        notifier: Arc<Notifier>,
        ending: CancellationToken,
    ) -> Self {
        Self {
            engine,
            state,
            store,
            clock,
            keeping: Mutex::new(Keeping::new(upload_grace)),
            intakes: Intakes::default(),
            turn: tokio::sync::Mutex::default(),
            removed: Notify::new(),
            last: Mutex::default(),
            warned: Mutex::default(),
            users: Mutex::default(),
            notifier,
            ending,
        }
    }

    /// To be held by whoever checks that blocks are here, until the record names them.
    pub(crate) fn intake(&self) -> Intake<'_> {
        self.intakes.begin()
    }

    /// A user begins to send these trees, or goes on.
    pub(crate) fn uploads(&self, user: &UserName, trees: &[Blob]) {
        let now = self.clock.now().elapsed;
        let mut keeping = self.keeping();
        for tree in trees {
            keeping.pin(now, user.clone(), to_store(tree));
        }
    }

    /// A user sends blocks.
    pub(crate) fn heard(&self, user: &UserName) {
        let now = self.clock.now().elapsed;
        self.keeping().heard(now, user);
    }

    /// A tree is recorded now.
    pub(crate) fn recorded(&self, user: &UserName, tree: &Blob) {
        self.keeping().unpin(user.clone(), to_store(tree));
    }

    /// A job was removed: what it alone needed can go.
    pub(crate) fn job_removed(&self) {
        self.removed.notify_one();
    }

    /// The last sweep; none since the manager started.
    pub(crate) fn last(&self) -> Option<Collection> {
        self.last
            .lock()
            .expect("nothing panics under the lock")
            .clone()
    }

    /// Takes horizons and sweeps until the manager ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let ending = self.ending.clone();
        tokio::select! {
            () = ending.cancelled() => {}
            () = self.keep() => {}
        }
        // A sweep on its thread stops by itself: it asks at every step.
    }

    async fn keep(&self) {
        let every = self.keeping().horizon_every().max(HORIZON_EVERY_MIN);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut swept = Instant::now();
        let mut rested = swept;
        loop {
            let removed = async {
                self.removed.notified().await;
                tokio::time::sleep_until(rested).await;
            };
            tokio::select! {
                _ = ticks.tick() => {
                    self.take_horizon().await;
                    self.warn().await;
                    self.warn_of_users().await;
                    if swept.elapsed() < SWEEP_EVERY && !self.some_expired().await {
                        continue;
                    }
                }
                () = removed => {}
            }
            let begun = Instant::now();
            if let Err(error) = self.collect().await {
                tracing::error!("{error}: {:?}", std::error::Error::source(&error));
            }
            swept = Instant::now();
            rested = swept + (swept - begun) * REST_FACTOR;
        }
    }

    /// A horizon counts once everybody who had been told of blocks before it has had them recorded.
    async fn take_horizon(&self) {
        let horizon = self.store.horizon();
        let now = self.clock.now().elapsed;
        self.intakes.wait().await;
        self.keeping().add_horizon(now, horizon);
    }

    /// Removes jobs that were kept for long enough, and gives back what nobody wants. None if that cannot be told yet, since the manager has not run for long.
    pub(crate) async fn collect(&self) -> Result<Option<Collection>, KeepError> {
        let _turn = self.turn.lock().await;
        self.expire().await?;
        self.take_horizon().await;
        let begun = Instant::now();
        let sweep = self.keeping().sweep(self.clock.now().elapsed);
        let Some(sweep) = sweep else {
            return Ok(None);
        };
        let pinned = sweep.pinned.into_iter().map(|root| (None, root)).collect();
        let Walked { live, .. } = walk(&self.engine, &self.state, &self.store, pinned).await?;
        let ending = self.ending.clone();
        let done = blocking(&self.store, move |store| {
            let go_on = || match ending.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            store
                .collect(sweep.horizon, &live, go_on)
                .map_err(KeepError::Store)
        })
        .await?;
        let collection = collection(&done, begun.elapsed());
        if done.packs > 0 {
            tracing::info!(
                packs = done.packs,
                freed_bytes = collection.freed_bytes,
                "space of blocks that nobody needs was given back"
            );
        }
        *self.last.lock().expect("nothing panics under the lock") = Some(collection.clone());
        Ok(Some(collection))
    }

    /// What uses the space.
    pub(crate) async fn usage(&self) -> Result<StoreUse, KeepError> {
        let _turn = self.turn.lock().await;
        let begun = Instant::now();
        let pinned = self.keeping().pinned(self.clock.now().elapsed);
        let pinned = pinned.into_iter().map(|(user, root)| (Some(user), root));
        let walked = walk(&self.engine, &self.state, &self.store, pinned.collect()).await?;
        let used = blocking(&self.store, move |store| {
            let usage = store.usage(&walked.live).map_err(KeepError::Store)?;
            Ok(store_use(&walked, usage, store.stats()))
        })
        .await?;
        let users = used.users.iter();
        let by_user = users.map(|(user, used)| (user.clone(), used.bytes));
        self.measured(by_user.collect(), begun.elapsed());
        Ok(used)
    }

    /// Has people told that the space of all, or of one user, comes to its end.
    fn tell(&self, user: Option<UserName>, level: StoreLevel, used_bytes: u64) {
        if level != StoreLevel::Fine {
            self.notifier.tell(Occasion::Store {
                user,
                used_bytes,
                is_full: level == StoreLevel::Full,
            });
        }
    }

    fn keeping(&self) -> MutexGuard<'_, Keeping<UserName>> {
        self.keeping.lock().expect("nothing panics under the lock")
    }
}

/// By job and by user.
fn store_use(walked: &Walked, usage: Usage, stats: StoreStats) -> StoreUse {
    let mut jobs = BTreeMap::<JobId, JobUse>::new();
    let mut users = BTreeMap::<UserName, UserUse>::new();
    for user in walked.jobs_by_user() {
        users.entry(user.clone()).or_default().jobs += 1;
    }
    let mut uploads_bytes = 0;
    for (holder, bytes) in usage.alone_bytes {
        if let Some(user) = walked.user_of(holder) {
            users.entry(user.clone()).or_default().bytes += bytes;
        }
        match walked.whose(holder) {
            Some(Whose::Job(job, kind)) => {
                let job = jobs.entry(*job).or_default();
                *match kind {
                    RootKind::Manifest => &mut job.files_bytes,
                    RootKind::Result => &mut job.results_bytes,
                    RootKind::Log => &mut job.logs_bytes,
                } += bytes;
            }
            Some(Whose::Upload(_)) | None => uploads_bytes += bytes,
        }
    }
    let mut shared_bytes = usage.shared_bytes;
    for (group, bytes) in usage.group_bytes {
        shared_bytes += bytes;
        if let Some(user) = walked.user(group) {
            users.entry(user.clone()).or_default().bytes += bytes;
        }
    }
    StoreUse {
        stats,
        jobs: jobs.into_iter().collect(),
        users: users.into_iter().collect(),
        shared_bytes,
        uploads_bytes,
        unheld_bytes: usage.unheld_bytes,
    }
}

fn collection(done: &Collected, took: Duration) -> Collection {
    Collection {
        at: clock::wall(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        freed_bytes: done.freed_bytes(),
        blocks: done.blocks,
        packs: done.packs,
        finished: done.finished,
    }
}
