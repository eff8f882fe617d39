//! The one write call: a batch of changes in one transaction.

use std::collections::{BTreeSet, HashMap};

use sqlx::SqliteConnection;
use tessera_model::{Change, JobId, StepIndex, Term};

use super::fault::Fault;
use super::{Sqlite, accept, errors, job_key, jobs, leases, members, pack, pages};
use crate::WriteError;
use crate::encoding::FramePage;

/// Job, step, page.
pub(super) type PageKey = (JobId, StepIndex, u32);

/// A batch at work: the transaction's connection, and what is found out once for the whole batch.
#[derive(Debug)]
pub(super) struct Batch<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    /// Number of frames of the steps that the batch has met.
    frames: HashMap<(JobId, StepIndex), u32>,
    /// Pages of bits and counts that the batch changes, as they are by now.
    pub(super) pages: HashMap<PageKey, FramePage>,
    /// Pages that got results: those that have enough of them are packed at the end.
    pub(super) grown: BTreeSet<PageKey>,
    /// Ended jobs of which results may still wait to be packed.
    pub(super) ended: BTreeSet<JobId>,
}

impl Sqlite {
    pub(crate) async fn commit(&self, term: Term, changes: &[Change]) -> Result<(), WriteError> {
        let ended = self.ended();
        let ended = self
            .write(async |conn| {
                fence(conn, term).await?;
                let mut batch = Batch {
                    conn,
                    frames: HashMap::new(),
                    pages: HashMap::new(),
                    grown: BTreeSet::new(),
                    ended,
                };
                for change in changes {
                    apply(&mut batch, change).await?;
                }
                pages::finish(&mut batch).await?;
                pack::finish(&mut batch).await?;
                Ok(batch.ended)
            })
            .await?;
        self.set_ended(ended);
        Ok(())
    }
}

/// Refuses every term but the current one. Inside the transaction, so that no new term can begin in between.
async fn fence(conn: &mut SqliteConnection, have: Term) -> Result<(), Fault> {
    let current: i64 = sqlx::query_scalar("SELECT term FROM farm")
        .fetch_one(conn)
        .await?;
    let current = Term(current.cast_unsigned());
    if have == current {
        Ok(())
    } else {
        Err(WriteError::Fenced { have, current }.into())
    }
}

async fn apply(batch: &mut Batch<'_>, change: &Change) -> Result<(), Fault> {
    match change {
        Change::JobAdded(job) => jobs::add(batch, job).await,
        Change::JobPinned(job, build) => jobs::pin(batch, *job, build).await,
        Change::JobEdited(job, settings) => jobs::edit(batch, *job, settings).await,
        Change::JobChunked(job, layout) => jobs::chunk(batch, *job, layout).await,
        Change::JobState(job, state) => jobs::set_state(batch, *job, *state).await,
        Change::JobRemoved(job) => jobs::remove(batch, *job).await,
        Change::JobBlocked(job, worker) => jobs::block(batch, *job, *worker).await,
        Change::JobUnblocked(job, worker) => jobs::unblock(batch, *job, *worker).await,
        Change::Leased(lease) => leases::begin(batch, lease).await,
        Change::LeaseEnded(key) => leases::end(batch, *key).await,
        Change::UnitClosed(unit) => leases::close_unit(batch, *unit).await,
        Change::FrameDone(result) => accept::accept(batch, result).await,
        Change::FrameFailed(error) => errors::fail(batch, error).await,
        Change::FrameGivenUp(key, position) => errors::give_up(batch, *key, *position).await,
        Change::FramesRetried(job) => errors::retry(batch, *job).await,
        Change::WorkerSet(worker) => members::set_worker(batch, worker).await,
        Change::WorkerRemoved(worker) => members::remove_worker(batch, *worker).await,
        Change::FarmSet(settings) => members::set_farm(batch, settings).await,
        Change::TokenAdded(token) => members::add_token(batch, token).await,
        Change::TokenRevoked(id) => members::revoke_token(batch, id).await,
        Change::PairingAdded(pairing) => members::add_pairing(batch, pairing).await,
        Change::PairingRemoved(hash) => members::remove_pairing(batch, *hash).await,
        Change::CertificateIssued(issued) => members::issue_certificate(batch, issued).await,
        Change::CertificateRevoked(serial) => members::revoke_certificate(batch, serial).await,
    }
}

impl Batch<'_> {
    /// Refuses a position that its step does not have.
    pub(super) async fn check_frame(
        &mut self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<(), Fault> {
        let frames = match self.frames.get(&(job, step)) {
            Some(&frames) => frames,
            None => {
                let frames: Option<u32> =
                    sqlx::query_scalar("SELECT frames FROM step WHERE job = ? AND step = ?")
                        .bind(job_key(job))
                        .bind(step.0)
                        .fetch_optional(&mut *self.conn)
                        .await?;
                // A step that is not there has no frames, and is not remembered: the batch may add it.
                let Some(frames) = frames else {
                    return Err(no_frame(job, step, position));
                };
                self.frames.insert((job, step), frames);
                frames
            }
        };
        if position < frames {
            Ok(())
        } else {
            Err(no_frame(job, step, position))
        }
    }

    /// Forgets what was found out about a job that is removed.
    pub(super) fn forget(&mut self, job: JobId) {
        self.frames.retain(|&(of, _), _| of != job);
        self.pages.retain(|&(of, _, _), _| of != job);
        self.grown.retain(|&(of, _, _)| of != job);
        self.ended.remove(&job);
    }
}

fn no_frame(job: JobId, step: StepIndex, position: u32) -> Fault {
    WriteError::NoSuchFrame {
        job,
        step,
        position,
    }
    .into()
}
