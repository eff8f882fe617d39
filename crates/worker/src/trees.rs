//! Jobs' files: brought block by block, laid out as trees, removed when they are too many.
//!
//! What is brought, kept and removed is decided by the desk, which never has two errands for one tree at a time. Here
//! each errand is a task: fetch the manifest, fetch the blocks that are missing, lay the tree out. A manager that is
//! away is waited for; a block found damaged has been dropped from the store by whoever found it, and is fetched again.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tessera_blobs::{BlobRef, Digest, Manifest, ManifestError, MaterialiseError, Store};
use tessera_client::{ApiError, ReceiveError, receive};
use tessera_model::FrameErrorKind;
use tessera_wire::MANAGER_NAME;
use tessera_wire::blob::to_store;
use tessera_wire::link::Source;
use tessera_wire::problem::ProblemKind;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::crew::Crew;
use crate::desk::{Fetch, Input};
use crate::failure::Failure;
use crate::hub::{Hub, TreeErrand};
use crate::uplink::Uplink;

/// Jobs whose files are brought at once: the next one while the present one renders, and one that is small beside one
/// that is large.
const BRINGING_MAX: usize = 3;

/// A tree is laid out anew this often because blocks turned out damaged; a disk that goes on like that is broken.
const REPAIRS_MAX: u32 = 3;

/// Where trees lie: each under the digest of its manifest. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TreesDir {
    root: Arc<PathBuf>,
}

impl TreesDir {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root: Arc::new(root),
        }
    }

    pub(crate) fn of(&self, manifest: &Digest) -> PathBuf {
        self.root.join(manifest.to_string())
    }

    /// Trees of former runs with their bytes, the one made first first. What is half there is removed. Blocking.
    pub(crate) fn find(&self) -> io::Result<Vec<(Digest, u64)>> {
        std::fs::create_dir_all(&*self.root)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&*self.root)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse::<Digest>().ok()) {
                Some(manifest) => {
                    let made = entry.metadata()?.modified()?;
                    found.push((made, manifest, bytes_below(&entry.path())?));
                }
                None => std::fs::remove_dir_all(entry.path())?,
            }
        }
        found.sort_unstable();
        Ok(found
            .into_iter()
            .map(|(_, manifest, bytes)| (manifest, bytes))
            .collect())
    }
}

fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += match kind.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}

/// What every errand needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TreeKeeper {
    pub hub: Arc<Hub>,
    pub uplink: Uplink,
    pub store: Arc<Store>,
    pub trees: TreesDir,
    bringing: Arc<Semaphore>,
    crew: Crew,
}

