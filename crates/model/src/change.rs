//! Everything that is recorded, one variant per fact.
//!
//! The scheduler returns changes; the durable record applies them in one transaction; a restored
//! scheduler is fed what the record holds. So a fact that is no `Change` does not survive a restart.

use serde::{Deserialize, Serialize};

use crate::{
    Build, CertificateRecord, Chunking, FarmSettings, FetchedMark, FrameError, FrameResult, Job,
    JobId, JobSettings, JobState, Lease, LeaseKey, PairingRecord, ReceiverRecord, SecretHash, Step,
    Telling, Timestamp, TokenRecord, UnitId, WorkerFacts, WorkerId, WorkerMode,
};

/// A worker as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its number.
    pub id: WorkerId,
    /// Its name, unique in the farm.
    pub name: String,
    /// What it said of itself last.
    pub facts: Option<WorkerFacts>,
    /// What may be given to it.
    pub mode: WorkerMode,
    /// When it was paired.
    pub paired_at: Timestamp,
    /// What its owner noted about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A job was taken in.
    JobAdded(Job),
    /// A job got its build.
    JobPinned(JobId, Build),
    /// Its settings are now these.
    JobEdited(JobId, JobSettings),
    /// Samples were added: its steps are now these. Those that it had are still the first, and what was fetched is not all any more.
    JobGrown(JobId, Vec<Step>),
    /// Its steps are laid out in units so, one layout for each step.
    JobChunked(JobId, Vec<Chunking>),
    /// It stands so from this moment on.
    JobState(JobId, JobState, Timestamp),
    /// All that was delivered of it by now has been brought to a client.
    JobFetched(JobId, FetchedMark),
    /// It is gone, with all that hangs on it.
    JobRemoved(JobId),
    /// A unit was handed out. Its attempt number is the highest the unit ever had.
    Leased(Lease),
    /// A lease ended without its remaining frames; the unit may be handed out again.
    LeaseEnded(LeaseKey),
    /// A frame was accepted: exactly one of these per delivered frame is in the journal. Boxed: by far the largest.
    FrameDone(Box<FrameResult>),
    /// A frame failed once.
    FrameFailed(Box<FrameError>),
    /// A frame (position) has used up its attempts: it is failed.
    FrameGivenUp(LeaseKey, u32),
    /// The failed frames of a job are to be tried again, with their counts at zero.
    FramesRetried(JobId),
    /// A worker was paired or said something new of itself.
    WorkerSet(WorkerRecord),
    /// A worker is gone for good.
    WorkerRemoved(WorkerId),
    /// This worker gets no more frames of this job.
    JobBlocked(JobId, WorkerId),
    /// It may again.
    JobUnblocked(JobId, WorkerId),
    /// Every frame of a unit is there: its attempts need not be remembered any more.
    UnitClosed(UnitId),
    /// The farm's settings are now these.
    FarmSet(Box<FarmSettings>),
    /// A client's token was made.
    TokenAdded(TokenRecord),
    /// A token (by its id) is void.
    TokenRevoked(String),
    /// A pairing code was made.
    PairingAdded(PairingRecord),
    /// A pairing code was used up or has ended.
    PairingRemoved(SecretHash),
    /// A certificate was issued.
    CertificateIssued(CertificateRecord),
    /// A certificate (by its serial) is void.
    CertificateRevoked(String),
    /// A receiver of notifications is new, or another one from now on. What waits for it stays.
    ReceiverSet(Box<ReceiverRecord>),
    /// What waits for a receiver (by its name), and how it went, are now these.
    ReceiverTold(String, Box<Telling>),
    /// A receiver (by its name) is gone, with all that waits for it.
    ReceiverRemoved(String),
}
