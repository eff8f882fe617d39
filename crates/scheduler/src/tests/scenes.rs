//! One scene a rule.

use std::time::Duration;

use tessera_model::{JobEdit, JobState};

use super::world::{World, job};
use crate::{Input, JobCommand, Order, Outcome, Refusal, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);

fn state(world: &World, id: tessera_model::JobId) -> JobState {
    world.scheduler.job(world.clock(), id).unwrap().state
}

#[test]
fn every_slot_first_then_what_lies_ready() {
    let mut world = World::new();
    let (a, b) = (world.join(2), world.join(1));
    world.submit(job("1..5"));
    // Three slots and two more units: one behind each worker's slots.
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (3, 2));
    world.finish();
}

#[test]
fn an_idle_worker_gets_what_lies_ready_elsewhere() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..2"));
    assert_eq!(world.hands[&a].len(), 2);
    let b = world.join(1);
    world.answer_recalls();
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (1, 1));
    world.finish();
}

#[test]
fn a_closed_link_frees_after_half_a_second_and_not_before() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..2"));
    world.render(b, 0);
    world.cut(a);
    world.pass(SECOND / 4);
    assert!(world.hands[&b].is_empty());
    world.pass(SECOND / 4);
    assert_eq!(world.hands[&b].len(), 1);
    world.render(b, 0);
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_link_mended_in_time_goes_on_with_its_work() {
    let mut world = World::new();
    let a = world.join(1);
    world.join(1);
    world.submit(job("1..2"));
    let held = world.hands[&a].clone();
    world.cut(a);
    world.pass(SECOND / 4);
    world.link(a);
    assert_eq!(world.hands[&a], held);
    world.finish();
}

#[test]
fn a_silent_worker_keeps_its_work_for_ninety_seconds_and_gets_nothing_new() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..3"));
    for _ in 0..12 {
        world.pass(SECOND * 5);
    }
    // Back after 60 s without a heartbeat: everything is still its own.
    assert_eq!(world.hands[&a].len(), 2);
    let new = world.join(1);
    assert_eq!(world.hands[&new].len(), 1);
    for _ in 0..7 {
        world.pass(SECOND * 5);
        world.heartbeat(new);
    }
    // Past 90 s the other has as much of it as may lie ready; the first result that comes still counts, whoever it is from.
    assert_eq!(world.hands[&new].len(), 2);
    assert_eq!(world.render(a, 0), Some(Outcome::Accepted));
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_late_result_is_used_once() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.submit(job("1"));
    let (key, frames) = world.hands[&a][0].clone();
    world.cut(a);
    world.pass(SECOND * 3);
    assert_eq!(world.hands[&b].len(), 1);
    assert_eq!(world.deliver(a, key, frames[0]), Outcome::Accepted);
    // The other one, at the same frame, is stopped.
    assert!(world.hands[&b].is_empty());
    assert_eq!(world.deliver(a, key, frames[0]), Outcome::NotNeeded);
}

#[test]
fn nobody_delivers_what_was_not_given_to_them() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..2"));
    let (key, frames) = world.hands[&a][0].clone();
    let refused = |outcome| matches!(outcome, Outcome::Refused(Refusal::Invalid(_)));
    assert!(refused(world.deliver(b, key, frames[0])), "another's lease");
    let attempt = tessera_model::Attempt(key.attempt.0 + 1);
    let next = tessera_model::LeaseKey { attempt, ..key };
    assert!(
        refused(world.deliver(a, next, frames[0])),
        "a lease to come"
    );
    assert_eq!(world.scheduler.job(world.clock(), id).unwrap().done, 0);
    assert_eq!(world.deliver(a, key, frames[0]), Outcome::Accepted);
    world.hands.get_mut(&a).unwrap().clear();
    world.finish();
}

