//! No worker stands idle while a job has work for it, and no job waits while others that have less claim are served.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{JobId, JobState, Lease, WorkerId};

use super::limits::{could_have, has_room};
use super::matching::{fits, is_there, ready_unit};
use crate::violation::Violation;
use crate::world::World;

/// Longest that a worker may stand idle beside work for it: workers that were refused everything are asked again after a
/// second, in a large farm in several rounds.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Most pairs of idle workers and waiting jobs looked at each time.
const PAIRS_MAX: usize = 20_000;

/// What is watched over time.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Since when a worker has been idle beside work of a job.
    idle: BTreeMap<WorkerId, (Duration, JobId)>,
    /// Since when a job has had work, as far as looked at, without a break.
    ready: BTreeMap<JobId, Duration>,
}

impl Waiting {
    /// The manager came back, or forgot what it could not record: all waits begin anew.
    pub(crate) fn reopened(&mut self) {
        *self = Self::default();
    }
}

/// Everything, now and then.
pub(super) fn look(world: &mut World) -> Result<(), Violation> {
    let now = world.now;
    let active: Vec<JobId> = world
        .books
        .jobs
        .iter()
        .filter(|(_, job)| job.state == JobState::Active)
        .map(|(&id, _)| id)
        .collect();
    let ready: Vec<JobId> = active
        .into_iter()
        .filter(|&id| ready_unit(&mut world.books, id, now, None).is_some())
        .collect();
    let waits = &mut world.checks.waiting.ready;
    waits.retain(|id, _| ready.contains(id));
    for &id in &ready {
        waits.entry(id).or_insert(now);
    }
    idle_workers(world, &ready)
}

fn idle_workers(world: &mut World, ready: &[JobId]) -> Result<(), Violation> {
    let now = world.now;
    let books = &world.books;
    let idle: Vec<WorkerId> = books
        .workers
        .iter()
        .filter(|(_, worker)| (worker.leases.len() as u32) < worker.slots())
        .filter(|(_, worker)| is_there(books, worker, now).is_ok())
        .map(|(&id, _)| id)
        .collect();
    let mut still = BTreeMap::new();
    let mut pairs = 0;
    for worker in idle {
        for &id in ready {
            pairs += 1;
            if pairs > PAIRS_MAX {
                break;
            }
            if !is_work_for(world, id, worker) {
                continue;
            }
            let (since, _) = world
                .checks
                .waiting
                .idle
                .get(&worker)
                .copied()
                .unwrap_or((now, id));
            if now - since > IDLE_MAX {
                let how = format!(
                    "worker {worker} has had an empty slot for {} s, and job {id} has a unit for it; of itself it says {}",
                    (now - since).as_secs(),
                    world.why(id)
                );
                return Err(Violation::new(
                    "no worker stands idle while there is work for it",
                    how,
                ));
            }
            still.insert(worker, (since, id));
            break;
        }
    }
    world.checks.waiting.idle = still;
    Ok(())
}

/// Whether a job has a unit for a worker; the cap is no reason to let it stand idle.
fn is_work_for(world: &mut World, id: JobId, worker: WorkerId) -> bool {
    let now = world.now;
    let Some((step, _)) = ready_unit(&mut world.books, id, now, Some(worker)) else {
        return false;
    };
    let books = &world.books;
    let job = &books.jobs[&id];
    fits(job, &books.workers[&worker], step).is_ok() && has_room(books, job)
}

/// A unit was handed out: if its job had no urgent claim, no job with one was passed over for this worker.
pub(super) fn handed_out(world: &mut World, lease: &Lease) -> Result<(), Violation> {
    let id = lease.key.unit.job;
    let is_twin = world.books.jobs.get(&id).is_some_and(|job| {
        let of_unit = job.leases.iter().filter(|key| key.unit == lease.key.unit);
        of_unit.count() > 1
    });
    let after = Duration::from_millis(world.books.farm.starved_after_ms) + PATIENCE;
    let urgent: Vec<JobId> = world
        .checks
        .waiting
        .ready
        .iter()
        .filter(|(other, since)| {
            let served = world.books.jobs.get(other).map(|job| job.served);
            **other != id && served.is_some_and(|served| world.now - served.max(**since) > after)
        })
        .map(|(&other, _)| other)
        .collect();
    let is_urgent = world.books.leases[&lease.key].is_urgent;
    let worker = &world.books.workers[&lease.worker];
    // From a second unit for each slot on only short ones lie ready, so others may be passed over.
    let is_deep = worker.leases.len() as u32 > 2 * worker.slots();
    if urgent.is_empty() || is_twin || is_deep || is_urgent {
        return Ok(());
    }
    for other in urgent {
        if could_have(world, other, lease.worker) {
            let how = format!(
                "worker {} was given {} though job {other} has had work for it and got nothing for more than {} s; of itself it says {}",
                lease.worker,
                lease.key.unit,
                after.as_secs(),
                world.why(other)
            );
            return Err(Violation::new(
                "a job that has waited for too long goes next",
                how,
            ));
        }
    }
    Ok(())
}

/// Beside the wait that makes a job urgent: the checkers see that a job has work only when they look.
const PATIENCE: Duration = Duration::from_secs(15);
