//! A copy of the scheduler in which people put things right, to see whether that helps.

use std::time::Duration;

use tessera_model::{FarmSettings, JobEdit, JobId, JobState, LeaseKey, WorkerFacts, WorkerId};
use tessera_scheduler::{
    Absence, Criterion, Input, JobCommand, Now, Order, Outcome, Reason, Scheduler, WorkerCommand,
};

use crate::machine::complete_facts;
use crate::world::World;

/// A copy of the scheduler, in which things are put right.
pub(super) struct Fork<'a> {
    world: &'a World,
    pub(super) scheduler: Scheduler,
    pub(super) now: Now,
    /// Units handed out in it.
    pub(super) given: Vec<(LeaseKey, WorkerId)>,
}

impl<'a> Fork<'a> {
    pub(super) fn new(world: &'a World, scheduler: &Scheduler) -> Self {
        let mut fork = Self {
            scheduler: scheduler.clone(),
            now: world.manager.clock(world.now),
            given: Vec::new(),
            world,
        };
        fork.apply(Input::Tick);
        fork
    }

    pub(super) fn apply(&mut self, input: Input) -> Outcome {
        let effects = self.scheduler.apply(self.now, input);
        for (worker, order) in effects.orders {
            if let Order::Lease { key, .. } = order {
                self.given.push((key, worker));
            }
        }
        effects.outcome
    }

    /// Time passes, and whoever was linked is still heard.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now.elapsed += time;
        let workers: Vec<WorkerId> = self
            .scheduler
            .workers(self.now)
            .into_iter()
            .filter(|view| view.linked)
            .map(|view| view.record.id)
            .collect();
        for worker in workers {
            self.hear(worker);
        }
        self.apply(Input::Tick);
    }

    pub(super) fn holds(&self, worker: WorkerId) -> Vec<LeaseKey> {
        let book = self.world.books.workers.get(&worker);
        let recorded = book
            .into_iter()
            .flat_map(|book| book.leases.iter().copied());
        let given = self.given.iter().filter(|(_, to)| *to == worker);
        recorded.chain(given.map(|(key, _)| *key)).collect()
    }

    pub(super) fn hear(&mut self, worker: WorkerId) {
        let holds = self
            .holds(worker)
            .into_iter()
            .map(|key| (key, None))
            .collect();
        self.apply(Input::Heartbeat { worker, holds });
    }

    pub(super) fn link(&mut self, worker: WorkerId, facts: WorkerFacts) {
        let holds = self.holds(worker);
        self.apply(Input::Linked {
            worker,
            facts,
            holds,
        });
    }

    pub(super) fn facts(&self, worker: WorkerId) -> Option<WorkerFacts> {
        self.scheduler.worker(self.now, worker)?.record.facts
    }

    /// A machine that has all a job asks for joins.
    pub(super) fn add_worker(&mut self, id: JobId) {
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

    pub(super) fn edit(&mut self, id: JobId, edit: JobEdit) {
        self.apply(Input::Job(id, JobCommand::Edit(edit)));
    }

    /// Every other job lets this one go first.
    pub(super) fn pause_others(&mut self, id: JobId) {
        let jobs = self.scheduler.jobs(self.now, None, usize::MAX);
        for job in jobs {
            if job.job.id != id && job.state == JobState::Active {
                self.apply(Input::Job(job.job.id, JobCommand::Pause));
            }
        }
    }

    pub(super) fn lift_limit(&mut self, of: &str) {
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
        settings
            .resources
            .retain(|name, _| of != format!("resource {name}"));
        self.apply(Input::Settings(Box::new(settings)));
    }

    pub(super) fn lift_all_limits(&mut self) {
        let settings = FarmSettings {
            resources: Default::default(),
            users: Default::default(),
            categories: Default::default(),
            ..self.scheduler.settings().clone()
        };
        self.apply(Input::Settings(Box::new(settings)));
    }

    /// Undoes why a worker gets nothing at all.
    pub(super) fn bring_back(&mut self, worker: WorkerId, why: &Absence) {
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
    pub(super) fn is_absent(&self, worker: WorkerId, why: &Absence) -> bool {
        let told = self.scheduler.why_worker(self.now, worker);
        told.is_some_and(|told| told.reasons.contains(&Reason::Worker(why.clone())))
    }

    /// What a job named as its frames' condition comes to be: whatever of it is in hands is delivered.
    pub(super) fn remedy(&mut self, id: JobId, reason: &Reason) {
        match reason {
            Reason::Paused => {
                self.apply(Input::Job(id, JobCommand::Resume));
            }
            Reason::WaitsForJobs(_) | Reason::WaitsForFrames(_) => self.edit(
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
                let requirement = self
                    .scheduler
                    .job_ref(id)
                    .map(|job| job.settings.requirement.clone());
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
            Reason::Blocked { workers, .. } => {
                for &worker in workers {
                    self.apply(Input::Worker(worker, WorkerCommand::Unblock(Some(id))));
                }
            }
            Reason::Limit { of, .. } => self.lift_limit(of),
            _ => {}
        }
    }
}

/// The worker gets what it lacks and all else that jobs may ask for; those who name others name nobody.
pub(super) fn have_everything(fork: &mut Fork<'_>, id: WorkerId, what: &Criterion) {
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
    let os = match what {
        Criterion::Os(os) => os.as_str(),
        _ => old.os.as_str(),
    };
    let facts = WorkerFacts {
        slots: old.slots,
        ..complete_facts(os)
    };
    fork.apply(Input::Facts { worker: id, facts });
}
