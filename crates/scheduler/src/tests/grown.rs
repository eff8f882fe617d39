//! Samples that are added to frames which are divided by them.

use tessera_model::{Change, JobEdit, JobId, JobState, Split, SplitBy, StepIndex, StepKind};

use super::world::{World, with};
use crate::{Input, JobCommand, NewJob, Outcome};

const SAMPLES: u32 = 64;

fn split(by: SplitBy) -> Split {
    Split {
        width: 1920,
        height: 1080,
        samples: SAMPLES,
        first: 0,
        grows_to: Some(256),
        noise: None,
        by,
    }
}

fn still() -> NewJob {
    with("1", |new| {
        new.steps[0].split = Some(split(SplitBy::Samples))
    })
}

fn to(samples: u32) -> JobEdit {
    JobEdit {
        samples: Some(samples),
        ..JobEdit::default()
    }
}

/// How a job stands, its frames and those that are there, its places and those that are there.
fn stands(world: &World, id: JobId) -> (JobState, [u32; 4]) {
    let view = world.scheduler.job(world.clock(), id).unwrap();
    let counts = [view.frames, view.done, view.places, view.places_done];
    (view.state, counts)
}

/// Of each step, positions that were delivered.
fn delivered(world: &World, id: JobId) -> Vec<u32> {
    let steps = &world.scheduler.jobs[&id].steps;
    steps.iter().map(|step| step.done.count()).collect()
}

fn replaced(world: &World, id: JobId) -> Vec<bool> {
    let steps = &world.scheduler.job_ref(id).unwrap().steps;
    steps.iter().map(|step| step.replaced).collect()
}

#[test]
fn a_job_that_is_done_renders_the_new_ones_alone() {
    let mut world = World::new();
    world.join(1);
    let id = world.submit(still());
    world.finish();
    let step = Some(StepIndex(1));
    world.input(Input::Job(id, JobCommand::Fetched { frames: 1, step }));
    let fetched = |world: &World| {
        let view = world.scheduler.job(world.clock(), id).unwrap();
        view.fetched_at.is_some()
    };
    assert!(fetched(&world));

    assert_eq!(world.edit(id, to(192)), Outcome::Applied);
    assert_eq!(stands(&world, id), (JobState::Active, [1, 0, 128, 0]));
    assert_eq!(replaced(&world, id), [true, true, false, false]);
    let steps = &world.scheduler.job_ref(id).unwrap().steps;
    let ranges: Vec<_> = steps[2].split.unwrap().slices(0..128, &[]);
    assert_eq!(ranges[0].samples, Some(64..192));
    // All ranges have one pattern; the frame says how many samples it has.
    let samples: Vec<_> = steps.iter().map(|step| step.overrides().samples).collect();
    assert_eq!(samples, [Some(256), None, Some(256), Some(192)]);
    world.finish();
    assert_eq!(delivered(&world, id), [64, 1, 128, 1]);
    assert_eq!(stands(&world, id), (JobState::Done, [1, 1, 128, 128]));

    // What was fetched before is not what there is now.
    assert!(!fetched(&world));
    let said = |step| Input::Job(id, JobCommand::Fetched { frames: 1, step });
    for old in [None, Some(StepIndex(1))] {
        let outcome = world.input(said(old)).outcome;
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    assert_eq!(
        world.input(said(Some(StepIndex(3)))).outcome,
        Outcome::Applied
    );
    assert!(fetched(&world));

    // And once more, over a restart.
    assert_eq!(world.edit(id, to(256)), Outcome::Applied);
    world.restart();
    world.finish();
    assert_eq!(delivered(&world, id), [64, 1, 128, 1, 64, 1]);
    assert_eq!(stands(&world, id), (JobState::Done, [1, 1, 64, 64]));
}

#[test]
fn a_frame_that_is_rendered_still_is_put_together_once_with_all_of_them() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(still());
    world.render(a, 0);
    assert_eq!(world.edit(id, to(128)), Outcome::Applied);
    assert_eq!(replaced(&world, id), [false, true, false, false]);
    let (state, [frames, done, places, some]) = stands(&world, id);
    assert_eq!((state, frames, done, places), (JobState::Active, 1, 0, 128));
    assert!(some > 0, "{some}");
    world.restart();
    for worker in [a, b] {
        world.link(worker);
    }
    world.finish();
    assert_eq!(stands(&world, id), (JobState::Done, [1, 1, 128, 128]));
    assert_eq!(delivered(&world, id), [64, 0, 64, 1]);
}

#[test]
fn a_frame_being_put_together_of_too_few_is_left() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(still());
    let assembles = |world: &World| {
        let (key, _) = world.hands[&a].front()?;
        (key.unit.step == StepIndex(1)).then_some(*key)
    };
    while assembles(&world).is_none() {
        world.render(a, 0);
    }
    let key = world.start(a, 0);
    let order = world.hands[&a][0].1[0];
    world.edit(id, to(128));
    assert!(assembles(&world).is_none(), "it is taken away");
    let late = world.deliver(a, key, order);
    assert_eq!(late, Outcome::NotNeeded);
    world.finish();
    assert_eq!(stands(&world, id).0, JobState::Done);
}

