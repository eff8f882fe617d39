//! Bringing finished frames into the output folder.
//!
//! A frame appears with all its files or not at all as far as one machine can promise it: every file is written and synced under a
//! hidden name first, then all are renamed, then the folders are synced once for the whole batch.

mod blocks;
mod frame;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tessera_blobs::BlobRef;
use tessera_model::{Build, FileRole, FrameResult, StepIndex, WorkerId};
use tessera_wire::blob::to_store;

use crate::api::{Api, ApiError};
use crate::output::OutputPlan;
use crate::place::sweep;
use crate::private_file::sync_folder;
use crate::sources::Sources;

use blocks::{Outline, supply};
use frame::{write_file, write_frame};

/// Frames being fetched at once.
const PARALLEL: usize = 4;

/// Files of one frame: views, passes of nodes. More is no frame.
const FILES_MAX: usize = 4096;

/// A file in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Where.
    pub path: PathBuf,
    /// What it holds.
    pub blob: BlobRef,
    /// What it is of its frame.
    pub role: FileRole,
}

/// A frame in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The step.
    pub step: StepIndex,
    /// Position in the step's frame set.
    pub position: u32,
    /// The frame.
    pub frame: i32,
    /// The Blender that rendered it.
    pub build: Build,
    /// Its files, main one first.
    pub files: Vec<FetchedFile>,
    /// What the user should know of it and what does no harm to the frame.
    pub warnings: Vec<String>,
}

/// Fetching failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The manager could not be reached, or said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The disk is full.
    #[error("the disk with the output folder {} is full: make room and run the command again, it goes on where it was", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be written to.
    #[error("frame {frame} cannot be written to {} ({source}): change the permissions, or choose another folder with -o", path.display())]
    NotWritable {
        /// The frame.
        frame: i32,
        /// File or folder.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// A worker gave a file a name that it cannot have.
    #[error(
        "worker {worker} sent frame {frame} with a file '{name}' that is not written ({reason}): have an admin look at that worker, \
         and meanwhile `tessera worker-admin block {worker}`"
    )]
    Name {
        /// The frame.
        frame: i32,
        /// Who sent it.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The result makes no sense.
    #[error("the result of frame {frame} cannot be used: {reason}")]
    Result {
        /// The frame.
        frame: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// The farm no longer has it.
    #[error(
        "the farm no longer has all of frame {frame}: the same `tessera render` again renders what is not in its folder"
    )]
    Gone {
        /// The frame.
        frame: i32,
    },
}

/// Brings a file of a frame to `place`, for whoever works with it: not synced, and left half written if it fails.
///
/// # Errors
/// If the farm does not have it or it cannot be written.
pub async fn fetch_file(
    api: &Api,
    frame: i32,
    blob: BlobRef,
    place: &Path,
) -> Result<(), FetchError> {
    let outline = Outline::fetch(api, frame, blob).await?;
    let (wanting, serving) = supply();
    let to = place.to_owned();
    let writing = tokio::task::spawn_blocking(move || write_file(frame, &to, outline, wanting));
    let served = serving.run(api, frame).await;
    let written = writing
        .await
        .map_err(|panic| FetchError::result(frame, panic))?;
    served.and(written)
}

/// Brings frames of one job into their place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    api: Api,
    plan: Arc<OutputPlan>,
    sources: Arc<Sources>,
}

impl FetchError {
    fn result(frame: i32, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self::Result { frame, reason }
    }
}

impl Fetcher {
    /// Of frames that go where `plan` says.
    #[must_use]
    pub fn new(api: &Api, plan: OutputPlan) -> Self {
        Self {
            api: api.clone(),
            plan: Arc::new(plan),
            sources: Arc::default(),
        }
    }

    /// The same, and nothing takes the place of one of these.
    #[must_use]
    pub fn sparing(self, sources: Arc<Sources>) -> Self {
        Self { sources, ..self }
    }

    /// Where they go.
    #[must_use]
    pub fn plan(&self) -> &OutputPlan {
        &self.plan
    }

    /// Removes what a killed run left in the output folder. Blocking, short.
    pub fn sweep(&self) {
        sweep(&self.plan.directory);
    }

    /// Fetches frames, several at once; the answer is in the order of `results`. Names are durable when this returns.
    ///
    /// # Errors
    /// The first failure. Other frames may be in their place; [`fetch_each`](Self::fetch_each) tells which.
    pub async fn fetch(&self, results: &[FrameResult]) -> Result<Vec<Fetched>, FetchError> {
        let mut all = HashMap::new();
        self.fetch_each(results, |fetched| {
            drop(all.insert((fetched.step, fetched.position), fetched))
        })
        .await?;
        Ok(results
            .iter()
            .filter_map(|result| all.remove(&(result.lease.unit.step, result.position)))
            .collect())
    }

    /// Fetches frames, several at once, and gives each as it is complete, in no fixed order. Names are durable when this returns.
    ///
    /// # Errors
    /// The first failure; `each` was called for every frame that is in its place.
    pub async fn fetch_each(
        &self,
        results: &[FrameResult],
        mut each: impl FnMut(Fetched),
    ) -> Result<(), FetchError> {
        let mut folders = BTreeSet::new();
        let (mut outcome, mut gone) = (Ok(()), None);
        let mut waiting = results.iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < PARALLEL
                && outcome.is_ok()
                && let Some(result) = waiting.next()
            {
                under_way.push(self.clone().frame(result.clone()));
            }
            match under_way.next().await {
                Some(Ok(fetched)) => {
                    let folders_of = fetched.files.iter().filter_map(|file| file.path.parent());
                    folders.extend(folders_of.map(Path::to_owned));
                    each(fetched);
                }
                // What is gone says nothing of the other frames.
                Some(Err(error @ FetchError::Gone { .. })) => gone = gone.or(Some(error)),
                // Nothing new is begun, and what is being written is waited for: it will be in its place and must be told.
                Some(Err(error)) => outcome = outcome.and(Err(error)),
                None => break,
            }
        }
        let frame = results.first().map_or(0, |result| result.frame);
        let synced = tokio::task::spawn_blocking(move || {
            folders.iter().try_for_each(|folder| {
                sync_folder(folder).map_err(|source| FetchError::NotWritable {
                    frame,
                    path: folder.clone(),
                    source,
                })
            })
        })
        .await
        .unwrap_or(Ok(()));
        outcome.and(synced).and(gone.map_or(Ok(()), Err))
    }

    async fn frame(self, result: FrameResult) -> Result<Fetched, FetchError> {
        let frame = result.frame;
        if result.files.is_empty() || result.files.len() > FILES_MAX {
            return Err(FetchError::Result {
                frame,
                reason: format!("it has {} files", result.files.len()),
            });
        }
        let mut outlines = Vec::new();
        for file in &result.files {
            outlines.push(Outline::fetch(&self.api, frame, to_store(&file.blob)).await?);
        }
        let (wanting, serving) = supply();
        let (plan, sources) = (self.plan.clone(), self.sources.clone());
        let writing = tokio::task::spawn_blocking(move || {
            write_frame(&plan, &sources, &result, outlines, wanting)
        });
        // Ends with the writer; if it ends first, the writer ends and its own error is only that.
        let served = serving.run(&self.api, frame).await;
        let written = writing
            .await
            .map_err(|panic| FetchError::result(frame, panic))?;
        served.and(written)
    }
}
