//! The open links of workers: where orders go out, and where the log of a running frame is asked for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tessera_model::{Blob, LeaseKey, WorkerId};
use tessera_wire::link::{LogStream, Machine, MadePyramid, Source, ToWorker};
use tessera_wire::peer::worker_identity;
use tokio::sync::{mpsc, oneshot, watch};

/// Messages that wait for a worker to read them. A worker holds few leases, so one that lets so many gather does not read:
/// its link is closed, and it may greet again.
pub(crate) const OUTGOING_MAX: usize = 256;

/// Log parts asked of one worker at a time: each answer is up to 256 KiB.
const LOG_REQUESTS_MAX: usize = 16;

/// Longest wait for a part of a running frame's log.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells links of one worker apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

/// Why a link is closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// The same worker greeted over another one.
    Replaced,
    /// Its worker or its certificate is no longer of the farm.
    Dismissed,
    /// It may come back soon.
    Later,
}

/// A link, as those who send to it see it.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    pub(crate) id: LinkId,
    pub(crate) worker: WorkerId,
    pub(crate) serial: String,
    pub(crate) address: SocketAddr,
    /// Where it gives blocks to other workers, best first; nowhere if there is none.
    pub(crate) peer_urls: Vec<String>,
    pub(crate) makes_pyramids: bool,
    pub(crate) outgoing: mpsc::Sender<ToWorker>,
    pub(crate) closing: watch::Sender<Option<Closing>>,
}

/// A part of a running frame's log.
#[derive(Debug)]
pub(crate) struct LogPart {
    pub(crate) bytes: Vec<u8>,
    /// The frame is over: its whole log is or will be in the store.
    pub(crate) ended: bool,
}

/// Why there is no part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    #[error("the worker is not linked")]
    NotLinked,
    #[error("too many ask this worker for logs at once")]
    Busy,
    #[error("the worker did not answer in {} s", LOG_TIMEOUT.as_secs())]
    Silent,
}

#[derive(Debug)]
struct Open {
    handle: LinkHandle,
    logs: HashMap<u64, oneshot::Sender<LogPart>>,
    pyramids: HashMap<u64, oneshot::Sender<MadePyramid>>,
    /// How the worker's machine was when it was last heard. No event tells of it: it is there for whoever asks.
    machine: Option<Machine>,
}

/// All of them; at most one for each worker.
#[derive(Debug, Default)]
pub(crate) struct Links {
    open: Mutex<HashMap<WorkerId, Open>>,
    next: AtomicU64,
}

