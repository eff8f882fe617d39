//! Sends a packed scene and hands it in as a job.

use std::path::PathBuf;

use tessera_model::JobSettings;
use tessera_wire::api::Submitted;
use tessera_wire::problem::ProblemKind;

use super::{ATTEMPTS_MAX, PackError, Packed, pack_but};
use crate::api::Api;
use crate::outlines::Outlines;
use crate::send::{Ask, BlockSource, SendError, SendProgress, Sent, send_edited};

/// Handing in failed.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Files changed while they were sent, and could not be read again.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Sends what the manager lacks of a scene, or all of it. If a file changes meanwhile, the scene is packed anew and `packed` is that one.
///
/// # Errors
/// See [`SubmitError`].
pub async fn send_packed(
    api: &Api,
    packed: &mut Packed,
    ask: Ask,
    mut progress: impl FnMut(SendProgress),
) -> Result<Sent, SubmitError> {
    let mut attempt = 1;
    loop {
        let source = BlockSource::Origin(packed.origin.clone());
        let outlines = Outlines::at(packed.options.cache_dir.as_deref());
        let roots = [packed.root];
        let sending = send_edited(api, &source, &roots, &[], ask, &outlines, &mut progress);
        match sending.await {
            Ok(sent) => return Ok(sent),
            Err(SendError::Changed { path }) if attempt < ATTEMPTS_MAX => {
                tracing::warn!(
                    "{} changed while it was sent, the scene is read again",
                    path.display()
                );
                repack(packed, path, attempt > 1).await?;
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a scene and submits it.
///
/// The manager takes a job in only if it has every block, so handing in is itself a question. A scene that stands as it did when it
/// was read last is handed in at once, and sent only if something turns out to be lacking.
///
/// # Errors
/// See [`SubmitError`].
pub async fn submit_packed(
    api: &Api,
    packed: &mut Packed,
    ask: Ask,
    settings: JobSettings,
    mut progress: impl FnMut(SendProgress),
) -> Result<(Submitted, Sent), SubmitError> {
    let api = api.metered();
    let mut attempt = 1;
    let mut known = ask == Ask::First && packed.files_read == 0;
    loop {
        let sent = match (known, ask) {
            (true, _) => Sent::default(),
            // If that was too little, the job's refusal tells.
            (false, Ask::First) if attempt == 1 => {
                send_packed(&api, packed, Ask::BeforeJob, &mut progress).await?
            }
            _ => send_packed(&api, packed, ask, &mut progress).await?,
        };
        match api.submit(&packed.submit(settings.clone())).await {
            Ok(submitted) => {
                let traffic = api.traffic();
                return Ok((
                    submitted,
                    Sent {
                        sent_bytes: traffic.sent_bytes,
                        received_bytes: traffic.received_bytes,
                        ..sent
                    },
                ));
            }
            Err(error) if known && error.kind() == Some(ProblemKind::MissingBlobs) => known = false,
            // Blocks can be collected as garbage between the last question and the job that holds them.
            Err(error)
                if error.kind() == Some(ProblemKind::MissingBlobs) && attempt < ATTEMPTS_MAX =>
            {
                attempt += 1
            }
            Err(error) => return Err(SendError::Api(error).into()),
        }
    }
}

/// Packs again what is there now, since `changed` is not what it was. Frames stay those that were asked for.
///
/// What is remembered of that file was right or wrong; what of another turns out wrong after it, is of a file system or a clock that
/// cannot be trusted, so then everything is read.
async fn repack(packed: &mut Packed, changed: PathBuf, again: bool) -> Result<(), PackError> {
    let mut options = packed.options.clone();
    options.frames = Some(packed.frames().clone());
    options.read_all |= again;
    *packed = pack_but(&options, Some(changed), |_| {}).await?;
    Ok(())
}
