//! Units at work in a batch: leases, and the attempts that outlive them.

use tessera_model::{Attempt, Lease, LeaseKey, UnitId, WorkerId};

use super::commit::Batch;
use crate::WriteError;

/// A unit as the database has it, and as it is by now.
#[derive(Debug, Default)]
pub(super) struct UnitAtWork {
    pub(super) before: Unit,
    pub(super) now: Unit,
}

/// Nothing at all of a unit that was never handed out, or is closed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// The highest there was.
    pub(super) attempt: Option<Attempt>,
    /// Its positions, where units are cut as they are handed out.
    pub(super) span: u32,
    /// Leases that have not ended: one, or two while a straggler is rendered a second time.
    pub(super) leases: Vec<(Attempt, WorkerId)>,
}

impl UnitAtWork {
    /// Takes in what the database says of it, lease by lease.
    pub(super) fn read(&mut self, latest: Attempt, span: u32, lease: Option<(Attempt, WorkerId)>) {
        for unit in [&mut self.before, &mut self.now] {
            unit.attempt = Some(latest);
            unit.span = span;
            unit.leases.extend(lease);
        }
    }

    /// The worker's leases are gone, in the database too.
    pub(super) fn forget_worker(&mut self, worker: WorkerId) {
        for unit in [&mut self.before, &mut self.now] {
            unit.leases.retain(|&(_, of)| of != worker);
        }
    }
}

const READ_AT_ONCE: &str = "a batch begins with every unit that its changes name";

/// A unit is handed out, or its last lease, which had ended, is taken up again by the worker that still renders it.
///
/// Two workers may have it at a time, under different attempts. A new attempt is never lower than one before, which is
/// what makes a lease's key mean one thing for ever.
pub(super) fn begin(batch: &mut Batch<'_>, lease: &Lease) -> Result<(), WriteError> {
    let LeaseKey { unit, attempt } = lease.key;
    if !batch.steps.contains_key(&(unit.job, unit.step)) {
        return Err(WriteError::NoSuchUnit(unit));
    }
    let of = &mut batch.units.get_mut(&unit).expect(READ_AT_ONCE).now;
    if of.leases.contains(&(attempt, lease.worker)) {
        return Ok(());
    }
    if of.attempt > Some(attempt) || of.leases.iter().any(|&(live, _)| live == attempt) {
        return Err(WriteError::AttemptUsed { key: lease.key });
    }
    if !batch.workers.contains(&lease.worker) {
        return Err(WriteError::NoSuchWorker(lease.worker));
    }
    // Every attempt is a handing-out; a lapsed lease taken up again is none.
    if of.attempt != Some(attempt) {
        of.attempt = Some(attempt);
        of.span = lease.span;
        *batch.leased.entry(unit.job).or_default() += 1;
    }
    of.leases.push((attempt, lease.worker));
    Ok(())
}

/// One lease ends; another one of the unit goes on.
pub(super) fn end(batch: &mut Batch<'_>, key: LeaseKey) {
    let of = batch.units.get_mut(&key.unit).expect(READ_AT_ONCE);
    of.now.leases.retain(|&(attempt, _)| attempt != key.attempt);
}

/// Nothing of the unit is wanted any more, so no lease of it can matter either.
pub(super) fn close_unit(batch: &mut Batch<'_>, unit: UnitId) {
    batch.units.get_mut(&unit).expect(READ_AT_ONCE).now = Unit::default();
}