impl Links {
    fn open(&self) -> MutexGuard<'_, HashMap<WorkerId, Open>> {
        self.open
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// A name for a new link.
    pub(crate) fn next_id(&self) -> LinkId {
        LinkId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// From now on orders for this worker go there; one it had before is closed.
    pub(crate) fn enter(&self, handle: LinkHandle) {
        let worker = handle.worker;
        let entry = Open {
            handle,
            logs: HashMap::new(),
            pyramids: HashMap::new(),
            machine: None,
        };
        if let Some(old) = self.open().insert(worker, entry) {
            old.handle.closing.send_replace(Some(Closing::Replaced));
        }
    }

    /// A link has ended; one that took its place stays.
    pub(crate) fn leave(&self, worker: WorkerId, link: LinkId) {
        let mut open = self.open();
        if open
            .get(&worker)
            .is_some_and(|entry| entry.handle.id == link)
        {
            open.remove(&worker);
        }
    }

    /// Sends, if there is a link. One whose queue is full is closed.
    pub(crate) fn send(&self, worker: WorkerId, message: ToWorker) {
        if let Some(entry) = self.open().get(&worker)
            && let Err(mpsc::error::TrySendError::Full(_)) = entry.handle.outgoing.try_send(message)
        {
            tracing::warn!(%worker, "the worker does not read its messages: its link is closed");
            entry.handle.closing.send_replace(Some(Closing::Later));
        }
    }

    /// Whether a worker gives blocks to others.
    pub(crate) fn is_peer(&self, worker: WorkerId) -> bool {
        let open = self.open();
        open.get(&worker)
            .is_some_and(|entry| !entry.handle.peer_urls.is_empty())
    }

    /// Where a worker gives blocks to others.
    pub(crate) fn peer(&self, worker: WorkerId) -> Vec<Source> {
        let open = self.open();
        let urls = open.get(&worker).map(|entry| &entry.handle.peer_urls);
        urls.into_iter()
            .flatten()
            .map(|url| Source {
                address: url.clone(),
                identity: worker_identity(worker),
            })
            .collect()
    }

    /// Tells a worker something that it can do without: not if it has much to read already.
    pub(crate) fn hint(&self, worker: WorkerId, message: ToWorker) {
        if let Some(entry) = self.open().get(&worker)
            && entry.handle.outgoing.capacity() > entry.handle.outgoing.max_capacity() / 2
        {
            drop(entry.handle.outgoing.try_send(message));
        }
    }

    /// A certificate is void: who opened a link with it has none any more, and all others are told.
    pub(crate) fn void(&self, serial: &str) {
        self.close_serial(serial);
        let others: Vec<WorkerId> = {
            let open = self.open();
            open.keys().copied().collect()
        };
        for worker in others {
            let serial = serial.to_owned();
            self.send(worker, ToWorker::Void { serial });
        }
    }

    /// Closes a worker's link.
    pub(crate) fn close(&self, worker: WorkerId, why: Closing) {
        if let Some(entry) = self.open().get(&worker) {
            entry.handle.closing.send_replace(Some(why));
        }
    }

    /// Closes the link that was opened with this certificate.
    fn close_serial(&self, serial: &str) {
        for entry in self
            .open()
            .values()
            .filter(|entry| entry.handle.serial == serial)
        {
            entry.handle.closing.send_replace(Some(Closing::Dismissed));
        }
    }

    /// Where a worker's link comes from, and how its machine is, if it has told; none if it has no link.
    pub(crate) fn find(&self, worker: WorkerId) -> Option<(SocketAddr, Option<Machine>)> {
        let open = self.open();
        let entry = open.get(&worker)?;
        Some((entry.handle.address, entry.machine.clone()))
    }

    /// A worker told how its machine is.
    pub(crate) fn measured(&self, worker: WorkerId, link: LinkId, machine: Machine) {
        let mut open = self.open();
        let entry = open.get_mut(&worker);
        if let Some(entry) = entry.filter(|entry| entry.handle.id == link) {
            entry.machine = Some(machine);
        }
    }

    /// Asks a worker for a part of the log of a frame it renders.
    pub(crate) async fn log(
        &self,
        worker: WorkerId,
        key: LeaseKey,
        position: u32,
        stream: LogStream,
        from: u64,
    ) -> Result<LogPart, LogError> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let answer = {
            let mut open = self.open();
            let entry = open.get_mut(&worker).ok_or(LogError::NotLinked)?;
            entry.logs.retain(|_, waiting| !waiting.is_closed());
            if entry.logs.len() >= LOG_REQUESTS_MAX {
                return Err(LogError::Busy);
            }
            let question = ToWorker::Log {
                request,
                key,
                position,
                stream,
                from,
            };
            entry
                .handle
                .outgoing
                .try_send(question)
                .map_err(|_| LogError::Busy)?;
            let (sender, answer) = oneshot::channel();
            entry.logs.insert(request, sender);
            answer
        };
        match tokio::time::timeout(LOG_TIMEOUT, answer).await {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(_)) => Err(LogError::NotLinked),
            Err(_) => Err(LogError::Silent),
        }
    }

    /// A worker answered. What nobody waits for is dropped.
    pub(crate) fn answer(&self, worker: WorkerId, link: LinkId, request: u64, part: LogPart) {
        let waiting = self
            .open()
            .get_mut(&worker)
            .filter(|entry| entry.handle.id == link)
            .and_then(|entry| entry.logs.remove(&request));
        if let Some(waiting) = waiting {
            drop(waiting.send(part));
        }
    }

    /// Who makes pyramids, those first who have the fewest to make, and of them those with the most processors idle.
    pub(crate) fn pyramid_makers(&self) -> Vec<WorkerId> {
        let mut open = self.open();
        let mut makers: Vec<(usize, u32, WorkerId)> = open
            .values_mut()
            .filter(|entry| entry.handle.makes_pyramids)
            .map(|entry| {
                entry.pyramids.retain(|_, waiting| !waiting.is_closed());
                let percent = entry.machine.as_ref().map_or(50.0, |it| it.cpu * 100.0);
                (entry.pyramids.len(), percent as u32, entry.handle.worker)
            })
            .collect();
        makers.sort_unstable();
        makers.into_iter().map(|(_, _, worker)| worker).collect()
    }

    /// Asks a worker for the pyramid of a file. None if it went away before it answered, or has too much to read.
    pub(crate) async fn pyramid(&self, worker: WorkerId, file: Blob) -> Option<MadePyramid> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let answer = {
            let mut open = self.open();
            let entry = open.get_mut(&worker)?;
            let question = ToWorker::Pyramid { request, file };
            entry.handle.outgoing.try_send(question).ok()?;
            let (sender, answer) = oneshot::channel();
            entry.pyramids.insert(request, sender);
            answer
        };
        answer.await.ok()
    }

    /// A worker answered. What nobody waits for is dropped.
    pub(crate) fn answer_pyramid(
        &self,
        worker: WorkerId,
        link: LinkId,
        request: u64,
        made: MadePyramid,
    ) {
        let waiting = self
            .open()
            .get_mut(&worker)
            .filter(|entry| entry.handle.id == link)
            .and_then(|entry| entry.pyramids.remove(&request));
        if let Some(waiting) = waiting {
            drop(waiting.send(made));
        }
    }
}

