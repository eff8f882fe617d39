//! Bodies, paths and queries in: what is wrong with them is said in a problem document.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_wire::api::{PAGE_MAX, Page};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::LongPageQuery;
use tessera_wire::routes::OPENAPI;

use super::problem::{Failure, failure};

/// Largest JSON body: a job's frame list of 100,000 parts has less than 2 MB.
pub(super) const JSON_MAX_BYTES: usize = 4 << 20;

/// Longest that a JSON body may take to arrive: whoever is slower holds a connection for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body, in or out.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let read = axum::Json::<T>::from_request(request, state);
        match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(axum::Json(value))) => Ok(Self(value)),
            Ok(Err(rejection)) => Err(bad_body(rejection.status(), rejection.body_text())),
            Err(_) => Err(too_slow()),
        }
    }
}

fn bad_body(status: http::StatusCode, text: String) -> Failure {
    if status == http::StatusCode::PAYLOAD_TOO_LARGE {
        return failure(
            ProblemKind::TooLarge,
            "the request is too large",
            format!("at most {} MiB are read", JSON_MAX_BYTES >> 20),
        );
    }
    failure(
        ProblemKind::Invalid,
        text,
        "use the same version of Tessera on both sides",
    )
}

/// Bytes, no more than of a JSON body.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let read = Bytes::from_request(request, state);
        match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(rejection)) => Err(bad_body(rejection.status(), rejection.body_text())),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> Failure {
    failure(
        ProblemKind::Invalid,
        format!("the body did not arrive in {} s", BODY_TIMEOUT.as_secs()),
        "try again over a better connection",
    )
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A path's parameters. One that cannot be read names nothing that there is.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection: PathRejection| {
                failure(ProblemKind::NotFound, rejection.body_text(), "")
            })
    }
}

/// A query's parameters.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| {
                failure(
                    ProblemKind::Invalid,
                    rejection.body_text(),
                    format!("{} lists what each route takes", OPENAPI.path),
                )
            })
    }
}

/// Entries of a page when nobody says how many.
const PAGE_DEFAULT: u32 = 100;

/// How many entries, within bounds.
pub(super) fn page_limit(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}

/// A page out of one entry more than fits: the entry too much is where the next page begins.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> u64) -> Page<T> {
    let limit = limit as usize;
    let next = items.get(limit).map(place);
    items.truncate(limit);
    Page { items, next }
}

/// A page of a list that is at hand as a whole: places in it are counted.
pub(super) fn counted_page<T>(items: Vec<T>, query: LongPageQuery) -> Page<T> {
    let from = usize::try_from(query.from.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX) as usize;
    let end = from.saturating_add(limit);
    let next = (end < items.len()).then_some(end as u64);
    let items = items.into_iter().skip(from).take(limit).collect();
    Page { items, next }
}
