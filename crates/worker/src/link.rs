//! The link to the manager: opened, kept, mended for as long as the worker lives.
//!
//! What is said and what follows from what is heard is decided by the hub. Here are only addresses, waiting and the two
//! directions of one socket. Renders know nothing of it: a link that is cut costs them nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tessera_client::{
    Api, ApiError, Bandwidth, ConnectError, LinkError, LinkReceiver, LinkSender, WorkerFarm,
    find_manager,
};
use tessera_wire::blob::to_store;
use tessera_wire::link::{FromWorker, HEARTBEAT, ToWorker};
use tessera_wire::problem::ProblemKind;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::desk::Input;
use crate::error::WorkerError;
use crate::hub::Hub;
use crate::log_tail::{Logs, Question};
use crate::machine::Gauge;
use crate::peers::PeerBook;
use crate::pyramids::Pyramids;
use crate::status::LinkStatus;
use crate::uplink::UplinkPort;

/// First and longest wait before the manager is tried again: quickly after a restart, and never long, because frames
/// wait at the other end.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Longest a manager may take to answer a greeting: it answers after one commit.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// How long one look around by mDNS takes; answers come within a second where there are any.
const LOOK_FOR: Duration = Duration::from_secs(3);

/// Most addresses remembered: all managers of a farm, each with all its networks.
const ADDRESSES_MAX: usize = 32;

/// Everything the link needs.
#[derive(Debug)]
pub(crate) struct LinkKeeper {
    pub hub: Arc<Hub>,
    pub logs: Logs,
    pub pyramids: Pyramids,
    /// Is told who may ask this worker, and whom it may ask.
    pub peers: Arc<PeerBook>,
    pub uplink: UplinkPort,
    /// Who this worker is; renewed now and then, which is when the link is opened anew.
    pub farm: watch::Receiver<WorkerFarm>,
    /// Where what is learned of the farm's addresses is kept.
    pub identity_file: Option<PathBuf>,
    /// Tried before all others.
    pub addresses: Vec<String>,
    pub discovery: bool,
    pub bandwidth: Bandwidth,
    pub gauge: Gauge,
    /// Cancelled when this worker ends: what is left is said, and the link closed.
    pub closing: CancellationToken,
    /// The address of the last link.
    pub answered: Option<String>,
}

/// Why a link ended, or never was.
#[derive(Debug)]
enum End {
    /// It may be there again later.
    Lost(String),
    /// It will not.
    Refused(String),
    /// This worker's identity has changed.
    Renewed,
    /// This worker ends.
    Closed,
}

