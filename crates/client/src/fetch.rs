//! Bringing finished frames into the output folder.
//!
//! A frame appears with all its files or not at all as far as one machine can promise it: every file is written and synced under a
//! hidden name first, then all are renamed, then the folders are synced once for the whole batch.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tessera_blobs::{BlobRef, BoxError, Digest, ReadError, missing_blocks, read_file};
use tessera_model::{FileRole, FrameFile, FrameResult, StepIndex};
use tessera_wire::blob::to_store;
use tokio::runtime::Handle;

use crate::api::{Api, ApiError};
use crate::output::OutputPlan;
use crate::place::{PlaceError, Temporary, destination, sweep};
use crate::private_file::sync_folder;

/// Frames being fetched at once.
const PARALLEL: usize = 4;

/// Blocks asked for together and held for one file: 16 MB on average, 64 MB at most, times [`PARALLEL`].
const ASK_BLOCKS: usize = 16;

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
    /// A worker gave a file a name that leads elsewhere.
    #[error(
        "frame {frame} has a file whose name leads out of its folder and is not written: {reason}"
    )]
    Name {
        /// The frame.
        frame: i32,
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
    #[error("the farm no longer has all of frame {frame}: render it again")]
    Gone {
        /// The frame.
        frame: i32,
    },
}

/// Brings frames of one job into their place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    api: Api,
    plan: Arc<OutputPlan>,
}

impl Fetcher {
    /// Of frames that go where `plan` says.
    #[must_use]
    pub fn new(api: &Api, plan: OutputPlan) -> Self {
        Self {
            api: api.clone(),
            plan: Arc::new(plan),
        }
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
        let mut outcome = Ok(());
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
        outcome.and(synced)
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
            outlines.push(self.outline(frame, to_store(&file.blob)).await?);
        }
        let handle = Handle::current();
        let write = move || -> Result<Fetched, FetchError> {
            let mut ready = Vec::new();
            for (file, outline) in result.files.iter().zip(outlines) {
                let place = self.place(frame, file)?;
                ready.push((self.write(frame, &place, outline, &handle)?, place, file));
            }
            let mut files: Vec<FetchedFile> = Vec::new();
            let mut warnings = Vec::new();
            for (temporary, place, file) in ready {
                if files.iter().any(|other| other.path == place) {
                    warnings.push(format!("frame {frame} has two files named {}: the last one is there, as with Blender", place.display()));
                }
                temporary
                    .rename(&place)
                    .map_err(|source| write_error(frame, &place, source))?;
                files.push(FetchedFile {
                    path: place,
                    blob: to_store(&file.blob),
                    role: file.role.clone(),
                });
            }
            Ok(Fetched {
                step: result.lease.unit.step,
                position: result.position,
                frame,
                files,
                warnings,
            })
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(FetchError::Result {
                frame,
                reason: panic.to_string(),
            }),
        }
    }

    /// Fetches the lists of a file, which say which blocks it is made of.
    async fn outline(&self, frame: i32, blob: BlobRef) -> Result<Outline, FetchError> {
        let mut lists = HashMap::new();
        loop {
            let missing = missing_blocks(
                [&blob],
                |digest| lists.contains_key(digest),
                |digest| Ok::<_, BoxError>(lists.get(digest).cloned()),
            )
            .map_err(|error| FetchError::Result {
                frame,
                reason: error.to_string(),
            })?;
            if missing.lists.is_empty() {
                return Ok(Outline {
                    blob,
                    lists,
                    data: missing.data,
                });
            }
            for piece in missing.lists.chunks(ASK_BLOCKS) {
                let got = fetch_plain(&self.api, piece, frame).await?;
                if got.len() < piece.len() {
                    return Err(FetchError::Gone { frame });
                }
                lists.extend(got);
            }
        }
    }

    fn place(&self, frame: i32, file: &FrameFile) -> Result<PathBuf, FetchError> {
        let (folder, name) = match &file.role {
            FileRole::Main => (self.plan.directory.clone(), self.own_name(None, frame)),
            FileRole::View(view) => (
                self.plan.directory.clone(),
                self.own_name(Some(view), frame),
            ),
            FileRole::Node(index) => (self.plan.node_directory(*index), None),
        };
        let name = name.unwrap_or_else(|| file.name.clone());
        destination(&folder, &name).map_err(|error| match error {
            PlaceError::Io { path, source } => write_error(frame, &path, source),
            refused @ (PlaceError::Name { .. } | PlaceError::Link { .. }) => FetchError::Name {
                frame,
                reason: refused.to_string(),
            },
        })
    }

    /// The name the plan gives to a view's file, or to the only one.
    fn own_name(&self, view: Option<&String>, frame: i32) -> Option<String> {
        let names = &self.plan.names;
        let found = names.iter().find(|name| name.view.as_ref() == view);
        found
            .or_else(|| names.first().filter(|_| view.is_none() && names.len() == 1))
            .map(|name| name.name.at(frame))
    }

    fn write(
        &self,
        frame: i32,
        place: &Path,
        outline: Outline,
        handle: &Handle,
    ) -> Result<Temporary, FetchError> {
        let folder = place.parent().unwrap_or(Path::new("/"));
        let (mut file, temporary) =
            Temporary::new(folder).map_err(|source| write_error(frame, folder, source))?;
        let blob = outline.blob;
        let mut blocks = Blocks::new(self.api.clone(), frame, outline, handle.clone());
        match read_file(&blob, |digest| blocks.get(digest), &mut file) {
            Ok(()) => {}
            Err(ReadError::Write { source }) => return Err(write_error(frame, place, source)),
            Err(ReadError::Source { source, .. }) => {
                return Err(match source.downcast::<FetchError>() {
                    Ok(error) => *error,
                    Err(other) => FetchError::Result {
                        frame,
                        reason: other.to_string(),
                    },
                });
            }
            Err(ReadError::Missing { .. }) => return Err(FetchError::Gone { frame }),
            Err(other) => {
                return Err(FetchError::Result {
                    frame,
                    reason: other.to_string(),
                });
            }
        }
        file.sync_all()
            .map_err(|source| write_error(frame, place, source))?;
        Ok(temporary)
    }
}

