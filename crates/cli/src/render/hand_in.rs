//! Gets a job in, or finds that it is in already.

use anyhow::Result;
use tessera_client::{Api, Ask, Ledger, Packed};
use tessera_model::{Build, FrameSet, JobId, JobSettings, JobState, Step, choose_build};

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
///
/// Its Blender may be another one than that of the frames that are there: that is the caller's to compare.
pub(crate) async fn earlier(
    api: &Api,
    ledger: &Ledger,
    packed: &Packed,
    missing: &FrameSet,
) -> Option<Handed> {
    let job = ledger.job()?;
    // A number may be another job's on another farm, and is compared; a job that is gone is simply not this one.
    let detail = api.job(job).await.ok()?;
    let useful = matches!(
        detail.summary.state,
        JobState::Active | JobState::Paused | JobState::Done
    );
    let frames = detail.frames()?;
    let asked = packed.steps[0].overrides();
    let grows_to = packed.steps[0].split.and_then(|split| split.grows_to);
    let divided = detail.steps.iter().find_map(Step::divided);
    let mut makes_frames = detail.steps.iter().filter(|step| step.makes_frames());
    let same = detail.manifest == tessera_wire::blob::to_model(&packed.root)
        && detail.main_file == packed.main_file.as_str()
        && makes_frames.all(|step| step.overrides() == asked)
        && divided.is_none_or(|split| split.grows_to == grows_to);
    let covers = || missing.iter().all(|frame| frames.position(frame).is_some());
    let fits = useful && same && covers();
    fits.then_some(Handed {
        job,
        frames,
        build: detail.summary.build,
        by_earlier_run: true,
    })
}

/// The Blender that a farm will pin a new job to, as far as can be told beforehand: the manager's own rule.
pub(crate) async fn build_to_be(api: &Api, packed: &Packed) -> Result<Option<Build>> {
    let workers = api.workers().await?.items;
    let builds = |linked: bool| {
        workers
            .iter()
            .filter(move |worker| worker.linked || !linked)
            .filter_map(|worker| worker.facts.as_ref())
            .flat_map(|facts| &facts.builds)
    };
    let file = packed.file_version;
    let build = choose_build(file, builds(true)).or_else(|| choose_build(file, builds(false)));
    Ok(build.cloned())
}

/// Sends the scene and hands the job in. On a farm that `lasts` its number is kept in the record, for [`earlier`].
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing, and there is one caller"
)]
pub(crate) async fn hand_in(
    context: &Context,
    api: &Api,
    packed: &mut Packed,
    ask: Ask,
    settings: JobSettings,
    ledger: &mut Ledger,
    lasts: bool,
    progress: &Progress,
) -> Result<Handed> {
    let (key, inputs) = (packed.key(), packed.inputs.clone());
    let (submitted, _) = send_and_submit(context, api, packed, ask, settings, progress).await?;
    if packed.key() != key || packed.inputs != inputs {
        // The file was saved while it was sent, and read again: what is rendered belongs to another record.
        *ledger = Ledger::open(&context.folders, &packed.key(), packed.inputs.clone())?;
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
