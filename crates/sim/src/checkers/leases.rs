//! No unit is in two hands, unless it was handed out a second time on purpose: to another worker, when the job has no unit
//! left that nobody has, and never a third time.

use std::time::Duration;

use tessera_model::{FarmSettings, Lease};

use super::matching::ready_unit;
use crate::books::JobBook;
use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "no unit has two live leases unless duplicated on purpose";

/// Whether what a job is given now comes before the rest: its first frames, what it waited too long for, or preempts for.
fn is_urgent(farm: &FarmSettings, job: &JobBook) -> bool {
    let settings = &job.job.settings;
    let is_first = job.dispatched < u64::from(farm.first_frames);
    let waited = job.served - job.waited_since;
    is_first || waited > Duration::from_millis(farm.starved_after_ms) || settings.preempt
}

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
    // What is taken up again is served as well as what is handed out.
    job.waited_since = job.served;
    job.served = world.now;
    let goes_first_again = std::mem::take(&mut job.goes_first_again);
    if ordered {
        if let Some(lease) = world.books.leases.get_mut(&lease.key) {
            lease.is_urgent = goes_first_again || is_urgent(&world.books.farm, job);
        }
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
            if ordered && lease.key.attempt <= *attempt {
                return wrong(&format!("its other attempt is {}", attempt.0));
            }
            match ready_unit(&mut world.books, unit.job, world.now, Some(lease.worker)) {
                Some((step, free)) if ordered => {
                    wrong(&format!("though unit {free} of step {} lay free", step.0))
                }
                _ => Ok(()),
            }
        }
        _ => wrong("it is in three hands"),
    }
}
