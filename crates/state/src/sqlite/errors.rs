//! Failed frames: writing of errors, counts and given-up bits, and reading of errors.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tessera_model::{FrameError, JobId, LeaseKey, StepIndex};

use super::commit::Batch;
use super::fault::Fault;
use super::pages::page_of;
use super::{Sqlite, job_key, jobs};
use crate::encoding::decode_text;
use crate::view::{ErrorEntry, ErrorSeq};
use crate::{MAX_ERRORS_PER_JOB, MAX_ERRORS_PER_READ, ReadError, WriteError};

/// How many errors of a job are recorded between two looks at whether it has too many.
const TRIM_EVERY: u64 = 1000;

/// A frame failed. Told twice of the same lease, it failed once.
pub(super) fn fail<'c>(batch: &mut Batch<'c>, error: &'c FrameError) -> Result<(), WriteError> {
    let unit = error.lease.unit;
    batch.check_frame(unit.job, unit.step, error.position)?;
    if batch.told.insert((error.lease, error.position)) {
        batch.errors.push(error);
        let (page, at) = page_of(batch, unit.job, unit.step, error.position);
        page.frames.fail(at);
        page.is_changed = true;
    }
    Ok(())
}

/// Trims the errors of the jobs that got some, every [`TRIM_EVERY`] of them.
pub(super) async fn finish(batch: &mut Batch<'_>) -> Result<(), Fault> {
    let mut new: BTreeMap<JobId, u64> = BTreeMap::new();
    for error in std::mem::take(&mut batch.errors) {
        *new.entry(error.lease.unit.job).or_default() += 1;
    }
    for (job, new) in new {
        let ever: i64 = sqlx::query_scalar("SELECT failures FROM tally WHERE job = ?")
            .bind(job_key(job))
            .fetch_one(&mut *batch.conn)
            .await?;
        let ever = ever.cast_unsigned();
        if ever / TRIM_EVERY > ever.saturating_sub(new) / TRIM_EVERY {
            trim(batch.conn, job, MAX_ERRORS_PER_JOB).await?;
        }
    }
    Ok(())
}

/// A frame is out of attempts. One that is done cannot be.
pub(super) fn give_up(
    batch: &mut Batch<'_>,
    key: LeaseKey,
    position: u32,
) -> Result<(), WriteError> {
    let unit = key.unit;
    batch.check_frame(unit.job, unit.step, position)?;
    let (page, at) = page_of(batch, unit.job, unit.step, position);
    page.frames.give_up(at);
    page.is_changed = true;
    Ok(())
}

/// The counts of a job's frames begin again; its errors stay readable.
pub(super) async fn retry(batch: &mut Batch<'_>, job: JobId) -> Result<(), Fault> {
    jobs::exists(batch, job).await?;
    sqlx::query(
        "UPDATE frame_page SET given_up = NULL, failures = NULL
         WHERE job = ? AND (given_up IS NOT NULL OR failures IS NOT NULL)",
    )
    .bind(job_key(job))
    .execute(&mut *batch.conn)
    .await?;
    for (&(of, _, _), page) in &mut batch.pages {
        if of == job {
            page.frames.retry();
        }
    }
    Ok(())
}

/// Keeps the newest `keep` errors of a job.
async fn trim(conn: &mut SqliteConnection, job: JobId, keep: u32) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM frame_error WHERE job = ?1 AND seq <=
         (SELECT seq FROM frame_error WHERE job = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(job_key(job))
    .bind(keep)
    .execute(conn)
    .await?;
    Ok(())
}

impl Sqlite {
    pub(crate) async fn errors(
        &self,
        job: JobId,
        before: Option<ErrorSeq>,
        limit: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        let rows = sqlx::query(
            "SELECT seq, body FROM frame_error WHERE job = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(job_key(job))
        .bind(before.map_or(i64::MAX, |seq| seq.0))
        .bind(limit.min(MAX_ERRORS_PER_READ));
        self.read_errors(rows)
            .await
            .map_err(|fault| self.read_error(fault))
    }

    pub(crate) async fn frame_errors(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        let rows = sqlx::query(
            "SELECT seq, body FROM frame_error WHERE job = ? AND step = ? AND position = ?
             ORDER BY seq DESC LIMIT ?",
        )
        .bind(job_key(job))
        .bind(step.0)
        .bind(position)
        .bind(MAX_ERRORS_PER_READ);
        self.read_errors(rows)
            .await
            .map_err(|fault| self.read_error(fault))
    }

    async fn read_errors(
        &self,
        rows: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<ErrorEntry>, Fault> {
        let mut tx = self.read().await?;
        let rows = rows.fetch_all(&mut *tx).await?;
        rows.iter().map(read_error).collect()
    }
}

fn read_error(row: &SqliteRow) -> Result<ErrorEntry, Fault> {
    let seq: i64 = row.try_get(0)?;
    let error = decode_text(row.try_get(1)?, || format!("error {seq}"))?;
    Ok(ErrorEntry {
        seq: ErrorSeq(seq),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_errors_of_a_job_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let left: Vec<(i64, i64)> = store
            .write(async |conn| {
                sqlx::raw_sql(
                    "INSERT INTO job (id, added, settings, state, since)
                     VALUES (1, '', '', 'active', 0), (2, '', '', 'active', 0);
                     INSERT INTO step (job, step, frames) VALUES (1, 0, 100), (2, 0, 100);
                     WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29)
                     INSERT INTO frame_error (job, step, position, unit, attempt, body)
                     SELECT 1 + i % 2, 0, i, i, 1, '' FROM n",
                )
                .execute(&mut *conn)
                .await?;
                trim(conn, JobId(1), 5).await?;
                trim(conn, JobId(1), 5).await?;
                let rows =
                    sqlx::query_as("SELECT job, position FROM frame_error ORDER BY job, position");
                Ok(rows.fetch_all(conn).await?)
            })
            .await
            .unwrap();
        let first = (20..30).step_by(2).map(|at| (1, at));
        let second = (1..30).step_by(2).map(|at| (2, at));
        assert_eq!(left, first.chain(second).collect::<Vec<_>>());
    }
}
