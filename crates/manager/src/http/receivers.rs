//! Receivers of notifications, for administrators.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tessera_model::{Change, ReceiverRecord, Telling};
use tessera_wire::api::Page;
use tessera_wire::notify::{ReceiverInfo, ReceiverInput, TestReport};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::LongPageQuery;

use super::access::Client;
use super::app::App;
use super::extract::{Json, Path, Query, counted_page};
use super::problem::{Answer, Failure, failure};
use crate::clock;
use crate::notify::{checked, test_notice};

/// Receivers of a farm: every occasion is held against each.
const RECEIVERS_MAX: usize = 100;

fn info((record, telling): (ReceiverRecord, Telling)) -> ReceiverInfo {
    ReceiverInfo {
        has_secret: record.secret.is_some(),
        receiver: record.receiver,
        waiting: u32::try_from(telling.waiting.len()).unwrap_or(u32::MAX),
        delivered_at: telling.delivered_at,
        error: telling.error,
        lost: telling.lost,
    }
}

fn no_receiver(name: &str) -> Failure {
    failure(
        ProblemKind::NotFound,
        format!("there is no receiver '{name}'"),
        "`tessera notify list` lists them",
    )
}

pub(super) async fn all(
    State(app): State<Arc<App>>,
    Query(query): Query<LongPageQuery>,
) -> Json<Page<ReceiverInfo>> {
    let items = app.index().receivers().into_iter().map(info).collect();
    Json(counted_page(items, query))
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    client: Client,
    Path(name): Path<String>,
    Json(input): Json<ReceiverInput>,
) -> Answer<Json<ReceiverInfo>> {
    let record = {
        let index = app.index();
        let before = index.receiver(&name);
        if before.is_none() && index.receivers().len() >= RECEIVERS_MAX {
            return Err(failure(
                ProblemKind::TooMany,
                format!("the farm has {RECEIVERS_MAX} receivers"),
                "remove those that nobody needs: `tessera notify list`",
            ));
        }
        checked(&name, input, before.map(|(record, _)| record))
            .map_err(|fault| failure(ProblemKind::Invalid, fault.to_string(), fault.hint))?
    };
    tracing::info!(by = %client.user.name, name, kind = record.receiver.way.kind(), "receiver of notifications set");
    app.engine
        .record(vec![Change::ReceiverSet(Box::new(record))])
        .await?;
    app.notifier.changed();
    let now = app.index().receiver(&name).cloned();
    now.map(|now| Json(info(now)))
        .ok_or_else(|| no_receiver(&name))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    client: Client,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    if app.index().receiver(&name).is_none() {
        return Err(no_receiver(&name));
    }
    app.engine
        .record(vec![Change::ReceiverRemoved(name.clone())])
        .await?;
    app.notifier.changed();
    tracing::info!(by = %client.user.name, name, "receiver of notifications removed");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    State(app): State<Arc<App>>,
    client: Client,
    Path(name): Path<String>,
) -> Answer<Json<TestReport>> {
    let receiver = app.index().receiver(&name).cloned();
    let (record, _) = receiver.ok_or_else(|| no_receiver(&name))?;
    let page = app.urls().into_iter().next();
    let by = client.user.name.as_str();
    let notice = test_notice(&app.farm.name, clock::wall(), page, by);
    let (delivered, answer) = match app.notifier.post(&record, &notice).await {
        Ok(answer) => (true, answer),
        Err(error) => (false, error.text),
    };
    tracing::info!(
        by,
        name,
        delivered,
        answer,
        "receiver of notifications tested"
    );
    Ok(Json(TestReport { delivered, answer }))
}

/// Refuses receivers that a job names and that are not there.
pub(super) fn check_named(app: &App, named: &[String]) -> Answer<()> {
    let index = app.index();
    let Some(unknown) = named.iter().find(|name| index.receiver(name).is_none()) else {
        return Ok(());
    };
    Err(failure(
        ProblemKind::Invalid,
        format!("the farm has no receiver of notifications called '{unknown}'"),
        "its administrators make them: `tessera notify add`",
    ))
}
