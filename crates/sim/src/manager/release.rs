//! Sends what was decided, after it was recorded.

use tessera_model::{Change, Job, JobId, SplitBy, Step, StepIndex, StepKind, WorkerId};
use tessera_scheduler::{Order, Outcome, Refusal};

use super::{Asker, Batch, Manager};
use crate::desk::{Offer, Part, Report};
use crate::event::{Event, MachineEvent, ToWorker};
use crate::network::LinkNumber;
use crate::trace::note;
use crate::violation::Violation;
use crate::work::WorkIndex;
use crate::world::World;

/// Answers first, then orders, each to the link that is the worker's by then.
pub(super) fn release(world: &mut World, batch: Batch) -> Result<(), Violation> {
    for step in batch.steps {
        if let Some((worker, link)) = step.link {
            world.links.insert(worker, link);
        }
        if let Some((worker, keys)) = step.dropped {
            let engine = world.manager.engine.as_mut().expect("it runs");
            engine.roster.dropped(worker, &keys);
        }
        if let Some((asker, outcome)) = step.answer {
            answer(world, asker, Some(outcome))?;
        }
        for (worker, order) in step.orders {
            let engine = world.manager.engine.as_mut().expect("it runs");
            engine.roster.sent(worker, &order);
            send(world, worker, order);
        }
    }
    for change in &batch.changes {
        if let Change::WorkerRemoved(worker) = change {
            send(world, *worker, Order::Dismiss);
        }
    }
    Ok(())
}

/// The job's place in the list of those to be submitted.
fn work_of(manager: &Manager, job: JobId) -> Option<WorkIndex> {
    let job = manager.engine.as_ref()?.scheduler.job_ref(job)?;
    job.client_note.parse().ok()
}

fn send(world: &mut World, worker: WorkerId, order: Order) {
    let Some(&link) = world.links.get(&worker) else {
        return;
    };
    let message = match order {
        Order::Lease {
            key,
            span,
            frames,
            urgent,
        } => {
            // A job that was removed in the same breath has no work any more.
            let Some(work) = work_of(&world.manager, key.unit.job) else {
                return;
            };
            let engine = world.manager.engine.as_ref();
            let job = engine.and_then(|engine| engine.scheduler.job_ref(key.unit.job));
            let Some(step) = job.and_then(|job| job.steps.get(usize::from(key.unit.step.0))) else {
                return;
            };
            let in_order = step.in_order;
            let part = match step.kind {
                StepKind::Render(_) => Part::Whole,
                StepKind::Slices(_) => match step.divided().map(|split| split.by) {
                    Some(SplitBy::Samples) => Part::Samples {
                        count: span,
                        of: step.places(),
                    },
                    _ => Part::Places {
                        first: key.unit.index % step.places(),
                        count: span,
                        of: step.places(),
                    },
                },
                StepKind::Assemble(_) => Part::Assembled {
                    noisy: noisy(job, key.unit.step),
                },
            };
            ToWorker::Lease(Offer {
                key,
                frames,
                in_order,
                urgent,
                work,
                scene: world.works[work].scene,
                part,
            })
        }
        Order::Recall(key) => ToWorker::Recall(key),
        Order::Cancel(key) => ToWorker::Cancel(key),
        Order::Mode(mode) => ToWorker::Mode(mode),
        Order::Dismiss => {
            world.links.remove(&worker);
            ToWorker::Dismissed
        }
    };
    tell(world, link, message);
}

/// In how many tiles of a frame noise is left once it is put together: in half of those that had some.
fn noisy(job: Option<&Job>, step: StepIndex) -> u16 {
    let before = usize::from(step.0).checked_sub(1);
    let step = job.and_then(|job| job.steps.get(before?));
    let split = step.and_then(Step::divided);
    let split = split.filter(|split| split.noise.is_some() && split.next(&[]).is_some());
    split.map_or(0, |split| (split.places() / 2) as u16)
}

/// Sends a message down a link.
fn tell(world: &mut World, link: LinkNumber, message: ToWorker) {
    note!(world, "manager", "to {}: {message}", world.link_name(link));
    let (Some(&machine), Some(at)) = (
        world.link_machines.get(&link),
        world.network.send(world.now, link, false),
    ) else {
        return;
    };
    let starts = world.machines[machine].starts;
    let event = MachineEvent::Hears(link, Box::new(message));
    world.queue.push(at, Event::Machine(machine, starts, event));
}

/// The manager closes a link for now; the worker tries again later.
pub(crate) fn close_link(world: &mut World, link: LinkNumber) {
    let Some(&machine) = world.link_machines.get(&link) else {
        return;
    };
    world.network.cut(link);
    let at = world.now + world.network.delay(machine);
    let starts = world.machines[machine].starts;
    world.queue.push(
        at,
        Event::Machine(machine, starts, MachineEvent::LinkLost(link)),
    );
}

/// Answers who asked. None: it could not be recorded.
pub(super) fn answer(
    world: &mut World,
    asker: Asker,
    outcome: Option<Outcome>,
) -> Result<(), Violation> {
    match asker {
        Asker::Reporter(machine, starts, key, position, report) => {
            let taken = match outcome {
                None => None,
                Some(Outcome::Refused(refusal @ Refusal::Invalid(_))) => {
                    // A worker turns what is refused into a failure, and gives up if that is refused too.
                    note!(
                        world,
                        "manager",
                        "refuses a report of {}: {refusal}",
                        key.unit
                    );
                    Some(matches!(report, Report::Failed(_)))
                }
                Some(_) => Some(true),
            };
            if !world.network.loses_answer() {
                let at = world.now + world.network.delay(machine);
                let event = MachineEvent::Answered {
                    key,
                    position,
                    taken,
                };
                world.queue.push(at, Event::Machine(machine, starts, event));
            }
        }
        Asker::Joiner(machine) => {
            if let Some(Outcome::Paired(worker, name)) = outcome
                && world.machines[machine].worker.is_none()
            {
                note!(world, "manager", "takes in {name} as worker {worker}");
                world.machines[machine].worker = Some(worker);
                world.by_worker.insert(worker, machine);
                world.queue.push(world.now, Event::Boot(machine));
            }
        }
        Asker::Submitter(index) => return submitted(world, index, outcome),
        Asker::Greeter(link) => match outcome {
            Some(Outcome::Linked { mode, drop }) => {
                tell(world, link, ToWorker::Welcome(mode, drop))
            }
            Some(_) => tell(world, link, ToWorker::Dismissed),
            None => close_link(world, link),
        },
    }
    Ok(())
}

fn submitted(
    world: &mut World,
    index: WorkIndex,
    outcome: Option<Outcome>,
) -> Result<(), Violation> {
    match outcome {
        Some(Outcome::Submitted(job, _)) => {
            note!(
                world,
                "manager",
                "takes in job {job}: {}",
                world.works[index].describe()
            );
            world.works[index].job = Some(job);
        }
        Some(Outcome::Refused(refusal @ Refusal::NoBuild { .. })) => {
            note!(world, "manager", "refuses submission {index}: {refusal}");
        }
        Some(Outcome::Refused(refusal)) if world.works[index].after.is_empty() => {
            let how = format!("submission {index} was refused: {refusal}");
            return Err(Violation::new("a valid job is taken in", how));
        }
        Some(Outcome::Refused(refusal)) => {
            // The job it waits for is gone; its owner submits it again without.
            note!(world, "manager", "refuses submission {index}: {refusal}");
            world.works[index].after.clear();
        }
        _ => {}
    }
    Ok(())
}
