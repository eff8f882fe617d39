//! Sending what a manager lacks of some trees of blocks, and nothing else.
//!
//! The manager walks the lists it has and names what is lacking; that is sent and the question asked again, until nothing is
//! lacking. So what a question costs follows what is new, and a transfer that was cut goes on where it was.
//! Blocks are read and packed on a blocking thread and sent by a few requests at once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tessera_blobs::{
    BlobRef, BoxError, Digest, EncodedBlock, Origin, OriginError, ReadError, Store, missing_blocks,
};
use tessera_wire::api::{TREES_MAX, Trees};
use tessera_wire::blob::to_model;
use tokio::sync::mpsc;

use crate::api::{Api, ApiError};

/// Bytes of one request: large enough that its round trip does not count, small enough that a cut costs little.
const BATCH_BYTES: usize = 4 << 20;

/// Blocks of one request, for scenes of small ones.
const BATCH_BLOCKS: usize = 1024;

/// Requests under way at once: enough to fill a gigabit over a millisecond's distance while one of them is being synced to disk.
const PARALLEL: usize = 4;

/// Batches that wait between reading and sending. With [`PARALLEL`] it bounds the memory of a transfer to some 30 MB.
const READ_AHEAD: usize = 2;

/// Questions of one transfer. A tree has at most eight levels of lists and a manifest above; an answer that is full
/// ([`NEEDED_MAX`](tessera_wire::api::NEEDED_MAX)) costs one more for each 65,536 blocks.
const ROUNDS_MAX: usize = 10_000;

/// Where blocks are read.
#[derive(Debug, Clone)]
pub enum BlockSource {
    /// Files where they lie.
    Origin(Arc<Origin>),
    /// A store of blocks.
    Store(Arc<Store>),
}

/// Whether the manager is asked what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Asked before sending.
    First,
    /// Not asked: everything is sent. For small things that are certainly new, a round trip less.
    Never,
}

/// What a transfer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Blocks sent, lists included.
    pub blocks: u64,
    /// Their bytes before compression.
    pub raw_bytes: u64,
    /// Bytes of all request bodies: questions, lists and blocks.
    pub sent_bytes: u64,
    /// Bytes of all answers.
    pub received_bytes: u64,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendProgress {
    /// Bytes of bodies sent so far, as they are on the wire.
    pub sent_bytes: u64,
    /// Bytes of blocks that have arrived, before compression.
    pub done_bytes: u64,
    /// Bytes of blocks to send as far as known, before compression. Grows while lists are being sent.
    pub total_bytes: u64,
}

/// Sending failed.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The manager could not be reached, or said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file changed after it was read.
    #[error("{} changed while it was being sent: save it and try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read any more.
    #[error("{} could not be read while it was being sent: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        reason: String,
    },
    /// The blocks cannot be read where they should be.
    #[error("what is to be sent cannot be read: {0}")]
    Source(BoxError),
    /// The manager asks for what it was sent before, or for what was never offered.
    #[error("the manager does not keep what it is sent (block {digest}): see its log")]
    NotKept {
        /// A block it asks for again.
        digest: Digest,
    },
    /// More trees than one question holds.
    #[error("{count} files are too many for one transfer (at most {TREES_MAX})")]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// Sends what the manager lacks of `manifests` with their files, and of the files `blobs`.
///
/// # Errors
/// See [`SendError`]. What has arrived by then stays there.
pub async fn send(
    api: &Api,
    source: &BlockSource,
    manifests: &[BlobRef],
    blobs: &[BlobRef],
    ask: Ask,
    mut progress: impl FnMut(SendProgress),
) -> Result<Sent, SendError> {
    let api = api.metered();
    let trees = Trees {
        manifests: manifests.iter().map(to_model).collect(),
        blobs: blobs
            .iter()
            .filter(|blob| !blob.is_empty())
            .map(to_model)
            .collect(),
    };
    let count = trees.manifests.len() + trees.blobs.len();
    if count > TREES_MAX {
        return Err(SendError::TooMany { count });
    }
    let mut transfer = Transfer {
        api: &api,
        source,
        sent: Sent::default(),
        total_bytes: 0,
    };
    if ask == Ask::Never {
        let all = every_block(source, manifests.iter().chain(blobs).copied().collect()).await?;
        transfer.blocks(all, &mut progress).await?;
    } else if count > 0 {
        transfer.needed(&trees, &mut progress).await?;
    }
    let traffic = api.traffic();
    Ok(Sent {
        sent_bytes: traffic.sent_bytes,
        received_bytes: traffic.received_bytes,
        ..transfer.sent
    })
}

struct Transfer<'a> {
    api: &'a Api,
    source: &'a BlockSource,
    sent: Sent,
    total_bytes: u64,
}

