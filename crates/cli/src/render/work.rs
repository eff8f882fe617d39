//! Which frames are still to be rendered.
//!
//! A frame is left out if an earlier run of the same command left it, exactly as it is now, or if the file says that
//! frames that are there are not to be overwritten. A file whose frames depend on their order is rendered whole
//! as long as any of it is missing: a part of it would come out differently.

use anyhow::Result;
use tessera_client::{Ledger, Packed, skipped};
use tessera_model::FrameSet;

use crate::context::Context;
use crate::exit::{Status, stop};

/// What is to be done of what was asked for.
pub(crate) struct Work {
    /// All frames asked for.
    pub(crate) asked: FrameSet,
    /// Frames that are there from an earlier run.
    pub(crate) present: u32,
    /// Frames that the file says are not to be rendered again.
    pub(crate) skipped: u32,
    /// Frames to render; none if there is nothing to do.
    pub(crate) missing: Option<FrameSet>,
    /// The record of what is there.
    pub(crate) ledger: Ledger,
}

impl Work {
    /// Looks at the output folder. Reads every frame that the record names.
    pub(crate) async fn survey(context: &Context, packed: &Packed, again: bool) -> Result<Self> {
        packed
            .output
            .check_writable()
            .map_err(|error| stop(Status::Usage, error.to_string()))?;
        let ledger = Ledger::open(&context.folders, &packed.key())?;
        let asked = packed.frames().clone();
        let plan = packed.output.clone();
        tokio::task::spawn_blocking(move || {
            let present = if again {
                Vec::new()
            } else {
                ledger.present(&asked)
            };
            let skipped = skipped(&plan, &asked);
            let present_set: std::collections::HashSet<i32> = present.iter().copied().collect();
            let skipped_set: std::collections::HashSet<i32> = skipped
                .iter()
                .copied()
                .filter(|frame| !present_set.contains(frame))
                .collect();
            let missing = asked
                .iter()
                .filter(|frame| !present_set.contains(frame) && !skipped_set.contains(frame));
            Ok(Self {
                missing: FrameSet::of(missing).ok(),
                present: present_set.len() as u32,
                skipped: skipped_set.len() as u32,
                asked,
                ledger,
            })
        })
        .await?
    }

    /// Frames that nothing is done for, because they are there.
    pub(crate) fn there(&self) -> u32 {
        self.present + self.skipped
    }

    /// Narrows the job to what is missing.
    pub(crate) fn narrow(&self, packed: &mut Packed) {
        if let (Some(missing), [step]) = (&self.missing, packed.steps.as_mut_slice())
            && !step.in_order
        {
            step.frames = missing.clone();
        }
    }
}
