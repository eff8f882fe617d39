//! Blocks from one place.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tessera_blobs::{Digest, EncodedBlock, Store, StoreError};
use tessera_client::{ApiError, BlockStream, ReceiveError};
use tokio::time::{Instant, timeout};

use super::Fetching;
use super::survey::is_for_now;
use crate::peers::{Peer, Trouble};

/// Streams of blocks at once; with [`GROUP_BYTES`] and a block more it bounds the memory of a bringing to 40 MB.
pub(super) const STREAMS_MAX: usize = 8;

/// Bytes that are handed to the store together.
const GROUP_BYTES: usize = 1 << 20;

/// Longest that another worker may take to begin its answer, and for each block of it: the largest one at half a MB in a second.
const BLOCK_WITHIN: Duration = Duration::from_secs(8);

/// The same where this worker's own limit holds up what comes, and others cannot be told slow by it.
const LIMITED_BLOCK_WITHIN: Duration = Duration::from_secs(120);

/// A worker that gives less than this in a second, measured once it had [`BLOCK_WITHIN`], is no help: the manager is in no worse place.
const SLOWEST_BYTES_PER_S: f64 = 256.0 * 1024.0;

/// What came, in blocks, and what did not.
#[derive(Debug, Default)]
pub(super) struct Got {
    pub from_manager: u64,
    pub from_workers: u64,
    pub left: Vec<Digest>,
}

impl Got {
    /// Counts another one in; what that left is not taken over.
    pub(super) fn add(&mut self, other: &Self) {
        self.from_manager += other.from_manager;
        self.from_workers += other.from_workers;
    }
}

/// What ended a fetch before its end.
enum Stop {
    /// The other worker.
    Peer(Trouble, String),
    /// It is well and does not answer just now.
    Later,
    /// What cannot be helped by asking elsewhere.
    Here(ReceiveError),
}

impl Fetching<'_> {
    /// Fetches from another worker, or from the manager. What another worker did not give is left; what the manager did not is gone.
    pub(super) async fn fetch(
        &self,
        peer: Option<&Peer>,
        digests: Vec<Digest>,
    ) -> Result<Got, ReceiveError> {
        let turn = self.streams.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        let mut coming = Coming {
            store: self.store,
            asked: digests.iter().copied().collect(),
            blocks: 0,
            group: Vec::new(),
            group_bytes: 0,
        };
        let Some(peer) = peer else {
            let mut stream = self.api.fetch_blocks(&digests).await?;
            let ended = loop {
                match stream.next().await {
                    Ok(Some(block)) => coming.take(block).await?,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            // Also what came before a cut.
            coming.keep().await?;
            ended?;
            return Ok(Got {
                from_manager: coming.blocks,
                ..Got::default()
            });
        };
        let is_limited = self.crowd.is_limited();
        let stopped = match from_peer(peer, &digests, &mut coming, is_limited).await {
            Ok(()) => None,
            Err(Stop::Here(error)) => return Err(error),
            Err(Stop::Later) => None,
            Err(Stop::Peer(trouble, why)) => Some((trouble, why)),
        };
        if let Some((trouble, why)) = stopped {
            if trouble != Trouble::Wrong {
                // What came before is as good as ever.
                match coming.keep().await.map_err(refused) {
                    Err(Stop::Here(error)) => return Err(error),
                    Ok(()) | Err(Stop::Later | Stop::Peer(..)) => {}
                }
            }
            tracing::warn!(worker = %peer.worker, "a worker is not asked for files for a while: {why}");
            self.crowd.put_aside(peer, trouble);
        }
        // Only what is in the store has come, whatever was said.
        let left = self.store.missing(&digests);
        Ok(Got {
            from_workers: (digests.len() - left.len()) as u64,
            left,
            ..Got::default()
        })
    }
}

async fn from_peer(
    peer: &Peer,
    digests: &[Digest],
    coming: &mut Coming<'_>,
    is_limited: bool,
) -> Result<(), Stop> {
    let began = Instant::now();
    let mut bytes = 0;
    let within = match is_limited {
        true => LIMITED_BLOCK_WITHIN,
        false => BLOCK_WITHIN,
    };
    let mut stream = match timeout(within, peer.api.fetch(digests)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if is_for_now(&error) => return Err(Stop::Later),
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => return Err(Stop::Peer(Trouble::Away, "it does not answer".to_owned())),
    };
    while let Some(block) = next(&mut stream, within).await? {
        bytes += block.bytes.len();
        let digest = block.digest;
        if !coming.asked.contains(&digest) {
            let why = format!("it sent block {digest}, which it was not asked for, or not twice");
            return Err(Stop::Peer(Trouble::Wrong, why));
        }
        coming.take(block).await.map_err(refused)?;
        let time = began.elapsed();
        if !is_limited && time > within && (bytes as f64) < time.as_secs_f64() * SLOWEST_BYTES_PER_S
        {
            let why = format!("it sent {bytes} bytes in {:.0} s", time.as_secs_f64());
            return Err(Stop::Peer(Trouble::Slow, why));
        }
    }
    coming.keep().await.map_err(refused)
}

async fn next(stream: &mut BlockStream, within: Duration) -> Result<Option<EncodedBlock>, Stop> {
    match timeout(within, stream.next()).await {
        Ok(Ok(block)) => Ok(block),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Stop::Peer(Trouble::Slow, "it fell silent".to_owned())),
    }
}

fn failed(error: &ApiError) -> Stop {
    let trouble = match error {
        ApiError::Stream { source, .. }
            if !matches!(source, tessera_blobs::StreamError::Truncated { .. }) =>
        {
            Trouble::Wrong
        }
        _ => Trouble::Away,
    };
    Stop::Peer(trouble, crate::failure::in_full(error))
}

/// Blocks of another worker that are not what they are called are its fault; all else is this one's.
fn refused(error: ReceiveError) -> Stop {
    match &error {
        ReceiveError::Store(StoreError::Block(wrong)) => {
            Stop::Peer(Trouble::Wrong, wrong.to_string())
        }
        _ => Stop::Here(error),
    }
}

/// Blocks on their way into the store.
struct Coming<'a> {
    store: &'a Arc<Store>,
    asked: HashSet<Digest>,
    blocks: u64,
    group: Vec<EncodedBlock>,
    group_bytes: usize,
}

impl Coming<'_> {
    async fn take(&mut self, block: EncodedBlock) -> Result<(), ReceiveError> {
        self.asked.remove(&block.digest);
        self.blocks += 1;
        self.group_bytes += block.bytes.len();
        self.group.push(block);
        match self.group_bytes >= GROUP_BYTES {
            true => self.keep().await,
            false => Ok(()),
        }
    }

    /// Verifies the blocks and puts them into the store.
    async fn keep(&mut self) -> Result<(), ReceiveError> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(self.store);
        let putting = move || group.iter().try_for_each(|block| store.put_encoded(block));
        Ok(tokio::task::spawn_blocking(putting).await??)
    }
}
