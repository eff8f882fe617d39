//! No unit is in two hands, unless it was handed out a second time on purpose: to another worker, when the job has no unit
//! left that nobody has, and never a third time.

use tessera_model::Lease;

use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "no unit has two live leases unless duplicated on purpose";

/// A lease was just entered into the books; with `ordered`, its worker is told to render it now.
pub(super) fn handed_out(world: &mut World, lease: &Lease, ordered: bool) -> Result<(), Violation> {
    let unit = lease.key.unit;
    let Some(job) = world.books.jobs.get_mut(&unit.job) else {
        return Ok(());
    };
    let step = &job.steps[usize::from(unit.step.0)];
    let wrong = |how: &str| {
        let text = format!("unit {unit} attempt {}: {how}", lease.key.attempt.0);
        Err(Violation::new(PROPERTY, text))
    };
    if ordered {
        job.served = world.now;
        job.dispatched += step.wanted(unit.index).count() as u64;
        if step.wanted(unit.index).next().is_none() {
            return wrong("it was handed out though nothing of it is wanted");
        }
    }
    let twins: Vec<_> = job
        .leases
        .iter()
        .filter(|key| key.unit == unit && **key != lease.key)
        .map(|key| (key.attempt, world.books.leases[key].worker))
        .collect();
    match twins.as_slice() {
        [] => Ok(()),
        [(attempt, worker)] => {
            if *worker == lease.worker {
                return wrong("the same worker has it already");
            }
            if ordered && lease.key.attempt.0 != attempt.0 + 1 {
                return wrong(&format!("its other attempt is {}", attempt.0));
            }
            let free = job.steps.iter_mut().find_map(|step| step.free().next());
            match free.filter(|_| ordered) {
                Some(free) => wrong(&format!("though unit {free} of the job lay free")),
                None => Ok(()),
            }
        }
        _ => wrong("it is in three hands"),
    }
}
