//! The manager's disk is full: nothing can be recorded, so nothing can be decided.

use std::time::Duration;

use crate::event::Event;
use crate::fault::Fault;
use crate::trace::note;
use crate::world::World;

pub(super) fn strike(world: &mut World) {
    let lasts = world
        .dice(Fault::DiskFull)
        .span(Duration::from_millis(200), Duration::from_secs(20));
    note!(
        world,
        "manager",
        "its disk is full for {:.1} s",
        lasts.as_secs_f64()
    );
    world.manager.is_disk_full = true;
    world
        .queue
        .push(world.now + lasts, Event::Ends(Fault::DiskFull, 0));
}

pub(super) fn end(world: &mut World) {
    world.manager.is_disk_full = false;
}
