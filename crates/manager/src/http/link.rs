//! A worker's link: one WebSocket. Who is silent or late is the scheduler's to judge; here messages are moved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use data_encoding::BASE64;
use tessera_model::{LeaseKey, SLOTS_MAX, WorkerFacts};
use tessera_scheduler::{Input, Outcome};
use tessera_wire::link::{FromWorker, GPU_NAME_MAX, GPUS_MAX, MESSAGE_MAX, Machine, ToWorker};
use tessera_wire::problem::ProblemKind;
use tessera_wire::{PROTOCOL, PROTOCOL_OLDEST};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::access::WorkerPeer;
use super::app::App;
use super::problem::{Answer, failure};
use crate::clock;
use crate::engine::{EngineError, Greeting};
use crate::links::{Closing, LinkHandle, LinkId, LogPart, OUTGOING_MAX};

/// Longest wait for the first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that one message may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// A ping so often keeps gateways from forgetting the connection, and tells the worker that the manager is there.
const PING: Duration = Duration::from_secs(10);

/// A link that carried nothing for so long is dead. Longer than the scheduler's longest patience, so the scheduler decides first.
const DEAD: Duration = Duration::from_secs(120);

/// Bytes read at once: what workers say all the time is some hundred bytes long, and a manager holds a buffer for each of them.
const READ_BUFFER_BYTES: usize = 1024;

/// Largest message but for a part of a log: a worker's facts are kept in memory and shown in lists.
const SMALL_MAX_BYTES: usize = 256 * 1024;

/// Whether a party that speaks `protocol` can work with this manager.
///
/// # Errors
/// What both speak.
pub(super) fn check_protocol(protocol: u32) -> Result<(), String> {
    if (PROTOCOL_OLDEST..=PROTOCOL).contains(&protocol) {
        return Ok(());
    }
    Err(format!(
        "this side speaks protocol {protocol}, and the manager (version {}) speaks {PROTOCOL_OLDEST} to {PROTOCOL}",
        env!("CARGO_PKG_VERSION")
    ))
}

pub(super) async fn open(
    State(app): State<Arc<App>>,
    peer: WorkerPeer,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let upgrade = upgrade.map_err(|rejection| {
        failure(
            ProblemKind::Invalid,
            rejection.body_text(),
            "this route is a WebSocket",
        )
    })?;
    let alive = app.tasks.token();
    Ok(upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_MAX)
        .max_message_size(MESSAGE_MAX)
        .max_frame_size(MESSAGE_MAX)
        .on_upgrade(move |socket| async move {
            let _alive = alive;
            let ending = app.ending.clone();
            let mut link = Link { app, peer, socket };
            // Until it is let in there is nothing to take back, so the end may cut in anywhere.
            let greeted = tokio::select! {
                greeted = link.greet() => greeted,
                () = ending.cancelled() => None,
            };
            if let Some(welcome) = greeted {
                link.serve(welcome).await;
            }
            let _ = timeout(SEND_TIMEOUT, link.socket.send(Message::Close(None))).await;
        }))
}

struct Link {
    app: Arc<App>,
    peer: WorkerPeer,
    socket: WebSocket,
}

/// A link that was let in.
struct Welcome {
    id: LinkId,
    outgoing: mpsc::Receiver<ToWorker>,
    closing: watch::Receiver<Option<Closing>>,
    first: ToWorker,
}

/// What a worker says of itself at first.
struct Hello {
    protocol: u32,
    facts: WorkerFacts,
    holds: Vec<LeaseKey>,
    peer: Option<SocketAddr>,
    pyramids: bool,
}