/// Why there is no tree.
#[derive(Debug)]
enum NoTree {
    GivenUp,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NoTree {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl TreeKeeper {
    pub(crate) fn new(
        hub: Arc<Hub>,
        uplink: Uplink,
        store: Arc<Store>,
        trees: TreesDir,
        crew: Crew,
    ) -> Self {
        Self {
            hub,
            uplink,
            store,
            trees,
            bringing: Arc::new(Semaphore::new(BRINGING_MAX)),
            crew,
        }
    }

    /// Does errands as they come until the hub is gone.
    pub(crate) async fn run(self, mut errands: mpsc::UnboundedReceiver<TreeErrand>) {
        let mut coming: HashMap<Digest, CancellationToken> = HashMap::new();
        while let Some(errand) = errands.recv().await {
            coming.retain(|_, give_up| !give_up.is_cancelled());
            let this = self.clone();
            match errand {
                TreeErrand::Bring(fetch) => {
                    let give_up = self.crew.end().child_token();
                    let manifest = Digest::from_bytes(fetch.manifest.digest);
                    coming.insert(manifest, give_up.clone());
                    self.crew.spawn("bringing of files", async move {
                        this.bring(&fetch, give_up).await
                    });
                }
                TreeErrand::GiveUp(manifest) => {
                    if let Some(give_up) = coming.remove(&manifest) {
                        give_up.cancel();
                    }
                }
                TreeErrand::Remove(manifest) => {
                    self.crew.spawn(
                        "removal of files",
                        async move { this.remove(manifest).await },
                    );
                }
            }
        }
    }

    async fn remove(&self, manifest: Digest) {
        let path = self.trees.of(&manifest);
        let removed = tokio::task::spawn_blocking(move || tessera_blobs::remove_tree(&path)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!("cannot remove a job's files that nobody needs: {error}");
        }
        self.hub.apply(Input::TreeRemoved(manifest));
    }

    async fn bring(&self, fetch: &Fetch, give_up: CancellationToken) {
        let began = Instant::now();
        let manifest = Digest::from_bytes(fetch.manifest.digest);
        let brought = tokio::select! {
            biased;
            () = give_up.cancelled() => Err(NoTree::GivenUp),
            brought = self.try_bring(fetch, &give_up) => brought,
        };
        // Not told apart from one given up: the next errand's cleaning takes it off the list.
        give_up.cancel();
        self.hub.apply(match brought {
            Ok(bytes) => {
                let took = began.elapsed();
                tracing::debug!(%manifest, bytes, "files are there after {:.3} s", took.as_secs_f64());
                Input::TreeReady {
                    manifest,
                    bytes,
                    took,
                }
            }
            Err(NoTree::GivenUp) => Input::TreeAborted(manifest),
            Err(NoTree::Failed(failure)) => Input::TreeFailed {
                manifest,
                kind: failure.kind,
                message: failure.message,
            },
        });
    }

    /// The bytes of the tree once it is there.
    async fn try_bring(&self, fetch: &Fetch, give_up: &CancellationToken) -> Result<u64, NoTree> {
        let permit = self.bringing.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        usable(&fetch.sources)?;
        let root = to_store(&fetch.manifest);
        let mut repairs = 0;
        loop {
            self.receive(&[root]).await?;
            let Some(manifest) = self.read_manifest(root).await? else {
                continue;
            };
            let manifest = Arc::new(manifest);
            let blobs: Vec<BlobRef> = manifest.blobs().copied().collect();
            self.receive(&blobs).await?;
            match self
                .lay_out(root.digest, Arc::clone(&manifest), give_up.clone())
                .await
            {
                Ok(()) => return Ok(manifest.total_size()),
                Err(MaterialiseError::Cancelled { .. }) => return Err(NoTree::GivenUp),
                Err(error @ MaterialiseError::Missing { .. }) if repairs < REPAIRS_MAX => {
                    tracing::warn!("fetched again: {error}");
                    repairs += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fetches what is missing of these, from a manager that may be away for a while.
    async fn receive(&self, blobs: &[BlobRef]) -> Result<(), NoTree> {
        let mut uplink = self.uplink.clone();
        let mut backoff = Uplink::backoff();
        loop {
            let api = uplink.api().await;
            match receive(&api, &self.store, blobs, |_| {}).await {
                Ok(_) => return Ok(()),
                Err(ReceiveError::Api(error)) if may_pass(&error) => {
                    let wait = backoff.wait();
                    tracing::debug!("fetched again in {:.1} s: {error}", wait.as_secs_f64());
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// None if a block of it turned out damaged and has to be fetched again.
    async fn read_manifest(&self, root: BlobRef) -> Result<Option<Manifest>, NoTree> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || {
            match Manifest::read(&root, |digest| store.get(digest)) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(ManifestError::Read(_))
                    if store
                        .missing_of([&root])
                        .is_ok_and(|missing| !missing.is_empty()) =>
                {
                    Ok(None)
                }
                Err(error) => {
                    let message = format!("the job's list of files cannot be read: {error}");
                    Err(Failure::new(FrameErrorKind::Files, message).into())
                }
            }
        });
        reading.await.expect("reading a manifest does not panic")
    }

    async fn lay_out(
        &self,
        digest: Digest,
        manifest: Arc<Manifest>,
        give_up: CancellationToken,
    ) -> Result<(), MaterialiseError> {
        let (store, root) = (Arc::clone(&self.store), self.trees.of(&digest));
        let laying = tokio::task::spawn_blocking(move || {
            let go_on = |_| match give_up.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            tessera_blobs::materialise(&manifest, &store, &root, go_on)
        });
        let laid = laying.await.expect("laying out files does not panic");
        laid.map(|_| ())
    }
}

/// Whether asking again can help: it cannot where the manager has understood and said no.
fn may_pass(error: &ApiError) -> bool {
    use ProblemKind::{Conflict, Invalid, MissingBlobs, NotFound, TooLarge};
    let no = [Conflict, Invalid, MissingBlobs, NotFound, TooLarge];
    error.kind().is_none_or(|kind| !no.contains(&kind))
}

/// Whether one of those who have the bytes is one that this worker can ask: so far, a manager of its farm.
fn usable(sources: &[Source]) -> Result<(), Failure> {
    let manager = |source: &Source| {
        source.address.is_empty() || source.identity.is_empty() || source.identity == MANAGER_NAME
    };
    match sources.is_empty() || sources.iter().any(manager) {
        true => Ok(()),
        false => {
            let message = "the job's files are only at places this version of the worker cannot ask: install the \
                           manager's version on the worker";
            Err(Failure::new(FrameErrorKind::Files, message))
        }
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Store(error) => error.into(),
            error => Self::new(FrameErrorKind::Files, error.to_string()),
        }
    }
}
