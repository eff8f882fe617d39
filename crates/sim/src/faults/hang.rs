//! A machine stands still: it loses nothing, and what it was told meanwhile it hears when it wakes.

use std::time::Duration;

use super::any_machine;
use super::crash::DEAD;
use crate::event::{Event, MachineEvent};
use crate::fault::Fault;
use crate::life::gone_at_manager;
use crate::machine::MachineIndex;
use crate::trace::note;
use crate::world::World;

pub(super) fn strike(world: &mut World) {
    let machine = any_machine(world, Fault::Hang);
    let still = world
        .dice(Fault::Hang)
        .span(Duration::from_secs(5), Duration::from_secs(240));
    if world.machines[machine].process.is_none() {
        return;
    }
    note!(
        world,
        world.machine_name(machine),
        "stands still for {} s",
        still.as_secs()
    );
    let until = world.now + still;
    let at = &mut world.machines[machine];
    at.frozen_until = at.frozen_until.max(until);
    if still > DEAD
        && let Some(link) = at.link()
    {
        gone_at_manager(world, machine, link, DEAD);
        let starts = world.machines[machine].starts;
        let lost = Event::Machine(machine, starts, MachineEvent::LinkLost(link));
        world.queue.push(until, lost);
    }
    world.queue.push(until, Event::Ends(Fault::Hang, machine));
}

pub(super) fn end(world: &mut World, machine: MachineIndex) {
    if world.machines[machine].frozen_until <= world.now {
        note!(world, world.machine_name(machine), "wakes");
    }
}
