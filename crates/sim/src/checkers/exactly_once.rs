//! Every wanted frame is delivered exactly once, counted in the journal: by what the record says it ever accepted.

use tessera_model::StepIndex;

use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "every wanted frame is delivered exactly once";

/// At the end of a run: all accepts of all jobs.
pub(super) async fn finished(world: &World) -> Result<(), Violation> {
    let wrong = |how: String| Err(Violation::new(PROPERTY, how));
    for (&id, book) in &world.books.jobs {
        let accepts = world.manager.state.accepts(id).await;
        let accepts = accepts.map_err(|error| Violation::new(PROPERTY, error.to_string()))?;
        let Some(accepts) = accepts else {
            return wrong(format!("the record knows nothing of job {id}"));
        };
        // Of what was replaced too: it was accepted once and stays.
        let done: u64 = book
            .steps
            .iter()
            .map(|step| u64::from(step.done.count()))
            .sum();
        if accepts.total() != done {
            let total = accepts.total();
            return wrong(format!("job {id}: {total} accepts of {done} frames"));
        }
        for step in &accepts.steps {
            if let Some((position, count)) = step.repeated.iter().next() {
                let at = StepIndex(step.step.0);
                return wrong(format!(
                    "job {id} step {}: position {position} was accepted {count} times",
                    at.0
                ));
            }
            let book = &book.steps[usize::from(step.step.0)];
            if step.accepted != book.done {
                return wrong(format!(
                    "job {id}: other frames were accepted than are done"
                ));
            }
        }
    }
    Ok(())
}
