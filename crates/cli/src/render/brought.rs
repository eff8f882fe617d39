//! What of a job lies here for good, and telling the farm so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tessera_client::Api;
use tessera_model::{FrameBits, FrameSet, JobId, StepIndex};
use tessera_wire::api::Fetched;
use tessera_wire::problem::ProblemKind;

use crate::output::Output;

/// How long the farm may take to hear it: the frames are there in any case.
const TELLING: Duration = Duration::from_secs(10);

/// Frames of a job that were delivered and lie here for good: files and folders are synced. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    frames: FrameSet,
    here: Arc<Mutex<Here>>,
}

#[derive(Debug)]
struct Here {
    frames: FrameBits,
    /// The last step that any of them is of, as far as known.
    step: Option<StepIndex>,
}

impl Brought {
    /// None yet, of a job of these frames.
    pub(crate) fn of(frames: FrameSet) -> Self {
        let here = Here {
            frames: FrameBits::new(frames.len()),
            step: None,
        };
        Self {
            frames,
            here: Arc::new(Mutex::new(here)),
        }
    }

    /// These are here, each with the step that it is of, if that is known.
    pub(crate) fn add(&self, frames: impl IntoIterator<Item = (i32, Option<StepIndex>)>) {
        let mut here = self.here();
        for (frame, step) in frames {
            if let Some(position) = self.frames.position(frame) {
                here.frames.set(position);
                here.step = here.step.max(step);
            }
        }
    }

    fn fetched(&self) -> Fetched {
        let here = self.here();
        Fetched {
            frames: here.frames.count(),
            step: here.step,
        }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the farm what was fetched of a job. It takes note if the job is over and this is all that was delivered, and may then remove the
/// job when it was kept for long enough.
pub(crate) async fn tell_fetched(api: &Api, job: JobId, brought: &Brought, output: &Output) {
    let fetched = brought.fetched();
    if fetched.frames == 0 {
        return;
    }
    let told = tokio::time::timeout(TELLING, api.fetched(job, fetched)).await;
    let why = match told {
        Ok(Ok(_)) => return,
        // It is not over, there are others, or it is gone; a manager of before keeps jobs by time alone and has no such question.
        Ok(Err(error))
            if matches!(
                error.kind(),
                Some(ProblemKind::Conflict | ProblemKind::NotFound)
            ) =>
        {
            tracing::debug!("job {job} is not noted as fetched: {error}");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it has not answered within {} s", TELLING.as_secs()),
    };
    output.warn(format!(
        "the farm was not told that the frames of job {job} are fetched, and keeps them until it is ({why}): `tessera fetch {job}` tells it"
    ));
}