impl Link {
    /// The worker's first message and the answer to it.
    async fn greet(&mut self) -> Option<Welcome> {
        let hello = match timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(reason)) => return self.refuse(reason, false).await,
            Err(_) => {
                return self
                    .refuse("the greeting did not come in time".into(), true)
                    .await;
            }
        };
        if let Err(reason) = check_protocol(hello.protocol).and_then(|()| check_facts(&hello.facts))
        {
            return self.refuse(reason, false).await;
        }
        let id = self.app.links.next_id();
        let (outgoing, outgoing_end) = mpsc::channel(OUTGOING_MAX);
        let (closing, closing_end) = watch::channel(None);
        let link = LinkHandle {
            id,
            worker: self.peer.worker,
            serial: self.peer.certificate.serial.clone(),
            address: self.peer.address,
            peer_urls: self.app.peer_urls(self.peer.address, hello.peer),
            makes_pyramids: hello.pyramids,
            outgoing,
            closing,
        };
        let greeting = Greeting {
            facts: hello.facts,
            holds: hello.holds,
            link,
        };
        match self.app.engine.link(greeting).await {
            Ok(Outcome::Linked { mode, drop }) => Some(Welcome {
                id,
                outgoing: outgoing_end,
                closing: closing_end,
                first: ToWorker::Welcome {
                    worker: self.peer.worker,
                    term: self.app.term,
                    managers: self.app.urls(),
                    mode,
                    drop,
                    void: self.app.index().void_certificates(clock::wall()),
                    allow_from: self.app.allow_from.clone(),
                },
            }),
            Ok(Outcome::Refused(refusal)) => self.refuse(refusal.to_string(), false).await,
            Ok(other) => {
                self.refuse(format!("the scheduler answered {other:?}"), true)
                    .await
            }
            Err(error) => {
                self.refuse(
                    format!("the manager cannot take workers in now: {error}"),
                    true,
                )
                .await
            }
        }
    }

    async fn hello(&mut self) -> Result<Hello, String> {
        loop {
            match self.receive().await? {
                Some(FromWorker::Hello {
                    protocol,
                    facts,
                    holds,
                    peer,
                    pyramids,
                }) => {
                    return Ok(Hello {
                        protocol,
                        facts,
                        holds,
                        peer,
                        pyramids,
                    });
                }
                Some(_) => return Err("the first message must be a greeting".into()),
                None => {}
            }
        }
    }

    async fn refuse(&mut self, reason: String, retry: bool) -> Option<Welcome> {
        tracing::warn!(worker = %self.peer.worker, address = %self.peer.address, "link refused: {reason}");
        self.send(&ToWorker::Refused { reason, retry }).await;
        None
    }

    /// The next message; none if it was only a sign of life.
    async fn receive(&mut self) -> Result<Option<FromWorker>, String> {
        let text = match self.socket.recv().await {
            None | Some(Ok(Message::Close(_))) => return Err("the worker closed it".into()),
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(None),
            Some(Ok(Message::Binary(_))) => return Err("a binary message".into()),
            Some(Ok(Message::Text(text))) => text,
        };
        let message =
            serde_json::from_str(&text).map_err(|error| format!("an unknown message: {error}"))?;
        if text.len() > SMALL_MAX_BYTES
            && !matches!(
                message,
                FromWorker::Log { .. } | FromWorker::Hello { .. } | FromWorker::Heartbeat { .. }
            )
        {
            return Err(format!("a message of {} bytes", text.len()));
        }
        Ok(Some(message))
    }

    /// Whether it left.
    async fn send(&mut self, message: &ToWorker) -> bool {
        let text = serde_json::to_string(message).expect("plain data is always JSON");
        if text.len() > MESSAGE_MAX {
            tracing::error!(worker = %self.peer.worker, bytes = text.len(), "a message is too large to be sent");
            return false;
        }
        matches!(
            timeout(SEND_TIMEOUT, self.socket.send(Message::Text(text.into()))).await,
            Ok(Ok(()))
        )
    }

    async fn serve(&mut self, welcome: Welcome) {
        let Welcome { id, first, .. } = &welcome;
        let (id, worker) = (*id, self.peer.worker);
        tracing::info!(%worker, address = %self.peer.address, "worker linked");
        let why = if self.send(first).await {
            self.exchange(welcome).await
        } else {
            "the welcome could not be sent".into()
        };
        tracing::info!(%worker, "link ended: {why}");
        self.app.links.leave(worker, id);
        self.app.engine.unlink(worker, id).await;
    }

    /// Moves messages until the link ends; says why it did.
    async fn exchange(&mut self, welcome: Welcome) -> String {
        let Welcome {
            id,
            mut outgoing,
            mut closing,
            ..
        } = welcome;
        let ending = self.app.ending.clone();
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = ending.cancelled() => return "the manager stops".into(),
                _ = closing.changed() => {
                    let why = *closing.borrow();
                    return self.close(why).await;
                }
                Some(message) = outgoing.recv() => {
                    if !self.send(&message).await {
                        return "a message could not be sent".into();
                    }
                }
                received = self.receive() => {
                    heard = Instant::now();
                    match received {
                        Ok(None) => {}
                        Ok(Some(message)) => {
                            if let Err(why) = self.handle(id, message).await {
                                return why;
                            }
                        }
                        Err(why) => return why,
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > DEAD {
                        return format!("nothing was heard for {} s", DEAD.as_secs());
                    }
                    if !self.peer.is_still_good(&self.app) {
                        return self.close(Some(Closing::Dismissed)).await;
                    }
                    let sent = timeout(SEND_TIMEOUT, self.socket.send(Message::Ping(Default::default()))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return "a ping could not be sent".into();
                    }
                }
            }
        }
    }

    async fn close(&mut self, why: Option<Closing>) -> String {
        let (reason, retry) = match why {
            Some(Closing::Dismissed) => (
                "this worker, or its certificate, is no longer of the farm: pair it again",
                false,
            ),
            // The worker itself has the newer link; to this end nothing need be said.
            Some(Closing::Replaced) => return "the worker has opened another one".into(),
            Some(Closing::Later) | None => ("the manager cannot take workers in now", true),
        };
        self.send(&ToWorker::Refused {
            reason: reason.into(),
            retry,
        })
        .await;
        reason.into()
    }

    async fn handle(&mut self, link: LinkId, message: FromWorker) -> Result<(), String> {
        let worker = self.peer.worker;
        let input = match message {
            FromWorker::Hello { .. } => return Err("a second greeting".into()),
            FromWorker::Heartbeat { holds, machine } => {
                if let Some(machine) = machine {
                    check_machine(&machine)?;
                    self.app.links.measured(worker, link, machine);
                }
                Input::Heartbeat {
                    worker,
                    holds: holds
                        .into_iter()
                        .map(|held| (held.key, held.rendering))
                        .collect(),
                }
            }
            FromWorker::Started { key, position } => Input::Started {
                worker,
                key,
                position,
            },
            FromWorker::Returned { key } => Input::Returned { worker, key },
            FromWorker::Finished { key } => Input::Finished { worker, key },
            // What it still says before it closes the link is heard all the same.
            FromWorker::Leaving => Input::Unlinked(worker),
            FromWorker::Log {
                request,
                bytes,
                ended,
            } => {
                let bytes = BASE64
                    .decode(bytes.as_bytes())
                    .map_err(|error| format!("a part of a log is not base 64: {error}"))?;
                self.app
                    .links
                    .answer(worker, link, request, LogPart { bytes, ended });
                return Ok(());
            }
            FromWorker::Pyramid { request, made } => {
                self.app.links.answer_pyramid(worker, link, request, made);
                return Ok(());
            }
            FromWorker::Facts { facts } => {
                check_facts(&facts)?;
                Input::Facts { worker, facts }
            }
        };
        self.app
            .engine
            .hear(worker, link, input)
            .await
            .map_err(|error: EngineError| error.to_string())
    }
}

