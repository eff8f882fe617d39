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

    fn own(&self, slot: usize) -> PathBuf {
        self.root.join(format!("slot-{slot}"))
    }

    /// Makes a tree of a slot's own with the files of the shared one: what is done to it is seen by nobody else. The one before
    /// it goes. Told to stop, it ends as interrupted, after the file at hand. Blocking.
    pub(crate) fn make_own(
        &self,
        manifest: &Digest,
        slot: usize,
        writer: Writer,
        stop: &CancellationToken,
    ) -> io::Result<OwnTree> {
        self.remove_own(slot)?;
        let path = self.own(slot);
        let copied = copy_below(&self.of(manifest), &path, writer == Writer::Scripts, stop);
        if copied.is_err() {
            // Half of it is of use to nobody, least of all on a full disk.
            let _ = self.remove_own(slot);
        }
        copied.map(|bytes| OwnTree { path, bytes })
    }

    /// Removes a slot's own tree if there is one; [`find`](Self::find) does so to those of a former run. Blocking.
    pub(crate) fn remove_own(&self, slot: usize) -> io::Result<()> {
        match std::fs::remove_dir_all(self.own(slot)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
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

/// A tree that one slot has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnTree {
    pub path: PathBuf,
    /// Of its files, but for those it shares.
    pub bytes: u64,
}

/// Who writes into a tree, which decides what of it may be shared. That files are read-only is no bar: scripts can change that,
/// and to root it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Blender's simulations, which write their caches.
    Simulation,
    /// Scripts of the file: anything anywhere.
    Scripts,
}

/// How the folders begin that simulations keep their caches in, beside the file: particles, cloth and soft bodies in the one,
/// fluids in the other, unless the file says otherwise.
const CACHE_PREFIXES: [&str; 2] = ["blendcache_", "cache_fluid"];

/// How the files end that simulations write wherever the file says; and .blend files, in which paths are made to fit the tree.
const WRITTEN_EXTENSIONS: [&str; 6] = ["bphys", "uni", "vdb", "gz", "raw", "blend"];

/// Makes the folders of `from` under `to`, with copies of what may be `written` to and links to all else. The bytes copied.
fn copy_below(from: &Path, to: &Path, written: bool, stop: &CancellationToken) -> io::Result<u64> {
    std::fs::create_dir(to)?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(from)? {
        if stop.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let entry = entry?;
        let name = entry.file_name();
        let (old, new) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            let name = name.to_string_lossy();
            let cache = CACHE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            bytes += copy_below(&old, &new, written || cache, stop)?;
        } else if written || is_written(&old) || std::fs::hard_link(&old, &new).is_err() {
            // Not every file system has links. One that can share blocks until they are written to does so here.
            bytes += std::fs::copy(&old, &new)?;
            let_be_written(&new)?;
        }
    }
    Ok(bytes)
}

fn is_written(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    WRITTEN_EXTENSIONS
        .iter()
        .any(|written| extension.eq_ignore_ascii_case(written))
}

fn let_be_written(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)?.permissions().mode();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o600))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_an_own_tree_is_not_done_to_the_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        let trees = TreesDir::new(dir.path().join("trees"));
        let manifest = Digest::of(b"manifest");
        let shared = trees.of(&manifest).join("home/u");
        let files = [
            ("a.blend", true),
            ("texture.png", false),
            ("blendcache_a/0001.png", true),
            ("sim/noise/0001.VDB", true),
        ];
        for (name, _) in files {
            let path = shared.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "shared").unwrap();
        }
        let mut paths = Vec::new();
        let go_on = CancellationToken::new();
        for (slot, writer) in [(0, Writer::Simulation), (1, Writer::Scripts)] {
            let own = trees.make_own(&manifest, slot, writer, &go_on).unwrap();
            let copied = files.map(|(_, written)| written || writer == Writer::Scripts);
            let count = copied.iter().filter(|copied| **copied).count();
            assert_eq!(own.bytes, 6 * count as u64);
            for ((name, _), copied) in files.iter().zip(copied) {
                if copied {
                    std::fs::write(own.path.join("home/u").join(name), "other").unwrap();
                }
                let left = std::fs::read_to_string(shared.join(name)).unwrap();
                assert_eq!(left, "shared", "{name}");
            }
            paths.push(own.path);
        }
        // Made anew, it is as the shared one is.
        let own = trees
            .make_own(&manifest, 1, Writer::Simulation, &go_on)
            .unwrap();
        let text = std::fs::read_to_string(own.path.join("home/u/a.blend")).unwrap();
        assert_eq!(text, "shared");
        trees.remove_own(1).unwrap();
        trees.remove_own(1).unwrap();
        assert!(paths[0].exists() && !paths[1].exists());
        // One that is stopped leaves nothing.
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = trees.make_own(&manifest, 1, Writer::Scripts, &stop);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(!paths[1].exists());
        // And of a former run nothing is left.
        let found: Vec<Digest> = trees
            .find()
            .unwrap()
            .into_iter()
            .map(|(of, _)| of)
            .collect();
        assert_eq!(found, [manifest]);
        assert!(!paths[0].exists());
    }
}
