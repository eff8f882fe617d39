//! What arrives, decided batch by batch.

use std::time::Duration;

use tessera_model::{LeaseKey, WorkerFacts, WorkerId};
use tessera_scheduler::{Effects, Input, Order, Outcome, Scheduler};

use super::release::{answer, release};
use super::{Arrival, Asker, BATCH_MAX, Batch, Engine, RECOVERY_PAUSE, Step, reported, restored};
use crate::books::Books;
use crate::checkers;
use crate::desk::FromWorker;
use crate::event::Event;
use crate::network::LinkNumber;
use crate::trace::note;
use crate::violation::Violation;
use crate::work::after;
use crate::world::World;

/// Something reaches the manager, if it is the one that it was sent to.
pub(crate) fn arrive(world: &mut World, starts: u32, arrival: Arrival) {
    let over = match &arrival {
        Arrival::Said(link, _) | Arrival::Greets { link, .. } => Some(*link),
        _ => None,
    };
    // What is under way when a link breaks is lost.
    let is_lost = over.is_some_and(|link| world.network.wire(link).is_none());
    if world.manager.starts != starts || is_lost {
        return;
    }
    let now = world.now;
    if let Some(engine) = &mut world.manager.engine {
        engine.inbox.push_back(arrival);
        plan_turn(world, now);
    }
}

/// The engine looks up at `at`, or before.
pub(crate) fn plan_turn(world: &mut World, at: Duration) {
    let starts = world.manager.starts;
    let Some(engine) = &mut world.manager.engine else {
        return;
    };
    if engine.turn_at.is_none_or(|planned| at < planned) {
        engine.turn_at = Some(at);
        world.queue.push(at, Event::Turn(starts));
    }
}

/// When nothing else happens, time does.
fn plan_next(world: &mut World) {
    let clock = world.manager.clock(world.now);
    let Some(engine) = &world.manager.engine else {
        return;
    };
    let at = match engine.trouble {
        Some(until) => Some(until),
        None if !engine.inbox.is_empty() => Some(world.now),
        None => engine.scheduler.next_tick(clock).map(|due| world.now + due),
    };
    if let Some(at) = at {
        plan_turn(world, at);
    }
}

/// Takes up what waits, if nothing is being recorded.
pub(crate) fn look_up(world: &mut World) -> Result<(), Violation> {
    let now = world.now;
    let Some(engine) = &mut world.manager.engine else {
        return Ok(());
    };
    if engine.turn_at.is_some_and(|planned| planned <= now) {
        engine.turn_at = None;
    }
    if engine.batch.is_some() {
        return Ok(());
    }
    let mut batch = Batch::default();
    if let Some(until) = engine.trouble {
        if now < until {
            refuse_all(world);
            plan_next(world);
            return Ok(());
        }
        relink(world, &mut batch)?;
    }
    let clock = world.manager.clock(now);
    let due = |engine: &Engine| engine.scheduler.next_tick(clock);
    if world.manager.engine.as_ref().and_then(due) == Some(Duration::ZERO) {
        let (step, _) = decide(world, Input::Tick, &mut batch)?;
        batch.steps.push(step);
    }
    for _ in 0..BATCH_MAX {
        let engine = world.manager.engine.as_mut().expect("it runs");
        let Some(arrival) = engine.inbox.pop_front() else {
            break;
        };
        if let Some(step) = take_in(world, arrival, &mut batch)? {
            batch.steps.push(step);
        }
    }
    if batch.changes.is_empty() {
        finish(world, batch)
    } else {
        let starts = world.manager.starts;
        let takes = world.manager.commit_time();
        world.manager.engine.as_mut().expect("it runs").batch = Some(batch);
        world.queue.push(now + takes, Event::CommitEnds(starts));
        Ok(())
    }
}

/// The disk has written, or could not.
pub(crate) async fn commit_ends(world: &mut World) -> Result<(), Violation> {
    let Some(batch) = world.manager.engine.as_mut().and_then(|e| e.batch.take()) else {
        return Ok(());
    };
    if world.manager.is_disk_full {
        return fail(world, batch).await;
    }
    record(world, &batch).await?;
    finish(world, batch)
}

