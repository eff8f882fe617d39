//! The one write call: a batch of changes in one transaction.
//!
//! A batch reads what it touches in one go ([`touched`]), does its changes to that in memory, one after the other, and
//! writes in one go what has come of it ([`outcome`]). So a busy farm's batch, whose units are leased, delivered and closed,
//! costs a few statements however many changes it has, and what only happened in between costs none. What comes seldom
//! (jobs, workers, credentials) is done by statements of its own, at its place in the order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::SqliteConnection;
use tessera_model::{
    Change, FrameError, FrameResult, JobId, LeaseKey, StepIndex, Term, UnitId, WorkerId,
};

use super::fault::Fault;
use super::leases::UnitAtWork;
use super::pages::PageAtWork;
use super::{Sqlite, accept, errors, jobs, leases, members, outcome, pack, touched};
use crate::WriteError;

/// Job, step, page.
pub(super) type PageKey = (JobId, StepIndex, u32);

/// A frame (by its position) under a lease, in which it fails at most once.
pub(super) type FailureKey = (LeaseKey, u32);

/// A batch at work: the transaction's connection, and all that its changes of frames and units touch, as it is by now.
#[derive(Debug)]
pub(super) struct Batch<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    /// Number of frames of each step there is, of the jobs that the batch names.
    pub(super) steps: HashMap<(JobId, StepIndex), u32>,
    /// Workers there are, of those that the batch leases to.
    pub(super) workers: HashSet<WorkerId>,
    /// Every unit that the batch leases or lets go.
    pub(super) units: BTreeMap<UnitId, UnitAtWork>,
    /// Handings-out, by job.
    pub(super) leased: BTreeMap<JobId, u64>,
    /// Every page of which the batch accepts, fails or gives up a frame.
    pub(super) pages: BTreeMap<PageKey, PageAtWork>,
    /// Accepted in this batch.
    pub(super) results: BTreeMap<PageKey, Vec<&'c FrameResult>>,
    /// Failures that were told before, of those that the batch tells, and by now these too.
    pub(super) told: HashSet<FailureKey>,
    /// Told for the first time, in their order.
    pub(super) errors: Vec<&'c FrameError>,
    /// Ended jobs of which results may still wait to be packed.
    pub(super) ended: BTreeSet<JobId>,
}

impl Sqlite {
    pub(crate) async fn commit(&self, term: Term, changes: &[Change]) -> Result<(), WriteError> {
        let ended = self.ended();
        let ended = self
            .write(async |conn| {
                let mut batch = touched::read(conn, term, changes, ended).await?;
                for change in changes {
                    if !hold(&mut batch, change)? {
                        act(&mut batch, change).await?;
                    }
                }
                outcome::write(&mut batch).await?;
                errors::finish(&mut batch).await?;
                pack::finish(&mut batch).await?;
                Ok(batch.ended)
            })
            .await?;
        self.set_ended(ended);
        Ok(())
    }
}

/// Does a change to what the batch holds in memory; false if it is not one of those.
fn hold<'c>(batch: &mut Batch<'c>, change: &'c Change) -> Result<bool, WriteError> {
    match change {
        Change::Leased(lease) => leases::begin(batch, lease)?,
        Change::LeaseEnded(key) => leases::end(batch, *key),
        Change::UnitClosed(unit) => leases::close_unit(batch, *unit),
        Change::FrameDone(result) => accept::accept(batch, result)?,
        Change::FrameFailed(error) => errors::fail(batch, error)?,
        Change::FrameGivenUp(key, position) => errors::give_up(batch, *key, *position)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Does a change to the database.
async fn act(batch: &mut Batch<'_>, change: &Change) -> Result<(), Fault> {
    match change {
        Change::JobAdded(job) => jobs::add(batch, job).await,
        Change::JobPinned(job, build) => jobs::pin(batch, *job, build).await,
        Change::JobEdited(job, settings) => jobs::edit(batch, *job, settings).await,
        Change::JobGrown(job, steps) => jobs::grow(batch, *job, steps).await,
        Change::JobChunked(job, layout) => jobs::chunk(batch, *job, layout).await,
        Change::JobState(job, state, since) => jobs::set_state(batch, *job, *state, *since).await,
        Change::JobFetched(job, mark) => jobs::set_fetched(batch, *job, *mark).await,
        Change::JobRemoved(job) => jobs::remove(batch, *job).await,
        Change::JobBlocked(job, worker) => jobs::block(batch, *job, *worker).await,
        Change::JobUnblocked(job, worker) => jobs::unblock(batch, *job, *worker).await,
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
        Change::ReceiverSet(receiver) => members::set_receiver(batch, receiver).await,
        Change::ReceiverTold(name, telling) => members::set_telling(batch, name, telling).await,
        Change::ReceiverRemoved(name) => members::remove_receiver(batch, name).await,
        Change::Leased(_)
        | Change::LeaseEnded(_)
        | Change::UnitClosed(_)
        | Change::FrameDone(_)
        | Change::FrameFailed(_)
        | Change::FrameGivenUp(..) => unreachable!("done in memory"),
    }
}

impl Batch<'_> {
    /// Refuses a position that its step does not have.
    pub(super) fn check_frame(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<(), WriteError> {
        match self.steps.get(&(job, step)) {
            Some(&frames) if position < frames => Ok(()),
            _ => Err(WriteError::NoSuchFrame {
                job,
                step,
                position,
            }),
        }
    }

    /// Forgets a job that is removed, as the database does.
    pub(super) fn forget_job(&mut self, job: JobId) {
        self.steps.retain(|&(of, _), _| of != job);
        for (unit, at_work) in &mut self.units {
            if unit.job == job {
                *at_work = UnitAtWork::default();
            }
        }
        self.leased.remove(&job);
        for (&(of, _, _), page) in &mut self.pages {
            if of == job {
                *page = PageAtWork::new();
            }
        }
        self.results.retain(|&(of, _, _), _| of != job);
        self.told.retain(|(lease, _)| lease.unit.job != job);
        self.errors.retain(|error| error.lease.unit.job != job);
        self.ended.remove(&job);
    }

    /// Forgets a worker that is removed, and what it has in its hands, as the database does.
    pub(super) fn forget_worker(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
        for unit in self.units.values_mut() {
            unit.forget_worker(worker);
        }
    }
}
