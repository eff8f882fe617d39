//! One job's files from wherever they are to a tree on disk.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tessera_blobs::{BlobRef, Digest, Manifest, ManifestError, MaterialiseError, Store, TreePath};
use tessera_client::{ApiError, ReceiveError};
use tessera_model::FrameErrorKind;
use tessera_wire::MANAGER_NAME;
use tessera_wire::blob::to_store;
use tessera_wire::link::Source;
use tessera_wire::problem::ProblemKind;
use tokio_util::sync::CancellationToken;

use super::TreeKeeper;
use super::fetch::{Brought, Fetching, Need};
use crate::desk::Fetch;
use crate::failure::{Failure, in_full};
use crate::peers::Crowd;
use crate::uplink::Uplink;

/// Blocks that turned out damaged are fetched anew this often; a disk that goes on like that is broken.
const REPAIRS_MAX: u32 = 3;

/// Why there is no tree.
#[derive(Debug)]
pub(super) enum NoTree {
    GivenUp,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NoTree {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The bytes of the tree once it is there.
pub(super) async fn bring(
    keeper: &TreeKeeper,
    fetch: &Fetch,
    give_up: &CancellationToken,
) -> Result<u64, NoTree> {
    usable(&fetch.sources)?;
    let root = to_store(&fetch.manifest);
    let bringing = Bringing {
        keeper,
        store: Arc::clone(keeper.blocks.store()),
        crowd: Crowd::new(Arc::clone(&keeper.peers), keeper.farm.clone(), root.digest),
        give_up,
    };
    match bringing.tree(root).await {
        Err(NoTree::Failed(failure)) if failure.kind == FrameErrorKind::Disk => {
            keeper.make_all_room(None).await;
            bringing.tree(root).await
        }
        done => done,
    }
}

struct Bringing<'a> {
    keeper: &'a TreeKeeper,
    store: Arc<Store>,
    crowd: Crowd,
    give_up: &'a CancellationToken,
}

impl Bringing<'_> {
    async fn tree(&self, root: BlobRef) -> Result<u64, NoTree> {
        for _ in 0..REPAIRS_MAX {
            self.receive(&[root], Need::Now).await?;
            let Some(manifest) = self.read_manifest(root).await? else {
                continue;
            };
            let manifest = Arc::new(manifest);
            // A tree of a former run needs no blocks.
            if self.keeper.trees.of(&root.digest).exists()
                && self.lay_out(root.digest, &manifest).await?
            {
                return Ok(manifest.total_size());
            }
            let blobs: Vec<BlobRef> = manifest.blobs().copied().collect();
            self.receive(&blobs, Need::Soon).await?;
            if self.lay_out(root.digest, &manifest).await? {
                return Ok(manifest.total_size());
            }
        }
        let message =
            "the job's files were damaged on the worker's disk again and again: check that disk";
        Err(Failure::new(FrameErrorKind::Disk, message).into())
    }

    /// Fetches what is missing of these. A manager that is away is waited for.
    async fn receive(&self, blobs: &[BlobRef], need: Need) -> Result<(), NoTree> {
        let receiving = self.receive_at_last(blobs, need);
        let received = self.give_up.run_until_cancelled(receiving).await;
        Ok(received.ok_or(NoTree::GivenUp)??)
    }