impl Transfer<'_> {
    async fn needed(
        &mut self,
        trees: &Trees,
        progress: &mut impl FnMut(SendProgress),
    ) -> Result<(), SendError> {
        let mut given = HashSet::new();
        for _ in 0..ROUNDS_MAX {
            let needed = self.api.blobs_needed(trees).await?;
            if needed.is_empty() {
                return Ok(());
            }
            let fresh: Vec<_> = needed
                .iter()
                .copied()
                .filter(|digest| given.insert(*digest))
                .collect();
            if fresh.is_empty() {
                return Err(SendError::NotKept { digest: needed[0] });
            }
            self.blocks(fresh, progress).await?;
        }
        Err(SendError::Source("the manager asks without an end".into()))
    }

    /// Reads, packs and sends these blocks; they are durable at the manager when it returns.
    async fn blocks(
        &mut self,
        digests: Vec<Digest>,
        progress: &mut impl FnMut(SendProgress),
    ) -> Result<(), SendError> {
        if let BlockSource::Origin(origin) = self.source {
            self.total_bytes += digests
                .iter()
                .filter_map(|digest| origin.block_len(digest))
                .map(|len| len as u64)
                .sum::<u64>();
        }
        let (give, mut take) = mpsc::channel(READ_AHEAD);
        let source = self.source.clone();
        let reading = tokio::task::spawn_blocking(move || read_batches(&source, &digests, &give));
        let mut under_way = FuturesUnordered::new();
        let mut outcome = Ok(());
        let mut more = true;
        while more || !under_way.is_empty() {
            tokio::select! {
                batch = take.recv(), if more && under_way.len() < PARALLEL => match batch {
                    Some(batch) => under_way.push(put(self.api, batch)),
                    None => more = false,
                },
                Some(done) = under_way.next() => match done {
                    Ok(batch) => {
                        self.sent.blocks += batch.blocks.len() as u64;
                        self.sent.raw_bytes += batch.raw_bytes;
                        self.total_bytes = self.total_bytes.max(self.sent.raw_bytes);
                        progress(SendProgress { sent_bytes: self.api.traffic().sent_bytes, done_bytes: self.sent.raw_bytes, total_bytes: self.total_bytes });
                    }
                    Err(error) => {
                        outcome = Err(error);
                        break;
                    }
                },
            }
        }
        drop(under_way);
        // A reader that finds nobody to take its batch ends.
        drop(take);
        let read = reading
            .await
            .map_err(|panic| SendError::Source(Box::new(panic)))?;
        outcome?;
        read
    }
}

struct Batch {
    blocks: Vec<EncodedBlock>,
    raw_bytes: u64,
}

async fn put(api: &Api, batch: Batch) -> Result<Batch, SendError> {
    api.put_blocks(&batch.blocks).await?;
    Ok(batch)
}

/// Nobody takes batches any more: the transfer has failed elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the transfer has ended")]
struct Ended;

fn read_batches(
    source: &BlockSource,
    digests: &[Digest],
    give: &mpsc::Sender<Batch>,
) -> Result<(), SendError> {
    let mut batch = Batch {
        blocks: Vec::new(),
        raw_bytes: 0,
    };
    let mut packed_bytes = 0;
    let mut add = |block: Option<(EncodedBlock, usize)>| -> Result<(), Ended> {
        let last = block.is_none();
        if let Some((block, raw_bytes)) = block {
            packed_bytes += block.bytes.len();
            batch.raw_bytes += raw_bytes as u64;
            batch.blocks.push(block);
        }
        if packed_bytes >= BATCH_BYTES
            || batch.blocks.len() >= BATCH_BLOCKS
            || (last && !batch.blocks.is_empty())
        {
            packed_bytes = 0;
            let full = std::mem::replace(
                &mut batch,
                Batch {
                    blocks: Vec::new(),
                    raw_bytes: 0,
                },
            );
            give.blocking_send(full).map_err(|_| Ended)?;
        }
        Ok(())
    };
    match source {
        BlockSource::Origin(origin) => {
            match origin.read(digests, |_, bytes| {
                add(Some((EncodedBlock::encode(bytes), bytes.len())))
            }) {
                Ok(()) => {}
                Err(OriginError::Sink { .. }) => return Ok(()),
                Err(error) => return Err(origin_error(error)),
            }
        }
        BlockSource::Store(store) => {
            for digest in digests {
                let block = store
                    .get_encoded(digest)
                    .map_err(|error| SendError::Source(Box::new(error)))?;
                let block = block.ok_or_else(|| {
                    SendError::Source(Box::new(ReadError::Missing { digest: *digest }))
                })?;
                let raw_bytes = block.bytes.len();
                if add(Some((block, raw_bytes))).is_err() {
                    return Ok(());
                }
            }
        }
    }
    // If nobody takes the last one, the reason is known there.
    let _ = add(None);
    Ok(())
}

fn origin_error(error: OriginError) -> SendError {
    match error {
        OriginError::Changed { path } => SendError::Changed { path },
        OriginError::Unknown { digest } => SendError::NotKept { digest },
        OriginError::Cut(cut) => SendError::Source(Box::new(cut)),
        OriginError::Sink { source, .. } => SendError::Source(source),
    }
}

/// Every block below `blobs`, data before the lists that name them.
async fn every_block(source: &BlockSource, blobs: Vec<BlobRef>) -> Result<Vec<Digest>, SendError> {
    let source = source.clone();
    let walk = move || -> Result<Vec<Digest>, SendError> {
        let mut all = Vec::new();
        let mut visit = |digest: &Digest| {
            all.push(*digest);
            true
        };
        let walked = match &source {
            BlockSource::Store(store) => {
                missing_blocks(&blobs, &mut visit, |digest: &Digest| store.get(digest))
            }
            BlockSource::Origin(origin) => missing_blocks(&blobs, &mut visit, |digest: &Digest| {
                let mut found = None;
                origin.read(&[*digest], |_, bytes| {
                    found = Some(bytes.to_vec());
                    Ok::<_, BoxError>(())
                })?;
                Ok::<_, OriginError>(found)
            }),
        };
        walked.map_err(|error| SendError::Source(Box::new(error)))?;
        all.reverse();
        let mut seen = HashSet::new();
        all.retain(|digest| seen.insert(*digest));
        Ok(all)
    };
    tokio::task::spawn_blocking(walk)
        .await
        .map_err(|panic| SendError::Source(Box::new(panic)))?
}
