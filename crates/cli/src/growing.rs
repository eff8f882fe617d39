//! Frames that are rendered in parts, as far as there are any.

use std::collections::HashSet;

use anyhow::Result;
use tessera_client::{Api, ApiError};
use tessera_merge::{Mosaic, PREVIEW_SIDE, THUMBNAIL_SIDE, Window};
use tessera_model::{FileRole, FrameResult, JobId, Split, StepIndex};
use tessera_wire::api::{JobDetail, PreviewSize};
use tessera_worker::part::window;

/// Results in one answer.
const PAGE: u32 = 1000;

/// How a frame of the job is divided, if it is; what is added to it, if some is.
pub(crate) fn split_of(job: &JobDetail, frame: i32) -> Option<Split> {
    let mut steps = job
        .steps
        .iter()
        .filter(|step| step.positions_of(frame).is_some());
    steps.rfind(|step| step.makes_parts())?.divided().copied()
}

/// The results of all its parts that are there.
pub(crate) async fn parts(api: &Api, job: JobId, frame: i32) -> Result<Vec<FrameResult>, ApiError> {
    let mut parts = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = api.parts(job, frame, at, PAGE).await?;
        parts.extend(page.items);
        from = page.next;
    }
    Ok(parts)
}

/// A frame in the making.
#[derive(Debug)]
pub(crate) struct Growing {
    job: JobId,
    frame: i32,
    size: PreviewSize,
    split: Split,
    mosaic: Mosaic,
    /// Steps and positions of the results that are in it.
    taken: HashSet<(StepIndex, u32)>,
}

impl Growing {
    /// A frame of the job, if it is divided.
    pub(crate) fn of(job: &JobDetail, frame: i32, size: PreviewSize) -> Option<Self> {
        let split = split_of(job, frame)?;
        let side = match size {
            PreviewSize::Thumbnail => THUMBNAIL_SIDE,
            PreviewSize::Preview => PREVIEW_SIDE,
        };
        Some(Self {
            job: job.summary.id,
            frame,
            size,
            split,
            mosaic: Mosaic::new((split.width, split.height), side),
            taken: HashSet::new(),
        })
    }

    pub(crate) fn frame(&self) -> i32 {
        self.frame
    }

    /// The frame as far as it is there.
    pub(crate) fn mosaic(&self) -> &Mosaic {
        &self.mosaic
    }

    /// Whether there is anything of it.
    pub(crate) fn has_begun(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Brings what was rendered of it since.
    pub(crate) async fn catch_up(&mut self, api: &Api) -> Result<()> {
        for result in parts(api, self.job, self.frame).await? {
            self.take(api, &result).await?;
        }
        Ok(())
    }

    /// Brings the picture of one result, if it has one that is not there yet.
    async fn take(&mut self, api: &Api, result: &FrameResult) -> Result<()> {
        let place = (result.lease.unit.step, result.position);
        if result.previews.is_none() || self.taken.contains(&place) {
            return Ok(());
        }
        let part = api.preview(self.job, self.frame, Some(place), self.size);
        let bytes = part.await?;
        let parts: Vec<(Window, u32)> = result
            .files
            .iter()
            .filter_map(|file| match &file.role {
                FileRole::Slice { slice, .. } => {
                    let samples = slice.samples.as_ref();
                    let samples =
                        samples.map_or(self.split.samples, |range| range.end - range.start);
                    Some((window(slice.window), samples))
                }
                _ => None,
            })
            .collect();
        // A picture that is none is left out: the frame does not depend on it.
        if let Err(error) = self.mosaic.add(&parts, &bytes) {
            tracing::debug!("part {} of frame {}: {error}", result.position, self.frame);
        }
        self.taken.insert(place);
        Ok(())
    }
}
