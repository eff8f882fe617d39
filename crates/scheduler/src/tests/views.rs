//! What views tell of jobs, frames and workers, field by field.

use std::time::Duration;

use tessera_model::{
    Attempt, FarmSettings, Job, JobId, JobState, LeaseKey, StepIndex, UnitId, WorkerId,
};

use super::world::{World, job, with};
use crate::{FrameView, HeldView, Input, JobCommand, Outcome, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);
const FIRST: StepIndex = StepIndex(0);

fn key(job: JobId, step: u16, index: u32, attempt: u32) -> LeaseKey {
    LeaseKey {
        unit: UnitId {
            job,
            step: StepIndex(step),
            index,
        },
        attempt: Attempt(attempt),
    }
}

fn waits(step: u16, position: u32, frame: i32) -> FrameView {
    FrameView {
        step: StepIndex(step),
        position,
        frame,
        done: false,
        failed: false,
        worker: None,
        rendering: false,
        lease: None,
        failures: 0,
    }
}

fn because(world: &World, id: JobId) -> String {
    let view = world.scheduler.job(world.clock(), id).unwrap();
    view.waiting_because
}

#[test]
fn each_frame_tells_where_it_is_and_what_became_of_it() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 1);
    let a = world.join(2);
    let id = world.submit(with("10..18", |new| {
        new.settings.chunk = 2;
        new.settings.max_attempts = 2;
    }));
    // Two units a slot: the last one of a single frame waits.
    assert_eq!(world.hands[&a].len(), 4);
    world.render(a, 0);
    world.start(a, 0);
    world.fail(a, 1);
    let held = |at: u32, frame, unit| FrameView {
        worker: Some(a),
        lease: Some(key(id, 0, unit, 1)),
        ..waits(0, at, frame)
    };
    let frames = |world: &World, from, limit| world.scheduler.frames(id, FIRST, from, limit);
    let all = [
        FrameView {
            done: true,
            ..waits(0, 0, 10)
        },
        FrameView {
            rendering: true,
            ..held(1, 11, 0)
        },
        FrameView {
            failures: 1,
            ..held(2, 12, 1)
        },
        held(3, 13, 1),
        held(4, 14, 2),
        held(5, 15, 2),
        held(6, 16, 3),
        held(7, 17, 3),
        waits(0, 8, 18),
    ];
    assert_eq!(frames(&world, 0, 99), all);
    assert_eq!(frames(&world, 3, 2), all[3..5]);
    assert_eq!(frames(&world, 8, 2), all[8..]);
    assert_eq!(frames(&world, 9, 2), []);
    assert_eq!(world.scheduler.frames(id, StepIndex(1), 0, 9), []);
    assert_eq!(world.scheduler.frames(JobId(9), FIRST, 0, 9), []);
    let view = world.scheduler.job(world.clock(), id).unwrap();
    assert_eq!((view.frames, view.done, view.failed), (9, 1, 0));
    assert_eq!((view.leased, view.rendering), (6, 1));
}

#[test]
fn a_frame_that_was_given_up_has_failed() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..2", |new| new.settings.max_attempts = 1));
    world.fail(a, 0);
    let failed = FrameView {
        failed: true,
        failures: 1,
        ..waits(0, 0, 1)
    };
    assert_eq!(world.scheduler.frames(id, FIRST, 0, 1), [failed]);
    let view = world.scheduler.job(world.clock(), id).unwrap();
    assert_eq!((view.frames, view.done, view.failed), (2, 0, 1));
}

#[test]
fn frames_of_one_step_are_not_those_of_another() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..2", |new| {
        let mut next = new.steps[0].clone();
        next.by_frame = true;
        new.steps.push(next);
    }));
    world.render(a, 0);
    let held = |step, position, frame| FrameView {
        worker: Some(a),
        lease: Some(key(id, step, position, 1)),
        ..waits(step, position, frame)
    };
    let done = FrameView {
        done: true,
        ..waits(0, 0, 1)
    };
    assert_eq!(
        world.scheduler.frames(id, FIRST, 0, 9),
        [done, held(0, 1, 2)]
    );
    assert_eq!(
        world.scheduler.frames(id, StepIndex(1), 0, 9),
        [held(1, 0, 1), waits(1, 1, 2)]
    );
}

/// A unit that does not end on one worker and was given to another too; where it was begun.
fn doubled() -> (World, JobId, [WorkerId; 2], [LeaseKey; 2]) {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..3"));
    for worker in [a, b] {
        world.start(worker, 0);
    }
    world.pass(SECOND * 2);
    for worker in [a, b] {
        world.heartbeat(worker);
    }
    world.render(a, 0);
    world.render(b, 0);
    world.answer_recalls();
    let first = world.start(a, 0);
    for _ in 0..30 {
        world.pass(SECOND);
        world.heartbeat(a);
        world.heartbeat(b);
        if let Some((second, _)) = world.hands[&b].front().cloned() {
            return (world, id, [a, b], [first, second]);
        }
    }
    panic!("it was never doubled");
}

#[test]
fn of_two_leases_the_one_that_renders_is_shown_else_the_first() {
    let (mut world, id, [a, b], [first, second]) = doubled();
    let shown = |world: &World| {
        let at = second.unit.index;
        let frame = world.scheduler.frames(id, FIRST, at, 1).remove(0);
        (frame.worker, frame.lease, frame.rendering)
    };
    assert_eq!(shown(&world), (Some(a), Some(first), true));
    world.start(b, 0);
    assert_eq!(shown(&world), (Some(a), Some(first), true));
    let stands = |world: &mut World, worker, key| {
        let holds = vec![(key, None)];
        world.input(Input::Heartbeat { worker, holds });
    };
    stands(&mut world, a, first);
    assert_eq!(shown(&world), (Some(b), Some(second), true));
    stands(&mut world, b, second);
    assert_eq!(shown(&world), (Some(a), Some(first), false));
}

