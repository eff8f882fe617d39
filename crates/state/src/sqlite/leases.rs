//! Writing of leases and of the attempts that outlive them.

use tessera_model::{Lease, LeaseKey, UnitId};

use super::commit::Batch;
use super::fault::{Fault, is_missing_reference};
use super::job_key;
use crate::WriteError;

/// A unit is handed out, or its last lease, which had ended, is taken up again by the worker that still renders it.
///
/// The attempt is never lower than one before, which is what makes a lease's key mean one thing for ever.
pub(super) async fn begin(batch: &mut Batch<'_>, lease: &Lease) -> Result<(), Fault> {
    let LeaseKey { unit, attempt } = lease.key;
    let latest = sqlx::query(
        "INSERT INTO unit_attempt (job, step, unit, attempt) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET attempt = excluded.attempt WHERE excluded.attempt >= attempt",
    )
    .bind(job_key(unit.job))
    .bind(unit.step.0)
    .bind(unit.index)
    .bind(attempt.0)
    .execute(&mut *batch.conn)
    .await;
    match latest {
        Ok(done) if done.rows_affected() > 0 => insert(batch, lease).await,
        Ok(_) => Err(WriteError::AttemptUsed { key: lease.key }.into()),
        Err(error) if is_missing_reference(&error) => Err(WriteError::NoSuchUnit(unit).into()),
        Err(error) => Err(error.into()),
    }
}

async fn insert(batch: &mut Batch<'_>, lease: &Lease) -> Result<(), Fault> {
    let LeaseKey { unit, attempt } = lease.key;
    let done = sqlx::query(
        "INSERT INTO lease (job, step, unit, attempt, worker) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(job_key(unit.job))
    .bind(unit.step.0)
    .bind(unit.index)
    .bind(attempt.0)
    .bind(lease.worker.0)
    .execute(&mut *batch.conn)
    .await;
    match done {
        Ok(done) if done.rows_affected() > 0 => Ok(()),
        Ok(_) if is_live(batch, lease).await? => Ok(()),
        Ok(_) => Err(WriteError::AttemptUsed { key: lease.key }.into()),
        Err(error) if is_missing_reference(&error) => {
            Err(WriteError::NoSuchWorker(lease.worker).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn is_live(batch: &mut Batch<'_>, lease: &Lease) -> Result<bool, Fault> {
    let LeaseKey { unit, attempt } = lease.key;
    let worker: Option<u32> = sqlx::query_scalar(
        "SELECT worker FROM lease WHERE job = ? AND step = ? AND unit = ? AND attempt = ?",
    )
    .bind(job_key(unit.job))
    .bind(unit.step.0)
    .bind(unit.index)
    .bind(attempt.0)
    .fetch_optional(&mut *batch.conn)
    .await?;
    Ok(worker == Some(lease.worker.0))
}

pub(super) async fn end(batch: &mut Batch<'_>, key: LeaseKey) -> Result<(), Fault> {
    sqlx::query("DELETE FROM lease WHERE job = ? AND step = ? AND unit = ? AND attempt = ?")
        .bind(job_key(key.unit.job))
        .bind(key.unit.step.0)
        .bind(key.unit.index)
        .bind(key.attempt.0)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Nothing of the unit is wanted any more, so no lease of it can matter either: they go by the foreign key.
pub(super) async fn close_unit(batch: &mut Batch<'_>, unit: UnitId) -> Result<(), Fault> {
    sqlx::query("DELETE FROM unit_attempt WHERE job = ? AND step = ? AND unit = ?")
        .bind(job_key(unit.job))
        .bind(unit.step.0)
        .bind(unit.index)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}
