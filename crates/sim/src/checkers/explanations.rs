//! Explanations are true: on a copy of the scheduler what a reason names is remedied, and the unit must then be handed out.
//!
//! A remedy may uncover a further reason (a job that was paused turns out to lack a worker), which is remedied in turn; but
//! one that was remedied must not be named again, and what has no reason left must be rendering.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{FarmSettings, JobEdit, JobId, JobState, LeaseKey, WorkerFacts, WorkerId};
use tessera_scheduler::{
    Absence, Criterion, Input, JobCommand, Now, Order, Outcome, Reason, Scheduler, WorkerCommand,
};

use super::limits::has_room;
use super::matching::{fits, is_there, ready_unit};
use crate::machine::complete_facts;
use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "explanations are true: once what they name is remedied, the unit is handed out";

/// Remedies one after another before it must have been handed out: there are not more kinds of reasons.
const ROUNDS_MAX: usize = 12;

/// A copy of the scheduler, in which things are put right.
struct Fork<'a> {
    world: &'a World,
    scheduler: Scheduler,
    now: Now,
    /// Units handed out in it.
    given: Vec<(LeaseKey, WorkerId)>,
}

impl<'a> Fork<'a> {
    fn new(world: &'a World, scheduler: &Scheduler) -> Self {
        let mut fork = Self {
            scheduler: scheduler.clone(),
            now: world.manager.clock(world.now),
            given: Vec::new(),
            world,
        };
        fork.apply(Input::Tick);
        fork
    }

    fn apply(&mut self, input: Input) -> Outcome {
        let effects = self.scheduler.apply(self.now, input);
        for (worker, order) in effects.orders {
            if let Order::Lease { key, .. } = order {
                self.given.push((key, worker));
            }
        }
        effects.outcome
    }

    /// Time passes, and whoever was linked is still heard.
    fn pass(&mut self, time: Duration) {
        self.now.elapsed += time;
        let workers: Vec<WorkerId> = self.scheduler.workers(self.now).into_iter().filter(|view| view.linked).map(|view| view.record.id).collect();
        for worker in workers {
            self.hear(worker);
        }
        self.apply(Input::Tick);
    }

    fn holds(&self, worker: WorkerId) -> Vec<LeaseKey> {
        let book = self.world.books.workers.get(&worker);
        let recorded = book.into_iter().flat_map(|book| book.leases.iter().copied());
        let given = self.given.iter().filter(|(_, to)| *to == worker);
        recorded.chain(given.map(|(key, _)| *key)).collect()
    }

    fn hear(&mut self, worker: WorkerId) {
        let holds = self.holds(worker).into_iter().map(|key| (key, None)).collect();
        self.apply(Input::Heartbeat { worker, holds });
    }

    fn link(&mut self, worker: WorkerId, facts: WorkerFacts) {
        let holds = self.holds(worker);
        self.apply(Input::Linked {
            worker,
            facts,
            holds,
        });
    }

    fn facts(&self, worker: WorkerId) -> Option<WorkerFacts> {
        self.scheduler.worker(self.now, worker)?.record.facts
    }

    /// A machine that has all a job asks for joins.
    fn add_worker(&mut self, id: JobId) {
        let Some(job) = self.scheduler.job_ref(id) else {
            return;
        };
        let requirement = job.settings.requirement.clone();
        let mut facts = complete_facts(requirement.os.as_deref().unwrap_or("linux"));
        facts.tags.extend(job.settings.tags.iter().cloned());
        facts.builds.extend(job.build.clone());
        if let Outcome::Paired(worker, _) = self.apply(Input::Paired("another".into())) {
            self.link(worker, facts);
        }
    }

    fn edit(&mut self, id: JobId, edit: JobEdit) {
        self.apply(Input::Job(id, JobCommand::Edit(edit)));
    }

    /// Every other job lets this one go first.
    fn pause_others(&mut self, id: JobId) {
        let jobs = self.scheduler.jobs(self.now, None, usize::MAX);
        for job in jobs {
            if job.job.id != id && job.state == JobState::Active {
                self.apply(Input::Job(job.job.id, JobCommand::Pause));
            }
        }
    }

    fn lift_limit(&mut self, of: &str) {
        let mut settings: FarmSettings = self.scheduler.settings().clone();
        for (user, share) in &mut settings.users {
            if of == format!("user {user}") {
                share.slots_max = None;
            }
        }
        for (category, share) in &mut settings.categories {
            if of == format!("category {category}") {
                share.slots_max = None;
            }
        }
        settings.resources.retain(|name, _| of != format!("resource {name}"));
        self.apply(Input::Settings(Box::new(settings)));
    }

    fn lift_all_limits(&mut self) {
        let settings = FarmSettings {
            resources: Default::default(),
            users: Default::default(),
            categories: Default::default(),
            ..self.scheduler.settings().clone()
        };
        self.apply(Input::Settings(Box::new(settings)));
    }

    /// Undoes why a worker gets nothing at all.
    fn bring_back(&mut self, worker: WorkerId, why: &Absence) {
        let Some(facts) = self.facts(worker) else {
            return self.link(worker, complete_facts("linux"));
        };
        match why {
            Absence::Away => self.link(worker, facts),
            Absence::Silent => self.hear(worker),
            Absence::Held(_) => {
                self.apply(Input::Worker(worker, WorkerCommand::Resume));
            }
            Absence::Resting(_) | Absence::NoSlots => {
                let facts = WorkerFacts {
                    rest: None,
                    slots: facts.slots.max(1),
                    ..facts
                };
                self.apply(Input::Facts { worker, facts });
            }
        }
    }

