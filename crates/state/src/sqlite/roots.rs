//! The walk over every blob the record names.

use sqlx::{Row, SqliteConnection};
use tessera_model::{FrameError, FrameFile, FrameResult, Job, StepIndex};

use super::fault::Fault;
use super::{Sqlite, job_id};
use crate::ReadError;
use crate::encoding::{decode_page, decode_text, decode_waiting};
use crate::view::{BlobRoot, RootCursor, RootKind};

/// Rows of one batch that hold one record each.
const ROWS_PER_BATCH: u32 = 512;

/// Packed pages of one batch: about as many results.
const PAGES_PER_BATCH: u32 = 4;

impl Sqlite {
    pub(crate) async fn next_roots(
        &self,
        cursor: &mut RootCursor,
    ) -> Result<Option<Vec<BlobRoot>>, ReadError> {
        let walk = async {
            let mut tx = self.read().await?;
            let mut roots = Vec::new();
            while roots.is_empty() {
                *cursor = match *cursor {
                    RootCursor::Start => jobs(&mut tx, i64::MIN, &mut roots).await?,
                    RootCursor::Jobs(after) => jobs(&mut tx, after, &mut roots).await?,
                    RootCursor::Waiting(job, step, position) => {
                        waiting(&mut tx, (job, step, position), &mut roots).await?
                    }
                    RootCursor::Packed(job, step, page) => {
                        packed(&mut tx, (job, step, page), &mut roots).await?
                    }
                    RootCursor::Errors(after) => errors(&mut tx, after, &mut roots).await?,
                    RootCursor::End => return Ok(None),
                };
            }
            Ok(Some(roots))
        };
        walk.await.map_err(|fault| self.read_error(fault))
    }
}

/// Before the first row of a step's table: no job has a number below.
const BEFORE: (i64, u16, u32) = (i64::MIN, 0, 0);

async fn jobs(
    conn: &mut SqliteConnection,
    after: i64,
    roots: &mut Vec<BlobRoot>,
) -> Result<RootCursor, Fault> {
    let rows = sqlx::query("SELECT id, added FROM job WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(ROWS_PER_BATCH)
        .fetch_all(conn)
        .await?;
    let mut next = RootCursor::Waiting(BEFORE.0, BEFORE.1, BEFORE.2);
    for row in rows {
        let key: i64 = row.try_get(0)?;
        let job: Job = decode_text(row.try_get(1)?, || format!("job {key}"))?;
        roots.push(BlobRoot {
            blob: job.manifest,
            kind: RootKind::Manifest,
            job: job.id,
        });
        next = RootCursor::Jobs(key);
    }
    Ok(next)
}

async fn waiting(
    conn: &mut SqliteConnection,
    (job, step, position): (i64, u16, u32),
    roots: &mut Vec<BlobRoot>,
) -> Result<RootCursor, Fault> {
    let rows = sqlx::query(
        "SELECT job, step, position, body,
             coalesce(of.state = 'done', FALSE), coalesce(of.steps->'is'->step->>'replaced', FALSE)
         FROM accept LEFT JOIN job AS of ON of.id = accept.job WHERE (job, step, position) > (?, ?, ?)
         ORDER BY job, step, position LIMIT ?",
    )
    .bind(job)
    .bind(step)
    .bind(position)
    .bind(ROWS_PER_BATCH)
    .fetch_all(conn)
    .await?;
    let mut next = RootCursor::Packed(BEFORE.0, BEFORE.1, BEFORE.2);
    for row in rows {
        let (job, step): (i64, u16) = (row.try_get(0)?, row.try_get(1)?);
        let position = row.try_get(2)?;
        let frame = (job_id(job), StepIndex(step), position);
        let stands = Stands {
            is_done: row.try_get(4)?,
            is_replaced: row.try_get(5)?,
        };
        result_roots(&decode_waiting(frame, row.try_get(3)?)?, stands, roots);
        next = RootCursor::Waiting(job, step, position);
    }
    Ok(next)
}

async fn packed(
    conn: &mut SqliteConnection,
    (job, step, page): (i64, u16, u32),
    roots: &mut Vec<BlobRoot>,
) -> Result<RootCursor, Fault> {
    let rows = sqlx::query(
        "SELECT job, step, page, positions, body,
             coalesce(of.state = 'done', FALSE), coalesce(of.steps->'is'->step->>'replaced', FALSE)
         FROM result_page LEFT JOIN job AS of ON of.id = result_page.job
         WHERE (job, step, page) > (?, ?, ?) ORDER BY job, step, page LIMIT ?",
    )
    .bind(job)
    .bind(step)
    .bind(page)
    .bind(PAGES_PER_BATCH)
    .fetch_all(conn)
    .await?;
    let mut next = RootCursor::Errors(i64::MIN);
    for row in rows {
        let (job, step): (i64, u16) = (row.try_get(0)?, row.try_get(1)?);
        let page = row.try_get(2)?;
        let key = (job_id(job), StepIndex(step), page);
        let stands = Stands {
            is_done: row.try_get(5)?,
            is_replaced: row.try_get(6)?,
        };
        for result in decode_page(key, row.try_get(3)?, row.try_get(4)?)? {
            result_roots(&result, stands, roots);
        }
        next = RootCursor::Packed(job, step, page);
    }
    Ok(next)
}

async fn errors(
    conn: &mut SqliteConnection,
    after: i64,
    roots: &mut Vec<BlobRoot>,
) -> Result<RootCursor, Fault> {
    let rows = sqlx::query("SELECT seq, body FROM frame_error WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(after)
        .bind(ROWS_PER_BATCH)
        .fetch_all(conn)
        .await?;
    let mut next = RootCursor::End;
    for row in rows {
        let seq: i64 = row.try_get(0)?;
        let error: FrameError = decode_text(row.try_get(1)?, || format!("error {seq}"))?;
        let job = error.lease.unit.job;
        let kind = RootKind::Log;
        let logs = error.stdout.into_iter().chain(error.stderr);
        roots.extend(logs.map(|blob| BlobRoot { blob, kind, job }));
        next = RootCursor::Errors(seq);
    }
    Ok(next)
}

/// How the job of a result stands, and the step.
#[derive(Clone, Copy)]
struct Stands {
    is_done: bool,
    is_replaced: bool,
}

/// Of a job that is done nobody needs parts of frames any more: the frames are there, each with the sum of its samples if more can be
/// added, and then the sum is what is needed. Frames that are made anew are needed until they are.
fn result_roots(result: &FrameResult, stands: Stands, roots: &mut Vec<BlobRoot>) {
    let job = result.lease.unit.job;
    let root = |blob, kind| BlobRoot { blob, kind, job };
    let is_needed = match result.files.iter().all(FrameFile::is_part) {
        true => !(stands.is_done || stands.is_replaced),
        false => !(stands.is_done && stands.is_replaced),
    };
    if is_needed {
        let files = result.files.iter().map(|file| file.blob);
        let previews = result.previews.iter();
        let previews = previews.flat_map(|made| [made.thumbnail, made.preview]);
        roots.extend(
            files
                .chain(previews)
                .map(|blob| root(blob, RootKind::Result)),
        );
    }
    roots.push(root(result.stdout, RootKind::Log));
    roots.push(root(result.stderr, RootKind::Log));
}
