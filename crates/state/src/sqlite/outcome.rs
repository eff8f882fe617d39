//! What has come of a batch, written in one go.

use tessera_model::{Attempt, FrameError, LeaseKey, UnitId, WorkerId};

use super::commit::{Batch, PageKey};
use super::fault::Fault;
use super::leases::{Unit, UnitAtWork};
use super::pages::PageAtWork;
use super::rows::Rows;
use super::{job_key, pack};
use crate::encoding::{encode_results, encode_text};

/// The order matters: leases hang on the unit's attempt, and results that wait come before the bits that say they are done.
///
/// The parameters: units closed, latest attempts, leases ended, leases begun, tallies, the bytes of results that wait one
/// after the other, these results, the texts of errors likewise, these errors, pages there are, pages there were not. (Numbered ones would not do: the driver loses
/// count of them over several statements.)
const OUTCOME: &str = "
    DELETE FROM unit_attempt WHERE (job, step, unit) IN (
        SELECT value->>0, value->>1, value->>2 FROM json_each(?)
    );
    INSERT INTO unit_attempt (job, step, unit, attempt, span)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET attempt = excluded.attempt, span = excluded.span;
    DELETE FROM lease WHERE (job, step, unit, attempt) IN (
        SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?)
    );
    INSERT INTO lease (job, step, unit, attempt, worker)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?);
    UPDATE tally SET leases = leases + (of.value->>1) FROM json_each(?) AS of
    WHERE tally.job = of.value->>0;
    INSERT INTO accept (job, step, position, body)
    SELECT value->>0, value->>1, value->>2, substr(?, value->>3, value->>4) FROM json_each(?);
    INSERT INTO frame_error (job, step, position, unit, attempt, body)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4,
        CAST(substr(?, value->>5, value->>6) AS TEXT)
    FROM json_each(?);
    UPDATE frame_page SET
        accepted = accepted + (of.value->>3), done = of.value->>4,
        given_up = of.value->>5, failures = of.value->>6
    FROM json_each(?) AS of
    WHERE job = of.value->>0 AND step = of.value->>1 AND page = of.value->>2;
    INSERT INTO frame_page (job, step, page, accepted, done, given_up, failures)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
    FROM json_each(?)";

/// Puts `bytes` after the others; where they begin, as SQL counts (from 1), and how many they are.
fn append(all: &mut Vec<u8>, bytes: &[u8]) -> (usize, usize) {
    let begin = all.len() + 1;
    all.extend(bytes);
    (begin, bytes.len())
}

struct Outcome {
    closed: Rows,
    attempts: Rows,
    ended: Rows,
    begun: Rows,
    tallies: Rows,
    waiting: Rows,
    bodies: Vec<u8>,
    errors: Rows,
    texts: Vec<u8>,
    changed: Rows,
    new: Rows,
}

/// Writes whatever the batch holds in memory.
pub(super) async fn write(batch: &mut Batch<'_>) -> Result<(), Fault> {
    let mut outcome = Outcome {
        closed: Rows::new(),
        attempts: Rows::new(),
        ended: Rows::new(),
        begun: Rows::new(),
        tallies: Rows::new(),
        waiting: Rows::new(),
        bodies: Vec::new(),
        errors: Rows::new(),
        texts: Vec::new(),
        changed: Rows::new(),
        new: Rows::new(),
    };
    for (unit, at_work) in std::mem::take(&mut batch.units) {
        outcome.unit(unit, &at_work);
    }
    for (job, leases) in std::mem::take(&mut batch.leased) {
        outcome.tallies.push([&job_key(job), &leases]);
    }
    for (key, results) in std::mem::take(&mut batch.results) {
        if batch.pages[&key].waiting + results.len() as u32 >= pack::ROWS_TO_PACK {
            pack::pack(batch.conn, key, &results).await?;
            continue;
        }
        for result in results {
            let body = encode_results([result]);
            let (job, step) = (job_key(key.0), key.1.0);
            let (begin, len) = append(&mut outcome.bodies, &body);
            outcome
                .waiting
                .push([&job, &step, &result.position, &begin, &len]);
        }
    }
    for error in &batch.errors {
        outcome.error(error);
    }
    for (key, page) in std::mem::take(&mut batch.pages) {
        if page.is_changed {
            outcome.page(key, &page);
        }
    }
    outcome.write(batch).await
}

