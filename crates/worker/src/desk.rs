//! What this worker has in its hands, and what follows when something happens to it.
//!
//! Pure and synchronous: [`Desk::apply`] is told one thing and says what is to be done; the tasks around it only
//! move bytes and wait. One frame is handed to a slot at a time, so pausing, recalling, cancelling and the bound on
//! results not yet sent all act between any two frames, also in the middle of a lease. Every entry is keyed by the
//! lease's key: hearing anything twice changes nothing.

mod apply;
mod assign;
mod lease;
mod shelf;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tessera_blobs::Digest;
use tessera_model::{Blob, Build, FrameErrorKind, LeaseKey, WorkerMode};
use tessera_wire::link::{FrameToRender, FromWorker, LeaseOffer, Source};

use lease::Held;
pub(crate) use shelf::Shelf;

/// Most leases in hand: many times what a manager sends ahead to the largest machine, small enough that one which
/// sends without end cannot fill the memory.
pub(crate) const LEASES_MAX: usize = 4096;

/// Most frames rendered and not yet taken by the manager, so that one gone for an hour costs nothing while frames
/// take seconds; above it no new frame begins.
pub(crate) const UNSENT_FRAMES_MAX: usize = 1024;

/// Most bytes of such frames: they lie on the worker's disk.
pub(crate) const UNSENT_BYTES_MAX: u64 = 32 << 30;

/// A lease that could begin is passed over this often for one whose scene is loaded already; then it is its turn.
pub(crate) const PASSED_OVER_MAX: u32 = 4;

/// What a Blender must have open to render a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SceneKey {
    pub manifest: Digest,
    pub main_file: String,
    pub autoexec: bool,
}

/// What lives in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Warm {
    /// The living Blender.
    pub build: Option<Build>,
    /// What it has open.
    pub scene: Option<SceneKey>,
    /// Bytes of the slot's own tree, if it has one.
    pub own_tree_bytes: Option<u64>,
}

/// Whether a worker leaves its machine to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resting {
    No,
    /// Once the frames it has begun are finished.
    AfterFrame,
    /// At once: what it has begun is given up.
    Now,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Work came.
    Lease(Box<LeaseOffer>),
    /// Give back unless begun.
    Recall(LeaseKey),
    /// Nobody waits for these any more: stop, and say nothing of them.
    Cancel(Vec<LeaseKey>),
    /// What may be given to this worker.
    Mode(WorkerMode),
    /// Its owner wants the machine, or no more.
    Rest(Resting),
    /// A job's files lie in their tree; bringing them took so long.
    TreeReady {
        manifest: Digest,
        bytes: u64,
        took: Duration,
    },
    /// They do not, and why.
    TreeFailed {
        manifest: Digest,
        kind: FrameErrorKind,
        message: String,
    },
    /// Bringing them was given up because nobody wanted them any more.
    TreeAborted(Digest),
    /// A tree that was to be removed is gone.
    TreeRemoved(Digest),
    /// The disk is full: trees nobody uses go.
    DiskFull,
    /// A slot has nothing to do and holds this.
    SlotIdle { slot: usize, warm: Warm },
    /// A slot without work has ended its Blender.
    Cooled { slot: usize },
    /// A slot's Blender begins to render its frame: all is loaded, and the slot holds this now.
    FrameStarted { slot: usize, warm: Warm },
    /// The frame a slot was given has ended, and the slot holds this now.
    FrameEnded {
        slot: usize,
        end: FrameEnd,
        warm: Warm,
    },
    /// The manager has taken a frame's result or failure, or does not want it.
    Reported { key: LeaseKey, position: u32 },
    /// Reports a former run of this worker left unsent.
    Restored { key: LeaseKey, position: u32 },
    /// The Blenders of this machine are these now.
    Builds(Vec<Build>),
    /// This worker ends.
    Close,
}

/// How a frame ended in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameEnd {
    /// Its files are there, this many bytes, and on their way to the manager.
    Rendered { bytes: u64 },
    /// It failed; the failure is on its way to the manager.
    Failed,
    /// It was rendered because those after it need it; nothing is reported.
    Unwanted,
    /// It was stopped on request; nothing is reported.
    Stopped,
}

/// What a slot is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Render a frame.
    Frame(Box<FrameOrder>),
    /// Have this build living: work for it is on its way.
    Warm(Build),
    /// Have none living: its memory is wanted by others.
    Cool,
}

/// One frame to render.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FrameOrder {
    pub offer: Arc<LeaseOffer>,
    pub scene: SceneKey,
    pub frame: FrameToRender,
    /// What a failure is reported under: this frame, or the next one that is wanted.
    pub blame: FrameToRender,
    /// Open the scene afresh, whatever is loaded.
    pub afresh: bool,
    /// What bringing the files took, for the first frame of those who waited for it.
    pub transfer: Duration,
}

/// Files to bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub manifest: Blob,
    pub sources: Vec<Source>,
}

/// A failure that happened before any slot was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EarlyFailure {
    pub key: LeaseKey,
    pub frame: FrameToRender,
    pub kind: FrameErrorKind,
    pub message: String,
}

/// What is to be done, each list in its order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Effects {
    pub say: Vec<FromWorker>,
    pub orders: Vec<(usize, Order)>,
    /// Slots whose frame is to be killed.
    pub stop: Vec<usize>,
    pub fetch: Vec<Fetch>,
    pub abort: Vec<Digest>,
    pub remove_trees: Vec<Digest>,
    pub fail: Vec<EarlyFailure>,
}

/// A slot as the desk sees it.
#[derive(Debug, Clone, Default)]
struct Slot {
    warm: Warm,
    busy: Busy,
    /// The tree its frame needs.
    tree: Option<Digest>,
    /// To be started as soon as the slot is there.
    prewarm: Option<Build>,
    /// Starting ahead of work failed here; the next frame will say why, so it is not tried again before.
    cold: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Busy {
    /// Not there yet: every slot says once that it is.
    #[default]
    Absent,
    /// Waits for an order.
    No,
    /// Starts a Blender.
    Warming(Build),
    /// Ends its Blender.
    Cooling,
    /// Has a frame of this lease, which may have been taken from the desk meanwhile.
    Frame { key: LeaseKey, started: bool },
}

/// All of it. See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    mode: WorkerMode,
    resting: Resting,
    closing: bool,
    leases: BTreeMap<LeaseKey, Held>,
    arrivals: u64,
    shelf: Shelf,
    slots: Vec<Slot>,
    /// Trees that found the disk full, to be brought once others have gone.
    starved: BTreeSet<Digest>,
    builds: Vec<Build>,
    done: u64,
    failed: u64,
}

impl Desk {
    /// With `prewarm`, every slot starts that Blender at once.
    pub(crate) fn new(
        slots: usize,
        shelf: Shelf,
        builds: Vec<Build>,
        prewarm: Option<Build>,
    ) -> Self {
        let slot = Slot {
            prewarm,
            ..Slot::default()
        };
        Self {
            mode: WorkerMode::Active,
            resting: Resting::No,
            closing: false,
            leases: BTreeMap::new(),
            arrivals: 0,
            shelf,
            slots: vec![slot; slots],
            starved: BTreeSet::new(),
            builds,
            done: 0,
            failed: 0,
        }
    }
}
