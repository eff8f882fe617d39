//! Small pictures of finished frames and of parts of others, as workers made them. The bytes pass through; nobody here looks at them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use tessera_blobs::read_file;
use tessera_model::{Blob, FrameResult, JobId, Previews, StepIndex};
use tessera_wire::api::{PREVIEW_MEDIA_TYPE, PreviewSize};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::PreviewQuery;

use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Path, Query};
use super::problem::{Answer, failure, no_job};

/// Largest preview: JPEG of 1920 × 1920 pixels of noise has half of it.
const MAX_BYTES: u64 = 8 << 20;

/// May be kept, by the user's own browser alone, which asks each time whether it is still the same.
const CACHE: &str = "private, no-cache";

pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Path((job, frame)): Path<(JobId, i32)>,
    Query(query): Query<PreviewQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let part = query.part.map(|part| (query.step, part));
    let previews = previews_of(&app, job, frame, part).await?;
    let previews = previews.ok_or_else(|| {
        failure(
            ProblemKind::NotFound,
            format!("there is no preview of frame {frame} of job {job}"),
            "one is there once the frame is finished, unless its file's format cannot be shown",
        )
    })?;
    let blob = match query.size {
        PreviewSize::Thumbnail => previews.thumbnail,
        PreviewSize::Preview => previews.preview,
    };
    let tag = tag(&blob);
    let kept = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, CACHE)];
    if has(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let blob = to_store(&blob);
    let bytes = walk(&app, Walk::Short, move |store| {
        let mut bytes = Vec::new();
        read_file(&blob, |digest| store.get(digest), &mut bytes)?;
        Ok(bytes)
    });
    let media_type = [(header::CONTENT_TYPE, PREVIEW_MEDIA_TYPE)];
    Ok((kept, media_type, Body::from(bytes.await?)).into_response())
}

/// Those of a result, unless they are larger than any: a frame is taken without them then.
pub(super) fn taken(previews: Option<Previews>) -> Option<Previews> {
    let sizes = |made: &Previews| made.thumbnail.size.max(made.preview.size);
    previews.filter(|made| sizes(made) <= MAX_BYTES)
}

/// Those of a frame, in the last step that has it: of a divided one the step that puts it together. Or those of the parts of it that were
/// rendered from a position on, of a step, or the last that has parts.
async fn previews_of(
    app: &App,
    job: JobId,
    frame: i32,
    part: Option<(Option<StepIndex>, u32)>,
) -> Answer<Option<Previews>> {
    let places = places_of(app, job, frame, part).await?;
    // The newest there is: that of before, while samples are added.
    let looked_at = if part.is_some() { 1 } else { places.len() };
    for (step, position) in places.into_iter().rev().take(looked_at) {
        let result: Option<FrameResult> = app.state.result(job, step, position).await?;
        if let Some(previews) = result.and_then(|result| result.previews) {
            return Ok(Some(previews));
        }
    }
    Ok(None)
}

/// Where the results of a frame, or of the parts of it from a position on of a step, are: at least one place, the newest last.
pub(super) async fn places_of(
    app: &App,
    job: JobId,
    frame: i32,
    part: Option<(Option<StepIndex>, u32)>,
) -> Answer<Vec<(StepIndex, u32)>> {
    let places = app.engine.read(move |scheduler, _| {
        let steps = &scheduler.job_ref(job)?.steps;
        let places = steps.iter().zip(0..).filter_map(|(step, index)| {
            let positions = step.positions_of(frame)?;
            let position = match part {
                None if step.makes_parts() => return None,
                None => positions.start,
                Some((of, _)) if of.is_some_and(|of| of.0 != index) => return None,
                Some((_, part)) => {
                    step.divided()?;
                    positions.contains(&part).then_some(part)?
                }
            };
            Some((StepIndex(index), position))
        });
        Some(places.collect::<Vec<_>>())
    });
    let places = places.await?.ok_or_else(|| no_job(job))?;
    if places.is_empty() {
        return Err(failure(
            ProblemKind::NotFound,
            match part {
                None => format!("job {job} has no frame {frame}"),
                Some((_, part)) => {
                    format!("frame {frame} of job {job} has no part at position {part}")
                }
            },
            "`tessera job show` lists frames, `parts` of a frame its parts",
        ));
    }
    Ok(places)
}

/// What is named so never changes.
fn tag(blob: &Blob) -> String {
    format!("\"{}\"", to_store(blob).digest)
}

/// Whether who asks has it already.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let told = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = told
        .filter_map(|value| value.to_str().ok())
        .flat_map(|tags| tags.split(',').map(str::trim));
    tags.any(|other| other == "*" || other.trim_start_matches("W/") == tag)
}
