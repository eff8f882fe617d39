//! Gets a job in, or finds that it is in already.

use anyhow::Result;
use tessera_client::{Api, Ledger, Packed};
use tessera_model::{Build, FrameSet, JobId, JobSettings, JobState};

use super::delivery::SharedLedger;
use super::scene::send_and_submit;
use crate::context::Context;
use crate::progress::Progress;

/// A job that is in.
pub(crate) struct Handed {
    /// Its number.
    pub(crate) job: JobId,
    /// Frames of its step.
    pub(crate) frames: FrameSet,
    /// The Blender it is pinned to.
    pub(crate) build: Option<Build>,
    /// An earlier run of the same command handed it in, and it is good for this one too.
    pub(crate) by_earlier_run: bool,
}

/// A job of an earlier run of the same command that still renders, or has rendered, all that is missing.
pub(crate) async fn earlier(
    api: &Api,
    ledger: &SharedLedger,
    packed: &Packed,
    missing: &FrameSet,
) -> Option<Handed> {
    let job = ledger.lock().ok()?.job()?;
    // A number may be another job's on another farm, and is compared; a job that is gone is simply not this one.
    let detail = api.job(job).await.ok()?;
    let useful = matches!(
        detail.summary.state,
        JobState::Active | JobState::Paused | JobState::Done
    );
    let [step] = detail.steps.as_slice() else {
        return None;
    };
    let same = detail.manifest == tessera_wire::blob::to_model(&packed.root)
        && detail.main_file == packed.main_file.as_str()
        && step.kind == packed.steps[0].kind;
    let covers = || {
        missing
            .iter()
            .all(|frame| step.frames.position(frame).is_some())
    };
    (useful && same && covers()).then(|| Handed {
        job,
        frames: step.frames.clone(),
        build: detail.summary.build,
        by_earlier_run: true,
    })
}

/// Sends the scene and hands the job in. On a farm that `lasts` its number is kept in the record, for [`earlier`].
pub(crate) async fn hand_in(
    context: &Context,
    api: &Api,
    packed: &mut Packed,
    settings: JobSettings,
    ledger: &SharedLedger,
    lasts: bool,
    progress: &Progress,
) -> Result<Handed> {
    let key = packed.key();
    let (submitted, sent) = send_and_submit(context, api, packed, settings, progress).await?;
    tracing::debug!(?sent, "sent");
    let mut ledger = ledger
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if packed.key() != key {
        // The file was saved while it was sent, and read again: what is rendered belongs to another record.
        *ledger = Ledger::open(&context.folders, &packed.key())?;
    }
    if lasts {
        ledger.set_job(submitted.job)?;
    }
    Ok(Handed {
        job: submitted.job,
        frames: packed.frames().clone(),
        build: submitted.build,
        by_earlier_run: false,
    })
}
