//! Blocks in and out, by digest. What they mean is nobody's business here.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{StatusCode, header};
use tessera_blobs::{
    BlobRef, Digest, EncodedBlock, Manifest, ManifestError, STREAM_MEDIA_TYPE, Store, StoreError,
    StreamDecoder, StreamEncoder,
};
use tessera_wire::api::{DIGESTS_MAX, Digests, NEEDED_MAX, TREES_MAX, Trees};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;
use tokio::task::JoinHandle;

use super::access::Sender;
use super::app::App;
use super::extract::Json;
use super::problem::{Answer, Failure, failure, internal};
use super::store::check_room;

/// Largest body of blocks. A sender splits what is larger; an interrupted one then has less to send again.
const PUT_MAX_BYTES: u64 = 1 << 30;

/// Blocks that go to or come from the disk together: a megabyte or a few, so that the hand-over costs nothing beside them.
const BATCH_BYTES: usize = 2 << 20;

/// Longest silence in a body: whoever says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of a refused body that are still read, so that its sender hears why.
const DRAIN_MAX_BYTES: u64 = 256 << 20;

/// What a walk over the store ends in.
pub(super) type StoreWalk<T> = Result<T, Failure>;

/// How long a walk over the store may take. The long ones wait for each other, the short ones never for a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// Some megabytes or the files of one frame.
    Short,
    /// Every file of a scene.
    Long,
}

/// Runs `work` on a blocking thread, few at a time.
pub(super) async fn walk<T: Send + 'static>(
    app: &App,
    walk: Walk,
    work: impl FnOnce(&Store) -> StoreWalk<T> + Send + 'static,
) -> StoreWalk<T> {
    let turns = match walk {
        Walk::Short => &app.short_walks,
        Walk::Long => &app.long_walks,
    };
    let _turn = turns.acquire().await.map_err(|error| internal(&error))?;
    let store = Arc::clone(&app.store);
    tokio::task::spawn_blocking(move || work(&store))
        .await
        .map_err(|error| internal(&error))?
}

fn check_count(digests: &[Digest]) -> Answer<()> {
    if digests.len() <= DIGESTS_MAX {
        return Ok(());
    }
    Err(failure(
        ProblemKind::TooLarge,
        format!("{} digests are too many for one request", digests.len()),
        format!("ask for at most {DIGESTS_MAX} at once"),
    ))
}

pub(super) async fn missing(
    State(app): State<Arc<App>>,
    Json(Digests { digests }): Json<Digests>,
) -> Answer<Json<Digests>> {
    check_count(&digests)?;
    let digests = walk(&app, Walk::Short, move |store| Ok(store.missing(&digests))).await?;
    Ok(Json(Digests { digests }))
}

/// What is lacking of whole trees, as far down as the lists that are here tell.
pub(super) async fn needed(
    State(app): State<Arc<App>>,
    sender: Sender,
    Json(trees): Json<Trees>,
) -> Answer<Json<Digests>> {
    let count = trees.manifests.len() + trees.blobs.len();
    if count > TREES_MAX {
        return Err(failure(
            ProblemKind::TooLarge,
            format!("{count} trees are too many for one request"),
            format!("ask for at most {TREES_MAX} at once"),
        ));
    }
    if let Sender::User(user) = &sender {
        app.keeper.uploads(user, &trees.manifests);
    }
    let digests = walk(&app, Walk::Long, move |store| needed_of(store, &trees)).await?;
    if !digests.is_empty() {
        check_room(&app, &sender).await?;
    }
    Ok(Json(Digests { digests }))
}

fn needed_of(store: &Store, trees: &Trees) -> StoreWalk<Vec<Digest>> {
    let blobs: Vec<BlobRef> = trees.blobs.iter().map(to_store).collect();
    let mut lacking = store.missing_of(&blobs)?;
    for manifest in trees.manifests.iter().map(to_store) {
        let mut below = store.missing_of([&manifest])?;
        if below.is_empty() {
            let tree = read_manifest(store, &manifest)?;
            below = store.missing_of(tree.blobs())?;
        }
        lacking.lists.extend(below.lists);
        lacking.data.extend(below.data);
    }
    // Lists first: what they name can be asked for only once they are here.
    let mut seen = HashSet::new();
    let mut digests: Vec<Digest> = lacking.iter().copied().collect();
    digests.retain(|digest| seen.insert(*digest));
    digests.truncate(NEEDED_MAX);
    Ok(digests)
}

/// A manifest that is whole in the store.
pub(super) fn read_manifest(store: &Store, manifest: &BlobRef) -> StoreWalk<Manifest> {
    Manifest::read(manifest, |digest| store.get(digest)).map_err(|error| match error {
        ManifestError::Read(error) => error.into(),
        other => failure(
            ProblemKind::Invalid,
            format!("the file tree cannot be read: {other}"),
            "",
        ),
    })
}

/// Blocks that arrive are kept in batches, one being written while the next one arrives. No thread waits for the network,
/// so a slow sender holds nothing but its own connection.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    sender: Sender,
    body: Body,
) -> Answer<StatusCode> {
    if let Sender::User(user) = &sender {
        app.keeper.heard(user);
    }
    let mut body = Arriving {
        pieces: body.into_data_stream(),
        read_bytes: 0,
    };
    let kept = match check_room(&app, &sender).await {
        Ok(()) => keep_all(&app, &mut body).await,
        Err(refused) => Err(refused),
    };
    if kept.is_err() {
        // Read on, so that the answer is heard: a sender that is cut off would only see a broken connection.
        body.drain().await;
    }
    kept.map(|()| StatusCode::NO_CONTENT)
}

