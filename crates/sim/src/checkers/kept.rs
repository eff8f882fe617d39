//! What nobody has fetched is never removed because time has passed.

use tessera_model::{FrameBits, JobId};

use crate::violation::Violation;
use crate::world::World;

/// A job is removed since it was over for long enough; the books still have it. What people have of it is what they brought home, and
/// not what anybody noted of that.
pub(super) fn expires(world: &World, id: JobId) -> Result<(), Violation> {
    let Some(book) = world.books.jobs.get(&id) else {
        return Ok(());
    };
    let home = world.homes.get(&id);
    let fetched = |at: usize, position: u32| {
        let bits = home.and_then(|steps: &Vec<FrameBits>| steps.get(at));
        bits.is_some_and(|bits| bits.get(position))
    };
    let steps = book.steps.iter().enumerate();
    // Nobody fetches parts of frames.
    let mut steps = steps.filter(|(at, _)| book.job.steps[*at].makes_frames());
    let lost = steps.find_map(|(at, step)| {
        let lost = step.done.iter().find(|&position| !fetched(at, position))?;
        Some((at, lost))
    });
    let how = match lost {
        Some((step, position)) => format!(
            "job {id} goes with position {position} of step {step}, which was delivered and never fetched"
        ),
        None if !book.state.is_over() => format!("job {id} goes while it is {:?}", book.state),
        None => return Ok(()),
    };
    Err(Violation::new("no unfetched result goes by time", how))
}
