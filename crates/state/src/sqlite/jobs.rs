//! Writing of jobs as a whole: taken in, changed, ended, removed.

use tessera_model::{
    Build, Chunking, FetchedMark, Job, JobId, JobSettings, JobState, Step, StepIndex, Timestamp,
    WorkerId,
};

use super::commit::Batch;
use super::fault::{Fault, is_missing_reference};
use super::job_key;
use crate::WriteError;
use crate::encoding::{decode_text, encode_state, encode_text};

pub(super) async fn add(batch: &mut Batch<'_>, job: &Job) -> Result<(), Fault> {
    let before: Option<String> = sqlx::query_scalar("SELECT added FROM job WHERE id = ?")
        .bind(job_key(job.id))
        .fetch_optional(&mut *batch.conn)
        .await?;
    if let Some(before) = before {
        let before: Job = decode_text(&before, || format!("job {}", job.id))?;
        return if before == *job {
            Ok(())
        } else {
            Err(WriteError::JobReused(job.id).into())
        };
    }
    let counted = sqlx::query("UPDATE farm SET next_job = ?1 + 1 WHERE next_job <= ?1")
        .bind(job_key(job.id))
        .execute(&mut *batch.conn)
        .await?;
    if counted.rows_affected() == 0 {
        return Err(WriteError::JobReused(job.id).into());
    }
    sqlx::query(
        "INSERT INTO job (id, added, settings, build, state, since) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(job_key(job.id))
    .bind(encode_text(job))
    .bind(encode_text(&job.settings))
    .bind(job.build.as_ref().map(encode_text))
    .bind(encode_state(JobState::Active))
    .bind(job.submitted_at.0)
    .execute(&mut *batch.conn)
    .await?;
    add_steps(batch, job.id, &job.steps).await
}

/// Those that are not there yet.
async fn add_steps(batch: &mut Batch<'_>, job: JobId, steps: &[Step]) -> Result<(), Fault> {
    for (index, step) in (0u16..).zip(steps) {
        let add = "INSERT INTO step (job, step, frames) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        sqlx::query(add)
            .bind(job_key(job))
            .bind(index)
            .bind(step.positions())
            .execute(&mut *batch.conn)
            .await?;
        batch
            .steps
            .insert((job, StepIndex(index)), step.positions());
    }
    Ok(())
}

/// The steps it had are still the first, with what was delivered of them. What was fetched is not all any more.
pub(super) async fn grow(batch: &mut Batch<'_>, job: JobId, steps: &[Step]) -> Result<(), Fault> {
    let done = sqlx::query(
        "UPDATE job SET steps = ?, fetched_frames = NULL, fetched_at = NULL WHERE id = ?",
    )
    .bind(encode_text(&steps))
    .bind(job_key(job))
    .execute(&mut *batch.conn)
    .await?;
    some_job(done.rows_affected(), job)?;
    add_steps(batch, job, steps).await
}

pub(super) async fn pin(batch: &mut Batch<'_>, job: JobId, build: &Build) -> Result<(), Fault> {
    let done = sqlx::query("UPDATE job SET build = ? WHERE id = ?")
        .bind(encode_text(build))
        .bind(job_key(job))
        .execute(&mut *batch.conn)
        .await?;
    some_job(done.rows_affected(), job)
}

pub(super) async fn edit(
    batch: &mut Batch<'_>,
    job: JobId,
    settings: &JobSettings,
) -> Result<(), Fault> {
    let done = sqlx::query("UPDATE job SET settings = ? WHERE id = ?")
        .bind(encode_text(settings))
        .bind(job_key(job))
        .execute(&mut *batch.conn)
        .await?;
    some_job(done.rows_affected(), job)
}

/// One layout for each step; of a step that is not named, it stays.
pub(super) async fn chunk(
    batch: &mut Batch<'_>,
    job: JobId,
    layout: &[Chunking],
) -> Result<(), Fault> {
    exists(batch, job).await?;
    for (index, chunking) in (0u16..).zip(layout) {
        let done = sqlx::query("UPDATE step SET chunking = ? WHERE job = ? AND step = ?")
            .bind(encode_text(chunking))
            .bind(job_key(job))
            .bind(index)
            .execute(&mut *batch.conn)
            .await?;
        if done.rows_affected() == 0 {
            let step = StepIndex(index);
            return Err(WriteError::NoSuchStep { job, step }.into());
        }
    }
    Ok(())
}

pub(super) async fn set_state(
    batch: &mut Batch<'_>,
    job: JobId,
    state: JobState,
    since: Timestamp,
) -> Result<(), Fault> {
    let done = sqlx::query("UPDATE job SET state = ?, since = ? WHERE id = ?")
        .bind(encode_state(state))
        .bind(since.0)
        .bind(job_key(job))
        .execute(&mut *batch.conn)
        .await?;
    if state.is_over() {
        batch.ended.insert(job);
    }
    some_job(done.rows_affected(), job)
}

/// The last mark stays, whether it still counts or not.
pub(super) async fn set_fetched(
    batch: &mut Batch<'_>,
    job: JobId,
    mark: FetchedMark,
) -> Result<(), Fault> {
    let done = sqlx::query("UPDATE job SET fetched_frames = ?, fetched_at = ? WHERE id = ?")
        .bind(mark.frames)
        .bind(mark.at.0)
        .bind(job_key(job))
        .execute(&mut *batch.conn)
        .await?;
    some_job(done.rows_affected(), job)
}

pub(super) async fn remove(batch: &mut Batch<'_>, job: JobId) -> Result<(), Fault> {
    // All that hangs on it goes by the foreign keys.
    sqlx::query("DELETE FROM job WHERE id = ?")
        .bind(job_key(job))
        .execute(&mut *batch.conn)
        .await?;
    batch.forget_job(job);
    Ok(())
}

pub(super) async fn block(
    batch: &mut Batch<'_>,
    job: JobId,
    worker: WorkerId,
) -> Result<(), Fault> {
    let done =
        sqlx::query("INSERT INTO job_block (job, worker) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(job_key(job))
            .bind(worker.0)
            .execute(&mut *batch.conn)
            .await;
    match done {
        Ok(_) => Ok(()),
        Err(error) if is_missing_reference(&error) => {
            exists(batch, job).await?;
            Err(WriteError::NoSuchWorker(worker).into())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn unblock(
    batch: &mut Batch<'_>,
    job: JobId,
    worker: WorkerId,
) -> Result<(), Fault> {
    sqlx::query("DELETE FROM job_block WHERE job = ? AND worker = ?")
        .bind(job_key(job))
        .bind(worker.0)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Refuses a job that is not there.
pub(super) async fn exists(batch: &mut Batch<'_>, job: JobId) -> Result<(), Fault> {
    let found: Option<i64> = sqlx::query_scalar("SELECT id FROM job WHERE id = ?")
        .bind(job_key(job))
        .fetch_optional(&mut *batch.conn)
        .await?;
    some_job(u64::from(found.is_some()), job)
}

fn some_job(rows: u64, job: JobId) -> Result<(), Fault> {
    if rows > 0 {
        Ok(())
    } else {
        Err(WriteError::NoSuchJob(job).into())
    }
}