async fn keep_all(app: &Arc<App>, body: &mut Arriving) -> Answer<()> {
    let mut decoder = StreamDecoder::new();
    let mut batch = Batch::default();
    let mut writing: Option<JoinHandle<Answer<()>>> = None;
    while let Some(piece) = body.next().await? {
        decoder.push(&piece);
        while let Some(block) = decoder
            .next_block()
            .map_err(|error| broken(&error.to_string()))?
        {
            batch.bytes += block.bytes.len();
            batch.blocks.push(block);
            if batch.bytes >= BATCH_BYTES {
                written(writing.take()).await?;
                writing = Some(write(app, std::mem::take(&mut batch)));
            }
        }
    }
    decoder
        .finish()
        .map_err(|error| broken(&error.to_string()))?;
    written(writing.take()).await?;
    written(Some(write(app, batch))).await?;
    // Only what is on the disk is acknowledged.
    walk(app, Walk::Short, |store| Ok(store.sync()?)).await
}

/// Blocks that are written together.
#[derive(Default)]
struct Batch {
    blocks: Vec<EncodedBlock>,
    bytes: usize,
}

fn write(app: &Arc<App>, batch: Batch) -> JoinHandle<Answer<()>> {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let put = move |store: &Store| {
            let mut blocks = batch.blocks.iter();
            Ok(blocks.try_for_each(|block| store.put_encoded(block))?)
        };
        walk(&app, Walk::Short, put).await
    })
}

async fn written(writing: Option<JoinHandle<Answer<()>>>) -> Answer<()> {
    match writing {
        Some(writing) => writing.await.map_err(|error| internal(&error))?,
        None => Ok(()),
    }
}

fn broken(why: &str) -> Failure {
    failure(
        ProblemKind::Invalid,
        format!("the blocks did not arrive whole: {why}"),
        "send them again",
    )
}

/// A body, within its bounds.
struct Arriving {
    pieces: BodyDataStream,
    read_bytes: u64,
}

impl Arriving {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        let piece = match tokio::time::timeout(SILENCE, self.pieces.next()).await {
            Err(_) => {
                let silence = format!("nothing came for {} s", SILENCE.as_secs());
                return Err(broken(&silence));
            }
            Ok(None) => return Ok(None),
            Ok(Some(piece)) => piece.map_err(|error| broken(&error.to_string()))?,
        };
        self.read_bytes += piece.len() as u64;
        if self.read_bytes > PUT_MAX_BYTES {
            return Err(failure(
                ProblemKind::TooLarge,
                "too many blocks for one request",
                format!("send at most {} MiB at once", PUT_MAX_BYTES >> 20),
            ));
        }
        Ok(Some(piece))
    }

    /// Reads to the end and forgets it, as far as that is worth it.
    async fn drain(mut self) {
        self.read_bytes = PUT_MAX_BYTES.saturating_sub(DRAIN_MAX_BYTES);
        while let Ok(Some(_)) = self.next().await {}
    }
}

/// Blocks as they are on the disk. What is not here is left out; a stream that is cut off is not ended, so it is noticed.
pub(super) async fn fetch(
    State(app): State<Arc<App>>,
    Json(Digests { digests }): Json<Digests>,
) -> Answer<Response> {
    check_count(&digests)?;
    let header = StreamEncoder::new().header();
    let leaving = Leaving {
        app,
        encoder: Some(StreamEncoder::new()),
        digests: digests.into_iter().collect(),
    };
    let blocks = futures_util::stream::try_unfold(leaving, |mut leaving| async move {
        let pieces = leaving.next().await?;
        Ok::<_, std::io::Error>(pieces.map(|pieces| (pieces, leaving)))
    });
    let first = futures_util::stream::once(async { Ok(header) });
    let body = Body::from_stream(first.chain(blocks));
    Ok(([(header::CONTENT_TYPE, STREAM_MEDIA_TYPE)], body).into_response())
}

/// Blocks on their way out: read in batches, when the receiver has taken those before.
struct Leaving {
    app: Arc<App>,
    /// None once the end was said.
    encoder: Option<StreamEncoder>,
    digests: VecDeque<Digest>,
}

impl Leaving {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        let Some(mut encoder) = self.encoder.take() else {
            return Ok(None);
        };
        if self.digests.is_empty() {
            return Ok(Some(encoder.end()));
        }
        let mut digests = std::mem::take(&mut self.digests);
        let read = walk(&self.app, Walk::Short, move |store| {
            let mut batch = BytesMut::new();
            while batch.len() < BATCH_BYTES
                && let Some(digest) = digests.pop_front()
            {
                if let Some(block) = get(store, &digest)? {
                    encoder
                        .block(&block)
                        .iter()
                        .for_each(|piece| batch.extend_from_slice(piece));
                }
            }
            Ok((batch.freeze(), encoder, digests))
        })
        .await;
        match read {
            Ok((batch, encoder, digests)) => {
                self.encoder = Some(encoder);
                self.digests = digests;
                Ok(Some(batch))
            }
            Err(Failure(problem)) => Err(std::io::Error::other(problem.to_string())),
        }
    }
}

fn get(store: &Store, digest: &Digest) -> Result<Option<EncodedBlock>, StoreError> {
    match store.get_encoded(digest) {
        // Forgotten, so that it can be sent again; for now it is one that is not here.
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!("{error}");
            store.forget(digest)?;
            Ok(None)
        }
        other => other,
    }
}