impl LinkKeeper {
    /// Keeps the link until the worker ends, or the farm refuses it for good.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut learned: Vec<String> = Vec::new();
        loop {
            let end = self.once(&mut learned, &mut backoff).await;
            if self.closing.is_cancelled() {
                return Ok(());
            }
            self.uplink.set(None);
            self.peers.unlinked();
            self.hub.link_down();
            match end {
                End::Closed => {}
                End::Renewed => tracing::debug!("linked anew with the new certificate"),
                End::Refused(reason) => {
                    let farm = self.farm.borrow().farm.clone();
                    self.hub.show_link(LinkStatus::Refused {
                        reason: reason.clone(),
                    });
                    return Err(WorkerError::Refused { farm, reason });
                }
                End::Lost(reason) => {
                    let wait = backoff.wait();
                    tracing::info!("{reason}; tried again in {:.1} s", wait.as_secs_f64());
                    self.hub.show_link(LinkStatus::Lost { reason });
                    self.look_around(&mut learned, wait).await;
                }
            }
        }
    }

    /// Waits, and meanwhile listens for the farm's manager under another address.
    async fn look_around(&self, learned: &mut Vec<String>, wait: Duration) {
        let fingerprint = self.farm.borrow().trust.fingerprint();
        let (true, Ok(fingerprint)) = (self.discovery, fingerprint) else {
            self.closing
                .run_until_cancelled(tokio::time::sleep(wait))
                .await;
            return;
        };
        let look = async {
            match find_manager(fingerprint, LOOK_FOR).await {
                Ok(seen) => Some(seen.addresses),
                Err(error) => {
                    tracing::debug!("{error}");
                    None
                }
            }
        };
        // A manager that is found is tried at once; one that is not is waited for as long as planned, no longer.
        let pause = tokio::time::sleep(wait);
        tokio::pin!(pause);
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = &mut pause => {}
            seen = look => {
                if !remember(learned, seen.unwrap_or_default()) {
                    self.closing.run_until_cancelled(pause).await;
                }
            }
        }
    }

    /// One link from its opening to its end.
    async fn once(&mut self, learned: &mut Vec<String>, backoff: &mut Backoff) -> End {
        let farm = self.farm.borrow_and_update().clone();
        let mut access = farm.access();
        // What answered last comes first: a list may hold many addresses that do not lead here from everywhere.
        let mut addresses: Vec<String> = self.answered.iter().cloned().collect();
        let known = self.addresses.iter().chain(learned.iter());
        remember(&mut addresses, known.chain(&farm.addresses).cloned());
        access.addresses = addresses;
        let api = match Api::new(access) {
            Ok(api) => api.limited(self.bandwidth.clone()),
            Err(error) => return End::Refused(format!("{error}; join again with --join CODE")),
        };
        let link = match self.closing.run_until_cancelled(api.link()).await {
            Some(Ok(link)) => link,
            Some(Err(error)) => return judge(error),
            None => return End::Closed,
        };
        let manager = link.address().to_owned();
        let (mut sender, mut receiver) = link.split();
        let (hello, outbox) = self.hub.link_up();
        if let Err(error) = sender.send(&hello).await {
            return judge(error);
        }
        let managers = match self.welcome(&mut receiver, &manager).await {
            Ok(managers) => managers,
            Err(end) => return end,
        };
        backoff.reset();
        self.answered = Some(manager.clone());
        remember(learned, managers);
        self.keep_addresses(learned);
        self.uplink.set(Some(api));
        tracing::info!(
            "linked to farm '{}' at {manager} as '{}'",
            farm.farm,
            farm.name
        );

        let mut renewed = self.farm.clone();
        tokio::select! {
            end = hear(&self.hub, &self.logs, &self.pyramids, &self.peers, &mut receiver) => end,
            end = speak(&self.hub, &mut self.gauge, &mut sender, outbox, &self.closing) => end,
            Ok(()) = renewed.changed() => {
                sender.close().await;
                End::Renewed
            }
        }
    }

    /// The manager's answer to the greeting. The addresses of the farm's managers.
    async fn welcome(
        &self,
        receiver: &mut LinkReceiver,
        manager: &str,
    ) -> Result<Vec<String>, End> {
        let answer = tokio::time::timeout(WELCOME_WITHIN, receiver.next()).await;
        match answer {
            Err(_) => Err(End::Lost(format!(
                "the manager at {manager} does not answer the greeting"
            ))),
            Ok(Err(error)) => Err(judge(error)),
            Ok(Ok(None)) => Err(End::Lost(format!(
                "the manager at {manager} closed the link"
            ))),
            Ok(Ok(Some(ToWorker::Refused { reason, retry }))) => Err(match retry {
                true => End::Lost(reason),
                false => End::Refused(reason),
            }),
            Ok(Ok(Some(ToWorker::Welcome {
                managers,
                mode,
                drop,
                void,
                allow_from,
                ..
            }))) => {
                self.peers.linked(void, allow_from);
                self.hub.show_link(LinkStatus::Linked {
                    manager: manager.to_owned(),
                    mode,
                });
                self.hub.apply(Input::Cancel(drop));
                self.hub.apply(Input::Mode(mode));
                Ok(managers)
            }
            Ok(Ok(Some(_))) => {
                let what = "is of a version that this worker does not understand";
                Err(End::Lost(format!("the manager at {manager} {what}")))
            }
        }
    }

    /// Keeps the farm's addresses for the next start.
    fn keep_addresses(&self, learned: &[String]) {
        let Some(path) = &self.identity_file else {
            return;
        };
        let mut farm = self.farm.borrow().clone();
        let mut addresses = learned.to_vec();
        remember(&mut addresses, farm.addresses.iter().cloned());
        if addresses == farm.addresses {
            return;
        }
        farm.addresses = addresses;
        if let Err(error) = farm.save(path) {
            tracing::warn!("cannot keep the manager's addresses: {error}");
        }
    }
}

