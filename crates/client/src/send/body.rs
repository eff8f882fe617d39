//! One request body: blocks as they become ready, until it is long enough.
//!
//! A body takes groups from the feed all bodies share, one body at a time, so at any moment one block is on its way and not
//! several: what a cut costs is that block and what the connection's window holds. The next body begins while the manager brings
//! this one to disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tessera_blobs::{Digest, StreamEncoder};
use tokio::sync::{Notify, OwnedMutexGuard, mpsc};
use tokio::time::timeout;

use super::read::{Group, Packed};

/// A body ends after so many bytes, and its blocks count as arrived: as much as one pack of the store holds.
const BODY_BYTES: usize = 16 << 20;

/// Most bytes handed to the connection at once, so that what is counted as sent has been.
const PIECE_BYTES: usize = 64 << 10;

/// Longest that a body waits for more blocks. The manager takes a longer silence for a lost connection.
const LULL: Duration = Duration::from_secs(10);

/// The feed in the hands of the body whose turn it is.
pub(super) type Turn = OwnedMutexGuard<mpsc::Receiver<Group>>;

/// What of a body has gone out. Whether it arrived is known when the body is answered.
#[derive(Debug, Default)]
pub(super) struct Gone {
    blocks: Mutex<Vec<(Digest, usize)>>,
}

impl Gone {
    /// Digests, and bytes before compression.
    pub(super) fn blocks(&self) -> MutexGuard<'_, Vec<(Digest, usize)>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn raw_bytes(&self) -> u64 {
        self.blocks().iter().map(|(_, bytes)| *bytes as u64).sum()
    }
}

struct Body {
    /// None when nothing more is taken.
    turn: Option<Turn>,
    /// None once the end was said.
    encoder: Option<StreamEncoder>,
    blocks: VecDeque<Packed>,
    pieces: VecDeque<Bytes>,
    bytes: usize,
    gone: Arc<Gone>,
    moved: Arc<Notify>,
}

/// The pieces of a body that begins with `first`. `moved` is told of each block.
pub(super) fn body(
    first: Group,
    turn: Turn,
    gone: Arc<Gone>,
    moved: Arc<Notify>,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let encoder = StreamEncoder::new();
    let body = Body {
        turn: Some(turn),
        pieces: VecDeque::from([encoder.header()]),
        encoder: Some(encoder),
        blocks: first.into(),
        bytes: 0,
        gone,
        moved,
    };
    stream::unfold(body, |mut body| async move {
        let piece = body.next().await?;
        Some((piece, body))
    })
}

impl Body {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece);
            }
            if let Some(packed) = self.blocks.pop_front() {
                self.begin(&packed);
                continue;
            }
            if self.bytes >= BODY_BYTES {
                self.turn = None;
            }
            let more = match &mut self.turn {
                // A disk that is slow to read from is no reason to be taken for gone: what is there is brought to its end.
                Some(feed) => timeout(LULL, feed.recv()).await.ok().flatten(),
                None => None,
            };
            match more {
                Some(group) => self.blocks = group.into(),
                None => {
                    self.turn = None;
                    return self.encoder.take().map(StreamEncoder::end);
                }
            }
        }
    }

    fn begin(&mut self, packed: &Packed) {
        let encoder = self.encoder.as_mut().expect("blocks come before the end");
        for mut part in encoder.block(&packed.block) {
            self.bytes += part.len();
            while !part.is_empty() {
                let piece = part.split_to(part.len().min(PIECE_BYTES));
                self.pieces.push_back(piece);
            }
        }
        self.gone
            .blocks()
            .push((packed.block.digest, packed.raw_bytes));
        self.moved.notify_one();
    }
}
