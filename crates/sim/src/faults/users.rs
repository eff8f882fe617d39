//! People who change their minds: about jobs, workers and the farm's numbers. And those who fetch what was rendered, beside a keeper
//! who removes what was kept for long enough.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{
    FarmSettings, FrameBits, JobEdit, JobId, JobState, Rest, Share, SplitBy, Step, StepIndex,
    Timestamp, WorkerId,
};
use tessera_scheduler::{Input, JobCommand, WorkerCommand};

use super::any_machine;
use crate::dice::Dice;
use crate::event::Event;
use crate::fault::Fault;
use crate::life::say_facts;
use crate::machine::{MachineIndex, TAGS, subset};
use crate::manager::Arrival;
use crate::trace::note;
use crate::work::RESOURCES;
use crate::world::World;

pub(super) fn strike(world: &mut World) {
    let input = match world.dice(Fault::Users).below(14) {
        0..=4 => act_on_job(world),
        5..=7 => act_on_worker(world),
        8 => Some(Input::Settings(Box::new(settings(
            world.dice(Fault::Users),
        )))),
        9 | 10 => {
            fetch(world);
            None
        }
        11 | 12 => expire(world),
        _ => {
            rest(world);
            None
        }
    };
    if let Some(input) = input {
        note!(world, "a person", "wants {input:?}");
        world.ask_manager(Arrival::Person(Box::new(input)));
    }
}

/// How many there are of each counted resource.
pub(super) fn resources() -> BTreeMap<String, u32> {
    let all = RESOURCES.into_iter();
    all.map(|(name, count)| (name.to_owned(), count)).collect()
}

fn any_job(world: &mut World) -> Option<(JobId, JobState)> {
    let jobs: Vec<(JobId, JobState)> = world
        .books
        .jobs
        .iter()
        .filter(|(_, job)| job.state != JobState::Done)
        .map(|(&id, job)| (id, job.state))
        .collect();
    (!jobs.is_empty()).then(|| *world.dice(Fault::Users).pick(&jobs))
}

/// Longest that it takes to bring frames home.
const FETCHING_MAX: Duration = Duration::from_secs(120);

/// Brings home what is recorded of a job, and says so when that is done: more may be delivered in between.
fn fetch(world: &mut World) {
    let engine = world.manager.engine.as_ref();
    if !engine.is_some_and(|engine| engine.is_clean()) {
        // Some of what is decided nobody knows of yet.
        return;
    }
    let jobs: Vec<JobId> = world.books.jobs.keys().copied().collect();
    let Some(&id) = pick(world, &jobs) else {
        return;
    };
    let book = &world.books.jobs[&id];
    let home: Vec<FrameBits> = book.steps.iter().map(|step| step.done.clone()).collect();
    let (_, frames, _) = book.frame_counts();
    let last = book.job.steps.iter().rposition(Step::makes_frames);
    let step = last.map(|last| StepIndex(last as u16));
    world.homes.insert(id, home);
    let takes = world
        .dice(Fault::Users)
        .span(Duration::from_millis(3), FETCHING_MAX);
    note!(
        world,
        "a person",
        "fetches {frames} frames of job {id} in {} s",
        takes.as_secs()
    );
    let said = Input::Job(id, JobCommand::Fetched { frames, step });
    let starts = world.manager.starts;
    world.queue.push(
        world.now + takes,
        Event::ToManager(starts, Box::new(Arrival::Person(Box::new(said)))),
    );
}

/// The keeper finds a job that was over for long enough, or one that was found so before and is not any more.
fn expire(world: &mut World) -> Option<Input> {
    let over_before = Timestamp(world.manager.wall(world.now).0 + 1);
    let engine = world.manager.engine.as_ref()?;
    let mut jobs = engine.scheduler.expired(over_before, 10);
    jobs.extend(world.books.jobs.keys().take(3));
    let id = *pick(world, &jobs)?;
    Some(Input::Job(id, JobCommand::Expire { over_before }))
}

fn pick<'a, T>(world: &mut World, of: &'a [T]) -> Option<&'a T> {
    (!of.is_empty()).then(|| world.dice(Fault::Users).pick(of))
}

/// Adds samples to a job that is divided by them, done or not.
fn add_samples(world: &mut World) -> Option<Input> {
    let jobs = world.books.jobs.iter().filter_map(|(&id, book)| {
        let split = book.job.steps.iter().rev().find_map(Step::divided)?;
        (split.by == SplitBy::Samples).then_some((id, split.samples))
    });
    let jobs: Vec<(JobId, u32)> = jobs.collect();
    let (id, has) = *pick(world, &jobs)?;
    let more = world.dice(Fault::Users).between(1, 64) as u32;
    let edit = JobEdit {
        samples: Some(has + more),
        ..JobEdit::default()
    };
    Some(Input::Job(id, JobCommand::Edit(edit)))
}

