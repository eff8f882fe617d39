//! The record, whichever database holds it.
//!
//! A closed set, hence an enum and no trait: a second database is a second variant, and the one test suite runs on both.

use std::ops::Range;
use std::path::Path;

use tessera_model::{Change, FrameResult, JobId, StepIndex, Term};

use crate::sqlite::Sqlite;
use crate::view::{Accepts, BlobRoot, BlobRoots, ErrorEntry, ErrorSeq, RootCursor};
use crate::{OpenError, ReadError, Snapshot, WriteError};

/// An open record. Every method takes `&self`; reads run beside each other and beside the one write.
#[derive(Debug)]
pub enum State {
    /// In a folder of this machine, or in memory.
    Sqlite(Sqlite),
}

impl State {
    /// Opens the record in `folder`, which it makes if need be, and brings an older one up to date.
    ///
    /// The folder is this process's alone until the record is closed or dropped.
    ///
    /// # Errors
    /// If the folder cannot be used, is in use, or holds no readable record of a known version.
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self::Sqlite(Sqlite::open(folder.as_ref()).await?))
    }

    /// A new record that is never on any disk and ends with this value: the same database and the same code as in a
    /// folder, for simulations and for tests of others. A manager that starts again on it begins a term and loads.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub async fn open_in_memory() -> Result<Self, OpenError> {
        Ok(Self::Sqlite(Sqlite::open_in_memory().await?))
    }

    /// Begins a new leadership: from now on writes of every earlier term are refused.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub async fn begin_term(&self) -> Result<Term, WriteError> {
        match self {
            Self::Sqlite(store) => store.begin_term().await,
        }
    }

    /// Records `changes`, in their order, all of them or none. When it returns, they are on disk (if the record is).
    ///
    /// A change that is recorded already is no error and changes nothing, save for [`Change::FrameDone`]: a frame is
    /// accepted once. When the future is dropped before it is ready, the batch is recorded whole or not at all.
    ///
    /// # Errors
    /// If `term` is not the current one, if a change contradicts the record, or if it cannot be written.
    pub async fn commit(&self, term: Term, changes: &[Change]) -> Result<(), WriteError> {
        match self {
            Self::Sqlite(store) => store.commit(term, changes).await,
        }
    }

    /// All that a restart needs, as of one moment.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn load(&self) -> Result<Snapshot, ReadError> {
        match self {
            Self::Sqlite(store) => store.load().await,
        }
    }

    /// The results of a step at `positions`, in their order: the first
    /// [`MAX_RESULTS_PER_READ`](crate::MAX_RESULTS_PER_READ) of them. Read on from the last one's position + 1.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn results(
        &self,
        job: JobId,
        step: StepIndex,
        positions: Range<u32>,
    ) -> Result<Vec<FrameResult>, ReadError> {
        match self {
            Self::Sqlite(store) => store.results(job, step, positions).await,
        }
    }

    /// The result of one frame; none while it is not done.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn result(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Option<FrameResult>, ReadError> {
        match self {
            Self::Sqlite(store) => store.result(job, step, position).await,
        }
    }

    /// Errors of a job, newest first, those before `before` if given; at most `limit` and
    /// [`MAX_ERRORS_PER_READ`](crate::MAX_ERRORS_PER_READ). Errors from before a retry stay.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn errors(
        &self,
        job: JobId,
        before: Option<ErrorSeq>,
        limit: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        match self {
            Self::Sqlite(store) => store.errors(job, before, limit).await,
        }
    }

    /// Errors of one frame, newest first, at most [`MAX_ERRORS_PER_READ`](crate::MAX_ERRORS_PER_READ).
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn frame_errors(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        match self {
            Self::Sqlite(store) => store.frame_errors(job, step, position).await,
        }
    }

    /// How often each frame of a job was accepted; none if there is no such job.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub async fn accepts(&self, job: JobId) -> Result<Option<Accepts>, ReadError> {
        match self {
            Self::Sqlite(store) => store.accepts(job).await,
        }
    }

    /// A walk over every blob that the record names.
    #[must_use]
    pub fn blob_roots(&self) -> BlobRoots<'_> {
        BlobRoots {
            state: self,
            cursor: RootCursor::default(),
        }
    }

    pub(crate) async fn next_roots(
        &self,
        cursor: &mut RootCursor,
    ) -> Result<Option<Vec<BlobRoot>>, ReadError> {
        match self {
            Self::Sqlite(store) => store.next_roots(cursor).await,
        }
    }

    /// Ends every connection and gives the folder free. Whatever was committed is safe without it.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
        }
    }
}