/// What is kept of each worker, and shown, is bounded.
fn check_machine(machine: &Machine) -> Result<(), String> {
    let is_share = |share: f32| (0.0..=1.0).contains(&share);
    let mut shares = machine.gpus.iter().filter_map(|gpu| gpu.busy);
    if !is_share(machine.cpu) || !shares.all(is_share) {
        return Err("a part in use is 0 to 1".into());
    }
    let is_long = |name: &str| name.len() > GPU_NAME_MAX;
    if machine.gpus.len() > GPUS_MAX || machine.gpus.iter().any(|gpu| is_long(&gpu.name)) {
        return Err(format!(
            "a machine has at most {GPUS_MAX} GPUs with names of {GPU_NAME_MAX} bytes"
        ));
    }
    Ok(())
}

fn check_facts(facts: &WorkerFacts) -> Result<(), String> {
    if !(1..=SLOTS_MAX).contains(&facts.slots) {
        return Err(format!(
            "a worker has 1 to {SLOTS_MAX} slots, not {}",
            facts.slots
        ));
    }
    let size = serde_json::to_vec(facts).map_or(usize::MAX, |json| json.len());
    if size > SMALL_MAX_BYTES {
        return Err(format!(
            "a worker's description has at most {} KiB",
            SMALL_MAX_BYTES >> 10
        ));
    }
    Ok(())
}