    /// Whether a worker gets nothing for this reason.
    fn is_absent(&self, worker: WorkerId, why: &Absence) -> bool {
        let told = self.scheduler.why_worker(self.now, worker);
        told.is_some_and(|told| told.reasons.contains(&Reason::Worker(why.clone())))
    }

    /// What a job named as its frames' condition comes to be: whatever of it is in hands is delivered.
    fn remedy(&mut self, id: JobId, reason: &Reason) {
        match reason {
            Reason::Paused => {
                self.apply(Input::Job(id, JobCommand::Resume));
            }
            Reason::WaitsForJobs(_) | Reason::WaitsForFrames => self.edit(
                id,
                JobEdit {
                    after: Some(Vec::new()),
                    ..JobEdit::default()
                },
            ),
            Reason::Retrying { after, .. } => self.pass(*after),
            Reason::Needs {
                what: Criterion::Named(_),
                ..
            } => {
                let requirement = self.scheduler.job_ref(id).map(|job| job.settings.requirement.clone());
                let requirement = requirement.map(|requirement| tessera_model::Requirement {
                    workers: Vec::new(),
                    ..requirement
                });
                self.edit(
                    id,
                    JobEdit {
                        requirement,
                        ..JobEdit::default()
                    },
                );
            }
            Reason::NoWorkers
            | Reason::Needs { .. }
            | Reason::NotTogether
            | Reason::FailedThere { .. } => self.add_worker(id),
            Reason::Capped { .. } | Reason::Busy { .. } => {
                self.pause_others(id);
                self.add_worker(id);
            }
            Reason::Absent { why, .. } => {
                let workers = self.scheduler.workers(self.now);
                for worker in workers {
                    if self.is_absent(worker.record.id, why) {
                        self.bring_back(worker.record.id, why);
                    }
                }
            }
            Reason::Blocked { workers } => {
                for &worker in workers {
                    self.apply(Input::Worker(worker, WorkerCommand::Unblock(Some(id))));
                }
            }
            Reason::Limit { of, .. } => self.lift_limit(of),
            _ => {}
        }
    }
}

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
    let mut remedied: BTreeSet<&'static str> = BTreeSet::new();
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
            Err(Violation::new(PROPERTY, format!("job {id}: {told} -- {how}")))
        };
        let has_leases = !world.books.jobs[&id].leases.is_empty();
        let in_hand = |reason: &Reason| matches!(reason, Reason::InHand { .. } | Reason::Rendering { .. });
        if why.reasons.iter().any(in_hand) && !has_leases {
            return wrong("but nothing of it is in anybody's hands");
        }
        if why.reasons.is_empty() {
            return wrong("nothing is named, and nothing of it is rendered");
        }
        if why.reasons.iter().all(in_hand) {
            // All that is left is being rendered: nothing waits.
            let waits = is_ready && told.len() == 1;
            return if waits { wrong("but it has units that nobody has") } else { Ok(()) };
        }
        if why.reasons.contains(&Reason::WaitsForFrames) && remedied.contains("waits_for_frames") {
            // The frames of its own step before are not there; that is no mistake, and has no remedy but rendering.
            return Ok(());
        }
        let again = why.reasons.iter().find(|reason| remedied.contains(reason.code()) && is_final(reason));
        if let Some(again) = again {
            return wrong(&format!("\"{again}\" was remedied and is named again"));
        }
        for reason in &why.reasons {
            remedied.insert(reason.code());
            fork.remedy(id, reason);
        }
        fork.apply(Input::Tick);
    }
    let told = told.join(" -- that remedied: ");
    Err(Violation::new(PROPERTY, format!("job {id}: {told} -- and so on, without an end")))
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
        let settled = |reason: &Reason| matches!(reason, Reason::Full { .. } | Reason::NoWork | Reason::JobsFailedHere { .. });
        if why.reasons.iter().any(settled) {
            return Ok(());
        }
        for reason in &why.reasons {
            match reason {
                Reason::Worker(absence) => fork.bring_back(id, absence),
                Reason::JobsNeed { .. } => have_everything(&mut fork, id),
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
        return Err(Violation::new(PROPERTY, format!("worker {id}: {told} -- and still nothing")));
    }
    no_work(world, id)
}

/// The worker gets all that the jobs it could have ask for, but for its name.
fn have_everything(fork: &mut Fork<'_>, id: WorkerId) {
    let Some(old) = fork.facts(id) else {
        return;
    };
    let jobs = fork.scheduler.jobs(fork.now, None, usize::MAX);
    for job in &jobs {
        let named = &job.job.settings.requirement.workers;
        if !named.is_empty() {
            let requirement = tessera_model::Requirement {
                workers: Vec::new(),
                ..job.job.settings.requirement.clone()
            };
            fork.edit(
                job.job.id,
                JobEdit {
                    requirement: Some(requirement),
                    ..JobEdit::default()
                },
            );
        }
    }
    let systems = ["linux", "macos", "windows"];
    for os in std::iter::once(old.os.as_str()).chain(systems) {
        let facts = WorkerFacts {
            slots: old.slots,
            ..complete_facts(os)
        };
        fork.apply(Input::Facts { worker: id, facts });
        if fork.given.iter().any(|(_, to)| *to == id) {
            return;
        }
    }
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
            let how = format!("worker {id} is said to have no work, and unit {job}.{}.{unit} is there", step.0);
            return Err(Violation::new(PROPERTY, how));
        }
    }
    Ok(())
}
