//! What a batch touches, read in one go before its first change is done.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tessera_model::{Attempt, Change, JobId, LeaseKey, StepIndex, Term, UnitId, WorkerId};

use super::commit::{Batch, FailureKey, PageKey};
use super::fault::Fault;
use super::leases::UnitAtWork;
use super::pages::PageAtWork;
use super::rows::{Rows, list};
use super::{job_id, job_key};
use crate::WriteError;
use crate::encoding::{FramePage, place};

/// The first column says which statement a row is of.
///
/// The parameters: jobs, workers, units, pages, those of the pages that get results, and failures.
pub(super) const TOUCHED: &str = "
    SELECT 0, term FROM farm;
    SELECT 1, job, step, frames FROM step WHERE job IN (SELECT value FROM json_each(?));
    SELECT 2, id FROM worker WHERE id IN (SELECT value FROM json_each(?));
    SELECT 3, a.job, a.step, a.unit, a.attempt, lease.attempt, lease.worker, a.span
    FROM json_each(?) AS of
    CROSS JOIN unit_attempt AS a
        ON a.job = of.value->>0 AND a.step = of.value->>1 AND a.unit = of.value->>2
    LEFT JOIN lease ON lease.job = a.job AND lease.step = a.step AND lease.unit = a.unit;
    SELECT 4, page.job, page.step, page.page, page.done, page.given_up, page.failures
    FROM json_each(?) AS of
    CROSS JOIN frame_page AS page
        ON page.job = of.value->>0 AND page.step = of.value->>1 AND page.page = of.value->>2;
    SELECT 5, accept.job, accept.step, accept.position / 256, count(*)
    FROM json_each(?) AS of
    CROSS JOIN accept
        ON accept.job = of.value->>0 AND accept.step = of.value->>1
        AND accept.position >= (of.value->>2) * 256 AND accept.position < (of.value->>2) * 256 + 256
    GROUP BY of.key;
    SELECT 6, e.job, e.step, e.unit, e.attempt, e.position
    FROM json_each(?) AS of
    CROSS JOIN frame_error AS e
        ON e.job = of.value->>0 AND e.step = of.value->>1 AND e.position = of.value->>2
        AND e.unit = of.value->>3 AND e.attempt = of.value->>4";

/// Ids that the changes name.
#[derive(Default)]
struct Named {
    jobs: BTreeSet<JobId>,
    workers: BTreeSet<WorkerId>,
    units: BTreeMap<UnitId, UnitAtWork>,
    pages: BTreeMap<PageKey, PageAtWork>,
    grown: BTreeSet<PageKey>,
    failures: Rows,
}

/// Begins a batch. Refuses every term but the current one: inside the transaction, so that no new term can begin in between.
pub(super) async fn read<'c>(
    conn: &'c mut SqliteConnection,
    term: Term,
    changes: &[Change],
    ended: BTreeSet<JobId>,
) -> Result<Batch<'c>, Fault> {
    let named = names(changes);
    let pages = |keys: &mut dyn Iterator<Item = &PageKey>| {
        let mut rows = Rows::new();
        for (job, step, page) in keys {
            rows.push([&job_key(*job), &step.0, page]);
        }
        rows.into_json()
    };
    let mut units = Rows::new();
    for unit in named.units.keys() {
        units.push([&job_key(unit.job), &unit.step.0, &unit.index]);
    }
    let query = sqlx::query(TOUCHED)
        .bind(list(named.jobs.iter().map(|&job| job_key(job))))
        .bind(list(named.workers.iter().map(|worker| worker.0)))
        .bind(units.into_json())
        .bind(pages(&mut named.pages.keys()))
        .bind(pages(&mut named.grown.iter()))
        .bind(named.failures.into_json());
    let mut batch = Batch {
        conn,
        steps: HashMap::new(),
        workers: HashSet::new(),
        units: named.units,
        leased: BTreeMap::new(),
        pages: named.pages,
        results: BTreeMap::new(),
        told: HashSet::new(),
        errors: Vec::new(),
        ended,
    };
    let mut found = Found {
        term: Term(0),
        steps: &mut batch.steps,
        workers: &mut batch.workers,
        units: &mut batch.units,
        pages: &mut batch.pages,
        told: &mut batch.told,
    };
    let mut rows = query.fetch(&mut *batch.conn);
    while let Some(row) = rows.try_next().await? {
        found.take(&row)?;
    }
    let current = found.term;
    drop(rows);
    if term == current {
        Ok(batch)
    } else {
        let have = term;
        Err(WriteError::Fenced { have, current }.into())
    }
}

