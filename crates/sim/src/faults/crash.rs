//! A worker's process dies: of itself, in good order, or because of what it renders.

use std::time::Duration;

use tessera_model::UnitId;

use super::any_machine;
use crate::event::Event;
use crate::fault::Fault;
use crate::life::{carry_out, end_process};
use crate::machine::MachineIndex;
use crate::trace::note;
use crate::world::World;

/// A link that carried nothing for so long is dead to the manager.
pub(super) const DEAD: Duration = Duration::from_secs(120);

pub(super) fn strike(world: &mut World) {
    let machine = any_machine(world, Fault::Crash);
    let dice = world.dice(Fault::Crash);
    let (polite, unseen, forever) = (dice.percent(20), dice.percent(20), dice.percent(10));
    let back = dice.span(Duration::from_secs(1), Duration::from_secs(300));
    if world.machines[machine].process.is_none() {
        return;
    }
    if polite && let Some(process) = &mut world.machines[machine].process {
        let acts = process.desk.close();
        note!(world, world.machine_name(machine), "leaves");
        carry_out(world, machine, acts);
    }
    note!(world, world.machine_name(machine), "dies");
    // A machine that loses its power says nothing; a program that is killed has its links closed for it.
    end_process(world, machine, if unseen { DEAD } else { Duration::ZERO });
    match forever {
        true => world.machines[machine].is_gone = true,
        false => world.queue.push(world.now + back, Event::Boot(machine)),
    }
}

/// A frame takes its worker with it.
pub(crate) fn lethal(world: &mut World, machine: MachineIndex, unit: UnitId, position: u32) {
    note!(
        world,
        world.machine_name(machine),
        "is killed by position {position} of {unit}"
    );
    end_process(world, machine, Duration::ZERO);
    world
        .queue
        .push(world.now + Duration::from_secs(5), Event::Boot(machine));
}
