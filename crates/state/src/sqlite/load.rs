//! The one read call: everything a restart needs, from one moment.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sqlx::{Row, SqliteConnection};
use tessera_model::{
    Attempt, CertificateRecord, FarmSettings, FetchedMark, FrameBits, Job, JobId, Lease, LeaseKey,
    PairingRecord, ReceiverRecord, StepIndex, Telling, Term, Timestamp, TokenRecord, UnitId,
    WorkerId, WorkerRecord,
};

use super::fault::Fault;
use super::{Sqlite, job_id};
use crate::encoding::{Unreadable, decode_state, decode_text, restore_page};
use crate::{JobSnapshot, ReadError, Snapshot, StepSnapshot};

impl Sqlite {
    pub(crate) async fn load(&self) -> Result<Snapshot, ReadError> {
        let load = async {
            let mut tx = self.read().await?;
            let conn = &mut *tx;
            let Farm {
                term,
                next_job,
                next_worker,
                settings,
            } = farm(conn).await?;
            let mut jobs = jobs(conn).await?;
            layouts(conn, &mut jobs).await?;
            frames(conn, &mut jobs).await?;
            blocks(conn, &mut jobs).await?;
            Ok(Snapshot {
                term,
                next_job,
                next_worker,
                farm: settings,
                jobs: jobs.into_values().collect(),
                leases: leases(conn).await?,
                attempts: attempts(conn).await?,
                failed: failed(conn).await?,
                workers: workers(conn).await?,
                tokens: tokens(conn).await?,
                pairings: pairings(conn).await?,
                certificates: certificates(conn).await?,
                receivers: receivers(conn).await?,
            })
        };
        load.await.map_err(|fault| self.read_error(fault))
    }
}

type Jobs = BTreeMap<JobId, JobSnapshot>;

struct Farm {
    term: Term,
    next_job: JobId,
    next_worker: WorkerId,
    settings: Option<FarmSettings>,
}

async fn farm(conn: &mut SqliteConnection) -> Result<Farm, Fault> {
    let row = sqlx::query("SELECT term, next_job, next_worker, settings FROM farm")
        .fetch_one(conn)
        .await?;
    let term: i64 = row.try_get(0)?;
    let settings: Option<&str> = row.try_get(3)?;
    Ok(Farm {
        term: Term(term.cast_unsigned()),
        next_job: job_id(row.try_get(1)?),
        next_worker: WorkerId(row.try_get(2)?),
        settings: settings
            .map(|text| decode_text(text, || "the farm's settings".into()))
            .transpose()?,
    })
}

async fn jobs(conn: &mut SqliteConnection) -> Result<Jobs, Fault> {
    let mut rows = sqlx::query(
        "SELECT id, added, settings, build, state, since, fetched_frames, fetched_at, steps FROM job",
    )
    .fetch(conn);
    let mut jobs = Jobs::new();
    while let Some(row) = rows.try_next().await? {
        let id = job_id(row.try_get(0)?);
        let mut job: Job = decode_text(row.try_get(1)?, || format!("job {id}"))?;
        job.settings = decode_text(row.try_get(2)?, || format!("the settings of job {id}"))?;
        let build: Option<&str> = row.try_get(3)?;
        job.build = build
            .map(|text| decode_text(text, || format!("the build of job {id}")))
            .transpose()?;
        let grown: Option<&str> = row.try_get(8)?;
        if let Some(text) = grown {
            job.steps = decode_text(text, || format!("the steps of job {id}"))?;
        }
        let steps = job
            .steps
            .iter()
            .map(|step| StepSnapshot {
                done: FrameBits::new(step.positions()),
                given_up: FrameBits::new(step.positions()),
                failures: BTreeMap::new(),
            })
            .collect();
        let state = decode_state(row.try_get(4)?)?;
        let since = Timestamp(row.try_get(5)?);
        let fetched = match row.try_get(6)? {
            Some(frames) => Some(FetchedMark {
                frames,
                at: Timestamp(row.try_get(7)?),
            }),
            None => None,
        };
        let blocked = Vec::new();
        jobs.insert(
            id,
            JobSnapshot {
                job,
                state,
                since,
                fetched,
                steps,
                blocked,
            },
        );
    }
    Ok(jobs)
}

async fn layouts(conn: &mut SqliteConnection, jobs: &mut Jobs) -> Result<(), Fault> {
    let mut rows =
        sqlx::query("SELECT job, step, chunking FROM step WHERE chunking IS NOT NULL").fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let job = job_id(row.try_get(0)?);
        let step: u16 = row.try_get(1)?;
        let of = jobs
            .get_mut(&job)
            .and_then(|job| job.job.steps.get_mut(usize::from(step)))
            .ok_or_else(|| no_step(job, step))?;
        let what = || format!("the layout of job {job}, step {step}");
        of.chunking = Some(decode_text(row.try_get(2)?, what)?);
    }
    Ok(())
}

fn no_step(job: JobId, step: u16) -> Unreadable {
    Unreadable {
        what: "a row of a step".into(),
        why: format!("job {job} has no step {step}"),
    }
}

