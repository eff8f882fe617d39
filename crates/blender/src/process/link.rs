//! The socket to the driver: requests out, events in.
//!
//! Pings are answered by another thread of the driver than requests are, so events are sorted by id as they come.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use crate::message::{Event, Pong, Request};

/// Longest message: the scan of a file with some hundred thousand dependencies stays below; anything longer is nonsense.
const MESSAGE_MAX_BYTES: u32 = 256 << 20;
/// Requests whose events are awaited at once: one, and pings by a few watchers.
const AWAITED_MAX: usize = 64;
/// Events of one request that may wait to be read; there are two (started, and the end).
const EVENTS_MAX: usize = 4;

#[derive(Debug)]
pub(super) enum Broken {
    /// The other side has gone.
    Closed,
    /// What arrived is no message; the text says why.
    Nonsense(String),
}

#[derive(Clone, Debug)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    next_id: AtomicU64,
    awaited: Mutex<Awaited>,
    /// Whether [`Awaited::end`] is set, for those who wait for that.
    ended: watch::Sender<bool>,
    reader: Mutex<Option<tokio::task::AbortHandle>>,
}

#[derive(Debug, Default)]
struct Awaited {
    senders: HashMap<u64, mpsc::Sender<Event>>,
    /// Set when the socket is done for.
    end: Option<Option<String>>,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    id: u64,
    #[serde(flatten)]
    request: &'a Request<'a>,
}

#[derive(Deserialize)]
struct Incoming {
    id: u64,
    #[serde(flatten)]
    event: Event,
}

impl Link {
    pub(super) fn over(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(socket)?.into_split();
        let shared = Arc::new(Shared {
            writer: tokio::sync::Mutex::new(write),
            next_id: AtomicU64::new(1),
            awaited: Mutex::default(),
            ended: watch::Sender::new(false),
            reader: Mutex::default(),
        });
        let weak = Arc::downgrade(&shared);
        let reader = tokio::spawn(async move {
            let mut read = BufReader::new(read);
            let end = loop {
                let incoming = match receive(&mut read).await {
                    Ok(incoming) => incoming,
                    Err(Broken::Closed) => break None,
                    Err(Broken::Nonsense(what)) => break Some(what),
                };
                let Some(shared) = weak.upgrade() else { return };
                let sender = shared.lock().senders.get(&incoming.id).cloned();
                // Nobody waits for the answer to a ping whose asker has gone.
                if let Some(sender) = sender {
                    let _ = sender.try_send(incoming.event);
                }
            };
            if let Some(shared) = weak.upgrade() {
                let mut awaited = shared.lock();
                awaited.senders.clear();
                awaited.end = Some(end);
                drop(awaited);
                shared.ended.send_replace(true);
            }
        });
        *shared.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.abort_handle());
        Ok(Self { shared })
    }

    /// Sends a request and waits for the event that ends it.
    pub(super) async fn request(&self, request: &Request<'_>) -> Result<Event, Broken> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, mut events) = mpsc::channel(EVENTS_MAX);
        self.shared.register(id, sender)?;
        let _registered = Registered {
            shared: &self.shared,
            id,
        };
        let body = serde_json::to_vec(&Outgoing { id, request })
            .map_err(|error| Broken::Nonsense(error.to_string()))?;
        self.shared.send(&body).await?;
        loop {
            match events.recv().await {
                Some(Event::Started) => {}
                Some(event) => return Ok(event),
                None => return Err(self.shared.broken()),
            }
        }
    }

    /// Returns once the other side has gone.
    pub(super) async fn ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        // The sender lives as long as this link, so waiting ends only by its word.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    pub(super) async fn ping(&self) -> Result<Pong, Broken> {
        match self.request(&Request::Ping).await? {
            Event::Pong(pong) => Ok(pong),
            other => Err(Broken::Nonsense(format!(
                "a ping was answered by {other:.80?}"
            ))),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, id: u64, sender: mpsc::Sender<Event>) -> Result<(), Broken> {
        let mut awaited = self.lock();
        if awaited.end.is_some() {
            drop(awaited);
            return Err(self.broken());
        }
        if awaited.senders.len() >= AWAITED_MAX {
            return Err(Broken::Nonsense(format!(
                "{AWAITED_MAX} requests are unanswered"
            )));
        }
        awaited.senders.insert(id, sender);
        Ok(())
    }

    fn broken(&self) -> Broken {
        match self.lock().end.clone().flatten() {
            Some(what) => Broken::Nonsense(what),
            None => Broken::Closed,
        }
    }

    async fn send(&self, body: &[u8]) -> Result<(), Broken> {
        let length = u32::try_from(body.len())
            .map_err(|_| Broken::Nonsense("the request is too long".to_owned()))?;
        let mut message = Vec::with_capacity(4 + body.len());
        message.extend(length.to_be_bytes());
        message.extend(body);
        // One write, so that a dropped future cannot leave half a message before another's.
        self.writer
            .lock()
            .await
            .write_all(&message)
            .await
            .map_err(|_| Broken::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(reader) = self
            .reader
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
        {
            reader.abort();
        }
    }
}

/// Forgets the request when its asker goes.
struct Registered<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.lock().senders.remove(&self.id);
    }
}

async fn receive(read: &mut BufReader<OwnedReadHalf>) -> Result<Incoming, Broken> {
    let length = read.read_u32().await.map_err(|_| Broken::Closed)?;
    if length > MESSAGE_MAX_BYTES {
        return Err(Broken::Nonsense(format!("a message of {length} bytes")));
    }
    let mut body = vec![0; length as usize];
    read.read_exact(&mut body)
        .await
        .map_err(|_| Broken::Closed)?;
    serde_json::from_slice(&body).map_err(|error| Broken::Nonsense(error.to_string()))
}
