//! The network fails: a link breaks, and each end notices in its own time, or it only carries nothing for a while.

use std::time::Duration;

use super::any_machine;
use super::crash::DEAD;
use crate::event::{Event, MachineEvent};
use crate::fault::Fault;
use crate::life::gone_at_manager;
use crate::machine::MachineIndex;
use crate::network::LinkNumber;
use crate::trace::note;
use crate::world::World;

/// Longest until a worker notices by itself.
const WORKER_NOTICES: Duration = Duration::from_secs(30);

pub(super) fn strike(world: &mut World) {
    let dice = world.dice(Fault::Partition);
    let breaks = dice.percent(50);
    let together = match dice.percent(10) {
        // A switch fails: a part of the farm at once.
        true => dice.between(2, 20),
        false => 1,
    };
    let lasts = dice.span(Duration::from_millis(500), Duration::from_secs(200));
    for _ in 0..together {
        let machine = any_machine(world, Fault::Partition);
        cut_off(world, machine, lasts, breaks);
    }
}

fn cut_off(world: &mut World, machine: MachineIndex, lasts: Duration, breaks: bool) {
    let Some(link) = world.machines[machine].link() else {
        return;
    };
    note!(
        world,
        world.machine_name(machine),
        "is cut off for {:.1} s{}",
        lasts.as_secs_f64(),
        if breaks { ", its link breaks" } else { "" }
    );
    let until = world.now + lasts;
    let stalled = &mut world.network.stalled_until[machine];
    *stalled = (*stalled).max(until);
    if breaks {
        break_link(world, machine, link, lasts);
    } else if lasts > WORKER_NOTICES {
        // The worker hears no ping and gives the link up; the manager waits longer.
        world.network.cut(link);
        notice(world, machine, link, WORKER_NOTICES, lasts.min(DEAD));
    }
}

fn break_link(world: &mut World, machine: MachineIndex, link: LinkNumber, lasts: Duration) {
    let dice = world.dice(Fault::Partition);
    let notices = |dice: &mut crate::dice::Dice, longest: Duration| {
        Duration::from_millis(dice.below(longest.as_millis() as u64 + 1))
    };
    let worker = notices(dice, WORKER_NOTICES);
    let manager = match dice.percent(50) {
        true => Duration::ZERO,
        false => notices(dice, lasts.min(DEAD)),
    };
    world.network.cut(link);
    notice(world, machine, link, worker, manager);
}

fn notice(
    world: &mut World,
    machine: MachineIndex,
    link: LinkNumber,
    worker: Duration,
    manager: Duration,
) {
    gone_at_manager(world, machine, link, manager);
    let starts = world.machines[machine].starts;
    let lost = Event::Machine(machine, starts, MachineEvent::LinkLost(link));
    world.queue.push(world.now + worker, lost);
}
