//! Caps and limits hold at every moment at which something is handed out: counted anew from the leases that live.
//!
//! What counts is what may come to be rendered at once, whatever a worker begins first: of each worker the smaller of its
//! slots and the leases there.

use std::collections::BTreeMap;

use tessera_model::{JobId, JobState, Lease, WorkerId};

use super::matching::{failed_on, fits, is_there, ready_unit};
use crate::books::{Books, JobBook};
use crate::violation::Violation;
use crate::world::World;

/// A lease was just handed out, and is in the books.
pub(super) fn handed_out(world: &mut World, lease: &Lease) -> Result<(), Violation> {
    let books = &world.books;
    let id = lease.key.unit.job;
    let (Some(job), Some(worker)) = (books.jobs.get(&id), books.workers.get(&lease.worker)) else {
        return Ok(());
    };
    for bound in bounds(books, job) {
        let here = at(books, bound.of.as_ref(), lease.worker);
        let held = slots(books, bound.of.as_ref());
        // More that lies ready where no further slot is needed takes nothing from anybody.
        if here <= worker.slots() && held > bound.most {
            let unit = lease.key.unit;
            let how = format!(
                "with {unit} {} has {held} slots of {}",
                bound.what, bound.most
            );
            return Err(Violation::new(
                "limits of users, categories and resources hold",
                how,
            ));
        }
    }
    let takes_a_slot = job.at.get(&lease.worker).copied().unwrap_or(0) <= worker.slots();
    if takes_a_slot {
        return cap(world, lease);
    }
    Ok(())
}

/// A limit that a job is under, with others.
struct Bound<'a> {
    what: String,
    most: u32,
    of: Box<dyn Fn(&JobBook) -> bool + 'a>,
}

fn bounds<'a>(books: &'a Books, job: &'a JobBook) -> Vec<Bound<'a>> {
    let farm = &books.farm;
    let (owner, settings) = (&job.job.owner, &job.job.settings);
    let mut bounds = Vec::new();
    if let Some(most) = farm.users.get(owner).and_then(|share| share.slots_max) {
        bounds.push(Bound {
            what: format!("user {owner}"),
            most,
            of: Box::new(move |other| other.job.owner == *owner),
        });
    }
    let share = farm.categories.get(&settings.category);
    if let Some(most) = share.and_then(|share| share.slots_max) {
        bounds.push(Bound {
            what: format!("category {}", settings.category),
            most,
            of: Box::new(move |other| other.job.settings.category == settings.category),
        });
    }
    for name in &settings.resources {
        if let Some(&most) = farm.resources.get(name) {
            bounds.push(Bound {
                what: format!("resource {name}"),
                most,
                of: Box::new(move |other| other.job.settings.resources.contains(name)),
            });
        }
    }
    bounds
}

/// Leases at a worker of the jobs that `of` says.
fn at(books: &Books, of: &dyn Fn(&JobBook) -> bool, worker: WorkerId) -> u32 {
    let jobs = books.jobs.values().filter(|job| of(job));
    jobs.filter_map(|job| job.at.get(&worker)).sum()
}

/// Slots that may come to work for the jobs that `of` says.
fn slots(books: &Books, of: &dyn Fn(&JobBook) -> bool) -> u32 {
    let mut here: BTreeMap<WorkerId, u32> = BTreeMap::new();
    for job in books.jobs.values().filter(|job| of(job)) {
        for (&worker, leases) in &job.at {
            *here.entry(worker).or_default() += leases;
        }
    }
    here.into_iter()
        .map(|(worker, leases)| leases.min(books.workers[&worker].slots()))
        .sum()
}

/// Most slots that a job may have while others have work.
fn most(books: &Books, job: &JobBook, now: std::time::Duration) -> u32 {
    let step = first_open(job);
    let eligible: u32 = books
        .workers
        .values()
        .filter(|worker| is_there(books, worker, now).is_ok() && fits(job, worker, step).is_ok())
        .map(|worker| worker.slots())
        .sum();
    (u64::from(eligible) * u64::from(books.farm.cap_percent)).div_ceil(100) as u32
}

pub(super) fn first_open(job: &JobBook) -> tessera_model::StepIndex {
    let open = job.steps.iter().position(|step| !step.is_over());
    tessera_model::StepIndex(open.unwrap_or(job.steps.len() - 1) as u16)
}

fn cap(world: &mut World, lease: &Lease) -> Result<(), Violation> {
    let now = world.now;
    let id = lease.key.unit.job;
    let job = &world.books.jobs[&id];
    let cap = most(&world.books, job, now);
    let held = job.slots;
    let worker = &world.books.workers[&lease.worker];
    // From a second unit for each slot on only short ones lie ready, so others may be passed over.
    let is_deep = worker.leases.len() as u32 > 2 * worker.slots();
    if held <= cap || is_deep {
        return Ok(());
    }
    // It may have more if no other job has work for the worker that is not beyond its own cap with it.
    let others: Vec<JobId> = world
        .books
        .jobs
        .iter()
        .filter(|(other, job)| **other != id && job.state == JobState::Active)
        .map(|(&other, _)| other)
        .collect();
    for other in others {
        if could_have(world, other, lease.worker) {
            let how = format!(
                "with {} at worker {} job {id} has {held} slots, its cap is {cap}, and job {other} has work for that worker; of itself it says {}",
                lease.key.unit,
                lease.worker,
                world.why(other)
            );
            return Err(Violation::new(
                "no job has more than its cap while another has work",
                how,
            ));
        }
    }
    Ok(())
}

/// Whether a job could have been given this worker's place instead: it has a unit for it and is within all bounds.
pub(super) fn could_have(world: &mut World, id: JobId, worker: WorkerId) -> bool {
    let now = world.now;
    let Some((step, unit)) = ready_unit(&mut world.books, id, now, Some(worker)) else {
        return false;
    };
    let books = &world.books;
    let (job, at) = (&books.jobs[&id], &books.workers[&worker]);
    let may = is_there(books, at, now).is_ok() && fits(job, at, step).is_ok();
    may && !failed_on(job, usize::from(step.0), unit, worker)
        && job.slots < most(books, job, now)
        && has_room(books, job)
}

/// Whether a job's user, category and resources have room for one more.
pub(super) fn has_room(books: &Books, job: &JobBook) -> bool {
    let bounds = bounds(books, job);
    bounds
        .iter()
        .all(|bound| slots(books, bound.of.as_ref()) < bound.most)
}
