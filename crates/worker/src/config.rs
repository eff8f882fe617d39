//! All that the owner of a worker decides.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tessera_blender::{Launch, Search, Series};
use tessera_client::{Bandwidth, WorkerFarm};

use crate::hours::Hours;
use crate::peers::PeerListen;

/// Bytes of scenes kept for jobs to come, unless the owner says otherwise: several large productions, and still a
/// small part of a disk that is used for rendering.
pub const CACHE_MAX_BYTES: u64 = 50 << 30;

/// See [`run`](crate::run).
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The worker's folder, made if missing. One process at a time.
    pub data_dir: PathBuf,
    /// Who it is in which farm; if none, what [`join`](crate::join) left in the folder.
    pub identity: Option<WorkerFarm>,
    /// Addresses of managers to try before the remembered ones.
    pub addresses: Vec<String>,
    /// Whether the manager is looked for by mDNS when no address answers. What is found is trusted by the farm's
    /// certificate only.
    pub discovery: bool,
    /// Living Blenders at once.
    pub slots: NonZeroU32,
    /// Threads of each; if none, the processors are shared among the slots.
    pub threads: Option<NonZeroU32>,
    /// Labels that jobs can ask for.
    pub tags: Vec<String>,
    /// When it works, by this machine's clock; always, if none. Outside of these hours it finishes the frames it has begun, takes
    /// nothing new and ends its Blenders.
    pub hours: Option<Hours>,
    /// It works once keyboard and mouse of its machine were left alone for this long, and gives up what it has begun when somebody
    /// comes back; always, if none.
    pub while_idle: Option<Duration>,
    /// Where Blenders are looked for. Without a cache file of its own, one in the worker's folder is used.
    pub blender: Search,
    /// Added to the nice level of every Blender.
    pub nice: u8,
    /// Memory of one Blender with its children above which it is ended.
    pub memory_limit_bytes: Option<u64>,
    /// A Blender that uses no processor time for this long has hung.
    pub hang_after: Duration,
    /// Bytes of scenes kept for jobs to come, half of them as trees of files, half as blocks. What is in use at once may
    /// be more.
    pub cache_max_bytes: u64,
    /// Most that goes over the network.
    pub bandwidth: Bandwidth,
    /// Where other workers of the farm can have blocks of scenes from this one.
    pub peer_listen: PeerListen,
    /// Added to every Blender's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Start the Blender for a file of this series at once, for work that is just being packed.
    pub prewarm: Option<Series>,
}

impl WorkerConfig {
    /// The defaults.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let launch = Launch::default();
        Self {
            data_dir: data_dir.into(),
            identity: None,
            addresses: Vec::new(),
            discovery: true,
            slots: NonZeroU32::MIN,
            threads: None,
            tags: Vec::new(),
            hours: None,
            while_idle: None,
            blender: Search::default(),
            nice: launch.nice,
            memory_limit_bytes: launch.memory_max_bytes,
            hang_after: launch.hang_after,
            cache_max_bytes: CACHE_MAX_BYTES,
            bandwidth: Bandwidth::default(),
            peer_listen: PeerListen::default(),
            environment: Vec::new(),
            prewarm: None,
        }
    }

    /// Threads of one slot's Blender.
    pub(crate) fn threads(&self) -> NonZeroU32 {
        let shared = || {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            let each = u32::try_from(cores).unwrap_or(u32::MAX) / self.slots.get();
            NonZeroU32::new(each).unwrap_or(NonZeroU32::MIN)
        };
        self.threads.unwrap_or_else(shared)
    }

    pub(crate) fn launch(&self) -> Launch {
        Launch {
            threads: Some(self.threads()),
            nice: self.nice,
            memory_max_bytes: self.memory_limit_bytes,
            hang_after: self.hang_after,
            environment: self.environment.clone(),
        }
    }

    pub(crate) fn search(&self) -> Search {
        let mut search = self.blender.clone();
        let own = || self.data_dir.join("blenders.json");
        search.cache = Some(search.cache.unwrap_or_else(own));
        search
    }

    /// Blocks of scenes.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// Scenes laid out, each under its manifest's digest.
    pub(crate) fn trees_dir(&self) -> PathBuf {
        self.data_dir.join("trees")
    }

    /// Frames being rendered or delivered.
    pub(crate) fn frames_dir(&self) -> PathBuf {
        self.data_dir.join("frames")
    }
}

/// Where a worker keeps who it is, below its data folder.
#[must_use]
pub fn identity_path(data_dir: &Path) -> PathBuf {
    data_dir.join("farm.json")
}
