//! Reading of results: packed pages and waiting rows, put together.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::TryStreamExt;
use sqlx::{Row, SqliteConnection};
use tessera_model::{FrameBits, FrameResult, JobId, StepIndex};

use super::fault::Fault;
use super::{Sqlite, job_key};
use crate::encoding::{
    ResultPositions, Unreadable, decode_page, decode_results, decode_waiting, place,
};
use crate::view::{Accepts, StepAccepts};
use crate::{MAX_RESULTS_PER_READ, ReadError};

impl Sqlite {
    pub(crate) async fn results(
        &self,
        job: JobId,
        step: StepIndex,
        positions: Range<u32>,
    ) -> Result<Vec<FrameResult>, ReadError> {
        let read = async {
            let mut tx = self.read().await?;
            let mut results = packed(&mut tx, job, step, &positions).await?;
            results.extend(waiting(&mut tx, job, step, &positions).await?);
            results.sort_by_key(|result| result.position);
            results.truncate(MAX_RESULTS_PER_READ as usize);
            Ok(results)
        };
        read.await.map_err(|fault| self.read_error(fault))
    }

    pub(crate) async fn result(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Option<FrameResult>, ReadError> {
        let Some(end) = position.checked_add(1) else {
            return Ok(None);
        };
        Ok(self.results(job, step, position..end).await?.pop())
    }

    pub(crate) async fn accepts(&self, job: JobId) -> Result<Option<Accepts>, ReadError> {
        let count = async {
            let mut tx = self.read().await?;
            let mut steps = empty_steps(&mut tx, job).await?;
            if steps.is_empty() {
                return Ok(None);
            }
            packed_accepts(&mut tx, job, &mut steps).await?;
            waiting_accepts(&mut tx, job, &mut steps).await?;
            let tally = sqlx::query("SELECT leases, failures FROM tally WHERE job = ?")
                .bind(job_key(job))
                .fetch_one(&mut *tx)
                .await?;
            let (leases, failures): (i64, i64) = (tally.try_get(0)?, tally.try_get(1)?);
            Ok(Some(Accepts {
                leases: leases.cast_unsigned(),
                failures: failures.cast_unsigned(),
                steps: steps.into_values().collect(),
            }))
        };
        count.await.map_err(|fault| self.read_error(fault))
    }
}

/// The first results of `positions` among the packed ones, in order.
async fn packed(
    conn: &mut SqliteConnection,
    job: JobId,
    step: StepIndex,
    positions: &Range<u32>,
) -> Result<Vec<FrameResult>, Fault> {
    let mut results = Vec::new();
    if positions.is_empty() {
        return Ok(results);
    }
    let mut rows = sqlx::query(
        "SELECT page, positions, body FROM result_page
         WHERE job = ? AND step = ? AND page BETWEEN ? AND ? ORDER BY page",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(place(positions.start).0)
    .bind(place(positions.end - 1).0)
    .fetch(conn);
    while results.len() < MAX_RESULTS_PER_READ as usize
        && let Some(row) = rows.try_next().await?
    {
        let page = (job, step, row.try_get(0)?);
        let page = decode_page(page, row.try_get(1)?, row.try_get(2)?)?;
        results.extend(
            page.into_iter()
                .filter(|result| positions.contains(&result.position)),
        );
    }
    Ok(results)
}

/// The first results of `positions` among the waiting ones, in order.
async fn waiting(
    conn: &mut SqliteConnection,
    job: JobId,
    step: StepIndex,
    positions: &Range<u32>,
) -> Result<Vec<FrameResult>, Fault> {
    let mut rows = sqlx::query(
        "SELECT position, body FROM accept
         WHERE job = ? AND step = ? AND position >= ? AND position < ? ORDER BY position LIMIT ?",
    )
    .bind(job_key(job))
    .bind(step.0)
    .bind(positions.start)
    .bind(positions.end)
    .bind(MAX_RESULTS_PER_READ)
    .fetch(conn);
    let mut results = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let frame = (job, step, row.try_get(0)?);
        results.push(decode_waiting(frame, row.try_get(1)?)?);
    }
    Ok(results)
}

async fn empty_steps(conn: &mut SqliteConnection, job: JobId) -> Result<Steps, Fault> {
    let rows = sqlx::query("SELECT step, frames FROM step WHERE job = ?")
        .bind(job_key(job))
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let step = StepIndex(row.try_get(0)?);
            let counts = StepAccepts {
                step,
                total: 0,
                accepted: FrameBits::new(row.try_get(1)?),
                repeated: BTreeMap::new(),
            };
            Ok((step, counts))
        })
        .collect()
}

type Steps = BTreeMap<StepIndex, StepAccepts>;

/// By the positions beside the packed results; those of which that cannot be told so are read.
async fn packed_accepts(
    conn: &mut SqliteConnection,
    job: JobId,
    steps: &mut Steps,
) -> Result<(), Fault> {
    let mut rows = sqlx::query(
        "SELECT step, page, positions, CASE WHEN positions IS NULL THEN body END
         FROM result_page WHERE job = ?",
    )
    .bind(job_key(job))
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let step = StepIndex(row.try_get(0)?);
        let Some(counts) = steps.get_mut(&step) else {
            continue;
        };
        let positions: Option<&[u8]> = row.try_get(2)?;
        if let Some(positions) = positions {
            for position in ResultPositions::read(positions)?.iter(row.try_get(1)?) {
                count_one(counts, position);
            }
        } else {
            for result in decode_results(job, step, row.try_get(3)?)? {
                count_one(counts, result.position);
            }
        }
    }
    Ok(())
}

/// By the keys of the rows, a page at a time.
async fn waiting_accepts(
    conn: &mut SqliteConnection,
    job: JobId,
    steps: &mut Steps,
) -> Result<(), Fault> {
    let mut rows = sqlx::query(
        "SELECT step, json_group_array(position) FROM accept WHERE job = ?
         GROUP BY step, position / 256",
    )
    .bind(job_key(job))
    .fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let positions: Vec<u32> =
            serde_json::from_str(row.try_get(1)?).map_err(|error| Unreadable {
                what: format!("positions of job {job}"),
                why: error.to_string(),
            })?;
        if let Some(counts) = steps.get_mut(&StepIndex(row.try_get(0)?)) {
            for position in positions {
                count_one(counts, position);
            }
        }
    }
    Ok(())
}

fn count_one(counts: &mut StepAccepts, position: u32) {
    counts.total += 1;
    if !counts.accepted.set(position) {
        *counts.repeated.entry(position).or_insert(1) += 1;
    }
}
