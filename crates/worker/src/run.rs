//! A worker from its start to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use tessera_client::WorkerFarm;
use tessera_model::WorkerFacts;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::blenders::{self, Blenders};
use crate::block_cache::BlockCache;
use crate::config::{WorkerConfig, identity_path};
use crate::crew::Crew;
use crate::deliver::{Deliverer, Sealed, restore};
use crate::desk::{Desk, Input, Shelf};
use crate::error::WorkerError;
use crate::frame_dir::Frames;
use crate::hours;
use crate::hub::{Ends, Hub, RestFor};
use crate::join::make_private_folder;
use crate::link::LinkKeeper;
use crate::log_tail::Logs;
use crate::machine::Gauge;
use crate::peers::{self, PeerBook, PeerServer};
use crate::presence;
use crate::pyramids::Pyramids;
use crate::renewal;
use crate::slot::{Roll, Slot, SlotContext};
use crate::status::{LinkStatus, Status};
use crate::trees::{TreeKeeper, TreesDir};
use crate::uplink::{Uplink, uplink};

/// How long an ending worker waits for frames that are done to reach the manager. What does not make it is told after
/// the next start.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// How long the last messages may take to leave.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// A Blender that does not start is looked at again at most this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Works for a farm until told to stop, drained, or refused.
///
/// `status` shows how it stands at any time. When `shutdown` is cancelled, Blenders are killed and leases given back
/// within seconds; a manager that is away is waited for, for ever.
///
/// # Errors
/// If the worker's folder cannot be used, if it belongs to no farm, or if the farm refuses it for good.
pub async fn run(
    config: WorkerConfig,
    status: watch::Sender<Status>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let farm = identity(&config)?;
    let worker = farm.worker;
    let (disk, left) = {
        let config = config.clone();
        let opening = tokio::task::spawn_blocking(move || Disk::open(&config, worker));
        opening.await.expect("opening the folder does not panic")?
    };
    status.send_modify(|status| {
        status.name.clone_from(&farm.name);
        status.farm.clone_from(&farm.farm);
        status.worker = Some(farm.worker);
        status.link = LinkStatus::Connecting;
    });
    let blenders = tokio::select! {
        blenders = blenders::find(&config) => blenders,
        () = shutdown.cancelled() => return Ok(()),
    };
    let facts = blenders::facts(&config, &blenders);
    let given_at = peers::listen(config.peer_listen).await?;
    let worker = Worker::assemble(config, farm, disk, blenders, facts, given_at, status);
    worker.work(left, shutdown).await
}

/// See [`presence::untouched_for`].
async fn untouched() -> Option<Duration> {
    tokio::task::spawn_blocking(presence::untouched_for)
        .await
        .ok()
        .flatten()
}

fn identity(config: &WorkerConfig) -> Result<WorkerFarm, WorkerError> {
    if let Some(farm) = &config.identity {
        return Ok(farm.clone());
    }
    let stored = WorkerFarm::load(&identity_path(&config.data_dir))?;
    stored.ok_or_else(|| WorkerError::NotPaired {
        dir: config.data_dir.clone(),
    })
}

/// The worker's folder, opened.
#[derive(Debug)]
struct Disk {
    blocks: Arc<BlockCache>,
    frames: Arc<Frames>,
    trees: TreesDir,
    shelf: Shelf,
}

impl Disk {
    /// Besides the folder, the reports a former run left in it. Blocking.
    fn open(
        config: &WorkerConfig,
        worker: tessera_model::WorkerId,
    ) -> Result<(Self, Vec<Sealed>), WorkerError> {
        let folder = |source: io::Error| WorkerError::Folder {
            dir: config.data_dir.clone(),
            source,
        };
        make_private_folder(&config.data_dir).map_err(folder)?;
        // Its lock is the whole folder's: nothing else is touched before.
        let blocks = BlockCache::open(config.store_dir(), config.cache_max_bytes / 2)
            .map_err(|source| WorkerError::Store { source })?;
        let (frames, left) = Frames::open(&config.frames_dir()).map_err(folder)?;
        let trees = TreesDir::new(config.trees_dir());
        let found = trees.find(&blocks.recent_trees()).map_err(folder)?;
        let disk = Self {
            blocks: Arc::new(blocks),
            frames: Arc::new(frames),
            trees,
            shelf: Shelf::new(config.cache_max_bytes / 2, found),
        };
        let left = left.into_iter().filter_map(|dir| restore(dir, worker));
        Ok((disk, left.collect()))
    }
}

