//! Everything that can be planned to happen.

use std::fmt;

use tessera_model::{LeaseKey, WorkerMode};

use crate::desk::Offer;
use crate::fault::Fault;
use crate::machine::MachineIndex;
use crate::manager::Arrival;
use crate::network::LinkNumber;
use crate::work::WorkIndex;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// To a worker's program, if it is still the one of that many starts.
    Machine(MachineIndex, u32, MachineEvent),
    /// A machine's owner joins it to the farm, again and again until it is in.
    Join(MachineIndex),
    /// A machine's program is started.
    Boot(MachineIndex),
    /// A person submits a job, again and again until it is taken in.
    Submit(WorkIndex),
    /// Something reaches the manager, if it is still the one of that many starts.
    ToManager(u32, Box<Arrival>),
    /// The manager's engine looks up.
    Turn(u32),
    /// A batch is written, or could not be.
    CommitEnds(u32),
    /// The manager's program is started.
    ManagerBack,
    /// Something goes wrong.
    Strikes(Fault),
    /// Something that went wrong is over.
    Ends(Fault, MachineIndex),
    /// The checkers look at everything.
    Look,
    /// Nothing goes wrong any more.
    Heal,
}

/// Something that happens to a worker's program.
#[derive(Debug, Clone)]
pub(crate) enum MachineEvent {
    /// It tries to link.
    Connects,
    /// The manager has not answered the greeting in time.
    GreetTimeout(LinkNumber),
    /// A message came over its link.
    Hears(LinkNumber, Box<ToWorker>),
    /// It notices that its link is gone.
    LinkLost(LinkNumber),
    /// It says that it lives.
    Beats(LinkNumber),
    /// A scene's files lie there.
    Fetched(WorkIndex, u64),
    /// A slot's Blender begins to render.
    Begins(usize, u64),
    /// A slot's frame ends.
    Ends {
        slot: usize,
        run: u64,
        work: WorkIndex,
        key: LeaseKey,
        position: u32,
    },
    /// A report is sent, if it was sent so often before and not answered.
    Posts(LeaseKey, u32, u32),
    /// A report's answer came: it was taken, or refused, or could not be recorded.
    Answered {
        key: LeaseKey,
        position: u32,
        taken: Option<bool>,
    },
}

/// From the manager to a worker, over its link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToWorker {
    Welcome(WorkerMode, Vec<LeaseKey>),
    Lease(Offer),
    Recall(LeaseKey),
    Cancel(LeaseKey),
    Mode(WorkerMode),
    Dismissed,
}

impl fmt::Display for ToWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &LeaseKey| format!("{} attempt {}", key.unit, key.attempt.0);
        match self {
            Self::Welcome(mode, drop) => write!(f, "welcome, {mode:?}, drop {}", drop.len()),
            Self::Lease(offer) => {
                let frames = offer.frames.len();
                write!(f, "render {}, {frames} frames", key(&offer.key))
            }
            Self::Recall(of) => write!(f, "give back {} unless begun", key(of)),
            Self::Cancel(of) => write!(f, "stop {}", key(of)),
            Self::Mode(mode) => write!(f, "be {mode:?}"),
            Self::Dismissed => f.write_str("you are no longer of the farm"),
        }
    }
}
