//! Writing of accepted frames.

use tessera_model::FrameResult;

use super::commit::Batch;
use super::fault::{Fault, is_accepted_before};
use super::job_key;
use crate::WriteError;
use crate::encoding::{encode_results, place};

/// A frame is accepted, once. The database itself refuses a second time: its triggers keep the done bits.
pub(super) async fn accept(batch: &mut Batch<'_>, result: &FrameResult) -> Result<(), Fault> {
    let unit = result.lease.unit;
    let position = result.position;
    batch.check_frame(unit.job, unit.step, position).await?;
    let done = sqlx::query("INSERT INTO accept (job, step, position, body) VALUES (?, ?, ?, ?)")
        .bind(job_key(unit.job))
        .bind(unit.step.0)
        .bind(position)
        .bind(encode_results([result]))
        .execute(&mut *batch.conn)
        .await;
    match done {
        Ok(_) => {
            let (page, at) = place(position);
            let page = (unit.job, unit.step, page);
            if let Some(page) = batch.pages.get_mut(&page) {
                page.finish(at);
            }
            batch.grown.insert(page);
            Ok(())
        }
        Err(error) if is_accepted_before(&error) => Err(WriteError::AlreadyDone {
            job: unit.job,
            step: unit.step,
            position,
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}
