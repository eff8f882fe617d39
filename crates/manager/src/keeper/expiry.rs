//! How long jobs are kept, and how much is stored at all.

use tessera_model::{FarmSettings, Timestamp};
use tessera_scheduler::{Input, JobCommand, JobView, Outcome};
use tessera_wire::store::StoreLevel;

use super::{KeepError, Keeper};
use crate::clock;
use crate::engine::EngineError;

/// Jobs that are removed in one go: each is a transaction, and others want to be answered in between.
const EXPIRED_MAX: usize = 1000;

/// When a job is removed if it stays as it is; none if it is not over, waits to be fetched, or jobs are kept for ever.
pub(crate) fn kept_until(view: &JobView, settings: &FarmSettings) -> Option<Timestamp> {
    let keep_ms = i64::try_from(settings.results_keep_ms).unwrap_or(i64::MAX);
    let goes = view.state.is_over() && unfetched_since(view).is_none() && keep_ms > 0;
    goes.then(|| Timestamp(view.since.0.saturating_add(keep_ms)))
}

/// Since when a job is over and has results that nobody has fetched.
pub(crate) fn unfetched_since(view: &JobView) -> Option<Timestamp> {
    let waits = view.state.is_over() && view.done > 0 && view.fetched_at.is_none();
    waits.then_some(view.since)
}

/// Jobs that have been over since before this moment were kept for long enough.
fn kept_enough(now: Timestamp, settings: &FarmSettings) -> Option<Timestamp> {
    let keep_ms = i64::try_from(settings.results_keep_ms).unwrap_or(i64::MAX);
    (keep_ms > 0).then(|| Timestamp(now.0.saturating_sub(keep_ms)))
}

impl Keeper {
    /// How much is stored, against what may be.
    pub(crate) async fn level(&self) -> Result<StoreLevel, EngineError> {
        let settings = self.settings().await?;
        Ok(StoreLevel::of(self.store.pack_bytes(), &settings))
    }

    pub(crate) async fn settings(&self) -> Result<FarmSettings, EngineError> {
        self.engine
            .read(|scheduler, _| scheduler.settings().clone())
            .await
    }

    /// Says once that the quota comes near, and once that it is reached.
    pub(super) async fn warn(&self) {
        // If the engine has stopped, so does this.
        let Ok(level) = self.level().await else {
            return;
        };
        let mut warned = self.warned.lock().expect("nothing panics under the lock");
        if *warned == level {
            return;
        }
        *warned = level;
        let used_bytes = self.store.pack_bytes();
        self.tell(None, level, used_bytes);
        match level {
            StoreLevel::Fine => {}
            StoreLevel::Warning => {
                tracing::warn!(used_bytes, "what the farm may store is nearly used up")
            }
            StoreLevel::Full => tracing::error!(
                used_bytes,
                "what the farm may store is used up: no new files are taken in"
            ),
        }
    }

    /// Whether jobs wait to be removed.
    pub(super) async fn some_expired(&self) -> bool {
        let found = self.engine.read(|scheduler, now| {
            kept_enough(now.wall, scheduler.settings())
                .is_some_and(|moment| !scheduler.expired(moment, 1).is_empty())
        });
        found.await.unwrap_or(false)
    }

    /// Removes jobs that were kept for long enough.
    pub(super) async fn expire(&self) -> Result<(), KeepError> {
        loop {
            let settings = self.settings().await?;
            let Some(over_before) = kept_enough(clock::wall(), &settings) else {
                return Ok(());
            };
            let expired = self
                .engine
                .read(move |scheduler, _| scheduler.expired(over_before, EXPIRED_MAX))
                .await?;
            if expired.is_empty() {
                return Ok(());
            }
            for job in expired {
                let command = JobCommand::Expire { over_before };
                match self.engine.input(Input::Job(job, command)).await? {
                    Outcome::Applied => {
                        tracing::info!(%job, "the job was kept for long enough and is removed");
                    }
                    // Somebody took it up again, or removed it.
                    other => tracing::debug!(%job, ?other, "the job is not removed"),
                }
            }
        }
    }
}
