//! Sending what a manager lacks of some trees of blocks, and nothing else.
//!
//! The manager walks the lists it has and names what is lacking; that is sent and the question asked again, until nothing is
//! lacking. So what a question costs follows what is new, and a transfer that was cut goes on where it was.
//!
//! A file that was edited a little goes as what is new in it, if the manager has what it was ([`edit`](self::edit)).
//!
//! Blocks are read and packed on threads of their own ([`read`](self::read)) and flow into request bodies one after the other
//! ([`body`](self::body)); the manager takes in each block as it arrives. After a cut it is asked which of the blocks it has that it
//! did not answer for, so a cut costs what was on its way and no more ([`pass`](self::pass)).

mod body;
mod edit;
mod pass;
mod read;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tessera_blobs::{BlobRef, BoxError, Digest, Edit, Manifest, Origin, Store, missing_blocks};
use tessera_wire::api::{TREES_MAX, Trees};
use tessera_wire::blob::{to_model, to_store};

use crate::api::{Api, ApiError};
use crate::outlines::Outlines;
use pass::Transfer;

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
    /// The same, but after a small edit not asked again whether that was all: the job that is handed in next is refused if it was not.
    BeforeJob,
    /// Not asked: everything is sent. For small things that are certainly new, a round trip less.
    Never,
    /// Everything is sent whatever the manager has, and it mends its own copies by what it gets.
    Force,
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
    /// Bytes of answers so far.
    pub received_bytes: u64,
    /// Bytes of blocks that are out, before compression. A cut takes back those that did not arrive.
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
    progress: impl FnMut(SendProgress),
) -> Result<Sent, SendError> {
    let outlines = Outlines::default();
    send_edited(api, source, manifests, blobs, ask, &outlines, progress).await
}

/// The same. What was remembered of files, and is now of these, makes small edits cheap.
pub(crate) async fn send_edited(
    api: &Api,
    source: &BlockSource,
    manifests: &[BlobRef],
    blobs: &[BlobRef],
    ask: Ask,
    outlines: &Outlines,
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
    let mut transfer = Transfer::new(&api, source, ask == Ask::Force);
    if matches!(ask, Ask::Never | Ask::Force) {
        let all = every_block(source, manifests, blobs).await?;
        transfer.blocks(all, &mut progress).await?;
    }
    if ask != Ask::Never && count > 0 {
        let once = ask == Ask::BeforeJob;
        needed(
            &api,
            &trees,
            source,
            outlines,
            once,
            &mut transfer,
            &mut progress,
        )
        .await?;
    }
    remember(source, outlines).await?;
    let traffic = api.traffic();
    Ok(Sent {
        sent_bytes: traffic.sent_bytes,
        received_bytes: traffic.received_bytes,
        ..transfer.sent()
    })
}

async fn needed(
    api: &Api,
    trees: &Trees,
    source: &BlockSource,
    outlines: &Outlines,
    once: bool,
    transfer: &mut Transfer<'_>,
    progress: &mut impl FnMut(SendProgress),
) -> Result<(), SendError> {
    let manifests = trees.manifests.iter().map(to_store);
    let manifests: HashSet<Digest> = manifests.map(|manifest| manifest.digest).collect();
    let (mut given, mut tried) = (HashSet::new(), HashSet::new());
    for _ in 0..ROUNDS_MAX {
        let mut needed = api.blobs_needed(trees).await?;
        if needed.is_empty() {
            return Ok(());
        }
        let edited = edits(api, source, outlines, &manifests, &needed, &mut tried).await?;
        if edited {
            transfer.told(progress);
            needed.retain(|digest| manifests.contains(digest));
        }
        let fresh: Vec<_> = needed
            .iter()
            .copied()
            .filter(|digest| given.insert(*digest))
            .collect();
        match needed.first() {
            Some(digest) if fresh.is_empty() => {
                return Err(SendError::NotKept { digest: *digest });
            }
            _ => transfer.blocks(fresh, progress).await?,
        }
        if edited && once {
            return Ok(());
        }
    }
    Err(SendError::Source("the manager asks without an end".into()))
}