impl Outcome {
    fn unit(&mut self, unit: UnitId, UnitAtWork { before, now }: &UnitAtWork) {
        let (job, step, index) = (job_key(unit.job), unit.step.0, unit.index);
        let lacks = |unit: &Unit, lease: &(Attempt, WorkerId)| !unit.leases.contains(lease);
        match now.attempt {
            None if before.attempt.is_some() => {
                // Its leases go with it, by the foreign key.
                self.closed.push([&job, &step, &index]);
                return;
            }
            Some(attempt) if before.attempt != now.attempt => {
                self.attempts
                    .push([&job, &step, &index, &attempt.0, &now.span]);
            }
            _ => {}
        }
        for lease in before.leases.iter().filter(|lease| lacks(now, lease)) {
            self.ended.push([&job, &step, &index, &lease.0.0]);
        }
        for lease in now.leases.iter().filter(|lease| lacks(before, lease)) {
            self.begun
                .push([&job, &step, &index, &lease.0.0, &lease.1.0]);
        }
    }

    fn error(&mut self, error: &FrameError) {
        let LeaseKey { unit, attempt } = error.lease;
        let (begin, len) = append(&mut self.texts, encode_text(error).as_bytes());
        self.errors.push([
            &job_key(unit.job),
            &unit.step.0,
            &error.position,
            &unit.index,
            &attempt.0,
            &begin,
            &len,
        ]);
    }

    fn page(&mut self, (job, step, page): PageKey, at_work: &PageAtWork) {
        let rows = if at_work.is_there {
            &mut self.changed
        } else {
            &mut self.new
        };
        let columns = at_work.frames.columns();
        let text = |digits: &str| format!("\"{digits}\"");
        rows.push([
            &job_key(job),
            &step.0,
            &page,
            &at_work.accepted,
            &text(columns.done),
            &columns.given_up.map_or("null".into(), text),
            &columns.failures.as_deref().unwrap_or("null"),
        ]);
    }

    async fn write(self, batch: &mut Batch<'_>) -> Result<(), Fault> {
        let rows = [
            &self.closed,
            &self.attempts,
            &self.ended,
            &self.begun,
            &self.tallies,
            &self.waiting,
            &self.errors,
            &self.changed,
            &self.new,
        ];
        if rows.iter().all(|rows| rows.is_empty()) {
            return Ok(());
        }
        sqlx::query(OUTCOME)
            .bind(self.closed.into_json())
            .bind(self.attempts.into_json())
            .bind(self.ended.into_json())
            .bind(self.begun.into_json())
            .bind(self.tallies.into_json())
            .bind(self.bodies)
            .bind(self.waiting.into_json())
            .bind(self.texts)
            .bind(self.errors.into_json())
            .bind(self.changed.into_json())
            .bind(self.new.into_json())
            .execute(&mut *batch.conn)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row};

    use super::super::{Sqlite, touched};
    use super::*;

    /// A batch must cost what it touches and not what there is: no statement of it walks through a table of the record.
    #[tokio::test]
    async fn every_row_is_found_by_its_key() {
        let store = Sqlite::open_in_memory().await.unwrap();
        let statements = touched::TOUCHED.split(';').chain(OUTCOME.split(';'));
        for statement in statements.filter(|text| !text.trim().is_empty()) {
            let mut conn = store.read().await.unwrap();
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
                .fetch_all(&mut *conn)
                .await
                .unwrap();
            for row in plan {
                let step: String = row.try_get("detail").unwrap();
                let walks = step
                    .strip_prefix("SCAN ")
                    .and_then(|of| of.split(' ').next());
                // The parameters, and the one row of the farm.
                let small = [None, Some("of"), Some("json_each"), Some("farm")];
                assert!(small.contains(&walks), "{step}: {statement}");
            }
        }
    }
}
