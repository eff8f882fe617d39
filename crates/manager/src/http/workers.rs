//! Workers: how they stand, and what administrators do to them.

use std::sync::Arc;

use axum::extract::State;
use tessera_model::WorkerId;
use tessera_scheduler::{Input, Refusal, WorkerCommand};
use tessera_wire::api::{Page, WorkerAction, WorkerStatus};
use tessera_wire::why::Why;

use super::app::App;
use super::extract::{Json, Path};
use super::problem::{Answer, Failure, applied};
use crate::views;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Page<WorkerStatus>>> {
    let links = Arc::clone(&app.links);
    let items = app
        .engine
        .read(move |scheduler, now| {
            let views = scheduler.workers(now);
            views
                .iter()
                .map(|view| views::worker_status(view, &links))
                .collect()
        })
        .await?;
    Ok(Json(Page { items, next: None }))
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
    let command = match action {
        WorkerAction::Pause => WorkerCommand::Pause,
        WorkerAction::Resume => WorkerCommand::Resume,
        WorkerAction::Drain => WorkerCommand::Drain,
        WorkerAction::Block { job } => WorkerCommand::Block(job),
        WorkerAction::Unblock { job } => WorkerCommand::Unblock(job),
        WorkerAction::Remove => WorkerCommand::Remove,
    };
    applied(app.engine.input(Input::Worker(worker, command)).await?)?;
    tracing::info!(%worker, ?action, "worker changed");
    // Of a removed worker the answer is what it was.
    let after = one(&app, worker).await?;
    after.or(before).map(Json).ok_or_else(no_worker)
}