#[cfg(test)]
mod tests {
    use tessera_model::WorkerMode;

    use super::*;

    struct Far {
        outgoing: mpsc::Receiver<ToWorker>,
        closing: watch::Receiver<Option<Closing>>,
        id: LinkId,
    }

    fn link(links: &Links, worker: u32) -> Far {
        let (sender, outgoing) = mpsc::channel(2);
        let (close, closing) = watch::channel(None);
        let id = links.next_id();
        links.enter(LinkHandle {
            makes_pyramids: worker > 1,
            id,
            worker: WorkerId(worker),
            serial: format!("{worker}"),
            address: "10.0.0.1:1".parse().unwrap(),
            peer_urls: vec![format!("https://10.0.0.1:{worker}")],
            outgoing: sender,
            closing: close,
        });
        Far {
            outgoing,
            closing,
            id,
        }
    }

    fn mode() -> ToWorker {
        ToWorker::Mode {
            mode: WorkerMode::Active,
        }
    }

    #[test]
    fn the_newest_link_counts_and_a_deaf_one_is_closed() {
        let links = Links::default();
        let old = link(&links, 1);
        let mut new = link(&links, 1);
        assert_eq!(*old.closing.borrow(), Some(Closing::Replaced));
        links.leave(WorkerId(1), old.id);
        links.send(WorkerId(1), mode());
        assert!(new.outgoing.try_recv().is_ok());
        for _ in 0..2 {
            links.send(WorkerId(1), mode());
        }
        assert_eq!(*new.closing.borrow(), None);
        links.send(WorkerId(1), mode());
        assert_eq!(*new.closing.borrow(), Some(Closing::Later));
        let other = link(&links, 2);
        links.void("2");
        assert_eq!(*other.closing.borrow(), Some(Closing::Dismissed));
        links.leave(WorkerId(1), new.id);
        assert_eq!(links.find(WorkerId(1)), None);
    }

    #[tokio::test]
    async fn a_pyramid_is_asked_of_who_makes_some_and_has_the_fewest() {
        let links = Links::default();
        let (_one, mut two, mut three) = (link(&links, 1), link(&links, 2), link(&links, 3));
        assert_eq!(links.pyramid_makers(), [WorkerId(2), WorkerId(3)]);
        let file = Blob {
            digest: [1; 32],
            size: 1,
            depth: 0,
        };
        let asked = async || links.pyramid(WorkerId(2), file).await;
        let answered = async {
            let Some(ToWorker::Pyramid { request, .. }) = two.outgoing.recv().await else {
                panic!("it is not asked");
            };
            assert_eq!(links.pyramid_makers(), [WorkerId(3), WorkerId(2)]);
            // By the link that it was asked over.
            let made = MadePyramid::There(file);
            links.answer_pyramid(WorkerId(2), three.id, request, made.clone());
            links.answer_pyramid(WorkerId(2), two.id, request, made);
        };
        let (made, ()) = tokio::join!(asked(), answered);
        assert_eq!(made, Some(MadePyramid::There(file)));
        // One that goes away before it answers.
        let leaves = async {
            three.outgoing.recv().await;
            links.leave(WorkerId(3), three.id);
        };
        let (made, ()) = tokio::join!(links.pyramid(WorkerId(3), file), leaves);
        assert_eq!(made, None);
        assert_eq!(links.pyramid_makers(), [WorkerId(2)]);
    }

    #[test]
    fn everybody_is_told_of_peers_and_never_at_the_cost_of_its_link() {
        let links = Links::default();
        let mut far = link(&links, 1);
        assert_eq!(links.peer(WorkerId(1))[0].identity, "worker-1");
        assert!(links.is_peer(WorkerId(1)) && !links.is_peer(WorkerId(7)));
        links.void("7");
        let void = far.outgoing.try_recv().unwrap();
        assert!(matches!(void, ToWorker::Void { serial } if serial == "7"));
        // Of two places in the queue one is left for what must arrive.
        for _ in 0..3 {
            links.hint(WorkerId(1), mode());
        }
        assert!(far.outgoing.try_recv().is_ok() && far.outgoing.try_recv().is_err());
        assert_eq!(*far.closing.borrow(), None);
    }
}