fn names(changes: &[Change]) -> Named {
    let mut named = Named::default();
    // A million neighbouring frames can be given up in one batch.
    let mut last = None;
    let mut page = |named: &mut Named, unit: UnitId, position: u32, grows: bool| {
        let key = (unit.job, unit.step, place(position).0);
        if last.replace((key, grows)) != Some((key, grows)) {
            named.jobs.insert(unit.job);
            named.pages.entry(key).or_insert_with(PageAtWork::new);
            if grows {
                named.grown.insert(key);
            }
        }
    };
    for change in changes {
        match change {
            Change::Leased(lease) => {
                named.jobs.insert(lease.key.unit.job);
                named.workers.insert(lease.worker);
                named.units.entry(lease.key.unit).or_default();
            }
            Change::LeaseEnded(key) => {
                named.units.entry(key.unit).or_default();
            }
            Change::UnitClosed(unit) => {
                named.units.entry(*unit).or_default();
            }
            Change::FrameDone(result) => {
                page(&mut named, result.lease.unit, result.position, true);
            }
            Change::FrameFailed(error) => {
                let LeaseKey { unit, attempt } = error.lease;
                page(&mut named, unit, error.position, false);
                let (job, step) = (job_key(unit.job), unit.step.0);
                named
                    .failures
                    .push([&job, &step, &error.position, &unit.index, &attempt.0]);
            }
            Change::FrameGivenUp(key, position) => page(&mut named, key.unit, *position, false),
            _ => {}
        }
    }
    named
}

/// Where the rows go.
struct Found<'b> {
    term: Term,
    steps: &'b mut HashMap<(JobId, StepIndex), u32>,
    workers: &'b mut HashSet<WorkerId>,
    units: &'b mut BTreeMap<UnitId, UnitAtWork>,
    pages: &'b mut BTreeMap<PageKey, PageAtWork>,
    told: &'b mut HashSet<FailureKey>,
}

const ASKED_FOR: &str = "rows are found by the keys that the batch names";

impl Found<'_> {
    fn take(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let page_key = || -> Result<PageKey, sqlx::Error> {
            let job = job_id(row.try_get(1)?);
            Ok((job, StepIndex(row.try_get(2)?), row.try_get(3)?))
        };
        let unit = || -> Result<UnitId, sqlx::Error> {
            Ok(UnitId {
                job: job_id(row.try_get(1)?),
                step: StepIndex(row.try_get(2)?),
                index: row.try_get(3)?,
            })
        };
        match row.try_get::<i64, _>(0)? {
            0 => {
                let term: i64 = row.try_get(1)?;
                self.term = Term(term.cast_unsigned());
            }
            1 => {
                let step = (job_id(row.try_get(1)?), StepIndex(row.try_get(2)?));
                self.steps.insert(step, row.try_get(3)?);
            }
            2 => {
                self.workers.insert(WorkerId(row.try_get(1)?));
            }
            3 => {
                let unit = unit()?;
                let lease: Option<u32> = row.try_get(5)?;
                let lease = match lease {
                    Some(attempt) => Some((Attempt(attempt), WorkerId(row.try_get(6)?))),
                    None => None,
                };
                let latest = Attempt(row.try_get(4)?);
                let of = self.units.get_mut(&unit).expect(ASKED_FOR);
                of.read(latest, row.try_get(7)?, lease);
            }
            4 => {
                let frames = FramePage::read(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?)?;
                let of = self.pages.get_mut(&page_key()?).expect(ASKED_FOR);
                of.read(frames);
            }
            5 => {
                let of = self.pages.get_mut(&page_key()?).expect(ASKED_FOR);
                of.waiting = row.try_get(4)?;
            }
            6 => {
                let unit = unit()?;
                let attempt = Attempt(row.try_get(4)?);
                self.told
                    .insert((LeaseKey { unit, attempt }, row.try_get(5)?));
            }
            other => unreachable!("no statement gives rows of kind {other}"),
        }
        Ok(())
    }
}
