//! Jobs' files: brought block by block, laid out as trees, removed when they are too many.
//!
//! What is brought, kept and removed is decided by the desk, which never has two errands for one tree at a time. Here
//! each errand is a task: fetch the manifest, fetch the blocks that are missing, lay the tree out. A manager that is
//! away is waited for; a block found damaged has been dropped from the store by whoever found it, and is fetched again.

mod bring;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tessera_blobs::Digest;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::block_cache::BlockCache;
use crate::crew::Crew;
use crate::desk::{Fetch, Input};
use crate::hub::{Hub, TreeErrand};
use crate::uplink::Uplink;

/// Jobs whose files are brought at once: the next one while the present one renders, and one that is small beside one
/// that is large.
const BRINGING_MAX: usize = 3;

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
    pub blocks: Arc<BlockCache>,
    pub trees: TreesDir,
    bringing: Arc<Semaphore>,
    crew: Crew,
}

impl TreeKeeper {
    pub(crate) fn new(
        hub: Arc<Hub>,
        uplink: Uplink,
        blocks: Arc<BlockCache>,
        trees: TreesDir,
        crew: Crew,
    ) -> Self {
        Self {
            hub,
            uplink,
            blocks,
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
        let brought = {
            let permit = self.bringing.acquire().await;
            let _permit = permit.expect("the semaphore is never closed");
            bring::bring(self, fetch, &give_up).await
        };
        // As good as given up for whoever keeps the list of those that come.
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
            Err(bring::NoTree::GivenUp) => Input::TreeAborted(manifest),
            Err(bring::NoTree::Failed(failure)) => Input::TreeFailed {
                manifest,
                kind: failure.kind,
                message: failure.message,
            },
        });
        if self.blocks.is_too_large() {
            self.empty_cache().await;
        }
    }

    /// Empties the cache of blocks, unless another job's files are being brought: then a later one sees to it.
    async fn empty_cache(&self) {
        let blocks = Arc::clone(&self.blocks);
        let emptied = tokio::task::spawn_blocking(move || blocks.empty()).await;
        if let Ok(Err(error)) = emptied {
            tracing::warn!("cannot empty the cache of blocks: {error}");
        }
    }
}
