//! A frame that workers render in parts, as one EXR file as far as it is there: again and again, while it grows.
//!
//! For whoever shows a frame with all its passes in the making, as Blender's own window does. It is beside the delivery, which brings the
//! frame itself: what fails here is tried again with the next part, and nobody waits for it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tessera_client::{Api, fetch_file};
use tessera_merge::{Class, MergeOptions, Missing, Slice, merge};
use tessera_model::{FileRole, FrameResult, JobId, StepIndex};
use tessera_wire::blob::to_store;
use tessera_worker::part::slice;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::growing::{parts, split_of};

/// The file is made no more often than that.
const PACE_MIN: Duration = Duration::from_secs(1);

/// And most of the time nothing is done: making it takes longer the more of the frame there is.
const REST: u32 = 4;

/// A file that holds more of the frame than the one before, in the same place.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) frame: i32,
    pub(crate) file: PathBuf,
}

/// A task that makes the file whenever parts came. It ends with this.
pub(crate) struct SoFar {
    frame: i32,
    folder: PathBuf,
    parts_done: watch::Sender<u32>,
    grown: mpsc::Receiver<Grown>,
    _task: JoinSet<()>,
}

impl SoFar {
    /// Of a frame of the job, into a folder.
    pub(crate) fn start(api: Api, job: JobId, frame: i32, folder: PathBuf) -> Self {
        let (parts_done, wake) = watch::channel(0);
        let (tell, grown) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(grow(api, job, frame, folder.clone(), wake, tell));
        Self {
            frame,
            folder,
            parts_done,
            grown,
            _task: task,
        }
    }

    /// The same over another way to the farm.
    pub(crate) fn over(&self, api: Api, job: JobId) -> Self {
        Self::start(api, job, self.frame, self.folder.clone())
    }

    /// So many parts of the job are there.
    pub(crate) fn parts_done(&self, count: u32) {
        self.parts_done.send_if_modified(|known| {
            let more = *known != count;
            *known = count;
            more
        });
    }

    /// Waits until the file holds more.
    pub(crate) async fn grown(&mut self) -> Grown {
        match self.grown.recv().await {
            Some(grown) => grown,
            None => std::future::pending().await,
        }
    }
}

async fn grow(
    api: Api,
    job: JobId,
    frame: i32,
    folder: PathBuf,
    mut wake: watch::Receiver<u32>,
    tell: mpsc::Sender<Grown>,
) {
    let mut made: Option<Making> = None;
    while wake.changed().await.is_ok() {
        let began = Instant::now();
        match catch_up(&mut made, &api, job, frame, &folder).await {
            Ok(Some(file)) => {
                if tell.send(Grown { frame, file }).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!("frame {frame} so far: {error:#}"),
        }
        tokio::time::sleep(PACE_MIN.max(began.elapsed() * REST)).await;
    }
}

/// What was brought of a frame.
struct Making {
    options: MergeOptions,
    /// Holds the parts' files.
    place: TempDir,
    slices: Vec<Slice>,
    /// Steps and positions of the results that they are of.
    taken: HashSet<(StepIndex, u32)>,
}

/// Brings what was rendered since, and makes the file anew if that is anything.
async fn catch_up(
    making: &mut Option<Making>,
    api: &Api,
    job: JobId,
    frame: i32,
    folder: &Path,
) -> Result<Option<PathBuf>> {
    let making = match making {
        Some(making) => making,
        None => {
            let Some(split) = split_of(&api.job(job).await?, frame) else {
                return Ok(None);
            };
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
            making.insert(Making {
                options: MergeOptions {
                    size: Some((split.width as usize, split.height as usize)),
                    // More than there are yet where samples are added by noise.
                    samples: Some(split.noise.and(split.grows_to).unwrap_or(split.samples)),
                    // As the worker does that puts the frame together.
                    others: Some(Class::Average),
                    missing: Missing::Allowed,
                    ..MergeOptions::default()
                },
                place: tempfile::Builder::new()
                    .prefix(".tessera-parts-")
                    .tempdir_in(folder)?,
                slices: Vec::new(),
                taken: HashSet::new(),
            })
        }
    };
    let before = making.slices.len();
    for result in parts(api, job, frame).await? {
        let place = (result.lease.unit.step, result.position);
        if !making.taken.contains(&place) {
            making.take(api, &result).await?;
        }
    }
    if making.slices.len() == before {
        return Ok(None);
    }
    let (slices, options) = (making.slices.clone(), making.options.clone());
    let unfinished = making.place.path().join("frame.exr");
    let file = folder.join(format!("{frame:04}.exr"));
    tokio::task::spawn_blocking(move || {
        merge(&slices, &unfinished, &options)?;
        // Whoever reads it has the whole of the one before or the whole of this one.
        std::fs::rename(&unfinished, &file)?;
        Ok(Some(file))
    })
    .await?
}

impl Making {
    /// Brings the files of one result.
    async fn take(&mut self, api: &Api, result: &FrameResult) -> Result<()> {
        let mut slices = Vec::new();
        for file in &result.files {
            let FileRole::Slice {
                slice: part,
                rendered,
            } = &file.role
            else {
                continue;
            };
            let path = format!("{}.exr", self.slices.len() + slices.len());
            let path = self.place.path().join(path);
            fetch_file(api, result.frame, to_store(&file.blob), &path).await?;
            slices.push(slice(path, part, *rendered));
        }
        self.slices.extend(slices);
        self.taken.insert((result.lease.unit.step, result.position));
        Ok(())
    }
}