/// Adds what is new, up to the bound. Whether anything was.
fn remember(addresses: &mut Vec<String>, more: impl IntoIterator<Item = String>) -> bool {
    let before = addresses.len();
    for address in more {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.len() > before
}

/// Whether trying again can help.
fn judge(error: LinkError) -> End {
    let refused = match &error {
        LinkError::Open(ApiError::Connect(ConnectError::IdentityRefused { .. })) => true,
        LinkError::Open(error) => matches!(
            error.kind(),
            Some(ProblemKind::Unauthorized | ProblemKind::Forbidden | ProblemKind::Version)
        ),
        LinkError::Silent { .. } | LinkError::Cut { .. } | LinkError::Message { .. } => false,
    };
    match refused {
        true => End::Refused(error.to_string()),
        false => End::Lost(error.to_string()),
    }
}

/// Takes in what the manager says.
async fn hear(
    hub: &Arc<Hub>,
    logs: &Logs,
    pyramids: &Pyramids,
    peers: &PeerBook,
    receiver: &mut LinkReceiver,
) -> End {
    loop {
        let message = match receiver.next().await {
            Ok(Some(message)) => message,
            Ok(None) => return End::Lost("the manager closed the link".to_owned()),
            Err(error) => return judge(error),
        };
        match message {
            ToWorker::Lease(offer) => {
                // First: what is said next may add to it.
                let tree = to_store(&offer.manifest).digest;
                peers.more_sources(tree, offer.sources.clone());
                hub.apply(Input::Lease(offer));
            }
            ToWorker::Recall { key } => hub.apply(Input::Recall(key)),
            ToWorker::Cancel { key } => hub.apply(Input::Cancel(vec![key])),
            ToWorker::Mode { mode } => hub.apply(Input::Mode(mode)),
            ToWorker::Peers { manifest, sources } => {
                peers.more_sources(to_store(&manifest).digest, sources);
            }
            ToWorker::Void { serial } => peers.void(serial),
            ToWorker::Welcome {
                mode,
                drop,
                void,
                allow_from,
                ..
            } => {
                peers.linked(void, allow_from);
                hub.apply(Input::Cancel(drop));
                hub.apply(Input::Mode(mode));
            }
            ToWorker::Refused { reason, retry } => {
                return match retry {
                    true => End::Lost(reason),
                    false => End::Refused(reason),
                };
            }
            ToWorker::Log {
                request,
                key,
                position,
                stream,
                from,
            } => {
                let frame = (key, position);
                let question = Question {
                    request,
                    frame,
                    stream,
                    from,
                };
                logs.answer(hub, question);
            }
            ToWorker::Pyramid { request, file } => pyramids.answer(hub, request, file),
        }
    }
}

/// Says what there is to say, and every now and then that the worker lives.
async fn speak(
    hub: &Arc<Hub>,
    gauge: &mut Gauge,
    sender: &mut LinkSender,
    mut outbox: mpsc::Receiver<FromWorker>,
    closing: &CancellationToken,
) -> End {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = outbox.recv() => message,
            _ = heartbeat.tick() => {
                hub.heartbeat(gauge.sample());
                continue;
            }
        };
        let Some(message) = message else {
            if closing.is_cancelled() {
                sender.close().await;
                return End::Closed;
            }
            return End::Lost("the manager takes no more messages".to_owned());
        };
        if let Err(error) = sender.send(&message).await {
            return judge(error);
        }
    }
}
