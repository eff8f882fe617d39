//! Blocks in and out, by digest. What they mean is nobody's business here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{StatusCode, header};
use tessera_blobs::{
    BlobRef, Digest, EncodedBlock, Manifest, ManifestError, STREAM_MEDIA_TYPE, Store,
    StreamDecoder, StreamEncoder,
};
use tessera_wire::api::{DIGESTS_MAX, Digests, NEEDED_MAX, TREES_MAX, Trees};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;
use tokio::sync::mpsc;

use super::app::App;
use super::extract::Json;
use super::problem::{Answer, Failure, failure, internal};

/// Largest body of blocks. A sender splits what is larger; an interrupted one then has less to send again.
const PUT_MAX_BYTES: u64 = 1 << 30;

/// Blocks between the network and the disk, either way: a few, so that both work at once, and at most 16 MiB.
const BLOCKS_BETWEEN: usize = 4;

/// Longest silence in a body: whoever says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// What a walk over the store ends in.
pub(super) type StoreWalk<T> = Result<T, Failure>;

/// Runs `walk` on a blocking thread, few at a time.
pub(super) async fn walk<T: Send + 'static>(
    app: &App,
    walk: impl FnOnce(&Store) -> StoreWalk<T> + Send + 'static,
) -> StoreWalk<T> {
    let _turn = app
        .store_walks
        .acquire()
        .await
        .map_err(|error| internal(&error))?;
    let store = Arc::clone(&app.store);
    tokio::task::spawn_blocking(move || walk(&store))
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
    let digests = walk(&app, move |store| Ok(store.missing(&digests))).await?;
    Ok(Json(Digests { digests }))
}

/// What is lacking of whole trees, as far down as the lists that are here tell.
pub(super) async fn needed(
    State(app): State<Arc<App>>,
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
    let digests = walk(&app, move |store| needed_of(store, &trees)).await?;
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

pub(super) async fn put(State(app): State<Arc<App>>, body: Body) -> Answer<StatusCode> {
    let (blocks, mut arriving) = mpsc::channel::<EncodedBlock>(BLOCKS_BETWEEN);
    let store = Arc::clone(&app.store);
    let keeping = tokio::task::spawn_blocking(move || {
        while let Some(block) = arriving.blocking_recv() {
            store.put_encoded(&block)?;
        }
        // Only what is on the disk is acknowledged.
        store.sync()
    });
    let received = receive(body, &blocks).await;
    drop(blocks);
    let kept = keeping.await.map_err(|error| internal(&error))?;
    // A disk that failed is why nobody took the blocks any more: it is said first.
    kept?;
    received?;
    Ok(StatusCode::NO_CONTENT)
}

async fn receive(body: Body, blocks: &mpsc::Sender<EncodedBlock>) -> Answer<()> {
    let broken = |why: String| {
        failure(
            ProblemKind::Invalid,
            format!("the blocks did not arrive whole: {why}"),
            "send them again",
        )
    };
    let mut decoder = StreamDecoder::new();
    let mut body = body.into_data_stream();
    let mut read_bytes: u64 = 0;
    loop {
        let piece = match tokio::time::timeout(SILENCE, body.next()).await {
            Err(_) => return Err(broken(format!("nothing came for {} s", SILENCE.as_secs()))),
            Ok(None) => break,
            Ok(Some(piece)) => piece.map_err(|error| broken(error.to_string()))?,
        };
        read_bytes += piece.len() as u64;
        if read_bytes > PUT_MAX_BYTES {
            return Err(failure(
                ProblemKind::TooLarge,
                "too many blocks for one request",
                format!("send at most {} MiB at once", PUT_MAX_BYTES >> 20),
            ));
        }
        decoder.push(&piece);
        while let Some(block) = decoder
            .next_block()
            .map_err(|error| broken(error.to_string()))?
        {
            if blocks.send(block).await.is_err() {
                return Err(broken("they could not be kept".into()));
            }
        }
    }
    decoder
        .finish()
        .map_err(|error| broken(error.to_string()))?;
    Ok(())
}

/// Blocks as they are on the disk. What is not here is left out; a stream that is cut off is not ended, so it is noticed.
pub(super) async fn fetch(
    State(app): State<Arc<App>>,
    Json(Digests { digests }): Json<Digests>,
) -> Answer<Response> {
    check_count(&digests)?;
    let (pieces, sending) = mpsc::channel::<Result<Bytes, std::io::Error>>(BLOCKS_BETWEEN);
    let store = Arc::clone(&app.store);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&store, &digests, &pieces) {
            tracing::error!("cannot read blocks: {error}");
            let _ = pieces.blocking_send(Err(std::io::Error::other(error)));
        }
    });
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(sending));
    Ok(([(header::CONTENT_TYPE, STREAM_MEDIA_TYPE)], body).into_response())
}

fn send(
    store: &Store,
    digests: &[Digest],
    pieces: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), tessera_blobs::StoreError> {
    let mut encoder = StreamEncoder::new();
    // A receiver that is gone ends the work, and that is all.
    if pieces.blocking_send(Ok(encoder.header())).is_err() {
        return Ok(());
    }
    for digest in digests {
        let block = match store.get_encoded(digest) {
            Ok(Some(block)) => block,
            Ok(None) => continue,
            // Forgotten, so that it can be sent again; for now it is one that is not here.
            Err(error @ tessera_blobs::StoreError::Corrupt { .. }) => {
                tracing::error!("{error}");
                store.forget(digest)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        for piece in encoder.block(&block) {
            if pieces.blocking_send(Ok(piece)).is_err() {
                return Ok(());
            }
        }
    }
    let _ = pieces.blocking_send(Ok(encoder.end()));
    Ok(())
}