fn write_error(frame: i32, path: &Path, source: io::Error) -> FetchError {
    if matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return FetchError::Full {
            folder: path.parent().unwrap_or(path).to_owned(),
        };
    }
    FetchError::NotWritable {
        frame,
        path: path.to_owned(),
        source,
    }
}

/// What a file is made of.
struct Outline {
    blob: BlobRef,
    lists: HashMap<Digest, Vec<u8>>,
    /// In the file's order, each once.
    data: Vec<Digest>,
}

/// Blocks of one file as its reader asks for them; those that come next are fetched along.
struct Blocks {
    api: Api,
    frame: i32,
    lists: HashMap<Digest, Vec<u8>>,
    data: Vec<Digest>,
    place_of: HashMap<Digest, usize>,
    held: HashMap<Digest, Vec<u8>>,
    handle: Handle,
}

impl Blocks {
    fn new(api: Api, frame: i32, outline: Outline, handle: Handle) -> Self {
        let place_of = outline
            .data
            .iter()
            .enumerate()
            .map(|(place, digest)| (*digest, place))
            .collect();
        Self {
            api,
            frame,
            lists: outline.lists,
            data: outline.data,
            place_of,
            held: HashMap::new(),
            handle,
        }
    }

    fn get(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, FetchError> {
        if let Some(list) = self.lists.get(digest) {
            return Ok(Some(list.clone()));
        }
        if !self.held.contains_key(digest) {
            let Some(&place) = self.place_of.get(digest) else {
                return Ok(None);
            };
            let end = (place + ASK_BLOCKS).min(self.data.len());
            self.held =
                self.handle
                    .block_on(fetch_plain(&self.api, &self.data[place..end], self.frame))?;
        }
        // A block may come again in the file, so it stays until the next ones are fetched.
        Ok(self.held.get(digest).cloned())
    }
}

/// Blocks, decoded and verified. A connection that is cut in the middle is waited for as the client's retry says.
async fn fetch_plain(
    api: &Api,
    digests: &[Digest],
    frame: i32,
) -> Result<HashMap<Digest, Vec<u8>>, FetchError> {
    let mut outing = api.retry().begin();
    let mut got = HashMap::new();
    loop {
        let missing: Vec<Digest> = digests
            .iter()
            .copied()
            .filter(|digest| !got.contains_key(digest))
            .collect();
        if missing.is_empty() {
            return Ok(got);
        }
        match fetch_some(api, &missing, frame, &mut got).await {
            Ok(()) => return Ok(got),
            Err(FetchError::Api(error)) if error.is_unreachable() && outing.lost(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

async fn fetch_some(
    api: &Api,
    digests: &[Digest],
    frame: i32,
    got: &mut HashMap<Digest, Vec<u8>>,
) -> Result<(), FetchError> {
    let mut coming = api.fetch_blocks(digests).await?;
    while let Some(block) = coming.next().await? {
        let decoded =
            tokio::task::spawn_blocking(move || block.decode().map(|bytes| (block.digest, bytes)))
                .await;
        match decoded {
            Ok(Ok((digest, bytes))) => drop(got.insert(digest, bytes)),
            Ok(Err(error)) => {
                return Err(FetchError::Result {
                    frame,
                    reason: error.to_string(),
                });
            }
            Err(panic) => {
                return Err(FetchError::Result {
                    frame,
                    reason: panic.to_string(),
                });
            }
        }
    }
    Ok(())
}
