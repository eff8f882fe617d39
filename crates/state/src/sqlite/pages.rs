//! Pages of bits and counts at work in a batch.
//!
//! A page is read when the batch first counts a failure or gives a frame up in it, and written once at the end: a job
//! whose order matters gives up all the frames after a broken one at once, which can be a million.

use std::collections::hash_map::Entry;

use sqlx::{Row, SqliteConnection};
use tessera_model::{JobId, StepIndex};

use super::commit::Batch;
use super::fault::Fault;
use super::job_key;
use crate::encoding::{FramePage, place};

/// The page of a frame, for changing, and the frame's place in it.
pub(super) async fn page_of<'b>(
    batch: &'b mut Batch<'_>,
    job: JobId,
    step: StepIndex,
    position: u32,
) -> Result<(&'b mut FramePage, u32), Fault> {
    let (page, at) = place(position);
    let frames = match batch.pages.entry((job, step, page)) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(read(&mut *batch.conn, job, step, page).await?),
    };
    Ok((frames, at))
}

/// Writes the pages that the batch changed.
pub(super) async fn finish(batch: &mut Batch<'_>) -> Result<(), Fault> {
    for ((job, step, page), frames) in std::mem::take(&mut batch.pages) {
        let (given_up, failures) = frames.columns();
        sqlx::query(
            "INSERT INTO frame_page (job, step, page, done, given_up, failures)
             VALUES (?, ?, ?, hex(zeroblob(128)), ?, ?)
             ON CONFLICT DO UPDATE SET given_up = excluded.given_up, failures = excluded.failures",
        )
        .bind(job_key(job))
        .bind(step.0)
        .bind(page)
        .bind(given_up)
        .bind(failures)
        .execute(&mut *batch.conn)
        .await?;
    }
    Ok(())
}

async fn read(
    conn: &mut SqliteConnection,
    job: JobId,
    step: StepIndex,
    page: u32,
) -> Result<FramePage, Fault> {
    let row = sqlx::query(
        "SELECT done, given_up, failures FROM frame_page WHERE job = ? AND step = ? AND page = ?",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(page)
    .fetch_optional(conn)
    .await?;
    match row {
        Some(row) => Ok(FramePage::read(
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
        )?),
        None => Ok(FramePage::new()),
    }
}
