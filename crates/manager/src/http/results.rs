//! What workers report of frames. Reporting twice is harmless: a worker repeats until it is answered.

use std::ops::Range;
use std::sync::Arc;

use axum::extract::State;
use tessera_blobs::{BlobRef, TreePath};
use tessera_model::{Blob, FileRole, FrameError, FrameResult, JobId, Step, StepIndex, WorkerId};
use tessera_scheduler::{Input, Outcome};
use tessera_wire::api::{Part, Parts, Verdict};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;

use super::access::WorkerPeer;
use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Json, Path};
use super::previews;
use super::problem::{Answer, failure, unexpected};
use super::submit::complete;
use crate::clock;

/// Most files of one frame: views times file-output slots stay far below.
const FILES_MAX: usize = 4096;

/// Longest text of an error or a device: it is shown in lists.
const TEXT_MAX_BYTES: usize = 16 * 1024;

/// Most notes of one frame, and longest one in characters: each is a line on its user's terminal. What is more is cut, since it
/// is no reason to lose a frame.
const NOTES_MAX: usize = 16;
const NOTE_MAX: usize = 500;

pub(super) async fn done(
    State(app): State<Arc<App>>,
    worker: WorkerPeer,
    Json(mut result): Json<FrameResult>,
) -> Answer<Json<Verdict>> {
    check_worker(&worker, result.worker)?;
    if result.files.len() > FILES_MAX || result.device.len() > TEXT_MAX_BYTES {
        return Err(failure(
            ProblemKind::TooLarge,
            format!("a frame has at most {FILES_MAX} files"),
            "",
        ));
    }
    for file in &result.files {
        // A name that leaves its folder would be written by a client: it must not even be recorded.
        TreePath::new(&file.name).map_err(|error| {
            failure(
                ProblemKind::Invalid,
                format!("'{}' is not a name of a frame's file: {error}", file.name),
                "",
            )
        })?;
    }
    result.previews = previews::taken(result.previews);
    let named = result
        .files
        .iter()
        .map(|file| &file.blob)
        .chain([&result.stdout, &result.stderr])
        .chain(
            result
                .previews
                .iter()
                .flat_map(|made| [&made.thumbnail, &made.preview]),
        );
    let _intake = app.keeper.intake();
    check_blobs(&app, named).await?;
    result.device = plain(&result.device);
    result.notes = notes(&result.notes);
    result.at = clock::wall();
    let outcome = app.engine.input(Input::Done(Box::new(result))).await?;
    verdict(outcome)
}

pub(super) async fn failed(
    State(app): State<Arc<App>>,
    worker: WorkerPeer,
    Json(mut error): Json<FrameError>,
) -> Answer<Json<Verdict>> {
    check_worker(&worker, error.worker)?;
    if error.message.len() > TEXT_MAX_BYTES {
        return Err(failure(
            ProblemKind::TooLarge,
            format!(
                "an error's message has at most {} KiB",
                TEXT_MAX_BYTES >> 10
            ),
            "",
        ));
    }
    // It is shown on people's terminals, which obey control characters.
    error.message = plain(&error.message);
    let _intake = app.keeper.intake();
    check_blobs(&app, error.stdout.iter().chain(&error.stderr)).await?;
    error.at = clock::wall();
    let outcome = app.engine.input(Input::Failed(Box::new(error))).await?;
    verdict(outcome)
}

/// What was rendered of a frame that is to be put together.
pub(super) async fn parts(
    State(app): State<Arc<App>>,
    _worker: WorkerPeer,
    Path((job, step, position)): Path<(JobId, StepIndex, u32)>,
) -> Answer<Json<Parts>> {
    let found = app.engine.read(move |scheduler, _| {
        let steps = &scheduler.job_ref(job)?.steps;
        let frame = steps.get(usize::from(step.0))?.frame_at(position)?;
        let before = steps.get(..usize::from(step.0))?;
        let split = *before.last()?.divided()?;
        Some((split, sources(before, frame)))
    });
    let Some((split, sources)) = found.await? else {
        return Err(failure(
            ProblemKind::NotFound,
            format!(
                "job {job} has no frame that is put together at position {position} of step {}",
                step.0
            ),
            "",
        ));
    };
    let mut files = Vec::new();
    for (step, positions) in sources {
        let mut from = positions.start;
        while from < positions.end {
            let read = app.state.results(job, step, from..positions.end).await?;
            let Some(last) = read.last() else {
                break;
            };
            from = last.position + 1;
            for file in read.into_iter().flat_map(|result| result.files) {
                if let FileRole::Slice { slice, rendered } = file.role {
                    files.push(Part {
                        slice,
                        rendered,
                        blob: file.blob,
                    });
                }
            }
        }
    }
    Ok(Json(Parts { split, files }))
}

/// Where the parts of a frame are, in steps before the one that puts it together: its ranges of samples back to those that are in a
/// sum, and then the sum, which lies with the frame that was put together of them.
fn sources(before: &[Step], frame: i32) -> Vec<(StepIndex, Range<u32>)> {
    let mut sources = Vec::new();
    for (at, step) in before.iter().enumerate().rev() {
        let is_sum = !step.makes_parts() && at > 0 && before[at - 1].replaced;
        if (is_sum || step.makes_parts())
            && let Some(positions) = step.positions_of(frame)
        {
            sources.push((StepIndex(at as u16), positions));
        }
        if is_sum {
            break;
        }
    }
    sources
}

/// As many as may be, each a line that is not too long.
fn notes(notes: &[String]) -> Vec<String> {
    let line = |note: &String| {
        let start: String = note.chars().take(NOTE_MAX).collect();
        plain(&start).replace('\n', " ").trim().to_owned()
    };
    let lines = notes.iter().map(line).filter(|note| !note.is_empty());
    lines.take(NOTES_MAX).collect()
}

/// Without control characters, but for ends of lines.
pub(super) fn plain(text: &str) -> String {
    let kept = |sign: char| match sign {
        '\n' => '\n',
        sign if sign.is_control() => ' ',
        sign => sign,
    };
    text.chars().map(kept).collect()
}

fn check_worker(peer: &WorkerPeer, claimed: WorkerId) -> Answer<()> {
    if claimed == peer.worker {
        return Ok(());
    }
    Err(failure(
        ProblemKind::Forbidden,
        format!("worker {} cannot report for worker {claimed}", peer.worker),
        "",
    ))
}

async fn check_blobs<'a>(app: &App, named: impl Iterator<Item = &'a Blob>) -> Answer<()> {
    let named: Vec<BlobRef> = named.map(to_store).collect();
    // Files of one block are looked up in memory, which takes less than to wake another thread for it.
    if named.iter().all(|blob| blob.depth == 0) {
        return complete(&app.store, &named);
    }
    walk(app, Walk::Short, move |store| complete(store, &named)).await
}

fn verdict(outcome: Outcome) -> Answer<Json<Verdict>> {
    match outcome {
        Outcome::Accepted => Ok(Json(Verdict::Accepted)),
        Outcome::NotNeeded => Ok(Json(Verdict::NotNeeded)),
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_few_short_lines() {
        let told = notes(&["a\x1b[2J\nb".into(), "\r\n".into(), "é".repeat(9999)]);
        assert_eq!(told, ["a [2J b".to_owned(), "é".repeat(NOTE_MAX)]);
        assert_eq!(notes(&vec!["a".into(); 9999]).len(), NOTES_MAX);
    }
}
