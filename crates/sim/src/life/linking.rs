//! A worker's link: opened, lost and opened again, and what is said over it.

use std::time::Duration;

use super::{desk, end_process, link, plan, set_link};
use crate::desk::{Act, FromWorker};
use crate::event::{Event, MachineEvent, ToWorker};
use crate::machine::{Link, MachineIndex};
use crate::manager::Arrival;
use crate::network::LinkNumber;
use crate::trace::note;
use crate::world::World;

/// How often a worker says it is alive (wire's `HEARTBEAT`).
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Longest a manager may take to answer a greeting.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// First and longest wait before the manager is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

fn backoff(world: &mut World, machine: MachineIndex) -> Duration {
    let Some(process) = &mut world.machines[machine].process else {
        return RETRY_MAX;
    };
    process.tries += 1;
    (RETRY_FIRST * (1 << (process.tries - 1).min(8))).min(RETRY_MAX)
}

pub(super) fn connect(world: &mut World, machine: MachineIndex) {
    if link(world, machine) != Link::Down {
        return;
    }
    let Some(worker) = world.machines[machine].worker else {
        return;
    };
    let reachable = world.network.stalled_until[machine] <= world.now;
    if world.manager.engine.is_none() || !reachable {
        let wait = backoff(world, machine);
        plan(world, machine, wait, MachineEvent::Connects);
        return;
    }
    let number = world.network.open(machine);
    world.link_machines.insert(number, machine);
    set_link(world, machine, Link::Greeting(number));
    let holds = desk(world, machine)
        .map(|desk| desk.holds())
        .unwrap_or_default();
    let facts = Box::new(world.machines[machine].facts.clone());
    note!(
        world,
        world.machine_name(machine),
        "greets, holding {}",
        holds.len()
    );
    let arrival = Arrival::Greets {
        link: number,
        worker,
        facts,
        holds,
    };
    send(world, number, arrival);
    plan(
        world,
        machine,
        WELCOME_WITHIN,
        MachineEvent::GreetTimeout(number),
    );
}

/// Sends over a link.
pub(super) fn send(world: &mut World, link: LinkNumber, arrival: Arrival) {
    if let Some(at) = world.network.send(world.now, link, true) {
        let starts = world.manager.starts;
        world
            .queue
            .push(at, Event::ToManager(starts, Box::new(arrival)));
    }
}

pub(super) fn lose_link(world: &mut World, machine: MachineIndex, number: LinkNumber) {
    if link(world, machine).number() != Some(number) {
        return;
    }
    note!(world, world.machine_name(machine), "has lost its link");
    if world.network.cut(number).is_some() {
        gone_at_manager(world, machine, number, Duration::ZERO);
    }
    set_link(world, machine, Link::Down);
    let wait = backoff(world, machine);
    plan(world, machine, wait, MachineEvent::Connects);
}

/// The manager's end of a link that is cut notices after `after`.
pub(crate) fn gone_at_manager(
    world: &mut World,
    machine: MachineIndex,
    number: LinkNumber,
    after: Duration,
) {
    let at = world.now + after + world.network.delay(machine);
    let starts = world.manager.starts;
    let arrival = Box::new(Arrival::LinkGone(number));
    world.queue.push(at, Event::ToManager(starts, arrival));
}

pub(super) fn hear(
    world: &mut World,
    machine: MachineIndex,
    number: LinkNumber,
    message: ToWorker,
) -> Vec<Act> {
    let Some(process) = &mut world.machines[machine].process else {
        return Vec::new();
    };
    let desk = &mut process.desk;
    match message {
        ToWorker::Welcome(mode, drop) => {
            process.link = Link::Up(number);
            process.tries = 0;
            let mut acts = desk.cancel(&drop);
            acts.extend(desk.set_mode(mode));
            // What was told to nobody is told now.
            let unsent: Vec<_> = desk.all_unsent().collect();
            acts.extend(unsent.into_iter().map(|(key, at, _)| Act::Post(key, at)));
            plan(world, machine, Duration::ZERO, MachineEvent::Beats(number));
            acts
        }
        ToWorker::Lease(offer) => desk.lease(offer),
        ToWorker::Recall(key) => desk.recall(key),
        ToWorker::Cancel(key) => desk.cancel(&[key]),
        ToWorker::Mode(mode) => desk.set_mode(mode),
        ToWorker::Dismissed => {
            end_process(world, machine, Duration::ZERO);
            dismiss(world, machine);
            Vec::new()
        }
    }
}

/// It is no longer of the farm: it has to be paired again, which its owner does not do before the farm is healed.
fn dismiss(world: &mut World, machine: MachineIndex) {
    let at = &mut world.machines[machine];
    at.survivors.clear();
    if let Some(worker) = at.worker.take() {
        world.by_worker.remove(&worker);
    }
    at.is_gone = true;
    if world.is_healed {
        world.machines[machine].is_gone = false;
        world.queue.push(world.now, Event::Join(machine));
    }
}
pub(super) fn beat(world: &mut World, machine: MachineIndex, number: LinkNumber) {
    if link(world, machine) != Link::Up(number) {
        return;
    }
    let holds = desk(world, machine)
        .map(|desk| desk.holdings())
        .unwrap_or_default();
    send(
        world,
        number,
        Arrival::Said(number, FromWorker::Heartbeat(holds)),
    );
    plan(world, machine, HEARTBEAT, MachineEvent::Beats(number));
}
