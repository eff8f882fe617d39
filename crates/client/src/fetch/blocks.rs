//! The blocks of a frame's files, handed from the network to the thread that writes them.
//!
//! The writer asks for a few blocks at a time and gets them; so memory is bounded however large a file is, and a fetch that is
//! dropped in the middle ends its writer, which finds nobody to ask.

use std::collections::HashMap;

use tessera_blobs::{BlobRef, BoxError, Digest, missing_blocks};
use tokio::sync::mpsc;

use super::FetchError;
use crate::api::Api;

/// Blocks asked for together and held for one frame: 16 MB on average, 64 MB at most.
const ASK_BLOCKS: usize = 16;

/// What a file is made of.
pub(super) struct Outline {
    pub(super) blob: BlobRef,
    lists: HashMap<Digest, Vec<u8>>,
    /// In the file's order, each once.
    data: Vec<Digest>,
}

impl Outline {
    /// Fetches the lists of a file, which say which blocks it is made of.
    pub(super) async fn fetch(api: &Api, frame: i32, blob: BlobRef) -> Result<Self, FetchError> {
        let mut lists = HashMap::new();
        loop {
            let have = |digest: &Digest| lists.contains_key(digest);
            let read = |digest: &Digest| Ok::<_, BoxError>(lists.get(digest).cloned());
            let missing = missing_blocks([&blob], have, read)
                .map_err(|error| FetchError::result(frame, error))?;
            if missing.lists.is_empty() {
                return Ok(Self {
                    blob,
                    lists,
                    data: missing.data,
                });
            }
            for piece in missing.lists.chunks(ASK_BLOCKS) {
                let got = fetch_plain(api, frame, piece).await?;
                if got.len() < piece.len() {
                    return Err(FetchError::Gone { frame });
                }
                lists.extend(got);
            }
        }
    }
}

type Plain = HashMap<Digest, Vec<u8>>;

/// The writer's end.
pub(super) struct Wanting {
    ask: mpsc::Sender<Vec<Digest>>,
    take: mpsc::Receiver<Plain>,
}

/// The network's end.
pub(super) struct Serving {
    asked: mpsc::Receiver<Vec<Digest>>,
    give: mpsc::Sender<Plain>,
}

/// Two ends of one supply.
pub(super) fn supply() -> (Wanting, Serving) {
    let (ask, asked) = mpsc::channel(1);
    let (give, take) = mpsc::channel(1);
    (Wanting { ask, take }, Serving { asked, give })
}

impl Serving {
    /// Fetches what the writer asks for, until it has all it wants.
    pub(super) async fn run(mut self, api: &Api, frame: i32) -> Result<(), FetchError> {
        while let Some(digests) = self.asked.recv().await {
            let blocks = fetch_plain(api, frame, &digests).await?;
            if self.give.send(blocks).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Nobody fetches any more: the reason is known there.
#[derive(Debug, thiserror::Error)]
#[error("the fetching has ended")]
pub(super) struct Ended;

/// Blocks of one file as its writer comes to them; those that come next are asked for along.
pub(super) struct Blocks<'a> {
    wanting: &'a mut Wanting,
    outline: Outline,
    place_of: HashMap<Digest, usize>,
    held: Plain,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(wanting: &'a mut Wanting, outline: Outline) -> Self {
        let place_of = outline
            .data
            .iter()
            .enumerate()
            .map(|(place, digest)| (*digest, place))
            .collect();
        Self {
            wanting,
            outline,
            place_of,
            held: HashMap::new(),
        }
    }

    pub(super) fn get(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, Ended> {
        if let Some(list) = self.outline.lists.get(digest) {
            return Ok(Some(list.clone()));
        }
        if !self.held.contains_key(digest) {
            let Some(&place) = self.place_of.get(digest) else {
                return Ok(None);
            };
            let data = &self.outline.data;
            let next = data[place..(place + ASK_BLOCKS).min(data.len())].to_vec();
            self.wanting.ask.blocking_send(next).map_err(|_| Ended)?;
            self.held = self.wanting.take.blocking_recv().ok_or(Ended)?;
        }
        // A block may come again in the file, so it stays until the next ones are fetched.
        Ok(self.held.get(digest).cloned())
    }
}

/// Blocks, decoded and verified. A connection that is cut in the middle is waited for as the client's retry says.
async fn fetch_plain(api: &Api, frame: i32, digests: &[Digest]) -> Result<Plain, FetchError> {
    let mut outing = api.retry().begin();
    let mut got = HashMap::new();
    loop {
        let missing: Vec<Digest> = digests
            .iter()
            .copied()
            .filter(|digest| !got.contains_key(digest))
            .collect();
        if missing.is_empty() {
            return Ok(got);
        }
        match fetch_some(api, frame, &missing, &mut got).await {
            Ok(()) => return Ok(got),
            Err(FetchError::Api(error)) if error.is_unreachable() && outing.lost(&error).await => {}
            Err(error) => return Err(error),
        }
    }
}

async fn fetch_some(
    api: &Api,
    frame: i32,
    digests: &[Digest],
    got: &mut Plain,
) -> Result<(), FetchError> {
    let mut coming = api.fetch_blocks(digests).await?;
    while let Some(block) = coming.next().await? {
        let decode = move || block.decode().map(|bytes| (block.digest, bytes));
        let decoded = tokio::task::spawn_blocking(decode)
            .await
            .map_err(|panic| FetchError::result(frame, panic))?;
        let (digest, bytes) = decoded.map_err(|error| FetchError::result(frame, error))?;
        got.insert(digest, bytes);
    }
    Ok(())
}