fn act_on_job(world: &mut World) -> Option<Input> {
    if world.dice(Fault::Users).percent(15)
        && let Some(added) = add_samples(world)
    {
        return Some(added);
    }
    let (id, state) = any_job(world)?;
    let dice = world.dice(Fault::Users);
    let command = match (state, dice.below(12)) {
        (JobState::Paused, 0..=7) => JobCommand::Resume,
        (JobState::Cancelled | JobState::Failed, 0..=7) => JobCommand::Retry,
        (_, 0 | 1) => JobCommand::Pause,
        (_, 2) => JobCommand::Cancel,
        (_, 3) => JobCommand::Retry,
        (_, 4) if dice.percent(30) => JobCommand::Remove,
        _ => JobCommand::Edit(edit(dice)),
    };
    Some(Input::Job(id, command))
}

fn edit(dice: &mut Dice) -> JobEdit {
    let mut edit = JobEdit::default();
    match dice.below(7) {
        0 => edit.priority = Some(*dice.pick(&[1, 10, 100, 500, 1000])),
        1 | 2 => edit.chunk = Some(dice.between(1, 12) as u32),
        3 => edit.tags = Some(subset(dice, &TAGS.map(str::to_owned), 20)),
        4 => edit.category = Some((*dice.pick(&["default", "film", "rush"])).into()),
        5 => edit.max_attempts = Some(dice.between(2, 6) as u32),
        _ => {
            let names = RESOURCES.map(|(name, _)| name.to_owned());
            edit.resources = Some(subset(dice, &names, 40));
        }
    }
    edit
}

fn act_on_worker(world: &mut World) -> Option<Input> {
    let workers: Vec<WorkerId> = world.books.workers.keys().copied().collect();
    if workers.is_empty() {
        return None;
    }
    let job = any_job(world).map(|(id, _)| id);
    let dice = world.dice(Fault::Users);
    let worker = *dice.pick(&workers);
    let command = match dice.below(12) {
        0 => WorkerCommand::Pause,
        1..=4 => WorkerCommand::Resume,
        5 => WorkerCommand::Drain,
        6 => WorkerCommand::Block(None),
        7 => WorkerCommand::Unblock(None),
        8 => WorkerCommand::Block(job),
        9 | 10 => WorkerCommand::Unblock(job),
        _ if dice.percent(40) => WorkerCommand::Remove,
        _ => WorkerCommand::Resume,
    };
    Some(Input::Worker(worker, command))
}

/// Other numbers for the farm, all of them within what is allowed.
fn settings(dice: &mut Dice) -> FarmSettings {
    let mut settings = FarmSettings {
        resources: resources(),
        ..FarmSettings::default()
    };
    settings.cap_percent = *dice.pick(&[10, 50, 75, 75, 100]);
    settings.queued_per_slot = dice.between(0, 3) as u32;
    settings.sample_ms = *dice.pick(&[2_000, 10_000, 30_000]);
    settings.first_frames = dice.below(4) as u32;
    settings.duplicate_gain_ms = *dice.pick(&[0, 1_000, 5_000]);
    settings.block_after_failures = dice.between(1, 5) as u32;
    let mut share = |bounded: bool| Share {
        priority: dice.percent(50).then(|| dice.spread(1, 1000) as u32),
        slots_max: bounded.then(|| dice.spread(1, 100) as u32),
    };
    settings.users = [("ada", share(false)), ("bo", share(true))]
        .into_iter()
        .map(|(name, share)| (name.parse().expect("a user's name"), share))
        .collect();
    settings.categories = [
        ("film".to_owned(), share(true)),
        ("rush".to_owned(), share(false)),
    ]
    .into();
    let count = settings
        .resources
        .values_mut()
        .next()
        .expect("there are some");
    *count = dice.below(8) as u32;
    settings
}

/// A machine's owner needs it for a while.
fn rest(world: &mut World) {
    let machine = any_machine(world, Fault::Users);
    let lasts = world
        .dice(Fault::Users)
        .span(Duration::from_secs(5), Duration::from_secs(120));
    let until = world.manager.wall(world.now + lasts);
    world.machines[machine].facts.rest = Some(Rest {
        reason: "its owner needs it".into(),
        until: Some(Timestamp(until.0)),
    });
    note!(
        world,
        world.machine_name(machine),
        "rests for {} s",
        lasts.as_secs()
    );
    say_facts(world, machine);
    world
        .queue
        .push(world.now + lasts, Event::Ends(Fault::Users, machine));
}

pub(super) fn end_rest(world: &mut World, machine: MachineIndex) {
    world.machines[machine].facts.rest = None;
    say_facts(world, machine);
}
