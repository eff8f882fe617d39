//! Bringing trees of blocks into a store, until nothing of them is missing. Blocks are kept as they arrive: a cut costs the blocks it
//! went through.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tessera_blobs::{BlobRef, Digest, EncodedBlock, ReadError, Store, StoreError};

use crate::api::{Api, ApiError};

/// Blocks asked for at once: some MB of a .blend, some hundred of a texture.
const ASK_BLOCKS: usize = 256;

/// Requests under way at once: one is received while the other's blocks are verified and written. More would only have more
/// blocks on their way when the link is cut.
const PARALLEL: usize = 2;

/// Bytes that are handed to the store together: the hand-over costs nothing beside them.
const GROUP_BYTES: usize = 1 << 20;

/// How far it is. Totals grow while lists arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiveProgress {
    /// Blocks in the store.
    pub done_blocks: u64,
    /// Blocks to fetch as far as known.
    pub total_blocks: u64,
    /// Bytes of blocks received, as they are on the wire.
    pub wire_bytes: u64,
}

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Blocks fetched.
    pub blocks: u64,
    /// Bytes of all answers.
    pub received_bytes: u64,
}

/// Receiving failed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The manager could not be reached, or said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A reference or list that cannot be right.
    #[error(transparent)]
    Tree(#[from] ReadError),
    /// The manager has not got it either.
    #[error(
        "the manager at {address} no longer has a part of what is to be fetched (block {digest})"
    )]
    Gone {
        /// Address.
        address: String,
        /// One of what it lacks.
        digest: Digest,
    },
    /// A thread of this program failed.
    #[error("the fetching was ended from inside: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// Fetches what `store` lacks of `blobs`; everything is durable when it returns.
///
/// # Errors
/// See [`ReceiveError`]. What has arrived by then stays in the store.
pub async fn receive(
    api: &Api,
    store: &Arc<Store>,
    blobs: &[BlobRef],
    mut progress: impl FnMut(ReceiveProgress),
) -> Result<Received, ReceiveError> {
    let api = api.metered();
    let mut far = ReceiveProgress::default();
    let mut first_round = true;
    let mut tried: Option<Vec<Digest>> = None;
    let mut outing = api.retry().begin();
    'rounds: loop {
        let (looking, wanted) = (store.clone(), blobs.to_vec());
        let missing = tokio::task::spawn_blocking(move || looking.missing_of(&wanted)).await??;
        let digests: Vec<Digest> = missing.iter().copied().collect();
        let Some(&digest) = digests.first() else {
            break;
        };
        // The same question twice: what was asked for did not come.
        if tried.as_ref() == Some(&digests) {
            return Err(ReceiveError::Gone {
                address: api.address().to_owned(),
                digest,
            });
        }
        first_round = false;
        far.total_blocks = far.done_blocks + digests.len() as u64;
        // Collected first: borrowed by a closure, the pieces would keep this future from being `Send`.
        let pieces: Vec<_> = digests
            .chunks(ASK_BLOCKS)
            .map(|piece| fetch_piece(&api, store, piece))
            .collect();
        let mut under_way = stream::iter(pieces).buffer_unordered(PARALLEL);
        while let Some(arrived) = under_way.next().await {
            let blocks = match arrived {
                Ok(blocks) => blocks,
                // What came before the cut is in the store: the next round asks for the rest.
                Err(ReceiveError::Api(error))
                    if error.is_unreachable() && outing.lost(&error).await =>
                {
                    tried = None;
                    continue 'rounds;
                }
                Err(error) => return Err(error),
            };
            outing.back();
            far.done_blocks += blocks;
            far.wire_bytes = api.traffic().received_bytes;
            progress(far);
        }
        drop(under_way);
        tried = Some(digests);
    }
    if !first_round {
        let syncing = store.clone();
        tokio::task::spawn_blocking(move || syncing.sync()).await??;
    }
    Ok(Received {
        blocks: far.done_blocks,
        received_bytes: api.traffic().received_bytes,
    })
}

async fn fetch_piece(
    api: &Api,
    store: &Arc<Store>,
    digests: &[Digest],
) -> Result<u64, ReceiveError> {
    let mut blocks = 0;
    let mut group = Vec::new();
    let mut group_bytes = 0;
    let mut coming = api.fetch_blocks(digests).await?;
    let ended = loop {
        let block = match coming.next().await {
            Ok(Some(block)) => block,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        blocks += 1;
        group_bytes += block.bytes.len();
        group.push(block);
        if group_bytes >= GROUP_BYTES {
            group_bytes = 0;
            keep(store, std::mem::take(&mut group)).await?;
        }
    };
    // Also what came before a cut.
    keep(store, group).await?;
    ended?;
    Ok(blocks)
}

async fn keep(store: &Arc<Store>, group: Vec<EncodedBlock>) -> Result<(), ReceiveError> {
    if group.is_empty() {
        return Ok(());
    }
    let store = store.clone();
    tokio::task::spawn_blocking(move || {
        group.iter().try_for_each(|block| store.put_encoded(block))
    })
    .await??;
    Ok(())
}
