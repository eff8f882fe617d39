//! The walk from what is recorded to the blocks it needs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tessera_blobs::{BlobRef, Digest, Group, Holder, Live, Store, StoreError};
use tessera_model::{JobId, UserName};
use tessera_state::{BlobRoot, RootKind, State};
use tessera_wire::blob::to_store;

use super::KeepError;
use crate::engine::{EngineError, EngineHandle};

/// What is wanted, and whose each holder's number is.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) live: Live,
    /// In the order of their numbers, each with its user's group.
    holders: Vec<(Whose, Option<Group>)>,
    numbers: HashMap<Whose, Holder>,
    /// In the order of their groups' numbers.
    users: Vec<UserName>,
    groups: HashMap<UserName, Group>,
    /// Of every job that was met; none if it was removed meanwhile.
    owners: HashMap<JobId, Option<UserName>>,
}

/// Whose blocks a holder's are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// Of an upload that goes on.
    Upload(Option<UserName>),
    Job(JobId, RootKind),
}

impl Walked {
    pub(super) fn whose(&self, holder: Holder) -> Option<&Whose> {
        Some(&self.holders.get(holder.0 as usize)?.0)
    }

    /// Whose jobs and uploads a group's are.
    pub(super) fn user(&self, group: Group) -> Option<&UserName> {
        self.users.get(group.0 as usize)
    }

    pub(super) fn user_of(&self, holder: Holder) -> Option<&UserName> {
        self.user(self.holders.get(holder.0 as usize)?.1?)
    }

    /// The owner of each job, by job.
    pub(super) fn jobs_by_user(&self) -> impl Iterator<Item = &UserName> {
        self.owners.values().flatten()
    }

    fn holder(&mut self, whose: Whose) -> Holder {
        if let Some(known) = self.numbers.get(&whose) {
            return *known;
        }
        let user = match &whose {
            Whose::Upload(user) => user.clone(),
            Whose::Job(job, _) => self.owners.get(job).cloned().flatten(),
        };
        let group = user.map(|user| self.group(user));
        let holder = Holder(number(self.holders.len()));
        if let Some(group) = group {
            self.live.group(holder, group);
        }
        self.holders.push((whose.clone(), group));
        self.numbers.insert(whose, holder);
        holder
    }

    fn group(&mut self, user: UserName) -> Group {
        if let Some(known) = self.groups.get(&user) {
            return *known;
        }
        let group = Group(number(self.users.len()));
        self.users.push(user.clone());
        self.groups.insert(user, group);
        group
    }

    /// Learns whose the jobs of these roots are.
    async fn learn_owners(
        &mut self,
        engine: &EngineHandle,
        roots: &[BlobRoot],
    ) -> Result<(), EngineError> {
        let unknown = |root: &&BlobRoot| !self.owners.contains_key(&root.job);
        let jobs: BTreeSet<JobId> = roots.iter().filter(unknown).map(|root| root.job).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let owners = engine
            .read(move |scheduler, _| {
                let owner = |job| scheduler.job_ref(job).map(|found| found.owner.clone());
                jobs.into_iter()
                    .map(|job| (job, owner(job)))
                    .collect::<Vec<_>>()
            })
            .await?;
        self.owners.extend(owners);
        Ok(())
    }

    fn hold(&mut self, store: &Store, root: &BlobRoot) -> Result<(), KeepError> {
        let holder = self.holder(Whose::Job(root.job, root.kind));
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

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a farm has far fewer jobs and users")
}

/// Everything that the record names, and these trees of uploads, each with its sender if that matters.
pub(super) async fn walk(
    engine: &EngineHandle,
    state: &State,
    store: &Arc<Store>,
    pinned: Vec<(Option<UserName>, BlobRef)>,
) -> Result<Walked, KeepError> {
    let mut walked = Walked::default();
    let mut roots = state.blob_roots();
    while let Some(batch) = roots.next_batch().await.map_err(KeepError::Record)? {
        walked.learn_owners(engine, &batch).await?;
        walked = blocking(store, move |store| {
            batch.iter().try_for_each(|root| walked.hold(store, root))?;
            Ok(walked)
        })
        .await?;
    }
    blocking(store, move |store| {
        for (user, root) in pinned {
            let holder = walked.holder(Whose::Upload(user));
            walked
                .live
                .hold_tree(holder, &root, |digest| list(store, digest))
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
