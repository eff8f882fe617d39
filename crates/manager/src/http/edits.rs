//! Small edits of files that are here, made here of what they were: see [`tessera_blobs::Edit`].

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use tessera_blobs::{Edit, EditError, Outline, ReadError};
use tessera_wire::api::Replaced;
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;

use super::access::Sender;
use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Json, Raw};
use super::problem::{Answer, Failure, failure};
use super::store::check_room;

const MEDIA_TYPE: &str = "application/octet-stream";

/// Sums of the blocks that stood where an edit has new ones.
pub(super) async fn sums(
    State(app): State<Arc<App>>,
    Json(Replaced { basis, runs }): Json<Replaced>,
) -> Answer<Response> {
    let basis = to_store(&basis);
    let runs: Vec<_> = runs.into_iter().map(|(start, end)| start..end).collect();
    let sums = walk(&app, Walk::Short, move |store| {
        let outline = Outline::read(&basis, |digest| store.get_or_forget(digest));
        let outline = outline.map_err(EditError::from)?;
        let before = outline.read_runs(&runs, |digest| store.get_or_forget(digest))?;
        Ok(tessera_blobs::sums(&before))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], sums).into_response())
}

/// The new blocks and lists of an edited file, durable when it is answered.
pub(super) async fn apply(
    State(app): State<Arc<App>>,
    sender: Sender,
    Raw(body): Raw,
) -> Answer<StatusCode> {
    check_room(&app, &sender).await?;
    if let Sender::User(user) = &sender {
        app.keeper.heard(user);
        app.keeper.sent(user, body.len() as u64);
    }
    walk(&app, Walk::Short, move |store| {
        let (edit, delta) = Edit::decode(&body)?;
        let outline = Outline::read(edit.basis(), |digest| store.get_or_forget(digest));
        let outline = outline.map_err(EditError::from)?;
        let get = |digest: &_| store.get_or_forget(digest);
        edit.apply(&delta, &outline, get, |block| {
            store.put(block).map(drop).map_err(Failure::from)
        })?;
        Ok(store.sync()?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let kind = match error {
            EditError::Basis(ReadError::Missing { .. }) => ProblemKind::Conflict,
            EditError::Basis(error) => return error.into(),
            EditError::Bad { .. } | EditError::Other { .. } => ProblemKind::Invalid,
        };
        failure(kind, error.to_string(), "send the file's blocks")
    }
}
