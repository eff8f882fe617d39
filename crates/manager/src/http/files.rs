//! Whole files in and out, for whoever has an HTTP client and nothing else. What is kept of them is the same blocks as of files that
//! come as blocks.

use std::io::{self, Seek as _, SeekFrom};
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use tessera_blobs::{
    CutError, Entry, EntryKind, FileEncoding, Manifest, StoreError, TreePath, write_stream,
};
use tessera_model::Blob;
use tessera_wire::api::{Stored, Tree};
use tessera_wire::blob::{to_model, to_store};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::FileQuery;
use tokio::io::AsyncWriteExt as _;

use super::access::Sender;
use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Json, Path, Query};
use super::logs::from_store;
use super::problem::{Answer, Failure, disk_full, failure, internal};
use super::store::check_room;
use super::submit::complete_tree;
use super::upload::Arriving;

/// Largest file that is taken in one request: what comes goes on with nothing after a cut, so larger ones had better come as blocks.
const FILE_MAX_BYTES: u64 = 16 << 30;

/// What stands in the place of a path in messages about a file that was sent.
const SENT: &str = "the file";

pub(super) async fn put(
    State(app): State<Arc<App>>,
    sender: Sender,
    body: Body,
) -> Answer<Json<Stored>> {
    let body = Arriving::new(body, FILE_MAX_BYTES);
    let taking = app.tasks.spawn(take(Arc::clone(&app), sender, body));
    taking.await.map_err(|error| internal(&error))?
}

/// The whole of it first lies in a file without a name: no thread waits for the network while it cuts.
async fn take(app: Arc<App>, sender: Sender, mut body: Arriving) -> Answer<Json<Stored>> {
    if let Sender::User(user) = &sender {
        app.keeper.heard(user);
    }
    let arrived = match check_room(&app, &sender).await {
        Ok(()) => arrive(&app, &mut body).await,
        Err(refused) => Err(refused),
    };
    let file = match arrived {
        Ok(file) => file,
        Err(refused) => {
            // Read on, so that the answer is heard.
            body.drain().await;
            return Err(refused);
        }
    };
    if let Sender::User(user) = &sender {
        app.keeper.sent(user, body.read_bytes);
    }
    let blob = walk(&app, Walk::Long, move |store| {
        let cut = write_stream(FilePath::new(SENT), file, |block| store.put_block(&block))?;
        // Only what is on the disk is acknowledged.
        store.sync()?;
        Ok(to_model(&cut.blob))
    })
    .await?;
    Ok(Json(Stored { blob }))
}

async fn arrive(app: &App, body: &mut Arriving) -> Answer<std::fs::File> {
    let file = tempfile::tempfile_in(app.store.dir()).map_err(not_written)?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(piece) = body.next().await? {
        file.write_all(&piece).await.map_err(not_written)?;
    }
    file.flush().await.map_err(not_written)?;
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0)).map_err(not_written)?;
    Ok(file)
}

fn not_written(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => disk_full(),
        _ => internal(&error),
    }
}

impl From<CutError> for Failure {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Sink { source, .. } => match source.downcast::<StoreError>() {
                Ok(error) => (*error).into(),
                Err(other) => internal(&*other),
            },
            CutError::Open { .. } | CutError::NotAFile { .. } | CutError::Read { .. } => {
                internal(&error)
            }
            CutError::Truncated { .. }
            | CutError::Damaged { .. }
            | CutError::Bomb { .. }
            | CutError::TooLarge { .. } => failure(ProblemKind::Invalid, error.to_string(), ""),
        }
    }
}

/// Kept by the user's own browser alone: what is named by its digest never changes.
const CACHE: &str = "private, max-age=86400, immutable";

/// Of what is not whole here, nothing is sent.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(blob): Path<Blob>,
    Query(FileQuery { from, length }): Query<FileQuery>,
) -> Answer<Response> {
    let name = to_store(&blob);
    walk(&app, Walk::Short, move |store| {
        if store.missing_of([&name])?.is_empty() {
            return Ok(());
        }
        Err(failure(
            ProblemKind::NotFound,
            format!("the farm does not have {blob}"),
            "its job may have been removed",
        ))
    })
    .await?;
    let from = from.min(name.size);
    let end = length.map_or(name.size, |length| from.saturating_add(length));
    let end = end.min(name.size);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (end - from).to_string()),
        (header::CACHE_CONTROL, CACHE.to_owned()),
    ];
    Ok((headers, from_store(&app, name, from..end)).into_response())
}

pub(super) async fn tree(
    State(app): State<Arc<App>>,
    sender: Sender,
    Json(Tree { files }): Json<Tree>,
) -> Answer<Json<Stored>> {
    let invalid = |why: String| failure(ProblemKind::Invalid, why, "");
    check_room(&app, &sender).await?;
    let mut tree = Manifest::new();
    for file in &files {
        let path = TreePath::new(&file.path).map_err(|error| {
            invalid(format!("'{}' is not a path in a tree: {error}", file.path))
        })?;
        let entry = Entry {
            kind: EntryKind::File,
            blob: to_store(&file.blob),
            original_size: file.blob.size,
            encoding: FileEncoding::Raw,
            executable: false,
        };
        tree.insert(path, entry)
            .map_err(|error| invalid(error.to_string()))?;
    }
    if tree.is_empty() {
        return Err(invalid("a tree has at least one file".into()));
    }
    let blob = walk(&app, Walk::Long, move |store| {
        complete_tree(store, &tree)?;
        let blob = tree.write(|block| store.put_block(&block))?;
        store.sync()?;
        Ok(to_model(&blob))
    })
    .await?;
    if let Sender::User(user) = &sender {
        app.keeper.uploads(user, &[blob]);
    }
    Ok(Json(Stored { blob }))
}
