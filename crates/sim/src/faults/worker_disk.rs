//! A worker's disk is full: no job's files can be brought to it.

use std::time::Duration;

use super::any_machine;
use crate::fault::Fault;
use crate::trace::note;
use crate::world::World;

pub(super) fn strike(world: &mut World) {
    let machine = any_machine(world, Fault::WorkerDisk);
    let lasts = world
        .dice(Fault::WorkerDisk)
        .span(Duration::from_secs(10), Duration::from_secs(200));
    note!(
        world,
        world.machine_name(machine),
        "has a full disk for {} s",
        lasts.as_secs()
    );
    let at = &mut world.machines[machine];
    at.disk_full_until = world.now + lasts;
    // Somebody else's data took the room of the farm's.
    at.files.clear();
}
