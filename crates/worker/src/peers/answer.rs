//! The two questions: which of these blocks are here, and these blocks.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Json, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use tessera_blobs::{Digest, STREAM_MEDIA_TYPE, Store, StoreError, StreamEncoder};
use tessera_client::WorkerCertificate;
use tessera_wire::api::Digests;
use tessera_wire::peer::{self, ASKED_MAX, Have, Held};
use tessera_wire::problem::{MEDIA_TYPE, Problem, ProblemKind};
use tokio::sync::Semaphore;

use super::book::PeerBook;
use crate::block_cache::BlockCache;

/// Largest question: the hexadecimal digests of [`ASKED_MAX`] blocks, twice.
const QUESTION_MAX_BYTES: usize = ASKED_MAX * 140;

/// Bytes read from the disk together.
const BATCH_BYTES: usize = 512 * 1024;

/// Threads that read for others at once: this machine has frames to render.
const READS_MAX: usize = 2;

/// What questions are answered from.
#[derive(Debug, Clone)]
pub(super) struct Shelves {
    book: Arc<PeerBook>,
    blocks: Arc<BlockCache>,
    reads: Arc<Semaphore>,
}

impl Shelves {
    pub(super) fn new(book: Arc<PeerBook>, blocks: Arc<BlockCache>) -> Self {
        Self {
            book,
            blocks,
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    fn check(&self, certificate: &WorkerCertificate, asked: usize) -> Result<(), Refused> {
        if !self.book.may_ask(certificate) {
            return Err(Refused(Problem::new(
                ProblemKind::NotActive,
                "this worker does not know whether you are still one of the farm",
                "ask the manager",
            )));
        }
        if asked > ASKED_MAX {
            return Err(Refused(Problem::new(
                ProblemKind::TooLarge,
                format!("{asked} digests are too many for one question"),
                format!("ask for at most {ASKED_MAX} at once"),
            )));
        }
        Ok(())
    }
}

/// A question that is not answered.
struct Refused(Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = [(header::CONTENT_TYPE, MEDIA_TYPE)];
        (status, headers, Json(self.0)).into_response()
    }
}

/// What is not one of the two questions is not there.
pub(super) fn router(shelves: Shelves) -> Router {
    Router::new()
        .route(peer::HAVE.path, post(have))
        .route(peer::FETCH.path, post(fetch))
        .layer(DefaultBodyLimit::max(QUESTION_MAX_BYTES))
        .with_state(shelves)
}

async fn have(
    State(shelves): State<Shelves>,
    Extension(certificate): Extension<WorkerCertificate>,
    Json(question): Json<Have>,
) -> Result<Json<Held>, Refused> {
    shelves.check(&certificate, question.digests.len())?;
    let lacking: HashSet<Digest> = {
        let lacking = shelves.blocks.store().missing(&question.digests);
        lacking.into_iter().collect()
    };
    let mut digests = question.digests;
    digests.retain(|digest| !lacking.contains(digest));
    Ok(Json(Held {
        digests,
        coming: shelves.book.is_coming(&question.tree),
    }))
}

/// Blocks as they are on the disk. What is not here is left out; a stream that is cut off is not ended, so it is noticed.
async fn fetch(
    State(shelves): State<Shelves>,
    Extension(certificate): Extension<WorkerCertificate>,
    Json(Digests { digests }): Json<Digests>,
) -> Result<Response, Refused> {
    shelves.check(&certificate, digests.len())?;
    let encoder = StreamEncoder::new();
    let leaving = Leaving {
        shelves,
        first: Some(encoder.header()),
        encoder: Some(encoder),
        digests: digests.into_iter().collect(),
    };
    let pieces = futures_util::stream::try_unfold(leaving, |mut leaving| async move {
        let piece = leaving.next().await?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, leaving)))
    });
    let body = Body::from_stream(pieces);
    Ok(([(header::CONTENT_TYPE, STREAM_MEDIA_TYPE)], body).into_response())
}

/// Blocks on their way out: read in batches, when the receiver has taken those before.
struct Leaving {
    shelves: Shelves,
    first: Option<Bytes>,
    /// None once the end was said.
    encoder: Option<StreamEncoder>,
    digests: VecDeque<Digest>,
}

impl Leaving {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(encoder) = self.encoder.take() else {
            return Ok(None);
        };
        if self.digests.is_empty() {
            return Ok(Some(encoder.end()));
        }
        let digests = std::mem::take(&mut self.digests);
        let turn = self.shelves.reads.acquire().await;
        let turn = turn.map_err(std::io::Error::other)?;
        let store = Arc::clone(self.shelves.blocks.store());
        let reading = tokio::task::spawn_blocking(move || batch(&store, encoder, digests));
        let (piece, encoder, digests) = reading
            .await
            .map_err(std::io::Error::other)?
            .map_err(std::io::Error::other)?;
        drop(turn);
        self.encoder = Some(encoder);
        self.digests = digests;
        self.shelves.book.bandwidth().pay(piece.len()).await;
        Ok(Some(piece))
    }
}

/// The next blocks of a stream, and what is left of it. Blocking.
fn batch(
    store: &Store,
    mut encoder: StreamEncoder,
    mut digests: VecDeque<Digest>,
) -> Result<(Bytes, StreamEncoder, VecDeque<Digest>), StoreError> {
    let mut batch = BytesMut::new();
    while batch.len() < BATCH_BYTES
        && let Some(digest) = digests.pop_front()
    {
        if let Some(block) = store.get_encoded_or_forget(&digest)? {
            for piece in encoder.block(&block) {
                batch.extend_from_slice(&piece);
            }
        }
    }
    Ok((batch.freeze(), encoder, digests))
}
