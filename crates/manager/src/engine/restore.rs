//! The record as the scheduler wants it.

use tessera_scheduler::{Restored, RestoredJob, RestoredStep};
use tessera_state::Snapshot;

/// The same facts in the scheduler's shape.
pub(super) fn restored(snapshot: Snapshot) -> Restored {
    let blocked = snapshot
        .jobs
        .iter()
        .flat_map(|job| job.blocked.iter().map(|&worker| (job.job.id, worker)))
        .collect();
    let jobs = snapshot
        .jobs
        .into_iter()
        .map(|job| RestoredJob {
            job: job.job,
            state: job.state,
            since: job.since,
            fetched: job.fetched,
            steps: job
                .steps
                .into_iter()
                .map(|step| RestoredStep {
                    done: step.done,
                    given_up: step.given_up,
                    failures: step.failures.into_iter().collect(),
                })
                .collect(),
        })
        .collect();
    Restored {
        jobs,
        workers: snapshot.workers,
        leases: snapshot.leases,
        attempts: snapshot.attempts,
        failed: snapshot.failed,
        blocked,
        next_job: snapshot.next_job.0,
        next_worker: snapshot.next_worker.0,
    }
}
