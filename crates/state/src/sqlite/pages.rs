//! Pages of bits and counts at work in a batch.
//!
//! A page is read before the batch and written once at its end: a job whose order matters gives up all the frames after a
//! broken one at once, which can be a million.

use tessera_model::{JobId, StepIndex};

use super::commit::Batch;
use crate::encoding::{FramePage, place};

/// A page as it is by now.
#[derive(Debug)]
pub(super) struct PageAtWork {
    pub(super) frames: FramePage,
    /// Whether the database has it.
    pub(super) is_there: bool,
    pub(super) is_changed: bool,
    /// Frames that the batch accepted.
    pub(super) accepted: u32,
    /// Results of it that wait to be packed, from before the batch; only known where the batch accepts some.
    pub(super) waiting: u32,
}

impl PageAtWork {
    /// A page nothing is known of.
    pub(super) fn new() -> Self {
        Self {
            frames: FramePage::new(),
            is_there: false,
            is_changed: false,
            accepted: 0,
            waiting: 0,
        }
    }

    /// Takes in what the database says of it.
    pub(super) fn read(&mut self, frames: FramePage) {
        self.frames = frames;
        self.is_there = true;
    }
}

/// The page of a frame, for changing, and the frame's place in it.
pub(super) fn page_of<'b>(
    batch: &'b mut Batch<'_>,
    job: JobId,
    step: StepIndex,
    position: u32,
) -> (&'b mut PageAtWork, u32) {
    let (page, at) = place(position);
    let page = batch.pages.get_mut(&(job, step, page));
    let page = page.expect("a batch begins with every page that its changes name");
    (page, at)
}
