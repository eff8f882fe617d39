//! Errors of handlers, as problem documents.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tessera_blobs::{ReadError as BlobReadError, StoreError};
use tessera_model::JobId;
use tessera_scheduler::{Outcome, Refusal};
use tessera_state::ReadError;
use tessera_wire::problem::{MEDIA_TYPE, Problem, ProblemKind};

use crate::engine::EngineError;

/// What a handler answers with when it cannot do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

/// What every handler returns.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A problem with its usual status.
pub(crate) fn failure(
    kind: ProblemKind,
    title: impl Into<String>,
    detail: impl Into<String>,
) -> Failure {
    Failure(Problem::new(kind, title, detail))
}

/// There is no such job.
pub(crate) fn no_job(job: JobId) -> Failure {
    Refusal::NoJob(job).into()
}

/// The manager's own fault: the whole story goes to its log, the asker learns that there is one.
pub(crate) fn internal(error: &dyn std::error::Error) -> Failure {
    tracing::error!("{error:?}");
    failure(
        ProblemKind::Internal,
        format!("the manager failed: {error}"),
        "its log says more",
    )
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).expect("a problem is always JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => failure(
                ProblemKind::NotActive,
                "this manager is stopping",
                "try again once it is back",
            ),
            EngineError::DiskFull(_) => disk_full(),
            EngineError::NotRecorded(_) | EngineError::Signing(_) => internal(&error),
        }
    }
}

pub(crate) fn disk_full() -> Failure {
    failure(
        ProblemKind::DiskFull,
        "the manager's disk is full",
        "free some space where it keeps its data; nothing was recorded, and it goes on once there is room",
    )
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::NoJob(_) | Refusal::NoWorker(_) => ProblemKind::NotFound,
            Refusal::JobState { .. } | Refusal::Fetched { .. } => ProblemKind::Conflict,
            Refusal::NoBuild { .. } => ProblemKind::NoBuild,
            Refusal::Invalid(_) => ProblemKind::Invalid,
        };
        failure(kind, refusal.to_string(), "")
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        internal(&error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => disk_full(),
            StoreError::Mismatch { .. } | StoreError::Block(_) | StoreError::TooLarge { .. } => {
                failure(
                    ProblemKind::Invalid,
                    format!("a block is not what it says: {error}"),
                    "send it again",
                )
            }
            other => internal(&other),
        }
    }
}

impl From<BlobReadError> for Failure {
    fn from(error: BlobReadError) -> Self {
        match error {
            BlobReadError::Source { .. } | BlobReadError::Write { .. } => internal(&error),
            other => failure(
                ProblemKind::Invalid,
                format!("a blob cannot be read: {other}"),
                "send it again",
            ),
        }
    }
}

/// An input that has nothing to say when it went well.
pub(crate) fn applied(outcome: Outcome) -> Answer<()> {
    match outcome {
        Outcome::Refused(refusal) => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// An outcome that does not belong to the input: a fault of ours.
pub(crate) fn unexpected(outcome: &Outcome) -> Failure {
    tracing::error!(?outcome, "the scheduler gave an answer to another question");
    failure(
        ProblemKind::Internal,
        "the manager failed",
        "its log says more",
    )
}

/// Blobs that have to be sent first.
pub(crate) fn missing(digests: Vec<String>) -> Failure {
    /// Digests named in one document: a sender that lacks more asks for all of them anyway.
    const NAMED_MAX: usize = 100;
    let count = digests.len();
    let mut problem = Problem::new(
        ProblemKind::MissingBlobs,
        format!("{count} blocks of it are not in the store"),
        "send them, then try again",
    );
    problem.missing = digests.into_iter().take(NAMED_MAX).collect();
    Failure(problem)
}
