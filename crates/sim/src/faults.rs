//! What goes wrong: one file for each kind, all of one shape. `strike` does it once and plans the next time; what lasts is
//! undone by `end`, and everything by [`heal`].

mod clock;
mod crash;
mod disk_full;
mod hang;
mod heal;
mod partition;
mod restart;
mod users;
mod worker_disk;

use std::time::Duration;

use crate::event::Event;
use crate::fault::Fault;
use crate::machine::MachineIndex;
use crate::violation::Violation;
use crate::world::World;

pub(crate) use crash::lethal;
pub(crate) use heal::heal;

/// How often a kind strikes: on average once in this time, in the whole farm. None if it lies in the frames, the lines or
/// the machines themselves.
fn every(world: &World, fault: Fault) -> Option<Duration> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    // A machine has its troubles, so a farm has the more of them the larger it is; but not so many that nothing works.
    let machines = u32::try_from(world.machines.len())
        .unwrap_or(u32::MAX)
        .clamp(1, 300);
    let each = |time: Duration| (time / machines).max(Duration::from_millis(500));
    match fault {
        Fault::Crash | Fault::Hang => Some(each(minutes(20))),
        Fault::Partition => Some(each(minutes(12))),
        Fault::WorkerDisk => Some(each(minutes(60))),
        Fault::Clock => Some(minutes(2)),
        Fault::Restart | Fault::DiskFull => Some(minutes(3)),
        Fault::Users => Some(Duration::from_secs(8)),
        _ => None,
    }
}

/// Plans the first time of each kind.
pub(crate) fn plan(world: &mut World) {
    for fault in world.plan.faults.iter() {
        plan_next(world, fault);
    }
}

fn plan_next(world: &mut World, fault: Fault) {
    let Some(every) = every(world, fault) else {
        return;
    };
    let wait = Duration::from_millis(world.dice(fault).below(2 * every.as_millis() as u64) + 1);
    world.queue.push(world.now + wait, Event::Strikes(fault));
}

/// It goes wrong, unless the farm is healed.
pub(crate) async fn strike(world: &mut World, fault: Fault) -> Result<(), Violation> {
    if world.is_healed {
        return Ok(());
    }
    match fault {
        Fault::Crash => crash::strike(world),
        Fault::Hang => hang::strike(world),
        Fault::Partition => partition::strike(world),
        Fault::WorkerDisk => worker_disk::strike(world),
        Fault::Clock => clock::strike(world),
        Fault::Restart => restart::strike(world).await?,
        Fault::DiskFull => disk_full::strike(world),
        Fault::Users => users::strike(world),
        Fault::SlowLink
        | Fault::Duplicate
        | Fault::Poison
        | Fault::Lethal
        | Fault::Flaky
        | Fault::BadWorker
        | Fault::Late => {}
    }
    plan_next(world, fault);
    Ok(())
}

/// Something that lasted is over.
pub(crate) fn end(world: &mut World, fault: Fault, machine: MachineIndex) {
    match fault {
        Fault::DiskFull => disk_full::end(world),
        Fault::Users => users::end_rest(world, machine),
        Fault::Hang => hang::end(world, machine),
        _ => {}
    }
}

/// A machine by chance.
fn any_machine(world: &mut World, fault: Fault) -> MachineIndex {
    let machines = world.machines.len() as u64;
    world.dice(fault).below(machines) as usize
}
