//! The ways a render ends, and what is said of each.

use std::time::Duration;

use anyhow::Result;
use tessera_model::{FrameSet, JobId, JobState};
use tessera_wire::api::JobAction;
use tessera_wire::line::LineKind;

use super::{LAST_FRAMES, Session};
use crate::exit::{Status, interrupted, stop};
use crate::names;
use crate::render::{Target, Work, failure_log};
use crate::units::{self, show_duration};

/// How long the farm may take to hear that the job is no longer wanted.
const CANCELLING: Duration = Duration::from_secs(5);

impl Session<'_> {
    pub(super) fn nothing_to_do(&mut self, work: &Work) -> Status {
        self.progress.end();
        let kept = match work.skipped {
            0 => String::new(),
            skipped => format!(" ({skipped} of them because the file says not to overwrite)"),
        };
        self.context.output.result(
            format!(
                "All {} frames are in {} already{kept}. --again renders them again.",
                work.asked.len(),
                self.folder()
            ),
            || LineKind::Finished {
                job: JobId(0),
                state: JobState::Done,
                done: work.asked.len(),
                failed: 0,
                seconds: self.began.elapsed().as_secs_f64(),
            },
        );
        Status::Done
    }

    fn folder(&self) -> String {
        self.plan
            .as_ref()
            .map(|plan| plan.directory.display().to_string())
            .unwrap_or_default()
    }

    pub(super) async fn finish(&mut self, job: JobId, state: JobState) -> Result<Status> {
        self.progress.end();
        let (done, failed) = self.progress.counts();
        let frames = self.frames.as_ref().map_or(0, FrameSet::len);
        let took = self.began.elapsed();
        let output = &self.context.output;
        output.line(LineKind::Finished {
            job,
            state,
            done,
            failed,
            seconds: took.as_secs_f64(),
        });
        if state == JobState::Done {
            let rate = rate(self.progress.rendered_here(), took);
            output.text(&format!(
                "{} in {} ({rate}): {}",
                units::frames(done),
                show_duration(took),
                self.folder()
            ));
            return Ok(Status::Done);
        }
        if state != JobState::Failed {
            let message = format!(
                "job {job} was {} on the farm; {done} of {frames} frames are in {}",
                names::state(state),
                self.folder()
            );
            return Err(stop(Status::Failed, message));
        }
        let first = match (self.progress.first_failure(), &self.target) {
            (Some((frame, how)), Some(target)) => {
                let log = failure_log(self.context, target, job, frame).await;
                format!(" (frame {frame}: {how}{log})")
            }
            _ => String::new(),
        };
        let missing = frames.saturating_sub(done);
        Err(stop(
            Status::Failed,
            format!(
                "{missing} of {frames} frames could not be rendered{first}; {done} are in {}, and the same command tries the others again",
                self.folder()
            ),
        ))
    }

    /// The user has had enough: nothing renders any more for this command, and what is done stays.
    pub(super) async fn interrupted(&mut self) -> anyhow::Error {
        self.progress.stage("Ending");
        let mut notes = String::new();
        let mut over = None;
        if let (Some(job), true) = (self.job, self.joined) {
            notes = left_alone(job);
        } else if let (Some(Target::Farm(connection)), Some(job), false) =
            (&self.target, self.job, self.flags.detach)
        {
            let api = connection.api.retrying(tessera_client::Retry::once());
            let cancelled = tokio::time::timeout(CANCELLING, api.act(job, JobAction::Cancel)).await;
            notes = match cancelled {
                Ok(Ok(_)) => {
                    over = Some(job);
                    format!("job {job} is cancelled, ")
                }
                _ => format!(
                    "job {job} could not be cancelled (`tessera job cancel {job}` does it), "
                ),
            };
        }
        if let Some(delivery) = self.delivery.take() {
            delivery.end(LAST_FRAMES).await;
        }
        if let Some(job) = over {
            self.tell_fetched(job).await;
        }
        let (done, _) = self.progress.counts();
        match (&self.frames, &self.plan) {
            (Some(frames), Some(_)) if self.job.is_some() => interrupted(format!(
                "interrupted: {notes}{done} of {} frames are in {}; the same command goes on from there",
                frames.len(),
                self.folder()
            )),
            _ => interrupted("interrupted before anything was rendered"),
        }
    }
}

/// A job that an earlier run handed in goes on: that run may wait for it in another window, or have left it to the farm.
fn left_alone(job: JobId) -> String {
    format!(
        "job {job} goes on on the farm, as an earlier run handed it in (`tessera job cancel {job}` ends it), "
    )
}

/// How fast it went, in whichever way round is easier to read.
fn rate(frames: u32, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-3);
    let frames = f64::from(frames.max(1));
    if seconds > frames {
        format!("{} per frame", show_duration(took.div_f64(frames)))
    } else {
        format!("{:.1} frames/s", frames / seconds)
    }
}