#[test]
fn what_fails_for_good_before_fails_with_what_was_added_and_can_be_retried() {
    let mut world = World::new();
    let a = world.join(1);
    let mut new = still();
    new.settings.max_attempts = 1;
    let id = world.submit(new);
    world.edit(id, to(128));
    world.fail(a, 0);
    world.finish();
    let view = world.scheduler.job(world.clock(), id).unwrap();
    assert_eq!((view.state, view.failed), (JobState::Failed, 1));
    world.input(Input::Job(id, JobCommand::Retry));
    world.finish();
    assert_eq!(stands(&world, id).0, JobState::Done);
}

#[test]
fn what_would_be_another_picture_is_refused_with_the_reason() {
    let mut world = World::new();
    world.join(1);
    let mut check = |new: NewJob, samples: u32, part: &str| {
        let id = world.submit(new);
        let effects = world.input(Input::Job(id, JobCommand::Edit(to(samples))));
        let Outcome::Refused(refusal) = effects.outcome else {
            panic!("{part}: {:?}", effects.outcome);
        };
        assert!(refusal.to_string().contains(part), "{part}: {refusal}");
        let is_grown = |change: &Change| matches!(change, Change::JobGrown(..));
        assert!(!effects.changes.iter().any(is_grown));
        id
    };
    check(with("1", |_| {}), 128, "rendered whole");
    let tiles = SplitBy::Grid {
        columns: 2,
        rows: 2,
    };
    check(
        with("1", |new| new.steps[0].split = Some(split(tiles))),
        128,
        "divided into tiles",
    );
    check(still(), 63, "none can be taken away");
    check(still(), 257, "at most 256");
    let mut full = still();
    full.steps[0].split.as_mut().unwrap().grows_to = None;
    // (On one slot it is rendered whole.)
    full.settings.name = "full".into();
    check(full, 65, "rendered whole");
    let id = world.submit(still());
    assert_eq!(world.edit(id, to(SAMPLES)), Outcome::Applied);
    assert_eq!(replaced(&world, id), [false, false]);
    world.input(Input::Job(id, JobCommand::Cancel));
    let outcome = world.edit(id, to(128));
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn where_only_the_last_frames_are_divided_nothing_is_added() {
    let mut world = World::new();
    world.join(2);
    let id = world.submit(with("1..40", |new| {
        new.steps[0].split = Some(split(SplitBy::Samples));
    }));
    let Outcome::Refused(refusal) = world.edit(id, to(128)) else {
        panic!("it is not refused");
    };
    assert!(refusal.to_string().contains("only the last"), "{refusal}");
}

#[test]
fn what_has_all_that_its_pattern_can_have_is_told_so() {
    let mut world = World::new();
    world.join(1);
    let id = world.submit(still());
    assert_eq!(world.edit(id, to(256)), Outcome::Applied);
    let Outcome::Refused(refusal) = world.edit(id, to(257)) else {
        panic!("it is not refused");
    };
    assert!(refusal.to_string().contains("--room-for"), "{refusal}");
}

#[test]
fn samples_are_added_only_so_often() {
    let mut world = World::new();
    world.join(1);
    let id = world.submit(still());
    for samples in SAMPLES + 1..SAMPLES + 64 {
        assert_eq!(world.edit(id, to(samples)), Outcome::Applied, "{samples}");
    }
    let Outcome::Refused(refusal) = world.edit(id, to(SAMPLES + 64)) else {
        panic!("it is not refused");
    };
    assert!(refusal.to_string().contains("63 times"), "{refusal}");
    world.finish();
    assert_eq!(stands(&world, id).0, JobState::Done);
}

#[test]
fn what_a_frame_takes_grows_with_its_samples() {
    let mut world = World::new();
    world.join(1);
    let id = world.submit(still());
    let cost = |world: &World| world.scheduler.jobs[&id].cost.frame_us;
    world.scheduler.jobs.get_mut(&id).unwrap().cost.frame_us = Some(6_000_000);
    world.edit(id, to(96));
    assert_eq!(cost(&world), Some(9_000_000));
}

#[test]
fn where_no_other_number_has_the_pattern_nothing_is_added() {
    let mut world = World::new();
    world.join(1);
    world.join(1);
    let mut new = still();
    new.steps[0].split.as_mut().unwrap().grows_to = None;
    let id = world.submit(new);
    let is_divided = |kind: &StepKind| matches!(kind, StepKind::Slices(_));
    let steps = &world.scheduler.job_ref(id).unwrap().steps;
    assert!(is_divided(&steps[0].kind));
    let Outcome::Refused(refusal) = world.edit(id, to(128)) else {
        panic!("it is not refused");
    };
    assert!(refusal.to_string().contains("--room-for"), "{refusal}");
}
