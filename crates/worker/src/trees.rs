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
use tessera_model::FrameErrorKind;
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

    /// A tree of a slot's own, with the files of the shared one: what is written into it is seen by nobody else. The one before
    /// it goes; [`find`](Self::find) takes away the last one. Blocking.
    pub(crate) fn copy(&self, manifest: &Digest, slot: usize) -> io::Result<PathBuf> {
        let own = self.root.join(format!("slot-{slot}"));
        match std::fs::remove_dir_all(&own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => link_below(&self.of(manifest), &own, false)?,
        }
        Ok(own)
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

/// How the folders begin that Blender keeps simulations in, beside the file.
const CACHE_PREFIX: &str = "blendcache_";

/// Makes the folders of `from` under `to`, with links to its files. Those that are `written` to are copied.
fn link_below(from: &Path, to: &Path, written: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let (old, new) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            let written = written || name.to_string_lossy().starts_with(CACHE_PREFIX);
            link_below(&old, &new, written)?;
        } else if written {
            std::fs::copy(&old, &new)?;
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        } else if std::fs::hard_link(&old, &new).is_err() {
            // Not every file system has links.
            std::fs::copy(&old, &new)?;
        }
    }
    Ok(())
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
        // What came of it fills the disk for nothing: it is the next frame's room.
        let full = |no: &bring::NoTree| matches!(no, bring::NoTree::Failed(failure) if failure.kind == FrameErrorKind::Disk);
        if brought.as_ref().is_err_and(full) {
            self.empty_cache().await;
        }
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
