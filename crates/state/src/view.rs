//! What is read page by page: the shapes of results, errors, accepts and blob roots.

use std::collections::BTreeMap;

use tessera_model::{Blob, FrameBits, FrameError, JobId, StepIndex};

use crate::{ReadError, State};

/// Most results one call returns: about 1 MB in memory.
pub const MAX_RESULTS_PER_READ: u32 = 4096;

/// Most errors one call returns.
pub const MAX_ERRORS_PER_READ: u32 = 1000;

/// Place of an error in the record: later errors have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorSeq(pub i64);

/// An error and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Give the last one's to read on.
    pub seq: ErrorSeq,
    /// The error.
    pub error: FrameError,
}

/// How often frames of a job were accepted, counted from the recorded results themselves and not from the done bits;
/// and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepts {
    /// Handings-out of its units ever: distinct (unit, attempt). A lapsed lease that is taken up again is no new one.
    pub leases: u64,
    /// Failures of its frames ever, also those from before a retry.
    pub failures: u64,
    /// One for each of the job's steps, in order.
    pub steps: Vec<StepAccepts>,
}

/// How often frames of a step were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAccepts {
    /// Which step.
    pub step: StepIndex,
    /// Recorded results.
    pub total: u64,
    /// Positions with at least one.
    pub accepted: FrameBits,
    /// Positions with more than one, and how many. Empty in every sound record.
    pub repeated: BTreeMap<u32, u32>,
}

impl Accepts {
    /// Recorded results of the whole job.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.steps.iter().map(|step| step.total).sum()
    }

    /// Whether every frame of every step was accepted, and none of them twice.
    #[must_use]
    pub fn exactly_once(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.accepted.all() && step.repeated.is_empty())
    }
}

impl StepAccepts {
    /// How often the frame at `position` was accepted.
    #[must_use]
    pub fn of(&self, position: u32) -> u32 {
        match self.repeated.get(&position) {
            Some(&times) => times,
            None => u32::from(self.accepted.get(position)),
        }
    }
}

/// Why a blob must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootKind {
    /// A job's file tree: whatever it names must be kept too.
    Manifest,
    /// A file of a frame.
    Result,
    /// Blender's output, of a result or an error.
    Log,
}

/// A blob that the record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRoot {
    /// The blob.
    pub blob: Blob,
    /// What for.
    pub kind: RootKind,
    /// Whose.
    pub job: JobId,
}

/// Every blob the record names, read on in batches; a blob named several times comes several times.
///
/// Each batch is a short read of its own, so that a long walk holds up no write. What is recorded before the walk
/// begins and not removed during it is always seen; what is recorded during it may not be: whoever collects garbage
/// keeps what is younger than its walk.
#[derive(Debug)]
pub struct BlobRoots<'a> {
    pub(crate) state: &'a State,
    pub(crate) cursor: RootCursor,
}

/// How far a walk is: the key of the last row seen.
///
/// Waiting results come before packed ones, since packing moves them that way: none slips through in between.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum RootCursor {
    #[default]
    Start,
    Jobs(i64),
    Waiting(i64, u16, u32),
    Packed(i64, u16, u32),
    Errors(i64),
    End,
}

impl BlobRoots<'_> {
    /// The next ones; none at the end.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<BlobRoot>>, ReadError> {
        self.state.next_roots(&mut self.cursor).await
    }
}
