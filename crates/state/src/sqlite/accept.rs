//! Accepting of frames.

use tessera_model::FrameResult;

use super::commit::Batch;
use super::pages::page_of;
use crate::WriteError;
use crate::encoding::place;

/// A frame is accepted, once. The database itself refuses a second time, by the page and by the row that waits.
pub(super) fn accept<'c>(batch: &mut Batch<'c>, result: &'c FrameResult) -> Result<(), WriteError> {
    let unit = result.lease.unit;
    let position = result.position;
    batch.check_frame(unit.job, unit.step, position)?;
    let (page, at) = page_of(batch, unit.job, unit.step, position);
    if !page.frames.finish(at) {
        return Err(WriteError::AlreadyDone {
            job: unit.job,
            step: unit.step,
            position,
        });
    }
    page.is_changed = true;
    page.accepted += 1;
    let key = (unit.job, unit.step, place(position).0);
    batch.results.entry(key).or_default().push(result);
    Ok(())
}
