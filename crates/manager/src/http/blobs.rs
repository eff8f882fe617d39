//! What of the store is asked for: which blocks are here, and blocks themselves. How they come in is said in `upload`.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header;
use tessera_blobs::{
    BlobRef, Digest, EncodedBlock, Manifest, ManifestError, STREAM_MEDIA_TYPE, Store, StoreError,
    StreamEncoder,
};
use tessera_wire::api::{DIGESTS_MAX, Digests, NEEDED_MAX, TREES_MAX, Trees};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;

use super::access::Sender;
use super::app::App;
use super::extract::Json;
use super::problem::{Answer, Failure, failure, internal};
use super::store::check_room;

/// Blocks that come from the disk together: a megabyte or a few, so that the hand-over costs nothing beside them.
const BATCH_BYTES: usize = 2 << 20;

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
    let digests = walk(&app, Walk::Short, move |store| {
        let lacking = store.missing(&digests);
        // Who sent the others may be cut off before it was told that they are on the disk, and relies on this answer.
        if lacking.len() < digests.len() {
            store.sync()?;
        }
        Ok(lacking)
    })
    .await?;
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
    // As with `missing`: what is said to be here is on the disk.
    store.sync()?;
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