#[test]
fn a_frame_fails_elsewhere_before_it_fails_for_good() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1"));
    assert_eq!(world.fail(a, 0), Some(Outcome::Accepted));
    assert!(world.hands[&b].is_empty(), "it backs off first");
    world.pass(SECOND);
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (0, 1));
    world.fail(b, 0);
    world.pass(SECOND * 60);
    world.heartbeat(a);
    world.fail(a, 0);
    assert_eq!(state(&world, id), JobState::Failed);
    world.input(Input::Job(id, JobCommand::Retry));
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn one_bad_worker_is_blocked_and_the_job_goes_on() {
    let mut world = World::new();
    let (bad, _good) = (world.join(1), world.join(1));
    let id = world.submit(job("1..9"));
    for _ in 0..3 {
        world.fail(bad, 0);
    }
    assert_eq!(
        world.scheduler.job(world.clock(), id).unwrap().blocked,
        [bad]
    );
    world.restart();
    assert_eq!(
        world.scheduler.job(world.clock(), id).unwrap().blocked,
        [bad]
    );
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn the_time_to_try_again_is_not_slept_through() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    world.fail(a, 0);
    let mut now = world.clock();
    let due = world.scheduler.next_tick(now).unwrap();
    assert_eq!(due, SECOND);
    // Whoever wakes a little late finds it due, not forgotten.
    for late in [Duration::ZERO, Duration::from_millis(7)] {
        now.elapsed += due + late;
        assert_eq!(world.scheduler.next_tick(now), Some(Duration::ZERO));
        now.elapsed -= due + late;
    }
    world.pass(due);
    assert_eq!(world.hands[&a].len(), 1);
    assert_ne!(
        world.scheduler.next_tick(world.clock()),
        Some(Duration::ZERO)
    );
}

#[test]
fn a_poisoned_frame_fails_alone() {
    let mut world = World::new();
    let only = world.join(1);
    let id = world.submit(job("1..4"));
    for _ in 0..3 {
        let at = world.hands[&only]
            .iter()
            .position(|(key, _)| key.unit.index == 1)
            .unwrap();
        world.fail(only, at);
        while world.hands[&only]
            .iter()
            .any(|(key, _)| key.unit.index != 1)
        {
            let at = world.hands[&only]
                .iter()
                .position(|(key, _)| key.unit.index != 1)
                .unwrap();
            world.render(only, at);
        }
        world.pass(SECOND * 10);
        world.heartbeat(only);
    }
    let view = world.scheduler.job(world.clock(), id).unwrap();
    assert_eq!(
        (view.state, view.done, view.failed),
        (JobState::Failed, 3, 1)
    );
}

#[test]
fn a_scene_that_never_renders_fails_soon() {
    let mut world = World::new();
    let only = world.join(1);
    let id = world.submit(job("1..1000"));
    let mut failures = 0;
    while state(&world, id) == JobState::Active {
        world.pass(SECOND * 10);
        world.heartbeat(only);
        if world.fail(only, 0).is_some() {
            failures += 1;
        }
        assert!(failures < 20);
    }
    assert_eq!(state(&world, id), JobState::Failed);
}

#[test]
fn a_frame_that_takes_its_workers_with_it_is_given_up() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1"));
    for _ in 0..8 {
        let (key, frames) = world.hands.get_mut(&a).unwrap().remove(0).unwrap();
        world.input(Input::Started {
            worker: a,
            key,
            position: frames[0].position,
        });
        world.link(a);
    }
    assert_eq!(state(&world, id), JobState::Failed);
}

