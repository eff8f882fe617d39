//! One request body: blocks as they become ready, until it is long enough.
//!
//! A body takes groups from the feed all bodies share, one body at a time, so at any moment one block is on its way and not
//! several: what a cut costs is that block and what the connection's window holds. The next body begins while the manager brings
//! this one to disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tessera_blobs::{Digest, StreamEncoder};
use tokio::sync::{Notify, OwnedMutexGuard, mpsc};
use tokio::time::timeout;

use super::read::{Group, Packed};

/// A body ends after so many bytes, and its blocks count as arrived: as much as one pack of the store holds.
const BODY_BYTES: usize = 16 << 20;

/// Most bytes handed to the connection at once, so that what is counted as sent has been.
const PIECE_BYTES: usize = 64 << 10;

/// Smaller pieces are put together up to it: thousands of tiny ones, which small files make, are a flood to HTTP/2, and the
/// other side ends the connection. It is what one frame holds.
const PIECE_MIN_BYTES: usize = 16 << 10;

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
    /// None of them empty.
    pieces: VecDeque<Bytes>,
    pieces_bytes: usize,
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
    let header = encoder.header();
    let body = Body {
        turn: Some(turn),
        pieces_bytes: header.len(),
        pieces: VecDeque::from([header]),
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
            if self.pieces_bytes < PIECE_MIN_BYTES
                && let Some(packed) = self.blocks.pop_front()
            {
                self.begin(&packed);
                continue;
            }
            if let Some(piece) = self.piece() {
                return Some(piece);
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

    /// The next piece, made of several if they are small.
    fn piece(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        self.pieces_bytes -= first.len();
        if first.len() >= PIECE_MIN_BYTES || self.pieces.is_empty() {
            return Some(first);
        }
        let mut piece = BytesMut::with_capacity(PIECE_MIN_BYTES);
        piece.extend_from_slice(&first);
        while piece.len() < PIECE_MIN_BYTES
            && let Some(next) = self.pieces.front_mut()
        {
            let part = next.split_to(next.len().min(PIECE_MIN_BYTES - piece.len()));
            if next.is_empty() {
                self.pieces.pop_front();
            }
            self.pieces_bytes -= part.len();
            piece.extend_from_slice(&part);
        }
        Some(piece.freeze())
    }

    fn begin(&mut self, packed: &Packed) {
        let encoder = self.encoder.as_mut().expect("blocks come before the end");
        for mut part in encoder.block(&packed.block) {
            self.bytes += part.len();
            self.pieces_bytes += part.len();
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
