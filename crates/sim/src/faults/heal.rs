//! Everything is put right: what remains is work, and every job must come to its end.

use std::time::Duration;

use tessera_model::{FarmSettings, JobEdit, JobState, Requirement, StepIndex, WorkerId};
use tessera_scheduler::{Input, JobCommand, WorkerCommand};

use super::users::resources;
use crate::books::JobBook;
use crate::checkers::fits;
use crate::event::Event;
use crate::life::say_facts;
use crate::machine::bought;
use crate::manager::Arrival;
use crate::trace::note;
use crate::world::World;

/// A manager that is away comes back within this.
const BACK: Duration = Duration::from_secs(1);

/// People put things right when the manager is sure to be there, one step a moment.
const PEOPLE: Duration = Duration::from_secs(5);

/// Puts everything right.
pub(crate) fn heal(world: &mut World) {
    if !world.is_healed {
        world.is_healed = true;
        note!(world, "world", "nothing goes wrong from here on");
        heal_things(world);
        world.queue.push(world.now + PEOPLE, Event::Heal);
        return;
    }
    if world.manager.engine.is_none() || !heal_people(world) {
        // Something was asked and has to be looked at again, until there is nothing more to ask.
        world.queue.push(world.now + PEOPLE, Event::Heal);
    } else {
        world.checks.healed(world.now);
    }
}

fn heal_things(world: &mut World) {
    let now = world.now;
    world.network.heal();
    world.manager.is_disk_full = false;
    world.manager.wall_wrong_ms = 0;
    if world.manager.engine.is_none() {
        world.queue.push(now + BACK, Event::ManagerBack);
    }
    for machine in bought(now, world.plan.workers) {
        world.machines.push(machine);
        world.network.plug();
    }
    for index in 0..world.machines.len() {
        let machine = &mut world.machines[index];
        machine.is_gone = false;
        machine.frozen_until = now;
        machine.disk_full_until = now;
        machine.facts.rest = None;
        say_facts(world, index);
        world.queue.push(now + BACK, Event::Join(index));
    }
    for index in 0..world.works.len() {
        world.queue.push(now + 2 * BACK, Event::Submit(index));
    }
}

fn ask(world: &mut World, input: Input) {
    note!(world, "a person", "wants {input:?}");
    world.ask_manager(Arrival::Person(Box::new(input)));
}

/// What must be changed of a job so that somebody can render it, if anything must.
fn possible(world: &World, job: &JobBook) -> Option<JobEdit> {
    let books = &world.books;
    let mut after = job.job.settings.after.clone();
    after.retain(|after| books.jobs.contains_key(&after.job));
    let step = StepIndex(0);
    let workers = books.workers.values();
    let work = job.job.client_note.parse().ok();
    let work = work.and_then(|at: usize| world.works.get(at));
    let bad = work.and_then(|work| work.bad_machine);
    let mut there = workers.filter(|worker| {
        let machine = world.by_worker.get(&worker.record.id);
        machine.is_some_and(|&machine| Some(machine) != bad)
    });
    let is_possible = there.any(|worker| {
        let is_blocked = job.blocked.contains(&worker.record.id);
        is_blocked || fits(job, worker, step).is_ok()
    });
    let is_named = !job.job.settings.requirement.workers.is_empty();
    let edit = JobEdit {
        after: (after != job.job.settings.after).then_some(after),
        // Nobody insists on one machine any more: what is left shall be done within a run that is worth its time.
        requirement: (!is_possible || is_named).then(Requirement::default),
        tags: (!is_possible).then(Vec::new),
        ..JobEdit::default()
    };
    let is_asked =
        job.job.settings.requirement == Requirement::default() && job.job.settings.tags.is_empty();
    let is_over = job.state == JobState::Done;
    (edit != JobEdit::default() && !is_over && !(is_asked && edit.after.is_none())).then_some(edit)
}

/// Undoes what people did. Whether nothing was left to undo.
fn heal_people(world: &mut World) -> bool {
    let settings = FarmSettings {
        resources: resources(),
        ..FarmSettings::default()
    };
    if world.books.farm != settings {
        ask(world, Input::Settings(Box::new(settings)));
        return false;
    }
    let mut wishes: Vec<Input> = Vec::new();
    let held = |worker: &WorkerId| {
        let mode = world.books.workers[worker].record.mode;
        mode != tessera_model::WorkerMode::Active
    };
    let workers = world.books.workers.keys().filter(|worker| held(worker));
    wishes.extend(workers.map(|&worker| Input::Worker(worker, WorkerCommand::Resume)));
    for (&id, job) in &world.books.jobs {
        let blocked = job.blocked.iter();
        let lacks = job.counts().2 > 0;
        if !world.checks.was_retried(id) {
            wishes.extend(blocked.map(|&w| Input::Worker(w, WorkerCommand::Unblock(Some(id)))));
        }
        if let Some(edit) = possible(world, job) {
            wishes.push(Input::Job(id, JobCommand::Edit(edit)));
        }
        match job.state {
            JobState::Paused => wishes.push(Input::Job(id, JobCommand::Resume)),
            JobState::Cancelled => wishes.push(Input::Job(id, JobCommand::Retry)),
            JobState::Active | JobState::Failed if lacks && !world.checks.was_retried(id) => {
                wishes.push(Input::Job(id, JobCommand::Retry));
            }
            _ => {}
        }
    }
    let waiting = world.works.iter().filter(|work| work.job.is_none()).count();
    let is_done = wishes.is_empty() && waiting == 0;
    for wish in wishes {
        ask(world, wish);
    }
    is_done
}