/// Writes a batch into the real record.
pub(crate) async fn record(world: &mut World, batch: &Batch) -> Result<(), Violation> {
    world.manager.commits += 1;
    let manager = &world.manager;
    let written = manager.state.commit(manager.term, &batch.changes).await;
    written.map_err(|error| {
        Violation::new(
            "what the scheduler decides can be recorded",
            format!("{error}; the batch: {:?}", batch.changes),
        )
    })
}

fn finish(world: &mut World, batch: Batch) -> Result<(), Violation> {
    let engine = world.manager.engine.as_mut().expect("it runs");
    if engine.trouble.take().is_some() {
        note!(world, "manager", "the record can be written again");
    }
    release(world, batch)?;
    plan_next(world);
    Ok(())
}

/// Nothing of the batch leaves, and the scheduler forgets it.
async fn fail(world: &mut World, batch: Batch) -> Result<(), Violation> {
    note!(
        world,
        "manager",
        "the disk is full: {} changes were never made",
        batch.changes.len()
    );
    let snapshot = crate::checkers::load(world).await?;
    let clock = world.manager.clock(world.now);
    let farm = snapshot.farm.clone().unwrap_or_default();
    world.books = Books::open(&snapshot, world.now);
    world.checks.reopened();
    let engine = world.manager.engine.as_mut().expect("it runs");
    engine.scheduler = Scheduler::restore(farm, clock, restored(&snapshot));
    engine.trouble = Some(world.now + RECOVERY_PAUSE);
    for step in batch.steps {
        if let Some((worker, link)) = step.link {
            let engine = world.manager.engine.as_mut().expect("it runs");
            engine.roster.leave(worker);
            super::release::close_link(world, link);
        } else if let Some((asker, _)) = step.answer {
            answer(world, asker, None)?;
        }
    }
    plan_next(world);
    Ok(())
}

/// Every linked worker greets a rebuilt scheduler.
fn relink(world: &mut World, batch: &mut Batch) -> Result<(), Violation> {
    let engine = world.manager.engine.as_ref().expect("it runs");
    for (worker, input) in engine.roster.greetings() {
        let (mut step, outcome) = decide(world, input, batch)?;
        match outcome {
            Outcome::Linked { drop, .. } => {
                let cancels = drop.iter().map(|&key| (worker, Order::Cancel(key)));
                step.orders.extend(cancels);
            }
            _ => step.orders.push((worker, Order::Dismiss)),
        }
        batch.steps.push(step);
    }
    Ok(())
}

/// Nothing can be decided: who asked is told so, and what is heard is only remembered.
fn refuse_all(world: &mut World) {
    let engine = world.manager.engine.as_mut().expect("it runs");
    for arrival in std::mem::take(&mut engine.inbox) {
        let asker = match arrival {
            Arrival::Reports {
                machine,
                starts,
                report,
                input,
            } => {
                reported(&input).map(|(key, at)| Asker::Reporter(machine, starts, key, at, report))
            }
            Arrival::Greets { link, .. } => {
                super::release::close_link(world, link);
                None
            }
            Arrival::Said(link, said) => {
                if let Some((worker, input)) = heard(world, link, said) {
                    let engine = world.manager.engine.as_mut().expect("it runs");
                    engine.roster.heard(worker, &input);
                }
                None
            }
            Arrival::LinkGone(link) => {
                if let Some(worker) = owner(world, link) {
                    world
                        .manager
                        .engine
                        .as_mut()
                        .expect("it runs")
                        .roster
                        .leave(worker);
                }
                None
            }
            Arrival::Joins(_) | Arrival::Submits(_) | Arrival::Person(_) => None,
        };
        if let Some(asker) = asker {
            // Only a submission's answer can be a violation.
            drop(answer(world, asker, None));
        }
    }
}

fn owner(world: &World, link: LinkNumber) -> Option<WorkerId> {
    let machine = world.link_machines.get(&link)?;
    let worker = world.machines[*machine].worker;
    world.manager.engine.as_ref()?.roster.owner(worker, link)
}