/// All parts, put together and not yet running.
#[derive(Debug)]
struct Worker {
    crew: Crew,
    config: WorkerConfig,
    hub: Arc<Hub>,
    ends: Ends,
    farm: watch::Sender<WorkerFarm>,
    link: LinkKeeper,
    uplink: Uplink,
    slots: Arc<SlotContext>,
    suspects: mpsc::Receiver<tessera_model::Build>,
    blenders: watch::Sender<Blenders>,
    deliverer: Deliverer,
    trees: TreeKeeper,
    peer_server: Option<PeerServer>,
}

impl Worker {
    fn assemble(
        config: WorkerConfig,
        farm: WorkerFarm,
        disk: Disk,
        blenders: Blenders,
        facts: WorkerFacts,
        given_at: Option<(TcpListener, SocketAddr)>,
        status: watch::Sender<Status>,
    ) -> Self {
        let prewarm = config.prewarm.and_then(|series| blenders.choose(series));
        let slots = config.slots.get() as usize;
        let desk = Desk::new(slots, disk.shelf, blenders.builds(), prewarm);
        let at = given_at.as_ref().map(|(_, at)| *at);
        let (hub, ends) = Hub::new(desk, facts, at, status);
        let (port, uplink) = uplink();
        let crew = Crew::new();
        let roll = Roll::new(slots);
        let logs = Logs::new(crew.clone());
        let (farm, farm_seen) = watch::channel(farm);
        let peers = Arc::new(PeerBook::new(config.bandwidth.clone()));
        let peer_server = given_at.map(|(listener, _)| PeerServer {
            listener,
            farm: farm_seen.clone(),
            book: Arc::clone(&peers),
            blocks: Arc::clone(&disk.blocks),
            crew: crew.clone(),
        });
        let among = (Arc::clone(&peers), farm_seen.clone());
        let (blenders, blenders_seen) = watch::channel(blenders);
        // One suspicion is enough to look at all of them.
        let (suspect, suspects) = mpsc::channel(1);
        let link = LinkKeeper {
            hub: Arc::clone(&hub),
            logs: logs.clone(),
            pyramids: Pyramids::new(Arc::clone(&disk.frames), uplink.clone(), crew.clone()),
            peers,
            uplink: port,
            farm: farm_seen,
            identity_file: identity_file(&config),
            addresses: config.addresses.clone(),
            discovery: config.discovery,
            bandwidth: config.bandwidth.clone(),
            gauge: Gauge::new(&config.data_dir, roll.clone()),
            closing: CancellationToken::new(),
            answered: None,
        };
        let slots = SlotContext {
            hub: Arc::clone(&hub),
            frames: disk.frames,
            trees: disk.trees.clone(),
            roll,
            logs,
            launch: config.launch(),
            blenders: blenders_seen,
            uplink: uplink.clone(),
            suspect,
        };
        let worker = farm.borrow().worker;
        Self {
            deliverer: Deliverer::new(Arc::clone(&hub), uplink.clone(), worker, crew.clone()),
            trees: TreeKeeper::new(
                Arc::clone(&hub),
                uplink.clone(),
                disk.blocks,
                disk.trees,
                among,
                crew.clone(),
            ),
            peer_server,
            crew,
            config,
            hub,
            ends,
            farm,
            link,
            uplink,
            slots: Arc::new(slots),
            suspects,
            blenders,
        }
    }

