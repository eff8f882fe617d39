//! Blender's own words of a frame: of a finished one from the store, of a running one from its worker.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use tessera_blobs::{BlobRef, read_range};
use tessera_model::{JobId, StepIndex};
use tessera_scheduler::FrameView;
use tessera_wire::blob::to_store;
use tessera_wire::link::LogStream;
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::LogQuery;

use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Path, Query};
use super::problem::{Answer, Failure, failure, no_job};

/// Says whether anything will follow.
const COMPLETE: &str = "tessera-log-complete";

/// Bytes read at once.
const PIECE_BYTES: u64 = 256 * 1024;

pub(super) async fn log(
    State(app): State<Arc<App>>,
    Path((job, frame)): Path<(JobId, i32)>,
    Query(query): Query<LogQuery>,
) -> Answer<Response> {
    let view = find(&app, job, frame).await?;
    if view.rendering
        && let (Some(worker), Some(key)) = (view.worker, view.lease)
    {
        match app
            .links
            .log(worker, key, view.position, query.stream, query.from)
            .await
        {
            Ok(part) if !part.ended => return Ok(text(Body::from(part.bytes), false)),
            // Over in this moment: what the store has is the whole.
            Ok(_) => {}
            Err(error) => tracing::debug!(%worker, "no live log: {error}"),
        }
    }
    match recorded(&app, job, &view, query.stream).await? {
        Some((blob, complete)) => Ok(text(
            from_store(&app, blob, query.from..blob.size),
            complete,
        )),
        None => Ok(text(Body::empty(), false)),
    }
}

/// The frame, in the first step that has it.
async fn find(app: &App, job: JobId, frame: i32) -> Answer<FrameView> {
    app.engine
        .read(move |scheduler, _| {
            let steps = &scheduler.job_ref(job)?.steps;
            let found = steps.iter().zip(0..).find_map(|(step, index)| {
                Some((StepIndex(index), step.positions_of(frame)?.start))
            });
            Some(found.and_then(|(step, position)| scheduler.frames(job, step, position, 1).pop()))
        })
        .await?
        .ok_or_else(|| no_job(job))?
        .ok_or_else(|| {
            failure(
                ProblemKind::NotFound,
                format!("job {job} has no frame {frame}"),
                "`tessera job show` lists them",
            )
        })
}

/// What the record has of it, and whether more can follow: of a frame that failed and waits for its next try it can.
async fn recorded(
    app: &App,
    job: JobId,
    view: &FrameView,
    stream: LogStream,
) -> Answer<Option<(BlobRef, bool)>> {
    if let Some(result) = app.state.result(job, view.step, view.position).await? {
        let blob = match stream {
            LogStream::Stdout => result.stdout,
            LogStream::Stderr => result.stderr,
        };
        return Ok(Some((to_store(&blob), true)));
    }
    let errors = app
        .state
        .frame_errors(job, view.step, view.position)
        .await?;
    let newest = errors.into_iter().find_map(|entry| match stream {
        LogStream::Stdout => entry.error.stdout,
        LogStream::Stderr => entry.error.stderr,
    });
    Ok(newest.map(|blob| (to_store(&blob), view.failed || view.worker.is_none())))
}

fn text(body: Body, complete: bool) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (
            header::HeaderName::from_static(COMPLETE),
            if complete { "true" } else { "false" },
        ),
    ];
    (headers, body).into_response()
}

/// Bytes of a blob, read piece by piece as they are taken.
pub(super) fn from_store(app: &Arc<App>, blob: BlobRef, bytes: Range<u64>) -> Body {
    let app = Arc::clone(app);
    let pieces = futures_util::stream::try_unfold(bytes.start, move |at| {
        let app = Arc::clone(&app);
        async move {
            if at >= bytes.end {
                return Ok(None);
            }
            let end = bytes.end.min(at.saturating_add(PIECE_BYTES));
            let read = walk(&app, Walk::Short, move |store| {
                let mut piece = Vec::new();
                read_range(&blob, at..end, |digest| store.get(digest), &mut piece)?;
                Ok(piece)
            });
            match read.await {
                Ok(piece) => Ok(Some((Bytes::from(piece), end))),
                Err(Failure(problem)) => Err(io::Error::other(problem.to_string())),
            }
        }
    });
    Body::from_stream(pieces)
}
