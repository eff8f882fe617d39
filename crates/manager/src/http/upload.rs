//! Blocks in. They are kept as they arrive, whatever becomes of the rest.
//!
//! A body is taken in by a task of its own. If the connection is cut, what arrived before is in the store all the same, and its
//! sender, once it is back, is told so (`blobs::missing`): a cut costs the block it went through.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use http::StatusCode;
use tessera_blobs::{EncodedBlock, Store, StreamDecoder};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::PutQuery;
use tokio::task::JoinHandle;

use super::access::Sender;
use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::Query;
use super::problem::{Answer, Failure, failure, internal};
use super::store::check_room;

/// Largest body of blocks. A sender splits what is larger.
const PUT_MAX_BYTES: u64 = 1 << 30;

/// Blocks that go to the disk together: the hand-over costs nothing beside them, and what waits in memory is soon in the store.
const BATCH_BYTES: usize = 1 << 20;

/// Batches of one body that are verified and written at once, while the next one arrives: enough that a fast network does not wait
/// for a processor. It bounds the memory of one body to some 8 MB.
const WRITING_MAX: usize = 2;

/// Longest silence in a body: whoever says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of a refused body that are still read, so that its sender hears why.
const DRAIN_MAX_BYTES: u64 = 256 << 20;

/// No thread waits for the network, so a slow sender holds nothing but its own connection.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Query(wish): Query<PutQuery>,
    sender: Sender,
    body: Body,
) -> Answer<StatusCode> {
    let body = Arriving::new(body, PUT_MAX_BYTES);
    let taking = app.tasks.spawn(take(Arc::clone(&app), wish, sender, body));
    taking.await.map_err(|error| internal(&error))?
}

async fn take(
    app: Arc<App>,
    wish: PutQuery,
    sender: Sender,
    mut body: Arriving,
) -> Answer<StatusCode> {
    if let Sender::User(user) = &sender {
        app.keeper.heard(user);
    }
    let kept = match check_room(&app, &sender).await {
        Ok(()) => keep_all(&app, wish, &sender, &mut body).await,
        Err(refused) => Err(refused),
    };
    if kept.is_err() {
        // Read on, so that the answer is heard: a sender that is cut off would only see a broken connection.
        body.drain().await;
    }
    kept.map(|()| StatusCode::NO_CONTENT)
}

/// Everything up to the end, or to where it breaks off: what came before is kept in any case.
async fn keep_all(
    app: &Arc<App>,
    wish: PutQuery,
    sender: &Sender,
    body: &mut Arriving,
) -> Answer<()> {
    let mut keeping = Keeping {
        app,
        wish,
        sender,
        batch: Batch::default(),
        writing: FuturesOrdered::new(),
    };
    let arrived = keeping.arrive(body).await;
    let kept = keeping.finish().await;
    arrived.and(kept)?;
    // Only what is on the disk is acknowledged.
    walk(app, Walk::Short, |store| Ok(store.sync()?)).await
}

/// Blocks that are written together.
#[derive(Default)]
struct Batch {
    blocks: Vec<EncodedBlock>,
    bytes: usize,
}

/// Blocks of one body on their way into the store.
struct Keeping<'a> {
    app: &'a Arc<App>,
    wish: PutQuery,
    sender: &'a Sender,
    batch: Batch,
    writing: FuturesOrdered<JoinHandle<Answer<()>>>,
}

impl Keeping<'_> {
    async fn arrive(&mut self, body: &mut Arriving) -> Answer<()> {
        let mut decoder = StreamDecoder::new();
        while let Some(piece) = body.next().await? {
            decoder.push(&piece);
            while let Some(block) = decoder
                .next_block()
                .map_err(|error| broken(&error.to_string()))?
            {
                self.batch.bytes += block.bytes.len();
                self.batch.blocks.push(block);
                if self.batch.bytes >= BATCH_BYTES {
                    self.write();
                    self.at_most(WRITING_MAX).await?;
                }
            }
        }
        decoder
            .finish()
            .map(|_| ())
            .map_err(|error| broken(&error.to_string()))
    }

    async fn finish(&mut self) -> Answer<()> {
        self.write();
        self.at_most(0).await
    }

    fn write(&mut self) {
        let (batch, wish) = (std::mem::take(&mut self.batch), self.wish);
        if let Sender::User(user) = self.sender {
            self.app.keeper.sent(user, batch.bytes as u64);
        }
        let app = Arc::clone(self.app);
        let put = move |store: &Store| {
            for block in &batch.blocks {
                match wish.repair {
                    true => store.put_repairing(block)?,
                    false => store.put_encoded(block)?,
                }
            }
            Ok(())
        };
        let writing = tokio::spawn(async move { walk(&app, Walk::Short, put).await });
        self.writing.push_back(writing);
    }

    /// Waits until so many batches are left to be written.
    async fn at_most(&mut self, batches: usize) -> Answer<()> {
        while self.writing.len() > batches
            && let Some(written) = self.writing.next().await
        {
            written.map_err(|error| internal(&error))??;
        }
        Ok(())
    }
}

fn broken(why: &str) -> Failure {
    failure(
        ProblemKind::Invalid,
        format!("the body did not arrive whole: {why}"),
        "send it again",
    )
}

/// A body, within its bounds.
pub(super) struct Arriving {
    pieces: BodyDataStream,
    max_bytes: u64,
    pub(super) read_bytes: u64,
}

impl Arriving {
    pub(super) fn new(body: Body, max_bytes: u64) -> Self {
        Self {
            pieces: body.into_data_stream(),
            max_bytes,
            read_bytes: 0,
        }
    }

    pub(super) async fn next(&mut self) -> Answer<Option<Bytes>> {
        let piece = match tokio::time::timeout(SILENCE, self.pieces.next()).await {
            Err(_) => {
                let silence = format!("nothing came for {} s", SILENCE.as_secs());
                return Err(broken(&silence));
            }
            Ok(None) => return Ok(None),
            Ok(Some(piece)) => piece.map_err(|error| broken(&error.to_string()))?,
        };
        self.read_bytes += piece.len() as u64;
        if self.read_bytes > self.max_bytes {
            return Err(failure(
                ProblemKind::TooLarge,
                "the body is too large for one request",
                format!("send at most {} MiB at once", self.max_bytes >> 20),
            ));
        }
        Ok(Some(piece))
    }

    /// Reads to the end and forgets it, as far as that is worth it.
    pub(super) async fn drain(mut self) {
        self.read_bytes = self.max_bytes.saturating_sub(DRAIN_MAX_BYTES);
        while let Ok(Some(_)) = self.next().await {}
    }
}
