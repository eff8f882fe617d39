//! Bodies under way, and what is sent again after a cut.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tessera_blobs::Digest;
use tokio::sync::{Mutex, Notify};

use super::body::{Gone, body};
use super::read::{channel, read};
use super::{BlockSource, SendError, SendProgress, Sent};
use crate::api::{Api, ApiError, Repeat};

/// Bodies under way at once: one is sent while those before it are brought to disk and answered.
const PARALLEL: usize = 3;

/// Progress is told when so much more is out: often enough to be seen to move.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What goes to one manager.
pub(super) struct Transfer<'a> {
    api: &'a Api,
    source: &'a BlockSource,
    repair: bool,
    sent: Sent,
    total_bytes: u64,
    told_bytes: u64,
}

/// What has become of the blocks of one pass over the connection.
#[derive(Default)]
struct Pass {
    /// Those that the manager has answered for.
    arrived: HashSet<Digest>,
    /// Bodies that are not answered.
    open: Vec<Arc<Gone>>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(api: &'a Api, source: &'a BlockSource, repair: bool) -> Self {
        Self {
            api,
            source,
            repair,
            sent: Sent::default(),
            total_bytes: 0,
            told_bytes: 0,
        }
    }

    /// Blocks that have arrived, and their bytes.
    pub(super) fn sent(&self) -> Sent {
        self.sent
    }

    /// Tells of something that is through at once.
    pub(super) fn told(&mut self, progress: &mut impl FnMut(SendProgress)) {
        self.tell(&[], true, progress);
    }

    /// Sends these blocks; they are durable at the manager when it returns.
    pub(super) async fn blocks(
        &mut self,
        mut digests: Vec<Digest>,
        progress: &mut impl FnMut(SendProgress),
    ) -> Result<(), SendError> {
        if let BlockSource::Origin(origin) = self.source {
            self.total_bytes += digests
                .iter()
                .filter_map(|digest| origin.block_len(digest))
                .map(|len| len as u64)
                .sum::<u64>();
        }
        let api = self.api;
        let mut turns = api.turns(Repeat::Safe)?;
        while !digests.is_empty() {
            let mut pass = Pass::default();
            let address = turns.address();
            let passing = self.pass(&digests, address, &mut pass, progress);
            let failed = match passing.await {
                Ok(()) => {
                    turns.answered();
                    return Ok(());
                }
                Err(SendError::Api(error)) => error,
                Err(error) => return Err(error),
            };
            if !pass.arrived.is_empty() {
                turns.answered();
            }
            turns.failed(failed).await?;
            let lost = self.lost(&pass).await?;
            digests.retain(|digest| lost(digest));
        }
        Ok(())
    }

    /// What is still to be sent after a pass that failed: all but what was answered for, and what arrived without an answer.
    async fn lost(&mut self, pass: &Pass) -> Result<impl Fn(&Digest) -> bool, ApiError> {
        let open: HashMap<Digest, usize> = pass
            .open
            .iter()
            .flat_map(|gone| gone.blocks().clone())
            .collect();
        let mut here = pass.arrived.clone();
        // Whether a copy was mended by what arrived cannot be asked.
        if !self.repair {
            let asked: Vec<Digest> = open.keys().copied().collect();
            let missing: HashSet<_> = self.api.blobs_missing(&asked).await?.into_iter().collect();
            for (digest, raw_bytes) in open.iter().filter(|(digest, _)| !missing.contains(*digest))
            {
                here.insert(*digest);
                self.sent.blocks += 1;
                self.sent.raw_bytes += *raw_bytes as u64;
            }
        }
        Ok(move |digest: &Digest| !here.contains(digest))
    }

    /// Reads, packs and sends until all is answered or something fails.
    async fn pass(
        &mut self,
        digests: &[Digest],
        address: &str,
        pass: &mut Pass,
        progress: &mut impl FnMut(SendProgress),
    ) -> Result<(), SendError> {
        let (give, take) = channel();
        let (source, wanted) = (self.source.clone(), digests.to_vec());
        let reading = tokio::task::spawn_blocking(move || read(&source, &wanted, &give));
        let outcome = self.bodies(take, address, pass, progress).await;
        // A reader that finds nobody to take its blocks ends.
        let read = reading
            .await
            .map_err(|panic| SendError::Source(Box::new(panic)))?;
        outcome?;
        read
    }

    async fn bodies(
        &mut self,
        take: tokio::sync::mpsc::Receiver<super::read::Group>,
        address: &str,
        pass: &mut Pass,
        progress: &mut impl FnMut(SendProgress),
    ) -> Result<(), SendError> {
        let (api, repair) = (self.api, self.repair);
        let feed = Arc::new(Mutex::new(take));
        let moved = Arc::new(Notify::new());
        let mut under_way = FuturesUnordered::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            let next = async {
                let mut turn = feed.clone().lock_owned().await;
                let first = turn.recv().await;
                first.map(|first| (first, turn))
            };
            tokio::select! {
                next = next, if more && under_way.len() < PARALLEL => match next {
                    Some((first, turn)) => {
                        let gone = Arc::new(Gone::default());
                        pass.open.push(gone.clone());
                        let pieces = body(first, turn, gone.clone(), moved.clone());
                        under_way.push(async move {
                            api.put_stream(address, repair, pieces).await.map(|()| gone)
                        });
                    }
                    None => more = false,
                },
                Some(answered) = under_way.next() => {
                    let gone = answered?;
                    pass.open.retain(|open| !Arc::ptr_eq(open, &gone));
                    self.sent.blocks += gone.blocks().len() as u64;
                    self.sent.raw_bytes += gone.raw_bytes();
                    pass.arrived.extend(gone.blocks().iter().map(|(digest, _)| *digest));
                    self.tell(&pass.open, true, progress);
                }
                () = moved.notified() => self.tell(&pass.open, false, progress),
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        open: &[Arc<Gone>],
        at_any_rate: bool,
        progress: &mut impl FnMut(SendProgress),
    ) {
        let traffic = self.api.traffic();
        let sent_bytes = traffic.sent_bytes;
        if !at_any_rate && sent_bytes < self.told_bytes + PROGRESS_BYTES {
            return;
        }
        self.told_bytes = sent_bytes;
        let out: u64 = open.iter().map(|gone| gone.raw_bytes()).sum();
        let done_bytes = self.sent.raw_bytes + out;
        self.total_bytes = self.total_bytes.max(done_bytes);
        progress(SendProgress {
            sent_bytes,
            received_bytes: traffic.received_bytes,
            done_bytes,
            total_bytes: self.total_bytes,
        });
    }
}