async fn frames(conn: &mut SqliteConnection, jobs: &mut Jobs) -> Result<(), Fault> {
    let mut rows =
        sqlx::query("SELECT job, step, page, done, given_up, failures FROM frame_page").fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let job = job_id(row.try_get(0)?);
        let step: u16 = row.try_get(1)?;
        let of = jobs
            .get_mut(&job)
            .and_then(|job| job.steps.get_mut(usize::from(step)))
            .ok_or_else(|| no_step(job, step))?;
        restore_page(
            of,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        )?;
    }
    Ok(())
}

async fn blocks(conn: &mut SqliteConnection, jobs: &mut Jobs) -> Result<(), Fault> {
    let mut rows =
        sqlx::query("SELECT job, worker FROM job_block ORDER BY job, worker").fetch(conn);
    while let Some(row) = rows.try_next().await? {
        if let Some(job) = jobs.get_mut(&job_id(row.try_get(0)?)) {
            job.blocked.push(WorkerId(row.try_get(1)?));
        }
    }
    Ok(())
}

async fn leases(conn: &mut SqliteConnection) -> Result<Vec<Lease>, Fault> {
    let mut rows = sqlx::query(
        "SELECT job, step, unit, lease.attempt, worker, span \
         FROM lease JOIN unit_attempt USING (job, step, unit) ORDER BY job, step, unit, lease.attempt",
    )
    .fetch(conn);
    let mut leases = Vec::new();
    while let Some(row) = rows.try_next().await? {
        leases.push(Lease {
            key: LeaseKey {
                unit: UnitId {
                    job: job_id(row.try_get(0)?),
                    step: StepIndex(row.try_get(1)?),
                    index: row.try_get(2)?,
                },
                attempt: Attempt(row.try_get(3)?),
            },
            worker: WorkerId(row.try_get(4)?),
            span: row.try_get(5)?,
        });
    }
    Ok(leases)
}

async fn attempts(conn: &mut SqliteConnection) -> Result<Vec<(UnitId, Attempt, u32)>, Fault> {
    let mut rows = sqlx::query(
        "SELECT job, step, unit, attempt, span FROM unit_attempt ORDER BY job, step, unit",
    )
    .fetch(conn);
    let mut attempts = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let unit = UnitId {
            job: job_id(row.try_get(0)?),
            step: StepIndex(row.try_get(1)?),
            index: row.try_get(2)?,
        };
        attempts.push((unit, Attempt(row.try_get(3)?), row.try_get(4)?));
    }
    Ok(attempts)
}

async fn failed(conn: &mut SqliteConnection) -> Result<Vec<(LeaseKey, u32, WorkerId)>, Fault> {
    let mut rows = sqlx::query(
        "SELECT job, step, unit, error.attempt, position, json_extract(body, '$.is.worker') \
         FROM unit_attempt JOIN frame_error AS error USING (job, step, unit) \
         ORDER BY job, step, unit, error.attempt, position",
    )
    .fetch(conn);
    let mut failed = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let unit = UnitId {
            job: job_id(row.try_get(0)?),
            step: StepIndex(row.try_get(1)?),
            index: row.try_get(2)?,
        };
        let attempt = Attempt(row.try_get(3)?);
        let worker = WorkerId(row.try_get(5)?);
        failed.push((LeaseKey { unit, attempt }, row.try_get(4)?, worker));
    }
    Ok(failed)
}

async fn workers(conn: &mut SqliteConnection) -> Result<Vec<WorkerRecord>, Fault> {
    let rows = sqlx::query("SELECT id, body FROM worker ORDER BY id")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let id: u32 = row.try_get(0)?;
            Ok(decode_text(row.try_get(1)?, || format!("worker {id}"))?)
        })
        .collect()
}

async fn tokens(conn: &mut SqliteConnection) -> Result<Vec<TokenRecord>, Fault> {
    let rows = sqlx::query("SELECT id, body FROM token ORDER BY id")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get(0)?;
            Ok(decode_text(row.try_get(1)?, || format!("token {id}"))?)
        })
        .collect()
}

async fn pairings(conn: &mut SqliteConnection) -> Result<Vec<PairingRecord>, Fault> {
    let rows = sqlx::query("SELECT body FROM pairing ORDER BY hash")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| Ok(decode_text(row.try_get(0)?, || "a pairing code".into())?))
        .collect()
}

async fn certificates(conn: &mut SqliteConnection) -> Result<Vec<CertificateRecord>, Fault> {
    let rows = sqlx::query("SELECT serial, body, revoked FROM certificate ORDER BY serial")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let serial: &str = row.try_get(0)?;
            let body: CertificateRecord =
                decode_text(row.try_get(1)?, || format!("certificate {serial}"))?;
            Ok(CertificateRecord {
                revoked: row.try_get(2)?,
                ..body
            })
        })
        .collect()
}

async fn receivers(conn: &mut SqliteConnection) -> Result<Vec<(ReceiverRecord, Telling)>, Fault> {
    let rows = sqlx::query("SELECT name, body, telling FROM receiver ORDER BY name")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let name: &str = row.try_get(0)?;
            let what = || format!("receiver {name}");
            Ok((
                decode_text(row.try_get(1)?, what)?,
                decode_text(row.try_get(2)?, what)?,
            ))
        })
        .collect()
}
