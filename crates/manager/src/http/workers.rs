//! Workers: how they stand, and what administrators do to them.

use std::sync::Arc;

use axum::extract::State;
use tessera_model::WorkerId;
use tessera_scheduler::{Input, Refusal, WorkerCommand};
use tessera_wire::api::{PAGE_MAX, Page, WorkerAction, WorkerStatus};
use tessera_wire::query::{WorkersQuery, name_holds};
use tessera_wire::why::Why;

use super::app::App;
use super::extract::{Json, Path, Query, page};
use super::problem::{Answer, Failure, applied};
use crate::views;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<WorkersQuery>,
) -> Answer<Json<Page<WorkerStatus>>> {
    let links = Arc::clone(&app.links);
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let items = app
        .engine
        .read(move |scheduler, now| {
            let views = scheduler.workers(now);
            views
                .iter()
                .map(|view| views::worker_status(view, &links))
                .filter(|worker| wanted(&query, worker))
                .take(limit as usize + 1)
                .collect()
        })
        .await?;
    let place = |worker: &WorkerStatus| worker.id.0.into();
    Ok(Json(page(items, limit, place)))
}

/// Whether a worker is in this part of the list, and every filter fits it.
fn wanted(query: &WorkersQuery, worker: &WorkerStatus) -> bool {
    let search = query.search.as_ref();
    query.from.is_none_or(|from| u64::from(worker.id.0) >= from)
        && query.mode.is_none_or(|mode| mode == worker.mode)
        && query.linked.is_none_or(|linked| linked == worker.linked)
        && search.is_none_or(|text| name_holds(&worker.name, text))
}

async fn one(app: &App, worker: WorkerId) -> Answer<Option<WorkerStatus>> {
    let links = Arc::clone(&app.links);
    let found = app
        .engine
        .read(move |scheduler, now| {
            scheduler
                .worker(now, worker)
                .map(|view| views::worker_status(&view, &links))
        })
        .await?;
    Ok(found)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(worker): Path<WorkerId>,
) -> Answer<Json<WorkerStatus>> {
    let found = one(&app, worker).await?;
    found
        .map(Json)
        .ok_or_else(|| Refusal::NoWorker(worker).into())
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    Path(worker): Path<WorkerId>,
) -> Answer<Json<Why>> {
    app.engine
        .read(move |scheduler, now| scheduler.why_worker(now, worker))
        .await?
        .map(|why| Json(views::why(&why)))
        .ok_or_else(|| Refusal::NoWorker(worker).into())
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    Path(worker): Path<WorkerId>,
    Json(action): Json<WorkerAction>,
) -> Answer<Json<WorkerStatus>> {
    let no_worker = || Failure::from(Refusal::NoWorker(worker));
    let before = one(&app, worker).await?;
    let command = match action.clone() {
        WorkerAction::Pause => WorkerCommand::Pause,
        WorkerAction::Resume => WorkerCommand::Resume,
        WorkerAction::Drain => WorkerCommand::Drain,
        WorkerAction::Block { job } => WorkerCommand::Block(job),
        WorkerAction::Unblock { job } => WorkerCommand::Unblock(job),
        WorkerAction::Note { text } => WorkerCommand::Note(text),
        WorkerAction::Remove => WorkerCommand::Remove,
    };
    applied(app.engine.input(Input::Worker(worker, command)).await?)?;
    tracing::info!(%worker, ?action, "worker changed");
    // Of a removed worker the answer is what it was.
    let after = one(&app, worker).await?;
    after.or(before).map(Json).ok_or_else(no_worker)
}
