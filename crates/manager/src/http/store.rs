//! What uses the space, and giving back what nobody needs.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use tessera_model::FarmSettings;
use tessera_wire::problem::ProblemKind;
use tessera_wire::store::{Collected, StoreJob, StoreLevel, StoreReport, StoreUser};

use super::access::{Client, Sender};
use super::app::App;
use super::extract::Json;
use super::problem::{Answer, Failure, failure, internal};
use crate::keeper::{KeepError, kept_until, unfetched_since};

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Store(error) => error.into(),
            KeepError::Engine(error) => error.into(),
            other => internal(&other),
        }
    }
}

pub(super) async fn report(State(app): State<Arc<App>>) -> Answer<Json<StoreReport>> {
    let used = app.keeper.usage().await?;
    let (stats, users) = (used.stats, used.users);
    let (settings, mut jobs): (FarmSettings, Vec<StoreJob>) = app
        .engine
        .read(move |scheduler, now| {
            let settings = scheduler.settings();
            let named = |(job, alone)| {
                let view = scheduler.job(now, job)?;
                Some(StoreJob {
                    job,
                    kept_until: kept_until(&view, settings),
                    fetched_at: view.fetched_at,
                    unfetched_since: unfetched_since(&view),
                    name: view.job.settings.name,
                    owner: view.job.owner,
                    state: view.state,
                    alone,
                })
            };
            // One that was removed meanwhile is of no interest.
            let jobs = used.jobs.into_iter().filter_map(named).collect();
            (settings.clone(), jobs)
        })
        .await?;
    let users = users.into_iter().map(|(user, used)| StoreUser {
        user,
        jobs: used.jobs,
        bytes: used.bytes,
        level: StoreLevel::of_user(used.bytes, &settings),
    });
    jobs.sort_by_key(|job| (Reverse(job.alone.bytes()), job.job));
    Ok(Json(StoreReport {
        used_bytes: stats.pack_bytes,
        disk_free_bytes: disk_free_bytes(app.store.dir()),
        blocks: stats.blocks as u64,
        packs: stats.packs as u64,
        jobs,
        users: users.collect(),
        shared_bytes: used.shared_bytes,
        uploads_bytes: used.uploads_bytes,
        unheld_bytes: used.unheld_bytes,
        quota_bytes: Some(settings.store_quota_bytes).filter(|quota| *quota > 0),
        level: StoreLevel::of(stats.pack_bytes, &settings),
        user_quota_bytes: Some(settings.store_user_quota_bytes).filter(|quota| *quota > 0),
        last_collection: app.keeper.last(),
    }))
}

/// Refuses a user's files while what may be stored, in all or of that user, is used up. What workers rendered is taken in all the same: it
/// would be lost.
pub(super) async fn check_room(app: &App, sender: &Sender) -> Answer<()> {
    let Sender::User(user) = sender else {
        return Ok(());
    };
    let settings = app.keeper.settings().await?;
    let used_bytes = app.store.pack_bytes();
    if StoreLevel::of(used_bytes, &settings) == StoreLevel::Full {
        // Some of it may be nobody's any more.
        app.keeper.job_removed();
        return Err(failure(
            ProblemKind::Quota,
            format!(
                "the farm stores {} MB, and may store {} MB",
                used_bytes / 1_000_000,
                settings.store_quota_bytes / 1_000_000
            ),
            "remove jobs that are done with (`tessera store` shows what they use), or raise store_quota_bytes (`tessera settings`)",
        ));
    }
    let own = app.keeper.user_level(user).await?;
    if own.level == StoreLevel::Full {
        return Err(failure(
            ProblemKind::Quota,
            format!(
                "the jobs of {user} need {} MB of the farm's store, and those of each user may need {} MB",
                own.used_bytes / 1_000_000,
                own.quota_bytes / 1_000_000
            ),
            "remove jobs of yours that are done with (`tessera store` shows what they use), or ask an admin to raise store_user_quota_bytes (`tessera settings`)",
        ));
    }
    Ok(())
}

pub(super) async fn collect(
    State(app): State<Arc<App>>,
    client: Client,
) -> Answer<Json<Collected>> {
    tracing::info!(user = %client.user.name, "space of blocks that nobody needs is to be given back");
    // On a task of its own: who asked may go, and it goes on.
    let keeper = Arc::clone(&app.keeper);
    let collecting = app.tasks.spawn(async move { keeper.collect().await });
    let collection = collecting.await.map_err(|error| internal(&error))??;
    Ok(Json(Collected { collection }))
}

#[cfg(unix)]
fn disk_free_bytes(dir: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn disk_free_bytes(_dir: &std::path::Path) -> Option<u64> {
    None
}
