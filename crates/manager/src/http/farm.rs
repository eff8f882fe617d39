//! The farm at a glance, and what anyone may know of it.

use std::sync::Arc;

use axum::extract::State;
use tessera_wire::api::{Farm, Health};
use tessera_wire::routes::{ALL, Route};
use tessera_wire::{PROTOCOL, PROTOCOL_OLDEST};

use super::access::Client;
use super::app::App;
use super::extract::Json;
use super::problem::Answer;
use crate::views;

pub(super) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        protocol_oldest: PROTOCOL_OLDEST,
    })
}

pub(super) async fn routes() -> Json<&'static [Route]> {
    Json(ALL)
}

pub(super) async fn farm(State(app): State<Arc<App>>, client: Client) -> Answer<Json<Farm>> {
    let links = Arc::clone(&app.links);
    let (workers, busy, jobs) = app
        .engine
        .read(move |scheduler, now| {
            let views = scheduler.workers(now);
            let linked = views
                .iter()
                .map(|view| views::worker_status(view, &links))
                .filter(|worker| worker.linked);
            let busy = linked
                .clone()
                .filter(|worker| worker.holds.iter().any(|held| held.rendering));
            (linked.count(), busy.count(), scheduler.live_jobs())
        })
        .await?;
    let own_store = app.keeper.user_level(&client.user.name).await?.level;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Json(Farm {
        name: app.farm.name.clone(),
        managers: app.urls(),
        workers: count(workers),
        busy: count(busy),
        jobs: count(jobs),
        user: client.user.name,
        role: client.user.role,
        version: env!("CARGO_PKG_VERSION").into(),
        store: app.keeper.level().await?,
        own_store,
    }))
}