#[test]
fn frames_in_order_are_one_unit_and_begin_again() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let mut new = job("1..4");
    new.steps[0].in_order = true;
    let id = world.submit(new);
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (1, 0));
    world.render(a, 0);
    world.render(a, 0);
    world.hands.get_mut(&a).unwrap().clear();
    world.cut(a);
    world.pass(SECOND * 2);
    let wanted: Vec<(i32, bool)> = world.hands[&b][0]
        .1
        .iter()
        .map(|order| (order.frame, order.wanted))
        .collect();
    assert_eq!(wanted, [(1, false), (2, false), (3, true), (4, true)]);
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn cancel_kills_and_retry_takes_up_again() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..5"));
    world.render(a, 0);
    world.input(Input::Job(id, JobCommand::Cancel));
    assert!(world.hands[&a].is_empty());
    assert!(
        world
            .orders
            .iter()
            .any(|(_, order)| matches!(order, Order::Cancel(_)))
    );
    world.input(Input::Job(id, JobCommand::Retry));
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn pause_gives_back_what_has_not_begun() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..5"));
    let (key, frames) = world.hands[&a][0].clone();
    world.input(Input::Started {
        worker: a,
        key,
        position: frames[0].position,
    });
    world.input(Input::Job(id, JobCommand::Pause));
    world.answer_recalls();
    assert_eq!(world.hands[&a].len(), 1);
    world.render(a, 0);
    assert!(world.hands[&a].is_empty());
    world.input(Input::Job(id, JobCommand::Resume));
    world.finish();
}

#[test]
fn worker_commands() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..9"));
    world.input(Input::Worker(a, WorkerCommand::Block(Some(id))));
    assert!(world.hands[&a].is_empty());
    world.input(Input::Worker(a, WorkerCommand::Unblock(Some(id))));
    assert_eq!(world.hands[&a].len(), 2);
    world.input(Input::Worker(a, WorkerCommand::Block(None)));
    assert!(world.hands[&a].is_empty());
    world.input(Input::Worker(b, WorkerCommand::Remove));
    assert!(!world.linked.contains(&b));
    world.input(Input::Worker(a, WorkerCommand::Unblock(None)));
    assert_eq!(world.hands[&a].len(), 2);
}

#[test]
fn pinned_to_the_right_build_or_refused_by_name() {
    let mut world = World::new();
    let mut early = job("1");
    early.file_version = "4.0".parse().unwrap();
    let waits = world.submit(early.clone());
    let view = world.scheduler.job(world.clock(), waits).unwrap();
    assert!(view.job.build.is_none());
    assert!(
        view.waiting_because.contains("no worker has joined"),
        "{}",
        view.waiting_because
    );
    world.join(1);
    let outcome = world.input(Input::Submit(Box::new(early))).outcome;
    let Outcome::Refused(refusal @ Refusal::NoBuild { .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        refusal.to_string(),
        "the file was saved by Blender 4.0, and the newest Blender of this farm's workers is 3.4.1: install Blender 4.0 or newer on a worker"
    );
    let view = world.scheduler.job(world.clock(), waits).unwrap();
    assert_eq!(
        view.waiting_because,
        "needs Blender 4.0 or newer, which the only worker does not have"
    );
}

#[test]
fn edits_are_bounded_and_kept() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    let edit = |priority| {
        Input::Job(
            id,
            JobCommand::Edit(JobEdit {
                priority: Some(priority),
                ..JobEdit::default()
            }),
        )
    };
    assert!(matches!(world.input(edit(0)).outcome, Outcome::Refused(_)));
    assert_eq!(world.input(edit(7)).outcome, Outcome::Applied);
    world.restart();
    assert_eq!(world.scheduler.job_ref(id).unwrap().settings.priority, 7);
    world.input(Input::Job(id, JobCommand::Remove));
    assert_eq!(
        world.input(edit(7)).outcome,
        Outcome::Refused(Refusal::NoJob(id))
    );
}

#[test]
fn a_restarted_manager_waits_for_its_workers() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.submit(job("1..2"));
    let held = world.hands[&a].clone();
    world.restart();
    world.link(b);
    world.pass(SECOND * 10);
    world.heartbeat(b);
    assert_eq!(world.hands[&b].len(), 1);
    world.link(a);
    assert_eq!(world.hands[&a], held);
    world.finish();
}