#[test]
fn a_worker_tells_what_it_holds_and_since_when_it_is_silent() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 1);
    let a = world.join(1);
    let id = world.submit(with("5..12", |new| new.settings.chunk = 3));
    world.render(a, 0);
    let view = |world: &World| world.scheduler.worker(world.clock(), a).unwrap();
    let held = |position, frame, rendering| HeldView {
        job: id,
        step: FIRST,
        attempt: Attempt(1),
        frame,
        position,
        rendering,
    };
    // The first frame of the first unit was delivered: the next one of it waits.
    let now = view(&world);
    assert_eq!(now.holds, [held(1, 6, false), held(3, 8, false)]);
    assert_eq!((now.linked, now.silent_ms), (true, Some(0)));
    assert_eq!((now.loaded, now.speed_milli), (vec![id], 1000));
    assert_eq!((now.record.id, now.record.name.as_str()), (a, "w"));
    world.start(a, 0);
    assert_eq!(view(&world).holds[0], held(1, 6, true));
    world.pass(Duration::from_millis(3_500));
    assert_eq!(view(&world).silent_ms, Some(3_500));
    world.heartbeat(a);
    assert_eq!(view(&world).silent_ms, Some(0));
    world.cut(a);
    let away = view(&world);
    assert_eq!((away.linked, away.silent_ms), (false, None));
    assert_eq!(away.holds.len(), 2);
    assert_eq!(world.scheduler.worker(world.clock(), WorkerId(9)), None);
}

#[test]
fn why_a_job_waits_is_told_only_while_it_is_active_and_in_nobodys_hands() {
    let mut world = World::new();
    let id = world.submit(job("1..2"));
    assert_eq!(
        because(&world, id),
        "no worker has joined this farm yet: run `tessera worker` on a machine"
    );
    world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(because(&world, id), "");
    world.input(Input::Job(id, JobCommand::Resume));
    let a = world.join(1);
    assert_eq!(because(&world, id), "");
    world.input(Input::Job(id, JobCommand::Cancel));
    assert_eq!(
        (because(&world, id).as_str(), world.hands[&a].len()),
        ("", 0)
    );
}

#[test]
fn jobs_are_listed_newest_first_and_page_by_page() {
    let mut world = World::new();
    for _ in 0..4 {
        world.submit(job("1"));
    }
    world.input(Input::Job(JobId(2), JobCommand::Remove));
    let list = |world: &World, after: Option<u64>, limit| -> Vec<u64> {
        let jobs = world.scheduler.jobs(world.clock(), after.map(JobId), limit);
        jobs.into_iter().map(|view| view.job.id.0).collect()
    };
    assert_eq!(list(&world, None, 99), [4, 3, 1]);
    assert_eq!(list(&world, None, 2), [4, 3]);
    assert_eq!(list(&world, Some(3), 2), [1]);
    assert!(list(&world, Some(1), 2).is_empty());
    let kept = |job: &Job, state, _| job.id.0 < 4 && state == JobState::Active;
    let some = world.scheduler.jobs_where(world.clock(), None, 1, kept);
    assert_eq!(some.len(), 1, "the limit is of those that are kept");
    assert_eq!(some[0].job.id, JobId(3));
    assert_eq!(world.scheduler.job(world.clock(), JobId(2)), None);
    assert_eq!(world.scheduler.job_ref(JobId(2)), None);
    assert_eq!(world.scheduler.job_ref(JobId(3)).unwrap().id, JobId(3));
}

#[test]
fn jobs_that_are_over_are_live_no_more() {
    let mut world = World::new();
    assert_eq!(world.scheduler.live_jobs(), 0);
    let ids = [job("1"), job("1"), job("1")].map(|new| world.submit(new));
    world.input(Input::Job(ids[0], JobCommand::Pause));
    assert_eq!(world.scheduler.live_jobs(), 3);
    world.input(Input::Job(ids[1], JobCommand::Cancel));
    assert_eq!(world.scheduler.live_jobs(), 2);
    world.join(1);
    world.input(Input::Job(ids[0], JobCommand::Resume));
    world.finish();
    assert_eq!(world.scheduler.live_jobs(), 0);
}

#[test]
fn all_workers_are_listed_and_removed_ones_are_not() {
    let mut world = World::new();
    let [a, b, c] = [1, 2, 3].map(|slots| world.join(slots));
    world.input(Input::Worker(b, WorkerCommand::Remove));
    let workers = world.scheduler.workers(world.clock());
    let slots = workers.iter().map(|view| {
        let facts = view.record.facts.as_ref();
        (view.record.id, facts.unwrap().slots)
    });
    assert_eq!(slots.collect::<Vec<_>>(), [(a, 1), (c, 3)]);
}

#[test]
fn settings_are_those_that_were_set() {
    let mut world = World::new();
    assert_eq!(*world.scheduler.settings(), FarmSettings::default());
    world.set(|farm| farm.cap_percent = 12);
    assert_eq!(world.scheduler.settings().cap_percent, 12);
    world.restart();
    assert_eq!(world.scheduler.settings().cap_percent, 12);
}

#[test]
fn a_note_about_a_worker_is_one_line_that_is_not_too_long() {
    let mut world = World::new();
    let a = world.join(1);
    let mut note = |text: String| {
        let command = WorkerCommand::Note(text);
        world.input(Input::Worker(a, command)).outcome
    };
    assert_eq!(note("é".repeat(250)), Outcome::Applied);
    for bad in ["x".repeat(501), "two\nlines".into()] {
        let outcome = note(bad);
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
}
