//! What handlers work with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLockReadGuard};
use std::time::Duration;

use tessera_blobs::Store;
use tessera_model::{Change, PairingGrant, PairingRecord, Term};
use tessera_state::State;
use tessera_wire::api::Pairing;
use tessera_wire::pairing::{NameCheck, PairingCode, PairingLink, SECRET_BYTES};
use tessera_wire::problem::ProblemKind;
use tessera_wire::subnet::Subnet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::{Answer, failure, internal};
use super::pyramids::Pyramids;
use crate::data_dir::FarmFile;
use crate::engine::EngineHandle;
use crate::events::Events;
use crate::identity::{Index, ServedCertificate, SharedIndex, Tries, secret};
use crate::keeper::Keeper;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::{addresses, clock};

/// Pairing codes that wait to be used. A farm of thousands is paired with one code used many times.
const PAIRINGS_MAX: usize = 1000;

/// Longest life of a pairing code.
const PAIRING_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Walks over all of a scene at once: each keeps a processor and the disk busy for up to seconds.
const LONG_WALKS_MAX: usize = 2;

/// Short walks over the store at once: each has some megabytes in memory and a disk to wait for.
const SHORT_WALKS_MAX: usize = 16;

/// Everything that is shared by all requests.
pub(crate) struct App {
    pub(super) farm: FarmFile,
    pub(super) term: Term,
    pub(super) engine: EngineHandle,
    pub(super) state: Arc<State>,
    pub(super) store: Arc<Store>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) links: Arc<Links>,
    pub(super) events: Arc<Events>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: clock::Clock,
    pub(super) tries: Mutex<Tries>,
    pub(super) long_walks: Semaphore,
    pub(super) short_walks: Semaphore,
    pub(super) pyramids: Pyramids,
    /// Cancelled when the manager ends: streams and links stop then.
    pub(super) ending: CancellationToken,
    /// Tasks that outlive their request.
    pub(super) tasks: TaskTracker,
    index: SharedIndex,
    served: ServedCertificate,
    bound: Vec<SocketAddr>,
    /// See [`ManagerConfig::allow_from`](crate::ManagerConfig::allow_from).
    pub(super) allow_from: Vec<Subnet>,
}

/// Addresses of a manager for others, best first.
pub(crate) fn urls(served: &ServedCertificate, bound: &[SocketAddr]) -> Vec<String> {
    let trust = served.trust();
    let reachable = addresses::reachable(bound);
    if trust.name_check == NameCheck::Farm {
        return reachable.into_iter().map(addresses::url_of).collect();
    }
    // With the owner's certificate only the names in it are believed.
    let port = bound.first().map_or(0, SocketAddr::port);
    trust
        .names
        .iter()
        .filter(|name| !name.contains('*'))
        .map(|name| match name.parse() {
            Ok(ip) => addresses::url_of(SocketAddr::new(ip, port)),
            Err(_) => addresses::url(name, port),
        })
        .collect()
}

/// What it is made of.
pub(crate) struct AppParts {
    pub(crate) farm: FarmFile,
    pub(crate) term: Term,
    pub(crate) engine: EngineHandle,
    pub(crate) state: Arc<State>,
    pub(crate) store: Arc<Store>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) links: Arc<Links>,
    pub(crate) events: Arc<Events>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: clock::Clock,
    pub(crate) ending: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) index: SharedIndex,
    pub(crate) served: ServedCertificate,
    pub(crate) bound: Vec<SocketAddr>,
    pub(crate) allow_from: Vec<Subnet>,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self {
            farm: parts.farm,
            term: parts.term,
            engine: parts.engine,
            state: parts.state,
            store: parts.store,
            keeper: parts.keeper,
            links: parts.links,
            events: parts.events,
            notifier: parts.notifier,
            metrics: parts.metrics,
            clock: parts.clock,
            tries: Mutex::default(),
            long_walks: Semaphore::new(LONG_WALKS_MAX),
            short_walks: Semaphore::new(SHORT_WALKS_MAX),
            pyramids: Pyramids::default(),
            ending: parts.ending,
            tasks: parts.tasks,
            index: parts.index,
            served: parts.served,
            bound: parts.bound,
            allow_from: parts.allow_from,
        }
    }

    /// The recorded credentials.
    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index
            .read()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    /// Addresses of this manager for others, best first.
    pub(crate) fn urls(&self) -> Vec<String> {
        urls(&self.served, &self.bound)
    }

    /// Where other workers reach one that is linked from there and says that it gives blocks at `told`.
    pub(super) fn peer_urls(&self, linked: SocketAddr, told: Option<SocketAddr>) -> Vec<String> {
        let Some(told) = told else {
            return Vec::new();
        };
        addresses::of_peer(linked, told, &self.bound)
            .into_iter()
            .map(addresses::url_of)
            .collect()
    }

    /// Makes a pairing code.
    pub(crate) async fn mint_pairing(
        &self,
        grant: PairingGrant,
        lifetime: Duration,
        once: bool,
    ) -> Answer<Pairing> {
        if lifetime.is_zero() || lifetime > PAIRING_LIFE_MAX {
            return Err(failure(
                ProblemKind::Invalid,
                "a pairing code lives for 1 second to 30 days",
                "ask for a time between these",
            ));
        }
        let now = clock::wall();
        let (mut changes, count) = {
            let index = self.index();
            let ended: Vec<Change> = index
                .ended_pairings(now)
                .into_iter()
                .map(Change::PairingRemoved)
                .collect();
            let count = index.pairing_count() - ended.len();
            (ended, count)
        };
        if count >= PAIRINGS_MAX {
            return Err(failure(
                ProblemKind::TooMany,
                format!("{PAIRINGS_MAX} pairing codes wait to be used"),
                "use them, or wait until some end; one code can be used many times",
            ));
        }
        let secret: [u8; SECRET_BYTES] = secret::random().map_err(|error| internal(&error))?;
        let expires_at = clock::later(now, lifetime);
        changes.push(Change::PairingAdded(PairingRecord {
            hash: secret::hash(&secret),
            grant,
            expires_at,
            once,
        }));
        self.engine.record(changes).await?;
        let trust = self.served.trust();
        let code = PairingCode {
            fingerprint: trust.fingerprint,
            name_check: trust.name_check,
            secret,
        };
        let link = |address| PairingLink {
            address: Some(address),
            code: code.clone(),
        };
        Ok(Pairing {
            code: code.to_string(),
            links: self
                .urls()
                .into_iter()
                .map(|url| link(url).to_string())
                .collect(),
            expires_at,
        })
    }
}
