//! The walk from what is recorded to the blocks it needs.

use std::collections::HashMap;
use std::sync::Arc;

use tessera_blobs::{BlobRef, Digest, Holder, Live, Store, StoreError};
use tessera_model::JobId;
use tessera_state::{BlobRoot, RootKind, State};
use tessera_wire::blob::to_store;

use super::KeepError;

/// Who holds the blocks of uploads under way.
const UPLOADS: Holder = Holder(0);

/// What is wanted, and whose each holder's number is.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) live: Live,
    /// From 1 on, in the order of their numbers.
    holders: Vec<(JobId, RootKind)>,
    numbers: HashMap<(JobId, RootKind), Holder>,
}

/// Whose blocks a holder's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Uploads,
    Job(JobId, RootKind),
}

impl Walked {
    pub(super) fn whose(&self, holder: Holder) -> Option<Whose> {
        match holder.0.checked_sub(1) {
            None => Some(Whose::Uploads),
            Some(index) => {
                let (job, kind) = *self.holders.get(index as usize)?;
                Some(Whose::Job(job, kind))
            }
        }
    }

    fn holder(&mut self, root: &BlobRoot) -> Holder {
        let holders = &mut self.holders;
        *self
            .numbers
            .entry((root.job, root.kind))
            .or_insert_with(|| {
                holders.push((root.job, root.kind));
                Holder(u32::try_from(holders.len()).expect("a farm has far fewer jobs"))
            })
    }

    fn hold(&mut self, store: &Store, root: &BlobRoot) -> Result<(), KeepError> {
        let holder = self.holder(root);
        let blob = to_store(&root.blob);
        match root.kind {
            RootKind::Manifest => self
                .live
                .hold_tree(holder, &blob, |digest| list(store, digest)),
            RootKind::Result | RootKind::Log => {
                self.live.hold(holder, &blob, |digest| list(store, digest))
            }
        }
        .map_err(KeepError::Walk)
    }
}

/// A list or a piece of a manifest. One that is damaged hides what is below it from everybody, until it is sent again.
fn list(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
    match store.get(digest) {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(%error, "what it lists is not known");
            Ok(None)
        }
        other => other,
    }
}

/// Everything that the record names, and these trees of uploads.
pub(super) async fn walk(
    state: &State,
    store: &Arc<Store>,
    pinned: Vec<BlobRef>,
) -> Result<Walked, KeepError> {
    let mut walked = Walked::default();
    let mut roots = state.blob_roots();
    while let Some(batch) = roots.next_batch().await.map_err(KeepError::Record)? {
        walked = blocking(store, move |store| {
            batch.iter().try_for_each(|root| walked.hold(store, root))?;
            Ok(walked)
        })
        .await?;
    }
    blocking(store, move |store| {
        for root in &pinned {
            walked
                .live
                .hold_tree(UPLOADS, root, |digest| list(store, digest))
                .map_err(KeepError::Walk)?;
        }
        Ok(walked)
    })
    .await
}

/// Runs `work` on a thread that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> Result<T, KeepError> + Send + 'static,
) -> Result<T, KeepError> {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || work(&store))
        .await
        .expect("nothing panics over the store")
}
