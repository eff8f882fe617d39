//! Packing of results: the rows of a page become one row.
//!
//! A page is packed whenever [`ROWS_TO_PACK`] of its results wait as rows. So each result is written about three times in
//! all, and the commit of one frame rewrites a page of forty kilobytes only every sixty-fourth time. What still waits
//! when a job ends is packed by the commits that follow, a few pages each, so that none of them takes long however
//! scattered the job's frames are.

use std::collections::BTreeSet;

use sqlx::{Row, SqliteConnection};
use tessera_model::{FrameResult, JobId, StepIndex};

use super::commit::{Batch, PageKey};
use super::fault::Fault;
use super::{job_id, job_key};
use crate::FRAMES_PER_PAGE;
use crate::encoding::{ResultPositions, decode_page, decode_waiting, encode_results};

/// A quarter of a page: the fewer, the more often pages are rewritten; the more, the more rows wait.
pub(super) const ROWS_TO_PACK: u32 = FRAMES_PER_PAGE / 4;

/// Pages of ended jobs that one commit packs: about ten milliseconds.
const ENDED_PAGES_PER_COMMIT: u32 = 16;

/// Packs some of what ended jobs left.
pub(super) async fn finish(batch: &mut Batch<'_>) -> Result<(), Fault> {
    let mut room = ENDED_PAGES_PER_COMMIT;
    while room > 0
        && let Some(&job) = batch.ended.first()
    {
        let pages = sqlx::query(
            "SELECT DISTINCT step, position / ? FROM accept WHERE job = ? ORDER BY 1, 2 LIMIT ?",
        )
        .bind(FRAMES_PER_PAGE)
        .bind(job_key(job))
        .bind(room)
        .fetch_all(&mut *batch.conn)
        .await?;
        let packed = pages.len() as u32;
        for row in pages {
            let page = (job, StepIndex(row.try_get(0)?), row.try_get(1)?);
            pack(batch.conn, page, &[]).await?;
        }
        if packed < room {
            batch.ended.remove(&job);
        }
        room -= packed;
    }
    Ok(())
}

/// Ended jobs of which results still wait, as an earlier process left them.
pub(super) async fn left_over(conn: &mut SqliteConnection) -> Result<BTreeSet<JobId>, Fault> {
    let jobs: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM job WHERE state IN ('cancelled', 'done', 'failed')
         AND EXISTS (SELECT 1 FROM accept WHERE job = id)",
    )
    .fetch_all(conn)
    .await?;
    Ok(jobs.into_iter().map(job_id).collect())
}

/// Packs a page's results that wait, and `new` ones, with those that are packed already.
pub(super) async fn pack(
    conn: &mut SqliteConnection,
    (job, step, page): PageKey,
    new: &[&FrameResult],
) -> Result<(), Fault> {
    let first = page * FRAMES_PER_PAGE;
    let mut before: Vec<FrameResult> = Vec::with_capacity(FRAMES_PER_PAGE as usize);
    let packed = sqlx::query(
        "SELECT positions, body FROM result_page WHERE job = ? AND step = ? AND page = ?",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(page)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = packed {
        before.extend(decode_page(
            (job, step, page),
            row.try_get(0)?,
            row.try_get(1)?,
        )?);
    }
    let waiting = sqlx::query(
        "DELETE FROM accept WHERE job = ? AND step = ? AND position >= ? AND position < ?
         RETURNING position, body",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(first)
    .bind(first + FRAMES_PER_PAGE)
    .fetch_all(&mut *conn)
    .await?;
    for row in waiting {
        let frame = (job, step, row.try_get(0)?);
        before.push(decode_waiting(frame, row.try_get(1)?)?);
    }
    let mut results: Vec<&FrameResult> = before.iter().chain(new.iter().copied()).collect();
    results.sort_by_key(|result| result.position);
    let positions = ResultPositions::of(page, results.iter().map(|result| result.position));
    sqlx::query(
        "INSERT INTO result_page (job, step, page, positions, body) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET positions = excluded.positions, body = excluded.body",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(page)
    .bind(positions.as_ref().map(ResultPositions::column))
    .bind(encode_results(results))
    .execute(conn)
    .await?;
    Ok(())
}
