//! What the scheduler counts is what the checkers count.

use tessera_model::JobState;

use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "counters equal a recount";

pub(super) fn check(world: &World) -> Result<(), Violation> {
    let Some(engine) = &world.manager.engine else {
        return Ok(());
    };
    let clock = world.manager.clock(world.now);
    let mut live = 0;
    for (&id, book) in &world.books.jobs {
        let wrong = |what: &str, said: u64, counted: u64| {
            let how =
                format!("job {id}: {what}: the scheduler says {said}, a recount says {counted}");
            Err(Violation::new(PROPERTY, how))
        };
        let Some(view) = engine.scheduler.job(clock, id) else {
            return wrong("jobs of this number", 0, 1);
        };
        let (frames, done, failed) = book.frame_counts();
        let rendering = book.leases.len() as u32;
        for (what, said, counted) in [
            ("frames", view.frames, frames),
            ("done", view.done, done),
            ("failed", view.failed, failed),
            ("leased", view.leased, world.books.leased(book)),
            (
                "rendering, at most",
                view.rendering.max(rendering),
                rendering,
            ),
            (
                "blocked workers",
                view.blocked.len() as u32,
                book.blocked.len() as u32,
            ),
        ] {
            if said != counted {
                return wrong(what, said.into(), counted.into());
            }
        }
        if view.state != book.state {
            let how = format!(
                "job {id} is {:?}, and {:?} by the journal",
                view.state, book.state
            );
            return Err(Violation::new(PROPERTY, how));
        }
        if view.state == JobState::Done && done != frames {
            return wrong("frames of a job that is done", frames.into(), done.into());
        }
        if view.state.is_over() && !book.leases.is_empty() {
            return wrong("leases of a job that is over", 0, book.leases.len() as u64);
        }
        live += usize::from(!view.state.is_over());
    }
    if engine.scheduler.live_jobs() != live {
        let how = format!(
            "{} live jobs, and {live} by a recount",
            engine.scheduler.live_jobs()
        );
        return Err(Violation::new(PROPERTY, how));
    }
    for (&id, book) in &world.books.workers {
        let view = engine.scheduler.worker(clock, id);
        let holds = view.as_ref().map_or(0, |view| view.holds.len());
        if view.is_none() || holds > book.leases.len() {
            let how = format!(
                "worker {id} holds {holds} leases, and {} by a recount",
                book.leases.len()
            );
            return Err(Violation::new(PROPERTY, how));
        }
    }
    Ok(())
}
