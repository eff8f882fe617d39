//! The farm at a glance, and what anyone may know of it.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use tessera_wire::api::{Farm, Health, Utilisation};
use tessera_wire::openapi;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes::{ALL, Route};
use tessera_wire::{PROTOCOL, PROTOCOL_OLDEST};
use tokio::time::timeout;

use super::access::Client;
use super::app::App;
use super::extract::Json;
use super::problem::{Answer, failure, internal};
use crate::metrics::{self, Standing};
use crate::views;

/// A manager that takes longer to answer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn health() -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        protocol_oldest: PROTOCOL_OLDEST,
    })
}

/// Whether this manager can take work in and record it.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Answer<Json<Health>> {
    let answered = timeout(READY_WITHIN, app.engine.read(|_, _| ())).await;
    if !matches!(answered, Ok(Ok(()))) {
        let detail = "it is starting, ending, or has more to do than it can: ask again";
        return Err(failure(
            ProblemKind::NotActive,
            "the manager does not answer in time",
            detail,
        ));
    }
    if !app.metrics.records() {
        let detail = "its log says why; nothing is lost, and it tries again every second";
        return Err(failure(
            ProblemKind::NotActive,
            "the manager cannot write its record",
            detail,
        ));
    }
    Ok(health().await)
}

pub(super) async fn utilisation(State(app): State<Arc<App>>) -> Answer<Json<Utilisation>> {
    let links = Arc::clone(&app.links);
    let now = app
        .engine
        .read(move |scheduler, now| metrics::utilisation::sample(scheduler, &links, now))
        .await?;
    let mut samples = app.metrics.utilisation.samples();
    samples.push(now);
    Ok(Json(Utilisation { samples }))
}

/// For Prometheus.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Answer<Response> {
    let links = Arc::clone(&app.links);
    let (standing, settings) = app
        .engine
        .read(move |scheduler, now| {
            let standing = Standing::of(scheduler, &links, now);
            (standing, scheduler.settings().clone())
        })
        .await?;
    let store = metrics::Store {
        used_bytes: app.store.pack_bytes(),
        quota_bytes: settings.store_quota_bytes,
    };
    let text = app.metrics.text(standing, store);
    let text = text.map_err(|error| internal(&error))?;
    let media_type = [(header::CONTENT_TYPE, metrics::MEDIA_TYPE)];
    Ok((media_type, text).into_response())
}

/// For Prometheus: each worker's machine.
pub(super) async fn workers_metrics(State(app): State<Arc<App>>) -> Answer<Response> {
    let links = Arc::clone(&app.links);
    let workers: Vec<_> = app
        .engine
        .read(move |scheduler, now| {
            let views = scheduler.workers(now);
            let workers = views.iter().map(|view| views::worker_status(view, &links));
            workers.collect()
        })
        .await?;
    // Thousands of workers have tens of thousands of series.
    let writing = tokio::task::spawn_blocking(move || metrics::workers::text(&workers));
    let text = writing.await.expect("writing text does not panic");
    let text = text.map_err(|error| internal(&error))?;
    let media_type = [(header::CONTENT_TYPE, metrics::MEDIA_TYPE)];
    Ok((media_type, text).into_response())
}

pub(super) async fn routes() -> Json<&'static [Route]> {
    Json(ALL)
}

/// The API as it is served here, for programs and for those who write them.
pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
    let media_type = [(header::CONTENT_TYPE, "application/json")];
    (media_type, DOCUMENT.as_str()).into_response()
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
