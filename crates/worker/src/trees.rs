//! Jobs' files: brought block by block, laid out as trees, removed when they are too many.
//!
//! What is brought, kept and removed is decided by the desk, which never has two errands for one tree at a time. Here
//! each errand is a task: fetch the manifest, fetch the blocks that are missing, lay the tree out. A manager that is
//! away is waited for; a block found damaged has been dropped from the store by whoever found it, and is fetched again.

mod bring;
mod dir;
mod fetch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tessera_blobs::{BlobRef, Digest};
use tessera_client::WorkerFarm;
use tessera_model::FrameErrorKind;
use tessera_wire::blob::to_store;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::block_cache::{BlockCache, RoomError};
use crate::crew::Crew;
use crate::desk::{Fetch, Input};
use crate::hub::{Hub, TreeErrand};
use crate::peers::PeerBook;
use crate::uplink::Uplink;

pub(crate) use dir::{OwnTree, TreesDir, Writer};

/// Jobs whose files are brought at once: the next one while the present one renders, and one that is small beside one
/// that is large.
const BRINGING_MAX: usize = 3;

/// What every errand needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TreeKeeper {
    pub hub: Arc<Hub>,
    pub uplink: Uplink,
    pub blocks: Arc<BlockCache>,
    pub trees: TreesDir,
    pub peers: Arc<PeerBook>,
    /// Who this worker is among others.
    pub farm: watch::Receiver<WorkerFarm>,
    bringing: Arc<Semaphore>,
    crew: Crew,
}

impl TreeKeeper {
    pub(crate) fn new(
        hub: Arc<Hub>,
        uplink: Uplink,
        blocks: Arc<BlockCache>,
        trees: TreesDir,
        (peers, farm): (Arc<PeerBook>, watch::Receiver<WorkerFarm>),
        crew: Crew,
    ) -> Self {
        Self {
            hub,
            uplink,
            blocks,
            trees,
            peers,
            farm,
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
                TreeErrand::Used(tree) => {
                    let blocks = Arc::clone(&self.blocks);
                    let noting = move || blocks.used(to_store(&tree));
                    let noted = tokio::task::spawn_blocking(noting).await;
                    noted.expect("noting a use does not panic");
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
        let full = |no: &bring::NoTree| matches!(no, bring::NoTree::Failed(failure) if failure.kind == FrameErrorKind::Disk);
        if brought.as_ref().is_err_and(full) {
            // What came of it fills the disk for nothing: it is the next frame's room.
            self.make_all_room(Some(manifest)).await;
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
            self.make_room(BlockCache::make_room, None).await;
        }
    }

    /// Gives back all blocks that no lease needs; also those of one tree, if one is named.
    async fn make_all_room(&self, but: Option<Digest>) {
        self.make_room(BlockCache::make_all_room, but).await;
    }

    async fn make_room(&self, how: MakeRoom, but: Option<Digest>) {
        let blocks = Arc::clone(&self.blocks);
        let mut needed: Vec<BlobRef> = self.hub.needed_trees().iter().map(to_store).collect();
        needed.retain(|tree| Some(tree.digest) != but);
        let stop = self.crew.end().clone();
        let making = tokio::task::spawn_blocking(move || how(&blocks, &needed, &stop));
        if let Err(error) = making.await.expect("making room does not panic") {
            tracing::warn!("cannot make room in the cache of blocks: {error}");
        }
    }
}

type MakeRoom = fn(&BlockCache, &[BlobRef], &CancellationToken) -> Result<(), RoomError>;
