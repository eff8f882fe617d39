//! Bringing blocks from wherever they are: other workers first, the manager for what nobody else will have.
//!
//! When many workers begin the same job at one moment, none of them has anything. So each block has one *bringer* among those that
//! know each other, by a rank that all of them work out alike: it fetches the block from the manager, and the others wait for it and
//! take it from there. Who comes later finds everything at others.
//!
//! It goes in *laps* over what is missing. Each lap takes some pieces of it; for each piece all others are asked what they have, then
//! blocks are fetched from those that have them, from the manager what this worker is the bringer of, and the rest is left for a later
//! lap. So nothing depends on what anybody promised: who does not answer, or is not bringing this tree, is nobody's bringer, and its
//! blocks are somebody else's from the next piece on. If what is waited for comes too slowly all the same, some of it is fetched from
//! the manager, and then more.
//!
//! Lists of blocks are not waited for: without them nobody knows what to ask for.

mod lap;
mod source;
mod survey;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tessera_blobs::{BlobRef, Digest, Store};
use tessera_client::{Api, ReceiveError};
use tessera_model::WorkerId;
use tokio::sync::Semaphore;

use crate::peers::Crowd;
use lap::{Pace, Piece, pieces};
use source::{Got, STREAMS_MAX};

/// Pieces under way at once.
const LANES: usize = 4;

/// Whether a block that others bring is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// No: others follow from it.
    Now,
    Soon,
}

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Brought {
    pub from_manager: u64,
    pub from_workers: u64,
}

/// One bringing of some blocks.
pub(super) struct Fetching<'a> {
    api: &'a Api,
    store: &'a Arc<Store>,
    crowd: &'a Crowd,
    streams: Semaphore,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(api: &'a Api, store: &'a Arc<Store>, crowd: &'a Crowd) -> Self {
        Self {
            api,
            store,
            crowd,
            streams: Semaphore::new(STREAMS_MAX),
        }
    }

    /// Brings what the store lacks of `blobs`; everything is durable when it returns.
    ///
    /// # Errors
    /// What the manager or the store said. What others do wrong is no error. What has arrived by then stays in the store.
    pub(super) async fn bring(
        &self,
        blobs: &[BlobRef],
        need: Need,
    ) -> Result<Brought, ReceiveError> {
        let mut brought = Brought::default();
        let mut tried: Option<Vec<Digest>> = None;
        loop {
            let (looking, wanted) = (Arc::clone(self.store), blobs.to_vec());
            let missing =
                tokio::task::spawn_blocking(move || looking.missing_of(&wanted)).await??;
            let (digests, need) = match missing.lists.is_empty() {
                true => (missing.data, need),
                false => (missing.lists, Need::Now),
            };
            let Some(&digest) = digests.first() else {
                break;
            };
            // The same question twice: what was asked for did not come.
            if tried.as_ref() == Some(&digests) {
                return Err(ReceiveError::Gone {
                    address: self.api.address().to_owned(),
                    digest,
                });
            }
            let got = self.laps(digests.clone(), need).await?;
            brought.from_manager += got.from_manager;
            brought.from_workers += got.from_workers;
            tried = Some(digests);
        }
        if brought != Brought::default() {
            let syncing = Arc::clone(self.store);
            tokio::task::spawn_blocking(move || syncing.sync()).await??;
        }
        Ok(brought)
    }

    async fn laps(&self, mut left: Vec<Digest>, need: Need) -> Result<Got, ReceiveError> {
        let mut whole = Got::default();
        let mut pace = Pace::new();
        while !left.is_empty() {
            let peers = self.crowd.peers();
            let (pieces, rest) = pieces(left, self.crowd.me(), &peers, pace.spare());
            let got = self.lap(pieces, need).await?;
            whole.add(&got);
            left = rest;
            left.extend_from_slice(&got.left);
            if !left.is_empty() {
                pace.lap(&got).await;
            }
        }
        Ok(whole)
    }

    async fn lap(&self, pieces: Vec<Piece>, need: Need) -> Result<Got, ReceiveError> {
        // Collected first: borrowed by a closure, the pieces would keep this future from being `Send`.
        let fetches: Vec<_> = pieces
            .into_iter()
            .map(|piece| self.piece(piece, need))
            .collect();
        let mut under_way = stream::iter(fetches).buffer_unordered(LANES);
        let mut got = Got::default();
        while let Some(piece) = under_way.next().await {
            let piece = piece?;
            got.add(&piece);
            got.left.extend(piece.left);
        }
        Ok(got)
    }

    async fn piece(&self, piece: Piece, need: Need) -> Result<Got, ReceiveError> {
        // Those of this moment: one that was found wanting in this lap is not asked again in it.
        let peers = self.crowd.peers();
        let survey = survey::ask(self.crowd, &peers, &piece.digests).await;
        let mut at_peers: Vec<Vec<Digest>> = vec![Vec::new(); peers.len()];
        let mut at_manager = Vec::new();
        let mut got = Got::default();
        for digest in piece.digests {
            let holder = survey
                .holders(&digest)
                .min_by_key(|at| (at_peers[*at].len(), rank(peers[*at].worker, &digest)));
            match holder {
                Some(at) => at_peers[at].push(digest),
                None if need == Need::Now
                    || piece.spare
                    || survey.is_bringer(self.crowd.me(), &digest) =>
                {
                    at_manager.push(digest);
                }
                None => got.left.push(digest),
            }
        }
        let mut fetches: Vec<_> = at_peers
            .into_iter()
            .zip(&peers)
            .filter(|(digests, _)| !digests.is_empty())
            .map(|(digests, peer)| self.fetch(Some(peer), digests))
            .collect();
        if !at_manager.is_empty() {
            fetches.push(self.fetch(None, at_manager));
        }
        for fetched in futures_util::future::join_all(fetches).await {
            let fetched = fetched?;
            got.add(&fetched);
            got.left.extend(fetched.left);
        }
        Ok(got)
    }
}

/// How much a block is a worker's: of some workers the one with the highest rank is the block's bringer. Digests are as good as
/// random, so every worker has its share, and it hardly changes when one comes or goes.
fn rank(worker: WorkerId, digest: &Digest) -> u64 {
    let first = digest
        .as_bytes()
        .first_chunk()
        .expect("a digest has 32 bytes");
    let mut mixed =
        u64::from_le_bytes(*first) ^ u64::from(worker.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