/// What was said over a worker's present link, in the scheduler's words.
fn heard(world: &World, link: LinkNumber, said: FromWorker) -> Option<(WorkerId, Input)> {
    let worker = owner(world, link)?;
    let input = match said {
        FromWorker::Started(key, position) => Input::Started {
            worker,
            key,
            position,
        },
        FromWorker::Returned(key) => Input::Returned { worker, key },
        FromWorker::Finished(key) => Input::Finished { worker, key },
        FromWorker::Heartbeat(holds) => Input::Heartbeat { worker, holds },
        FromWorker::Facts => {
            let machine = *world.by_worker.get(&worker)?;
            let facts = world.machines[machine].facts.clone();
            Input::Facts { worker, facts }
        }
        FromWorker::Leaving => Input::Unlinked(worker),
    };
    Some((worker, input))
}

/// Decides on one arrival.
fn take_in(
    world: &mut World,
    arrival: Arrival,
    batch: &mut Batch,
) -> Result<Option<Step>, Violation> {
    let (input, asker) = match arrival {
        Arrival::Said(link, said) => {
            let Some((worker, input)) = heard(world, link, said) else {
                return Ok(None);
            };
            let engine = world.manager.engine.as_mut().expect("it runs");
            let is_sign_of_life = matches!(input, Input::Heartbeat { .. } | Input::Facts { .. });
            if is_sign_of_life && engine.roster.is_leaving(worker) {
                return Ok(None);
            }
            engine.roster.heard(worker, &input);
            (input, None)
        }
        Arrival::LinkGone(link) => {
            let Some(worker) = owner(world, link) else {
                return Ok(None);
            };
            world
                .manager
                .engine
                .as_mut()
                .expect("it runs")
                .roster
                .leave(worker);
            (Input::Unlinked(worker), None)
        }
        Arrival::Greets {
            link,
            worker,
            facts,
            holds,
        } => {
            return greet(world, link, worker, *facts, holds, batch).map(Some);
        }
        Arrival::Reports {
            machine,
            starts,
            report,
            input,
        } => {
            let (key, at) = reported(&input).expect("a report is of a frame");
            (
                *input,
                Some(Asker::Reporter(machine, starts, key, at, report)),
            )
        }
        Arrival::Joins(machine) => {
            let name = world.machines[machine].name.clone();
            (Input::Paired(name), Some(Asker::Joiner(machine)))
        }
        Arrival::Submits(index) => {
            let mut new = world.works[index].new.clone();
            new.settings.after = after(&world.works, index);
            (Input::Submit(Box::new(new)), Some(Asker::Submitter(index)))
        }
        Arrival::Person(input) => (*input, None),
    };
    let (mut step, outcome) = decide(world, input, batch)?;
    step.answer = asker.map(|asker| (asker, outcome));
    Ok(Some(step))
}

fn greet(
    world: &mut World,
    link: LinkNumber,
    worker: WorkerId,
    facts: WorkerFacts,
    holds: Vec<LeaseKey>,
    batch: &mut Batch,
) -> Result<Step, Violation> {
    let input = Input::Linked {
        worker,
        facts: facts.clone(),
        holds: holds.clone(),
    };
    let (mut step, outcome) = decide(world, input, batch)?;
    if let Outcome::Linked { drop, .. } = &outcome {
        let engine = world.manager.engine.as_mut().expect("it runs");
        engine.roster.enter(worker, link, facts, &holds);
        step.dropped = Some((worker, drop.clone()));
        step.link = Some((worker, link));
    }
    step.answer = Some((Asker::Greeter(link), outcome));
    Ok(step)
}

/// The scheduler decides, and the checkers look over its shoulder.
fn decide(
    world: &mut World,
    input: Input,
    batch: &mut Batch,
) -> Result<(Step, Outcome), Violation> {
    world.manager.inputs += 1;
    world.books.hear(world.now, &input);
    let about = checkers::about(&input);
    let clock = world.manager.clock(world.now);
    let engine = world.manager.engine.as_mut().expect("it runs");
    let effects = engine.scheduler.apply(clock, input);
    checkers::decided(world, &about, &effects)?;
    let Effects {
        changes,
        orders,
        outcome,
        ..
    } = effects;
    batch.changes.extend(changes);
    let step = Step {
        orders,
        ..Step::default()
    };
    Ok((step, outcome))
}