    async fn receive_at_last(&self, blobs: &[BlobRef], need: Need) -> Result<(), ReceiveError> {
        let mut uplink = self.keeper.uplink.clone();
        let mut backoff = Uplink::backoff();
        loop {
            let api = uplink.api().await;
            let fetching = Fetching::new(&api, &self.store, &self.crowd);
            match fetching.bring(blobs, need).await {
                Err(ReceiveError::Api(error)) if may_pass(&error) => {
                    let wait = backoff.wait();
                    tracing::debug!("fetched again in {:.1} s: {error}", wait.as_secs_f64());
                    tokio::time::sleep(wait).await;
                }
                Ok(Brought {
                    from_manager,
                    from_workers,
                }) => {
                    let tree = self.crowd.tree();
                    tracing::debug!(%tree, from_manager, from_workers, "blocks came");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// None if a block of it turned out damaged and has to be fetched again.
    async fn read_manifest(&self, root: BlobRef) -> Result<Option<Manifest>, NoTree> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || read_manifest(&store, root));
        Ok(reading.await.expect("reading a manifest does not panic")?)
    }

    /// False if a block is missing, or was damaged and has been forgotten: it is to be fetched.
    async fn lay_out(&self, digest: Digest, manifest: &Arc<Manifest>) -> Result<bool, NoTree> {
        let (store, manifest) = (Arc::clone(&self.store), Arc::clone(manifest));
        let (root, give_up) = (self.keeper.trees.of(&digest), self.give_up.clone());
        let laying = tokio::task::spawn_blocking(move || {
            let go_on = |_| match give_up.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            tessera_blobs::materialise(&manifest, &store, &root, go_on)?;
            let_blends_be_written(&manifest, &root)
        });
        match laying.await.expect("laying out files does not panic") {
            Ok(()) => Ok(true),
            Err(MaterialiseError::Cancelled { .. }) => Err(NoTree::GivenUp),
            Err(MaterialiseError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// A tree's files are read-only, but absolute paths of linked libraries are made to fit in the .blend files themselves.
fn let_blends_be_written(manifest: &Manifest, root: &Path) -> Result<(), MaterialiseError> {
    use std::os::unix::fs::PermissionsExt;
    let is_blend = |path: &&TreePath| path.as_str().ends_with(".blend");
    for path in manifest.iter().map(|(path, _)| path).filter(is_blend) {
        let path = path.under(root);
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).map_err(|source| MaterialiseError::Io {
            path,
            action: "make writable",
            source,
        })?;
    }
    Ok(())
}

fn read_manifest(store: &Store, root: BlobRef) -> Result<Option<Manifest>, Failure> {
    let error = match Manifest::read(&root, |digest| store.get(digest)) {
        Ok(manifest) => return Ok(Some(manifest)),
        Err(error) => error,
    };
    // A damaged list is found by looking what is missing; damaged data only by reading it, which has just been done.
    if let ManifestError::Read(_) = &error {
        if let Ok(missing) = store.missing_of([&root])
            && !missing.is_empty()
        {
            return Ok(None);
        }
        if store.forget(&root.digest)? {
            return Ok(None);
        }
    }
    let message = format!(
        "the job's list of files cannot be read: {}",
        in_full(&error)
    );
    Err(Failure::new(FrameErrorKind::Files, message))
}

/// Whether asking again can help: it cannot where the manager has understood and said no.
fn may_pass(error: &ApiError) -> bool {
    use ProblemKind::{Conflict, Invalid, MissingBlobs, NotFound, TooLarge};
    let no = [Conflict, Invalid, MissingBlobs, NotFound, TooLarge];
    error.kind().is_none_or(|kind| !no.contains(&kind))
}

/// Whether the manager is among those who have the bytes: others may have them.
fn usable(sources: &[Source]) -> Result<(), Failure> {
    let manager = |source: &Source| {
        source.address.is_empty() || source.identity.is_empty() || source.identity == MANAGER_NAME
    };
    match sources.is_empty() || sources.iter().any(manager) {
        true => Ok(()),
        false => {
            let message = "the job's files are only at places this version of the worker cannot rely on: \
                           install the manager's version on the worker";
            Err(Failure::new(FrameErrorKind::Files, message))
        }
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Store(error) => error.into(),
            ReceiveError::Gone { digest, .. } => {
                let message = format!(
                    "the farm has lost a part of the job's files (block {digest}), as by a damaged disk: send the scene once more with \
                     --force-upload, which sends every file again"
                );
                Self::new(FrameErrorKind::Files, message)
            }
            error => {
                let message = format!("cannot bring the job's files: {}", in_full(&error));
                Self::new(FrameErrorKind::Files, message)
            }
        }
    }
}