/// Sends edits of those files whose roots are `needed`, or that a needed one of the `manifests` names, each once. Whether one was taken.
async fn edits(
    api: &Api,
    source: &BlockSource,
    outlines: &Outlines,
    manifests: &HashSet<Digest>,
    needed: &[Digest],
    tried: &mut HashSet<Digest>,
) -> Result<bool, SendError> {
    let BlockSource::Origin(origin) = source else {
        return Ok(false);
    };
    // Who lacks a manifest lacks the files that are new in it: they need not be asked for one by one.
    let files = match needed.iter().any(|digest| manifests.contains(digest)) {
        true => origin.outlines(),
        false => Vec::new(),
    };
    let files = files.iter().map(|(_, outline)| &outline.blob().digest);
    let roots = needed.iter().chain(files).copied();
    let roots: Vec<Digest> = roots.filter(|digest| tried.insert(*digest)).collect();
    let (cut, outlines) = (Arc::clone(origin), outlines.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for root in &roots {
            if let Some((path, new)) = cut.outline(root)?
                && let Some(old) = outlines.look(&path)
                && let Some(edit) = Edit::between(&old, &new)
            {
                found.push((edit, old));
            }
        }
        Ok(found)
    });
    let found = looking
        .await
        .map_err(|panic| SendError::Source(Box::new(panic)))?
        .map_err(read::origin_error)?;
    let mut taken = false;
    for (edit, old) in found {
        taken |= edit::send_edit(api, origin, edit, &old).await?;
    }
    Ok(taken)
}

/// Notes of which blocks files are made that are with the manager now.
async fn remember(source: &BlockSource, outlines: &Outlines) -> Result<(), SendError> {
    let BlockSource::Origin(origin) = source else {
        return Ok(());
    };
    let (origin, outlines) = (Arc::clone(origin), outlines.clone());
    let noting = tokio::task::spawn_blocking(move || {
        if let Err(error) = outlines.note(&origin.outlines()) {
            tracing::debug!("cannot remember what was sent, the next edit costs more: {error}");
        }
    });
    noting
        .await
        .map_err(|panic| SendError::Source(Box::new(panic)))
}

/// Every block of the manifests with their files and of the files `blobs`, data before the lists that name them.
async fn every_block(
    source: &BlockSource,
    manifests: &[BlobRef],
    blobs: &[BlobRef],
) -> Result<Vec<Digest>, SendError> {
    let (source, manifests, mut blobs) = (source.clone(), manifests.to_vec(), blobs.to_vec());
    let walk = move || -> Result<Vec<Digest>, BoxError> {
        for root in &manifests {
            let tree = Manifest::read(root, |digest| source.get(digest))?;
            blobs.extend(tree.blobs());
        }
        blobs.extend(manifests);
        let mut all = Vec::new();
        let mut visit = |digest: &Digest| {
            all.push(*digest);
            true
        };
        missing_blocks(&blobs, &mut visit, |digest: &Digest| source.get(digest))?;
        all.reverse();
        let mut seen = HashSet::new();
        all.retain(|digest| seen.insert(*digest));
        Ok(all)
    };
    tokio::task::spawn_blocking(walk)
        .await
        .map_err(|panic| SendError::Source(Box::new(panic)))?
        .map_err(SendError::Source)
}

impl BlockSource {
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BoxError> {
        match self {
            Self::Store(store) => Ok(store.get(digest)?),
            Self::Origin(origin) => {
                let mut found = None;
                origin.read(&[*digest], |_, bytes| {
                    found = Some(bytes.to_vec());
                    Ok::<_, BoxError>(())
                })?;
                Ok(found)
            }
        }
    }
}
