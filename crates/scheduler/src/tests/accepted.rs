//! What is taken in and what is refused, at each bound and one beyond it; and what becomes of an edit.

mod bounds;
mod edits;
mod farm;
mod states;

use std::time::Duration;

use tessera_model::{
    After, Change, Device, FarmSettings, FetchedMark, JobEdit, JobId, JobSettings, JobState,
    MAX_FRAMES, PRIORITY_MAX, Requirement, Timestamp, WorkerMode,
};

use super::world::{World, build, job, with};
use crate::{Input, JobCommand, NewJob, Order, Outcome, Reason, Refusal, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);

fn state(world: &World, id: JobId) -> JobState {
    world.scheduler.job(world.clock(), id).unwrap().state
}

fn build_of(world: &World, id: JobId) -> Option<String> {
    let build = world.scheduler.job_ref(id).unwrap().build.clone();
    build.map(|build| build.version.to_string())
}

/// What a job is refused for; a refused one leaves nothing behind.
fn refused(new: NewJob) -> String {
    let mut world = World::new();
    let effects = world.input(Input::Submit(Box::new(new)));
    assert_eq!((effects.changes.len(), effects.jobs.len()), (0, 0));
    assert!(world.scheduler.jobs.is_empty());
    let Outcome::Refused(Refusal::Invalid(text)) = effects.outcome else {
        panic!("{:?}", effects.outcome)
    };
    assert_eq!(world.submit(job("1")), JobId(1), "no number was used up");
    text
}

fn set_wrong(change: impl FnOnce(&mut JobSettings)) -> String {
    refused(with("1", |new| change(&mut new.settings)))
}

fn taken(change: impl FnOnce(&mut NewJob)) {
    let mut world = World::new();
    let new = with("1", change);
    let id = world.submit(new.clone());
    let job = world.scheduler.job_ref(id).unwrap();
    assert_eq!((&job.settings, &job.steps), (&new.settings, &new.steps));
    assert_eq!(job.client_note, new.client_note);
}

fn set_right(change: impl FnOnce(&mut JobSettings)) {
    taken(|new| change(&mut new.settings));
}
