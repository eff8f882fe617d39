//! The nouns of Tessera.
//!
//! Plain data shared by the scheduler, the durable record and the network types: ids, frame sets,
//! jobs, units and leases, workers and users, and [`Change`], the one description of everything
//! that is recorded. Nothing here reads a file, a clock or a socket. The serde derives are a
//! convenience; what is promised to stay readable is promised by `wire` (network) and `state` (disk).

mod bits;
mod build;
mod change;
mod chunking;
mod farm_settings;
mod frames;
mod identity;
mod ids;
mod job;
mod name;
mod notice;
mod receiver;
mod requirement;
mod result;
mod schema;
mod split;
mod unit;
mod user;
mod version;
mod worker;

pub use bits::FrameBits;
pub use build::{Build, BuildKind, choose_build, suits};
pub use change::{Change, WorkerRecord};
pub use chunking::{CHUNK_RUNS_MAX, ChunkRun, Chunking};
pub use farm_settings::{FarmSettings, NAMED_MAX, PRIORITY_MAX, Share};
pub use frames::{FrameRun, FrameSet, FrameSetError, MAX_FRAMES};
pub use identity::{CertificateRecord, PairingGrant, PairingRecord, SecretHash, TokenRecord};
pub use ids::{Attempt, IdError, JobId, StepIndex, Term, Timestamp, UnitId, WorkerId};
pub use job::{
    After, DEFAULT_ATTEMPTS, DEFAULT_CATEGORY, DEFAULT_PRIORITY, Device, FetchedMark, Job, JobEdit,
    JobSettings, JobState, Overrides, Step, StepKind,
};
pub use name::check_name;
pub use notice::{Notice, NoticeEvent, NoticeJob};
pub use receiver::{
    MailTls, Receiver, ReceiverRecord, Secret, Telling, TellingError, Way, WhoseJobs,
};
pub use requirement::{Requirement, SeriesRange, SeriesRangeError};
pub use result::{
    Blob, FileRole, FrameError, FrameErrorKind, FrameFile, FrameResult, Previews, ResultTimings,
};
pub use split::{PLACES_MAX, Slice, Split, SplitBy, Window};
pub use unit::{Lease, LeaseKey};
pub use user::{Role, User, UserName};
pub use version::{BlenderVersion, ParseVersionError, Series};
pub use worker::{Gpu, Rest, SLOTS_MAX, WorkerFacts, WorkerMode};
