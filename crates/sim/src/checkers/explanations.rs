//! Explanations are true: on a copy of the scheduler what a reason names is remedied, and the unit must then be handed out.
//!
//! A remedy may uncover a further reason (a job that was paused turns out to lack a worker), which is remedied in turn; but
//! one that was remedied must not be named again, and what has no reason left must be rendering.

mod fork;

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{JobId, WorkerId};
use tessera_scheduler::{Input, Reason, WorkerCommand};

use fork::{Fork, have_everything};

use super::limits::has_room;
use super::matching::{fits, is_there, ready_unit};
use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str =
    "explanations are true: once what they name is remedied, the unit is handed out";

/// Remedies one after another before it must have been handed out: there are not more kinds of reasons.
const ROUNDS_MAX: usize = 12;

/// A job and a worker by chance are asked why they wait.
pub(super) fn check(world: &mut World) -> Result<(), Violation> {
    let jobs: Vec<JobId> = world
        .books
        .jobs
        .iter()
        .filter(|(_, job)| !job.state.is_over())
        .map(|(&id, _)| id)
        .collect();
    if !jobs.is_empty() {
        let id = *world.checks.dice.pick(&jobs);
        check_job(world, id)?;
    }
    let workers: Vec<WorkerId> = world.books.workers.keys().copied().collect();
    if !workers.is_empty() {
        let id = *world.checks.dice.pick(&workers);
        check_worker(world, id)?;
    }
    Ok(())
}

fn check_job(world: &mut World, id: JobId) -> Result<(), Violation> {
    let now = world.now;
    let is_ready = ready_unit(&mut world.books, id, now, None).is_some();
    let Some(engine) = &world.manager.engine else {
        return Ok(());
    };
    let mut fork = Fork::new(world, &engine.scheduler);
    let mut told: Vec<String> = Vec::new();
    let mut remedied: BTreeSet<String> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        if fork.given.iter().any(|(key, _)| key.unit.job == id) {
            return Ok(());
        }
        let Some(why) = fork.scheduler.why_job(fork.now, id) else {
            return Ok(());
        };
        told.push(why.to_string());
        let wrong = |how: &str| {
            let told = told.join(" -- that remedied: ");
            Err(Violation::new(
                PROPERTY,
                format!("job {id}: {told} -- {how}"),
            ))
        };
        let has_leases = !world.books.jobs[&id].leases.is_empty();
        let in_hand = |reason: &Reason| {
            matches!(
                reason,
                Reason::InHand { .. } | Reason::Rendering { .. } | Reason::Ready { .. }
            )
        };
        if why.reasons.iter().any(in_hand) && !has_leases {
            return wrong("but nothing of it is in anybody's hands");
        }
        if why.reasons.is_empty() {
            return wrong("nothing is named, and nothing of it is rendered");
        }
        if why.reasons.iter().all(in_hand) {
            // All that is left is being rendered: nothing waits.
            let waits = is_ready && told.len() == 1;
            return if waits {
                wrong("but it has units that nobody has")
            } else {
                Ok(())
            };
        }
        if why
            .reasons
            .iter()
            .any(|reason| matches!(reason, Reason::Over(_)))
        {
            // It ended a moment ago, which the record has yet to hear of, or does so on the way: it waits for nothing.
            return Ok(());
        }
        let waits = |reason: &Reason| matches!(reason, Reason::WaitsForFrames(_));
        if why.reasons.iter().any(waits) && remedied.contains("waits_for_frames") {
            // The frames of its own step before are not there; that is no mistake, and has no remedy but rendering.
            return Ok(());
        }
        let again = why.reasons.iter().find(|reason| {
            is_final(reason) && names(reason).iter().any(|name| remedied.contains(name))
        });
        if let Some(again) = again {
            return wrong(&format!("\"{again}\" was remedied and is named again"));
        }
        for reason in &why.reasons {
            remedied.extend(names(reason));
            fork.remedy(id, reason);
        }
        fork.apply(Input::Tick);
    }
    let told = told.join(" -- that remedied: ");
    Err(Violation::new(
        PROPERTY,
        format!("job {id}: {told} -- and so on, without an end"),
    ))
}

/// What a reason is remembered by. Blocks are remembered by worker: one that was away may come back blocked.
fn names(reason: &Reason) -> Vec<String> {
    match reason {
        Reason::Blocked { workers, .. } => {
            workers.iter().map(|id| format!("blocked {id}")).collect()
        }
        other => vec![other.code().to_owned()],
    }
}

/// Whether a reason must not be named after its remedy. What others need of the farm's workers may well be named: a new
/// worker meets it, and the others do as little as before.
fn is_final(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Paused
            | Reason::WaitsForJobs(_)
            | Reason::NoWorkers
            | Reason::NotTogether
            | Reason::Blocked { .. }
            | Reason::Capped { .. }
            | Reason::Busy { .. }
            | Reason::FailedThere { .. }
    )
}

fn check_worker(world: &mut World, id: WorkerId) -> Result<(), Violation> {
    let Some(engine) = &world.manager.engine else {
        return Ok(());
    };
    let mut fork = Fork::new(world, &engine.scheduler);
    let mut told: Vec<String> = Vec::new();
    for round in 0..ROUNDS_MAX {
        if fork.given.iter().any(|(_, to)| *to == id) {
            return Ok(());
        }
        let Some(why) = fork.scheduler.why_worker(fork.now, id) else {
            return Ok(());
        };
        told.push(why.to_string());
        if round == 0 && why.reasons.contains(&Reason::NoWork) {
            break;
        }
        let settled = |reason: &Reason| {
            matches!(
                reason,
                Reason::Full { .. } | Reason::NoWork | Reason::JobsFailedHere { .. }
            )
        };
        if why.reasons.iter().any(settled) {
            return Ok(());
        }
        for reason in &why.reasons {
            match reason {
                Reason::Worker(absence) => fork.bring_back(id, absence),
                Reason::JobsNeed { what, .. } => have_everything(&mut fork, id, what),
                Reason::JobsBlocked { jobs } => {
                    for &job in jobs {
                        fork.apply(Input::Worker(id, WorkerCommand::Unblock(Some(job))));
                    }
                }
                Reason::JobsLimited { .. } => fork.lift_all_limits(),
                _ => {}
            }
        }
        // Who was refused everything is asked again a second later.
        fork.pass(Duration::from_secs(2));
    }
    if told.len() > 1 {
        let told = told.join(" -- that remedied: ");
        return Err(Violation::new(
            PROPERTY,
            format!("worker {id}: {told} -- and still nothing"),
        ));
    }
    no_work(world, id)
}

/// A worker is said to have no work: no job has any for it.
fn no_work(world: &mut World, id: WorkerId) -> Result<(), Violation> {
    let now = world.now;
    let jobs: Vec<JobId> = world.books.jobs.keys().copied().collect();
    for job in jobs {
        let Some((step, unit)) = ready_unit(&mut world.books, job, now, Some(id)) else {
            continue;
        };
        let books = &world.books;
        let (book, worker) = (&books.jobs[&job], &books.workers[&id]);
        let may = is_there(books, worker, now).is_ok() && fits(book, worker, step).is_ok();
        if may && has_room(books, book) && (worker.leases.len() as u32) < worker.slots() {
            let how = format!(
                "worker {id} is said to have no work, and unit {job}.{}.{unit} is there",
                step.0
            );
            return Err(Violation::new(PROPERTY, how));
        }
    }
    Ok(())
}