    async fn work(self, left: Vec<Sealed>, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let hub = Arc::clone(&self.hub);
        for sealed in &left {
            hub.apply(Input::Restored {
                key: sealed.key(),
                position: sealed.position(),
            });
        }
        self.deliverer.take_up(left);
        let hours = self.config.hours.clone();
        if let Some(hours) = &hours {
            hours::tell_zone(hours);
            // Before the first greeting: it is not to be given what it would give back.
            hub.set_rest(RestFor::Hours, hours.rest_at(&Zoned::now()));
        }
        let while_idle = self.config.while_idle;
        if let Some(left_alone) = while_idle {
            let untouched = untouched().await;
            let looking = tokio::task::spawn_blocking(presence::is_blind);
            if looking.await.unwrap_or(true) {
                tracing::warn!(
                    "whoever sits at this machine's screen cannot be seen, so it counts as left alone: start the worker in that \
                     session, or give it DISPLAY and XAUTHORITY"
                );
            }
            hub.set_rest(RestFor::User, presence::rest(left_alone, untouched));
        }

        let crew = self.crew;
        for (index, orders) in self.ends.slots.into_iter().enumerate() {
            let slot = Slot::new(index, Arc::clone(&self.slots));
            crew.spawn_to_end("slot", slot.run(orders, crew.end().clone()));
        }
        crew.spawn("delivery", self.deliverer.run(self.ends.reports));
        crew.spawn("files", self.trees.run(self.ends.trees));
        if let Some(server) = self.peer_server {
            crew.spawn("blocks for other workers", server.run());
        }
        if let Some(hours) = hours {
            let keeping = hours::keep(hours, Arc::clone(&hub), Zoned::now, tokio::time::sleep);
            crew.spawn("hours", keeping);
        }
        if let Some(left_alone) = while_idle {
            let hub = Arc::clone(&hub);
            let keeping = presence::keep(left_alone, hub, untouched, tokio::time::sleep);
            crew.spawn("presence", keeping);
        }
        let (farm, file) = (self.farm, identity_file(&self.config));
        crew.spawn("renewal", renewal::keep_fresh(farm, file, self.uplink));
        let looking = look_again(self.config, Arc::clone(&hub), self.suspects, self.blenders);
        crew.spawn("search for Blenders", looking);

        let closing = self.link.closing.clone();
        let link = self.link.run();
        tokio::pin!(link);
        let ended = tokio::select! {
            refused = &mut link => refused,
            task = crew.broken() => Err(WorkerError::Internal { what: format!("its {task} ended in a panic") }),
            () = drained(&hub) => {
                tracing::info!("drained: this worker has nothing left to do and ends");
                Ok(())
            }
            () = shutdown.cancelled() => Ok(()),
        };
        hub.apply(Input::Close);
        if ended.is_ok() {
            flush(&hub, &mut link).await;
            closing.cancel();
            hub.link_down();
            if tokio::time::timeout(GOODBYE_WITHIN, link).await.is_err() {
                tracing::debug!("the manager did not hear the goodbye in time");
            }
        }
        crew.dismiss().await;
        ended
    }
}

/// Waits, within bounds, until what is done is delivered and what renders has ended.
async fn flush(hub: &Hub, link: &mut (impl Future + Unpin)) {
    let flushed = tokio::select! {
        () = flushed(hub) => true,
        _ = link => false,
        () = tokio::time::sleep(FLUSH_WITHIN) => false,
    };
    if !flushed {
        tracing::warn!("frames that are done and not yet delivered are told after the next start");
    }
}

/// Where what is learned of the farm is kept: where [`join`](crate::join) kept the identity. A worker that was handed one
/// without a file leaves the keeping to whoever has it.
fn identity_file(config: &WorkerConfig) -> Option<std::path::PathBuf> {
    let path = identity_path(&config.data_dir);
    path.exists().then_some(path)
}

/// Returns once the worker is drained and idle.
async fn drained(hub: &Hub) {
    let mut changes = hub.watch();
    while !hub.is_drained() && changes.changed().await.is_ok() {}
}

/// Returns once nothing is left that ending would lose.
async fn flushed(hub: &Hub) {
    let mut changes = hub.watch();
    while !hub.is_flushed() && changes.changed().await.is_ok() {}
}

/// Looks at the machine's Blenders again when one of them did not start, and tells the farm.
async fn look_again(
    config: WorkerConfig,
    hub: Arc<Hub>,
    mut suspects: mpsc::Receiver<tessera_model::Build>,
    blenders: watch::Sender<Blenders>,
) {
    while let Some(build) = suspects.recv().await {
        tracing::warn!("{build} did not start: looking at this machine's Blenders again");
        let found = blenders::find(&config).await;
        let facts = blenders::facts(&config, &found);
        blenders.send_replace(found);
        hub.new_facts(facts);
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
