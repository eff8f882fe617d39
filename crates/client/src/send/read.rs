//! Blocks from where they lie to the form in which they travel: one thread reads and verifies, others compress.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};

use tessera_blobs::{Digest, EncodedBlock, Origin, OriginError, ReadError, Store};
use tokio::sync::mpsc;

use super::{BlockSource, SendError};

/// Blocks are handed on in groups of so many bytes: a block of a .blend alone would cost more to hand on than to pack.
const GROUP_BYTES: usize = 1 << 20;

/// Most threads that compress: with more, reading sets the pace.
const PACKERS_MAX: usize = 4;

/// Groups that wait for the network. With those in the hands of the packers it bounds the memory of a transfer: some 20 MB of
/// usual blocks.
const READ_AHEAD: usize = 4;

/// A block ready to travel.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) block: EncodedBlock,
    /// Its bytes before compression.
    pub(super) raw_bytes: usize,
}

/// Blocks that are handed on together.
pub(super) type Group = Vec<Packed>;

/// Where groups are given to the network, and taken for it.
pub(super) fn channel() -> (mpsc::Sender<Group>, mpsc::Receiver<Group>) {
    mpsc::channel(READ_AHEAD)
}

/// Nobody takes blocks any more: the transfer has failed elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the transfer has ended")]
struct Ended;

/// Reads and packs these blocks, until nobody takes them any more. Blocks.
pub(super) fn read(
    source: &BlockSource,
    digests: &[Digest],
    give: &mpsc::Sender<Group>,
) -> Result<(), SendError> {
    match source {
        BlockSource::Origin(origin) => read_origin(origin, digests, give),
        BlockSource::Store(store) => read_store(store, digests, give),
    }
}

fn read_origin(
    origin: &Origin,
    digests: &[Digest],
    give: &mpsc::Sender<Group>,
) -> Result<(), SendError> {
    let packers = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(PACKERS_MAX);
    let (hand, take) = threads::sync_channel::<Vec<(Digest, Vec<u8>)>>(1);
    // Held by the packers alone: once the last of them has ended, nobody takes what is read.
    let take = Arc::new(Mutex::new(take));
    std::thread::scope(|scope| {
        for _ in 0..packers {
            let take = take.clone();
            scope.spawn(move || {
                loop {
                    let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(raw) = next else { return };
                    let group = raw.into_iter().map(|(digest, bytes)| pack(digest, bytes));
                    if give.blocking_send(group.collect()).is_err() {
                        return;
                    }
                }
            });
        }
        drop(take);
        let (mut group, mut group_bytes) = (Vec::new(), 0);
        let read = origin.read(digests, |digest, bytes| {
            group.push((digest, bytes.to_vec()));
            group_bytes += bytes.len();
            if group_bytes < GROUP_BYTES {
                return Ok(());
            }
            group_bytes = 0;
            hand.send(std::mem::take(&mut group)).map_err(|_| Ended)
        });
        match read {
            Ok(()) if group.is_empty() => {}
            // If nobody takes the last one, the reason is known there.
            Ok(()) => {
                let _ = hand.send(group);
            }
            Err(OriginError::Sink { .. }) => {}
            Err(error) => return Err(origin_error(error)),
        }
        // Nothing more comes: the packers end.
        drop(hand);
        Ok(())
    })
}

fn pack(digest: Digest, bytes: Vec<u8>) -> Packed {
    let raw_bytes = bytes.len();
    let block = EncodedBlock::encode_owned(digest, bytes);
    Packed { block, raw_bytes }
}

/// Out of a store blocks come as they travel.
fn read_store(
    store: &Store,
    digests: &[Digest],
    give: &mpsc::Sender<Group>,
) -> Result<(), SendError> {
    let (mut group, mut group_bytes) = (Vec::new(), 0);
    for digest in digests {
        let block = store
            .get_encoded(digest)
            .map_err(|error| SendError::Source(Box::new(error)))?;
        let block = block
            .ok_or_else(|| SendError::Source(Box::new(ReadError::Missing { digest: *digest })))?;
        let raw_bytes = block.bytes.len();
        group_bytes += raw_bytes;
        group.push(Packed { block, raw_bytes });
        if group_bytes >= GROUP_BYTES {
            group_bytes = 0;
            if give.blocking_send(std::mem::take(&mut group)).is_err() {
                return Ok(());
            }
        }
    }
    if !group.is_empty() {
        // As above.
        let _ = give.blocking_send(group);
    }
    Ok(())
}

pub(super) fn origin_error(error: OriginError) -> SendError {
    match error {
        OriginError::Changed { path } => SendError::Changed { path },
        OriginError::Unknown { digest } => SendError::NotKept { digest },
        OriginError::Cut(cut) => SendError::Source(Box::new(cut)),
        OriginError::Sink { source, .. } => SendError::Source(source),
    }
}
