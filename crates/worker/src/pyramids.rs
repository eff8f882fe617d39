//! Pyramids of frames, made for whoever looks at one now: fetched, made and sent beside the slots, a file at a time.
//!
//! The frame's file is fetched, also by the worker that rendered it: it keeps nothing that the manager has.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use tessera_blobs::Origin;
use tessera_client::{Ask, BlockSource, FetchError, fetch_file, send};
use tessera_merge::PyramidError;
use tessera_model::Blob;
use tessera_wire::blob::{to_model, to_store};
use tessera_wire::link::{FromWorker, MadePyramid};
use tokio::sync::Semaphore;

use crate::crew::Crew;
use crate::failure::in_full;
use crate::frame_dir::{FrameDir, Frames};
use crate::hub::Hub;
use crate::uplink::Uplink;

/// Made at once: each takes some processors for seconds, which renders need more.
const AT_ONCE_MAX: usize = 1;

/// Most that wait; whoever asks on top goes to another worker.
const WAITING_MAX: usize = 8;

/// Makes them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pyramids {
    frames: Arc<Frames>,
    uplink: Uplink,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    crew: Crew,
}

impl Pyramids {
    pub(crate) fn new(frames: Arc<Frames>, uplink: Uplink, crew: Crew) -> Self {
        Self {
            frames,
            uplink,
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            places: Arc::new(Semaphore::new(WAITING_MAX)),
            crew,
        }
    }

    /// Answers through the hub's link, in its own time.
    pub(crate) fn answer(&self, hub: &Arc<Hub>, request: u64, file: Blob) {
        let say = move |hub: &Hub, made| hub.say(FromWorker::Pyramid { request, made });
        if let Some(why) = hub.declines() {
            return say(hub, MadePyramid::NotHere(why));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return say(hub, MadePyramid::NotHere("it has many to make".into()));
        };
        let (this, hub) = (self.clone(), Arc::clone(hub));
        self.crew.spawn("pyramid", async move {
            let _place = place;
            let Ok(_turn) = this.turns.acquire().await else {
                return;
            };
            say(&hub, this.make(file).await);
        });
    }

    async fn make(&self, file: Blob) -> MadePyramid {
        let frames = Arc::clone(&self.frames);
        let folder = tokio::task::spawn_blocking(move || frames.make()).await;
        let folder = match folder.expect("making a folder does not panic") {
            Ok(folder) => folder,
            Err(error) => return MadePyramid::NotHere(format!("it has no room: {error}")),
        };
        let made = self.make_in(&folder, file).await;
        let removed = tokio::task::spawn_blocking(move || folder.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!("cannot remove the folder of a pyramid: {error}");
        }
        made.unwrap_or_else(|why| why)
    }

    async fn make_in(&self, folder: &FrameDir, file: Blob) -> Result<MadePyramid, MadePyramid> {
        let not_here =
            |error: &(dyn std::error::Error + 'static)| MadePyramid::NotHere(in_full(error));
        let api = self.uplink.clone().api().await;
        let path = folder.out().join("frame.exr");
        // No frame is known here; it stands in messages alone.
        let fetched = fetch_file(&api, 0, to_store(&file), &path).await;
        fetched.map_err(|error: FetchError| not_here(&error))?;
        let to = folder.out().join("pyramid");
        let making = tokio::task::spawn_blocking(move || {
            let open = |source| PyramidError::Write {
                subject: to.display().to_string(),
                source,
            };
            let out = BufWriter::new(File::create(&to).map_err(open)?);
            tessera_merge::pyramid(&path, out)?;
            Ok(to)
        });
        let to = match making.await {
            Ok(Ok(to)) => to,
            Ok(Err(error @ PyramidError::Write { .. })) => return Err(not_here(&error)),
            Ok(Err(error)) => return Err(MadePyramid::Never(unseen(&error, folder))),
            Err(panic) => return Err(not_here(&panic)),
        };
        let cutting = tokio::task::spawn_blocking(move || {
            let mut origin = Origin::default();
            let cut = origin.add_file(&to)?;
            Ok::<_, tessera_blobs::CutError>((origin, cut.blob))
        });
        let (origin, root) = match cutting.await {
            Ok(Ok(cut)) => cut,
            Ok(Err(error)) => return Err(not_here(&error)),
            Err(panic) => return Err(not_here(&panic)),
        };
        let source = BlockSource::Origin(Arc::new(origin));
        let sent = send(&api, &source, &[], &[root], Ask::First, |_| {}).await;
        sent.map_err(|error| not_here(&error))?;
        Ok(MadePyramid::There(to_model(&root)))
    }
}

/// Where the file lay here is nobody's business.
fn unseen(error: &PyramidError, folder: &FrameDir) -> String {
    let place = folder.out().join("frame.exr").display().to_string();
    in_full(error).replace(&place, "the file")
}
