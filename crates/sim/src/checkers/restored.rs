//! What the record gives back is what lives: by the checkers' books, and by what a scheduler built from it shows.
//!
//! Not recorded, so not compared: links, usage, warmth, and what is being rendered.

use std::collections::BTreeMap;

use tessera_model::{LeaseKey, StepIndex, WorkerId};
use tessera_scheduler::{FrameView, JobView, Scheduler};
use tessera_state::Snapshot;

use crate::manager::restored;
use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "live state equals restored state";

/// Frames of a job that are compared one by one, beside the counts: so that a million are not read each time.
const FRAMES_COMPARED: usize = 2000;

fn differ(what: impl std::fmt::Display) -> Result<(), Violation> {
    Err(Violation::new(PROPERTY, what.to_string()))
}

/// Against the books, which were kept from the journal alone.
pub(super) fn same_as_books(world: &World, snapshot: &Snapshot) -> Result<(), Violation> {
    let books = &world.books;
    let farm = snapshot.farm.clone().unwrap_or_default();
    if farm != books.farm {
        return differ("the farm's settings are not those that were set last");
    }
    if snapshot.jobs.len() != books.jobs.len() {
        let (recorded, decided) = (snapshot.jobs.len(), books.jobs.len());
        return differ(format!(
            "{recorded} jobs are recorded, {decided} were taken in"
        ));
    }
    for job in &snapshot.jobs {
        let id = job.job.id;
        let Some(book) = books.jobs.get(&id) else {
            return differ(format!("job {id} is recorded and was removed"));
        };
        let blocked: Vec<WorkerId> = book.blocked.iter().copied().collect();
        for (part, same) in [
            ("its settings, build and layout", book.job == job.job),
            ("its state", book.state == job.state),
            ("what was fetched", book.fetched == job.fetched),
            ("the workers blocked for it", blocked == job.blocked),
        ] {
            if !same {
                return differ(format!(
                    "job {id}: {part} are recorded otherwise than decided"
                ));
            }
        }
        for (at, (one, two)) in book.steps.iter().zip(&job.steps).enumerate() {
            if one.done != two.done || one.given_up != two.given_up {
                return differ(format!(
                    "job {id} step {at}: other frames are recorded than decided"
                ));
            }
            let failures = one
                .failures
                .iter()
                .map(|(at, failure)| (*at, failure.count));
            let failures: BTreeMap<u32, u32> = failures.collect();
            if failures != two.failures {
                let recorded = &two.failures;
                return differ(format!(
                    "job {id} step {at}: failures by position, decided {failures:?}, recorded {recorded:?}"
                ));
            }
        }
    }
    let leases: BTreeMap<LeaseKey, WorkerId> = snapshot
        .leases
        .iter()
        .map(|lease| (lease.key, lease.worker))
        .collect();
    let live = books.leases.iter().map(|(key, lease)| (*key, lease.worker));
    if leases != live.collect() {
        return differ("the recorded leases are not those that were handed out and have not ended");
    }
    let workers = books.workers.values().map(|worker| &worker.record);
    if !workers.eq(&snapshot.workers) {
        return differ("the recorded workers are not those of the farm");
    }
    Ok(())
}

/// Against the scheduler that lives: what both show is compared.
pub(super) fn same_as_live(world: &World, snapshot: &Snapshot) -> Result<(), Violation> {
    let Some(engine) = &world.manager.engine else {
        return Ok(());
    };
    let clock = world.manager.clock(world.now);
    let farm = snapshot.farm.clone().unwrap_or_default();
    let live = &engine.scheduler;
    let again = Scheduler::restore(farm, clock, restored(snapshot));
    if live.settings() != again.settings() {
        return differ("the scheduler's settings");
    }
    let all = |scheduler: &Scheduler| scheduler.jobs(clock, None, usize::MAX);
    for (one, two) in all(live).iter().zip(all(&again).iter()) {
        same_job(one, two)?;
        for step in 0..one.job.steps.len() {
            let frames = |scheduler: &Scheduler| {
                scheduler.frames(one.job.id, StepIndex(step as u16), 0, FRAMES_COMPARED)
            };
            let book = &world.books.jobs[&one.job.id].steps[step];
            for (a, b) in frames(live).iter().zip(frames(&again).iter()) {
                // Of two leases the one that renders is shown, and that is not recorded.
                let unit = book.unit_of(a.position);
                let is_twice = book.held.get(&unit).is_some_and(|&held| held > 1);
                same_frame(one, a, b, is_twice)?;
            }
        }
    }
    let (one, two) = (live.workers(clock), again.workers(clock));
    for (one, two) in one.iter().zip(&two) {
        let keys = |view: &tessera_scheduler::WorkerView| {
            // The order in which they were handed out is not recorded.
            let held = view.holds.iter();
            let mut keys: Vec<_> = held
                .map(|held| (held.job, held.step, held.attempt))
                .collect();
            keys.sort_unstable();
            keys
        };
        if one.record != two.record || keys(one) != keys(two) {
            let (id, live, again) = (one.record.id, keys(one), keys(two));
            return differ(format!("worker {id} holds {live:?}, restored {again:?}"));
        }
    }
    Ok(())
}

fn same_job(one: &JobView, two: &JobView) -> Result<(), Violation> {
    let parts = |view: &JobView| {
        let counts = (view.frames, view.done, view.failed);
        let stands = (view.state, view.since, view.fetched_at);
        (view.job.clone(), stands, counts, view.blocked.clone())
    };
    if parts(one) == parts(two) {
        return Ok(());
    }
    differ(format!(
        "job {}: live {:?} {}/{} done, {} failed, {} leased; restored {:?} {}/{} done, {} failed, {} leased",
        one.job.id,
        one.state,
        one.done,
        one.frames,
        one.failed,
        one.leased,
        two.state,
        two.done,
        two.frames,
        two.failed,
        two.leased
    ))
}

fn same_frame(
    job: &JobView,
    one: &FrameView,
    two: &FrameView,
    is_twice: bool,
) -> Result<(), Violation> {
    let parts = |frame: &FrameView| {
        let lease = frame.lease.filter(|_| !is_twice);
        (frame.done, frame.failed, frame.failures, lease)
    };
    if parts(one) == parts(two) {
        return Ok(());
    }
    differ(format!(
        "job {}: live {one:?}; restored {two:?}",
        job.job.id
    ))
}
