//! `tessera submit`: hands a job in and prints its number.

use anyhow::Result;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
use crate::farm;
use crate::flags::SubmitFlags;
use crate::progress::Progress;
use crate::render::{job_settings, pack_scene, send_and_submit, to_send};

pub(super) async fn run(context: &Context, flags: &SubmitFlags) -> Result<Status> {
    let connection = farm::need(context)?;
    let mut progress = Progress::new(&context.output);
    progress.stage(format!("Connecting to {}", connection.farm.name));
    farm::warn_of_quota(context, &connection.api.farm().await?);
    let mut packed = pack_scene(context, &flags.scene, context.look(), &progress).await?;
    let settings = job_settings(context, &flags.scene);
    let (submitted, _) = send_and_submit(
        context,
        &connection.api,
        &mut packed,
        to_send(&flags.scene),
        settings,
        &progress,
    )
    .await?;
    progress.end();
    let frames = packed.frames().len();
    if submitted.build.is_none() {
        context.output.warn(format!(
            "no worker has a Blender that can open the file yet (saved by {}): the job waits for one",
            packed.file_version
        ));
    }
    context
        .output
        .result(submitted.job.to_string(), || LineKind::Submitted {
            job: submitted.job,
            frames,
            present: 0,
            build: submitted.build,
        });
    packed.leave();
    Ok(Status::Done)
}
