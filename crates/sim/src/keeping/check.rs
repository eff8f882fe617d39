//! What must hold of a store that is swept.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_blobs::Digest;

use super::{GRACE, Life};
use crate::violation::Violation;

/// After every sweep, and whenever something is recorded.
pub(super) fn nothing_is_lost(life: &Life<'_>) -> Result<(), Violation> {
    for (job, needs) in &life.jobs {
        if let Some(lost) = lost(life, needs) {
            return Err(Violation::new(
                "no sweep takes what a job needs",
                format!("job {job} lacks block {lost} at {} s", life.now.as_secs()),
            ));
        }
    }
    for (report, sent) in &life.in_flight {
        let counts = counts_on(life, Some(sent.told_at), sent.intake);
        if let Some(lost) = lost(life, &sent.blocks).filter(|_| counts) {
            return Err(Violation::new(
                "no sweep takes what a worker is about to report",
                format!("{report:?} lacks block {lost} at {} s", life.now.as_secs()),
            ));
        }
    }
    for (index, upload) in life.uploads.iter().enumerate() {
        let counts = counts_on(life, upload.heard_at, upload.intake);
        if let Some(lost) = lost(life, &upload.told).filter(|_| counts) {
            return Err(Violation::new(
                "no sweep takes what an upload under way has brought",
                format!(
                    "upload {index} lacks block {lost} at {} s",
                    life.now.as_secs()
                ),
            ));
        }
    }
    Ok(())
}

/// Whether somebody counts on blocks: was told of them not long ago, or is having them recorded.
fn counts_on(life: &Life<'_>, told_at: Option<Duration>, intake: Option<u64>) -> bool {
    let recently = told_at.is_some_and(|at| life.now - at < GRACE);
    recently || intake.is_some_and(|intake| life.intakes.contains(&intake))
}

fn lost(life: &Life<'_>, needs: &BTreeSet<Digest>) -> Option<Digest> {
    needs.iter().find(|digest| !life.vault.has(digest)).copied()
}

/// At the end: what nobody needs has gone.
pub(super) fn finished(life: &Life<'_>) -> Result<(), Violation> {
    nothing_is_lost(life)?;
    let needed: BTreeSet<&Digest> = life.jobs.values().flatten().collect();
    if life.vault.len() > needed.len() {
        return Err(Violation::new(
            "what nobody needs goes",
            format!(
                "{} blocks are here, {} are needed",
                life.vault.len(),
                needed.len()
            ),
        ));
    }
    Ok(())
}
