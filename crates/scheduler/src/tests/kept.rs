//! What is kept of leases, failures and jobs while things go wrong: in the books, over a restart, and with time.

use std::time::Duration;

use tessera_model::{
    After, Attempt, Change, Device, FrameError, FrameErrorKind, FrameResult, JobEdit, JobId,
    JobState, LeaseKey, ResultTimings, StepIndex, StepKind, Timestamp, UnitId, WorkerId,
    WorkerMode,
};

use super::world::{World, blob, build, job, with};
use crate::books::{hold, takes_a_place, weight_milli};
use crate::{
    Effects, FrameOrder, Input, JobCommand, JobView, NewJob, Order, Outcome, Reason, Refusal,
    WorkerCommand,
};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn chunked(frames: &str, chunk: u32) -> NewJob {
    with(frames, |new| new.settings.chunk = chunk)
}

fn view(world: &World, id: JobId) -> JobView {
    world.scheduler.job(world.clock(), id).unwrap()
}

fn state(world: &World, id: JobId) -> JobState {
    view(world, id).state
}

/// Frames, delivered, given up.
fn counts(world: &World, id: JobId) -> (u32, u32, u32) {
    let view = view(world, id);
    (view.frames, view.done, view.failed)
}

/// Frames of what a worker has in hand, oldest first.
fn frames(world: &World, worker: WorkerId) -> Vec<Vec<i32>> {
    let of = |orders: &[FrameOrder]| orders.iter().map(|order| order.frame).collect();
    world.hands[&worker]
        .iter()
        .map(|(_, orders)| of(orders))
        .collect()
}

/// One unit in each slot and nothing that lies ready.
fn nothing_ready(world: &mut World) {
    world.set(|farm| farm.queued_per_slot = 0);
}

fn error(worker: WorkerId, lease: LeaseKey, order: FrameOrder) -> FrameError {
    FrameError {
        lease,
        position: order.position,
        frame: order.frame,
        worker,
        kind: FrameErrorKind::Crash,
        message: "it crashed".into(),
        stdout: None,
        stderr: None,
        at: Timestamp(0),
    }
}

fn failed(world: &mut World, worker: WorkerId, lease: LeaseKey, order: FrameOrder) -> Effects {
    world.input(Input::Failed(Box::new(error(worker, lease, order))))
}

fn timed(worker: WorkerId, lease: LeaseKey, order: FrameOrder, timings: ResultTimings) -> Input {
    Input::Done(Box::new(FrameResult {
        lease,
        position: order.position,
        frame: order.frame,
        worker,
        build: build("3.4.1"),
        device: "CPU".into(),
        persistent: true,
        files: Vec::new(),
        stdout: blob(),
        stderr: blob(),
        timings,
        notes: Vec::new(),
        at: Timestamp(0),
    }))
}

fn invalid(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Invalid(_)))
}

/// Lets time pass while these workers are heard of.
fn wait(world: &mut World, workers: &[WorkerId], seconds: u64) {
    for _ in 0..seconds {
        world.pass(SECOND);
        for &worker in workers {
            world.heartbeat(worker);
        }
    }
}

/// A worker that is gone long enough for what it holds to be handed out again.
fn lapse(world: &mut World, worker: WorkerId) {
    world.cut(worker);
    world.pass(SECOND * 2);
}

/// What a worker that links anew is told to drop.
fn dropped(world: &mut World, worker: WorkerId) -> Vec<LeaseKey> {
    let before: Vec<LeaseKey> = world.hands[&worker].iter().map(|(key, _)| *key).collect();
    world.link(worker);
    let kept: Vec<LeaseKey> = world.hands[&worker].iter().map(|(key, _)| *key).collect();
    before
        .into_iter()
        .filter(|key| !kept.contains(key))
        .collect()
}

/// A worker `a` that hangs in the first of two frames, and a worker `b` that got a second lease of both.
fn doubled(attempts: u32) -> (World, JobId, WorkerId, WorkerId, LeaseKey, LeaseKey) {
    let mut world = World::new();
    nothing_ready(&mut world);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(with("1..4", |new| {
        new.settings.chunk = 2;
        new.settings.max_attempts = attempts;
    }));
    let first = world.start(a, 0);
    for _ in 0..2 {
        world.start(b, 0);
        wait(&mut world, &[a, b], 10);
        world.render(b, 0);
    }
    for _ in 0..60 {
        wait(&mut world, &[a, b], 1);
        if let Some((second, _)) = world.hands[&b].front().cloned() {
            assert_eq!(second.unit, first.unit);
            return (world, id, a, b, first, second);
        }
    }
    panic!("it was never doubled");
}

#[test]
fn a_frame_delivered_by_one_lease_is_not_waited_for_by_the_other() {
    let (mut world, id, a, b, first, second) = doubled(3);
    let now = view(&world, id);
    assert_eq!((now.leased, now.rendering), (2, 1));
    assert_eq!(world.render(b, 0), Some(Outcome::Accepted));
    // The first one renders that frame still.
    let now = view(&world, id);
    assert_eq!((now.leased, now.rendering), (1, 1));
    assert_eq!(world.render(a, 0), Some(Outcome::NotNeeded));
    assert_eq!(world.start(a, 0), first);
    world.orders.clear();
    assert_eq!(world.start(b, 0), second);
    assert_eq!(world.render(b, 0), Some(Outcome::Accepted));
    assert_eq!(world.orders, [(a, Order::Cancel(first))]);
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_frame_that_failed_under_one_lease_and_came_by_the_other_is_counted_once() {
    let (mut world, id, a, b, ..) = doubled(3);
    assert_eq!(world.fail(a, 0), Some(Outcome::Accepted));
    assert_eq!(view(&world, id).leased, 1);
    assert_eq!(world.render(b, 0), Some(Outcome::Accepted));
    assert_eq!(view(&world, id).leased, 1);
    assert_eq!(counts(&world, id), (4, 3, 0));
    assert_eq!(world.render(a, 0), Some(Outcome::Accepted));
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn when_nothing_of_a_unit_is_wanted_any_more_its_other_lease_ends() {
    let (mut world, id, a, b, first, _) = doubled(1);
    // Something else of the job stays open, so that it is not over with this unit.
    let other = world.submit(job("1"));
    assert_eq!(world.fail(b, 0), Some(Outcome::Accepted));
    assert_eq!(view(&world, id).leased, 1, "a frame less for the first one");
    world.orders.clear();
    assert_eq!(world.render(b, 0), Some(Outcome::Accepted));
    assert!(world.orders.contains(&(a, Order::Cancel(first))));
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Failed, (4, 3, 1))
    );
    world.finish();
    assert_eq!(state(&world, other), JobState::Done);
}

#[test]
fn a_frame_given_up_ends_the_other_lease_of_a_live_job() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let [a, b, c] = [1, 1, 1].map(|slots| world.join(slots));
    let id = world.submit(with("1..4", |new| new.settings.max_attempts = 1));
    let stuck = world.start(a, 0);
    world.start(c, 0);
    for _ in 0..2 {
        let Some(_) = world.hands[&b].front() else {
            break;
        };
        world.start(b, 0);
        wait(&mut world, &[a, b, c], 10);
        world.render(b, 0);
    }
    let mut second = None;
    for _ in 0..60 {
        wait(&mut world, &[a, b, c], 1);
        second = world.hands[&b].front().map(|(key, _)| *key);
        if second.is_some() {
            break;
        }
    }
    let unit = second.expect("it was never doubled").unit;
    let (owner, first) = if unit == stuck.unit {
        (a, stuck)
    } else {
        (c, world.hands[&c][0].0)
    };
    assert_eq!(first.unit, unit);
    world.orders.clear();
    world.fail(b, 0);
    assert!(world.orders.contains(&(owner, Order::Cancel(first))));
    assert!(world.hands[&owner].is_empty());
    assert_eq!(state(&world, id), JobState::Active);
    assert_eq!(counts(&world, id), (4, 2, 1));
}

#[test]
fn a_unit_is_held_twice_at_most_and_never_twice_at_one_worker() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    let key = world.hands[&a][0].0;
    let [b, c] = [1, 1].map(|slots| {
        let worker = world.join(slots);
        world.input(Input::Worker(worker, WorkerCommand::Pause));
        worker
    });
    let next = |by: u32| LeaseKey {
        attempt: Attempt(key.attempt.0 + by),
        ..key
    };
    let unit = |step: u16, index: u32| LeaseKey {
        unit: UnitId {
            job: id,
            step: StepIndex(step),
            index,
        },
        attempt: Attempt(9),
    };
    let mut holds = |key: LeaseKey, worker: WorkerId| {
        let mut scheduler = world.scheduler.clone();
        let held = hold(&mut scheduler, world.now, key, worker);
        assert_eq!(held, scheduler.leases.len() > world.scheduler.leases.len());
        if held {
            world.scheduler = scheduler;
        }
        held
    };
    assert!(!holds(next(1), a), "it has it already");
    assert!(!holds(key, b), "the very lease is another's");
    assert!(!holds(next(1), WorkerId(99)), "no such worker");
    assert!(!holds(unit(0, 2), b), "no such unit");
    assert!(!holds(unit(1, 0), b), "no such step");
    let gone = UnitId {
        job: JobId(99),
        ..key.unit
    };
    assert!(!holds(LeaseKey { unit: gone, ..key }, b), "no such job");
    assert!(holds(next(1), b), "a second one");
    assert!(!holds(next(2), c), "a third one");
    let (key, orders) = world.hands[&a][0].clone();
    world.deliver(a, key, orders[0]);
    let mut scheduler = world.scheduler.clone();
    assert!(!hold(&mut scheduler, world.now, next(3), c), "it is over");
}

#[test]
fn units_beyond_the_slots_of_a_worker_take_no_further_place() {
    let mut world = World::new();
    let a = world.join(2);
    let ids = [world.submit(job("1..9")), world.submit(job("1..9"))];
    world.input(Input::Worker(a, WorkerCommand::Block(Some(ids[0]))));
    world.input(Input::Worker(a, WorkerCommand::Pause));
    world.answer_recalls();
    assert!(world.hands[&a].is_empty());
    let mut scheduler = world.scheduler.clone();
    for (index, takes) in [(0, true), (1, true), (2, false), (3, false)] {
        assert_eq!(takes_a_place(&scheduler, a, ids[1]), takes, "{index}");
        assert!(takes_a_place(&scheduler, a, ids[0]), "another's");
        let key = LeaseKey {
            unit: UnitId {
                job: ids[1],
                step: StepIndex(0),
                index,
            },
            attempt: Attempt(9),
        };
        assert!(hold(&mut scheduler, world.now, key, a));
        assert_eq!(scheduler.jobs[&ids[1]].places, (index + 1).min(2));
    }
    assert!(!takes_a_place(&scheduler, WorkerId(99), ids[1]));
}

#[test]
fn each_unit_counts_for_its_part_of_the_slots() {
    for (units, slots, weight) in [
        (0, 1, 1000),
        (1, 1, 1000),
        (2, 1, 500),
        (1, 2, 1000),
        (2, 2, 1000),
        (3, 2, 666),
        (8, 2, 250),
        (1, 0, 0),
        (0, 0, 0),
    ] {
        assert_eq!(weight_milli(units, slots), weight, "{units} of {slots}");
    }
}

#[test]
fn what_a_job_has_beyond_its_part_and_what_its_units_take() {
    let mut world = World::new();
    nothing_ready(&mut world);
    world.join(2);
    let id = world.submit(chunked("1..14", 3));
    let mut entry = world.scheduler.jobs[&id].clone();
    assert_eq!(entry.free_units(), 3);
    (entry.target_milli, entry.credit_milli) = (700, -50);
    assert_eq!(entry.beyond_milli(1000), 350);
    (entry.target_milli, entry.credit_milli) = (1500, 250);
    assert_eq!(entry.beyond_milli(1000), -750);

    let settings = world.scheduler.settings();
    assert_eq!(settings.long_unit_ms, 1000);
    assert_eq!(entry.unit_us(), None);
    assert!(entry.is_long(settings), "nobody knows");
    for (frame_us, unit_us, long) in [
        (333_333, 999_999, false),
        (333_334, 1_000_002, false),
        (333_666, 1_000_998, false),
        (333_667, 1_001_001, true),
        (400_000, 1_200_000, true),
        (1_000_000, 3_000_000, true),
    ] {
        entry.cost.frame_us = Some(frame_us);
        assert_eq!(entry.unit_us(), Some(unit_us));
        assert_eq!(entry.is_long(settings), long, "{unit_us}");
    }
}

#[test]
fn what_a_frame_took_is_what_its_worker_tells_or_else_what_was_seen() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..9"));
    let cost = |world: &World| {
        let cost = world.scheduler.jobs[&id].cost;
        (cost.frame_us, cost.load_us)
    };
    // Neither told nor seen: nothing is learnt.
    let (key, orders) = world.hands[&a][0].clone();
    world.deliver(a, key, orders[0]);
    world.hands.get_mut(&a).unwrap().pop_front();
    assert_eq!(cost(&world), (None, None));
    let (key, orders) = world.hands[&a][0].clone();
    world.start(a, 0);
    world.pass(SECOND);
    let timings = ResultTimings {
        transfer_us: 5,
        load_us: 6,
        sync_us: 200,
        render_us: 3_000,
        write_us: 40_000,
        idle_us: 1,
    };
    world.input(timed(a, key, orders[0], timings));
    assert_eq!(cost(&world), (Some(43_200), Some(11)));

    let other = world.submit(job("1..2"));
    world.input(Input::Job(id, JobCommand::Cancel));
    world
        .hands
        .get_mut(&a)
        .unwrap()
        .retain(|(key, _)| key.unit.job == other);
    world.start(a, 0);
    world.pass(SECOND * 3);
    world.render(a, 0);
    assert_eq!(
        world.scheduler.jobs[&other].cost.frame_us,
        Some(3_000_000),
        "as seen"
    );
}

#[test]
fn a_report_names_a_frame_of_its_unit() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(chunked("11..14", 2));
    let (key, orders) = world.hands[&a][0].clone();
    let order = |position, frame| FrameOrder {
        position,
        frame,
        wanted: true,
    };
    for wrong in [order(0, 12), order(1, 11), order(2, 13), order(4, 15)] {
        let outcome = world.deliver(a, key, wrong);
        assert!(invalid(&outcome), "{wrong:?}: {outcome:?}");
        assert!(invalid(&failed(&mut world, a, key, wrong).outcome));
    }
    let Outcome::Refused(refusal) = world.deliver(a, key, order(2, 13)) else {
        panic!()
    };
    assert_eq!(
        refusal.to_string(),
        format!(
            "the report names frame 13 at position 2 of unit {}, which is not a frame of that unit",
            key.unit
        )
    );
    assert_eq!(counts(&world, id), (4, 0, 0));
    assert_eq!(world.deliver(a, key, orders[0]), Outcome::Accepted);
}

#[test]
fn reports_of_a_job_that_is_cancelled_or_gone_are_not_needed() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1"));
    let (key, orders) = world.hands[&a][0].clone();
    for command in [JobCommand::Cancel, JobCommand::Remove] {
        world.input(Input::Job(id, command));
        let effects = failed(&mut world, a, key, orders[0]);
        assert_eq!(
            (effects.outcome, effects.changes),
            (Outcome::NotNeeded, vec![])
        );
        assert_eq!(world.deliver(a, key, orders[0]), Outcome::NotNeeded);
    }
}

#[test]
fn only_the_holder_of_a_lease_speaks_of_it_and_of_each_failure_once() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(chunked("1..6", 3));
    let (key, orders) = world.hands[&a][0].clone();
    let count = |world: &World| {
        let frames = world.scheduler.frames(id, StepIndex(0), 0, 9);
        frames[0].failures
    };
    let effects = failed(&mut world, b, key, orders[0]);
    assert_eq!(
        (effects.outcome, effects.changes),
        (Outcome::NotNeeded, vec![])
    );
    for (worker, outcome) in [(b, Outcome::NotNeeded), (a, Outcome::Applied)] {
        let position = 0;
        let started = Input::Started {
            worker,
            key,
            position,
        };
        assert_eq!(world.input(started).outcome, outcome);
    }
    for input in [
        Input::Returned { worker: b, key },
        Input::Finished { worker: b, key },
    ] {
        assert_eq!(world.input(input).outcome, Outcome::NotNeeded);
        assert!(world.scheduler.leases.contains_key(&key));
    }
    assert_eq!(count(&world), 0);
    let effects = failed(&mut world, a, key, orders[0]);
    assert_eq!(effects.outcome, Outcome::Accepted);
    // The other frames of the unit are rendered under the same lease.
    let ends = |effects: &Effects| effects.changes.contains(&Change::LeaseEnded(key));
    assert!(!ends(&effects));
    let effects = failed(&mut world, a, key, orders[0]);
    assert_eq!(
        (effects.outcome, effects.changes),
        (Outcome::NotNeeded, vec![])
    );
    assert_eq!(count(&world), 1);
    let effects = failed(&mut world, a, key, orders[1]);
    assert!(!ends(&effects));
    let effects = failed(&mut world, a, key, orders[2]);
    assert!(ends(&effects), "nothing of it is left to report");
}

#[test]
fn where_order_matters_the_first_failure_ends_the_lease() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..4", |new| {
        new.steps[0].in_order = true;
        new.settings.max_attempts = 2;
    }));
    world.render(a, 0);
    let (key, orders) = world.hands[&a][0].clone();
    let effects = failed(&mut world, a, key, orders[0]);
    assert!(effects.changes.contains(&Change::LeaseEnded(key)));
    world.hands.get_mut(&a).unwrap().clear();
    world.pass(SECOND);
    assert_eq!(frames(&world, a), [[1, 2, 3, 4]]);
    // With the frame all that come after it are given up.
    world.render(a, 0);
    world.fail(a, 0);
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Failed, (4, 1, 3))
    );
}

#[test]
fn each_failure_doubles_the_wait_up_to_the_longest() {
    let mut world = World::new();
    world.set(|farm| {
        farm.hopeless_after = 1000;
        farm.retry_after_max_ms = 10_000;
    });
    let a = world.join(1);
    world.submit(with("1", |new| new.settings.max_attempts = 100));
    for seconds in [1, 2, 4, 8, 10, 10] {
        assert!(world.fail(a, 0).is_some(), "before {seconds} s");
        world.now += SECOND * seconds - MS;
        world.heartbeat(a);
        assert!(world.hands[&a].is_empty(), "{seconds} s");
        world.pass(MS);
        assert_eq!(world.hands[&a].len(), 1, "{seconds} s");
    }
    // However often it fails.
    for _ in 0..40 {
        assert!(world.fail(a, 0).is_some());
        world.now += SECOND * 10;
        world.heartbeat(a);
    }
    assert_eq!(world.hands[&a].len(), 1);
}

#[test]
fn a_worker_is_blocked_at_the_third_failure_without_a_frame_in_between() {
    let mut world = World::new();
    let (bad, good) = (world.join(1), world.join(1));
    let id = world.submit(job("1..40"));
    let blocked = |world: &World| view(world, id).blocked;
    for _ in 0..2 {
        world.fail(bad, 0);
        world.fail(bad, 0);
        assert_eq!(blocked(&world), []);
        assert_eq!(world.render(bad, 0), Some(Outcome::Accepted));
    }
    for failures in 1..=3 {
        assert_eq!(blocked(&world), []);
        world.fail(bad, 0);
        assert_eq!(blocked(&world).len(), usize::from(failures == 3));
    }
    // The last one that is left is never blocked.
    for _ in 0..6 {
        if world.fail(good, 0).is_none() {
            wait(&mut world, &[good], 5);
        }
    }
    assert_eq!(blocked(&world), [bad]);
    // Unblocked it begins anew.
    world.input(Input::Worker(bad, WorkerCommand::Unblock(Some(id))));
    world.heartbeat(bad);
    world.fail(bad, 0);
    assert_eq!(blocked(&world), []);
}

#[test]
fn frames_that_follow_a_frame_that_was_given_up_are_given_up_with_it() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(with("1..4", |new| {
        new.settings.chunk = 2;
        new.settings.max_attempts = 1;
        let mut second = new.steps[0].clone();
        second.by_frame = true;
        second.frames = "3..4".parse().unwrap();
        new.steps.push(second);
        let mut third = new.steps[0].clone();
        third.frames = "4".parse().unwrap();
        new.steps.push(third);
    }));
    assert_eq!(frames(&world, a), [[1, 2]]);
    world.render(a, 0);
    world.render(a, 0);
    assert_eq!(frames(&world, a), [[3, 4]]);
    world.render(a, 0);
    let (key, orders) = world.hands[&a][0].clone();
    let effects = failed(&mut world, a, key, orders[0]);
    world
        .hands
        .get_mut(&a)
        .unwrap()
        .retain(|(held, _)| *held != key);
    let follower = LeaseKey {
        unit: UnitId {
            job: id,
            step: StepIndex(1),
            index: 0,
        },
        ..key
    };
    let given_up: Vec<&Change> = effects
        .changes
        .iter()
        .filter(|change| matches!(change, Change::FrameGivenUp(..)))
        .collect();
    assert_eq!(
        given_up,
        [
            &Change::FrameGivenUp(key, 3),
            &Change::FrameGivenUp(follower, 1)
        ]
    );
    assert_eq!(counts(&world, id), (7, 3, 2));
    // What does not follow it, in its unit and in the next step, is rendered.
    assert_eq!(frames(&world, a), [[3]]);
    world.render(a, 0);
    assert_eq!(frames(&world, a), [[4]]);
    world.render(a, 0);
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Failed, (7, 5, 2))
    );
    world.restart();
    world.link(a);
    world.input(Input::Job(id, JobCommand::Retry));
    world.finish();
    assert_eq!(counts(&world, id), (7, 7, 0));
}

#[test]
fn a_first_step_has_nothing_to_follow() {
    let mut world = World::new();
    world.join(1);
    let id = world.submit(with("1..3", |new| new.steps[0].by_frame = true));
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_step_that_follows_as_a_whole_is_rendered_whatever_failed_before_it() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..3", |new| {
        new.settings.max_attempts = 1;
        new.steps.push(new.steps[0].clone());
    }));
    world.fail(a, 0);
    for _ in 0..5 {
        assert_eq!(world.render(a, 0), Some(Outcome::Accepted));
    }
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Failed, (6, 5, 1))
    );
}

#[test]
fn a_job_asks_for_the_device_of_the_step_it_is_at() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1", |new| {
        let mut second = new.steps[0].clone();
        let StepKind::Render(overrides) = &mut second.kind;
        overrides.device = Device::Gpu;
        new.steps.push(second);
    }));
    assert_eq!(world.render(a, 0), Some(Outcome::Accepted));
    assert_eq!(world.hands[&a].len(), 0);
    let why = world.scheduler.why_job(world.clock(), id).unwrap();
    assert_eq!(
        why.to_string(),
        "needs a GPU, which the only worker does not have"
    );
    world.restart();
    world.link(a);
    assert_eq!(world.hands[&a].len(), 0);
}

#[test]
fn a_late_result_makes_a_failed_job_done() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(with("1", |new| new.settings.max_attempts = 1));
    let (key, orders) = world.hands[&a][0].clone();
    lapse(&mut world, a);
    world.fail(b, 0);
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Failed, (1, 0, 1))
    );
    assert_eq!(world.deliver(a, key, orders[0]), Outcome::Accepted);
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Done, (1, 1, 0))
    );
}

#[test]
fn what_was_handed_out_again_names_only_what_is_still_wanted() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..3", |new| {
        new.settings.chunk = 3;
        new.settings.max_attempts = 1;
    }));
    world.start(a, 0);
    assert_eq!(view(&world, id).rendering, 1);
    world.render(a, 0);
    let now = view(&world, id);
    assert_eq!((now.leased, now.rendering), (2, 0));
    world.fail(a, 0);
    let (key, _) = world.hands.get_mut(&a).unwrap().pop_front().unwrap();
    world.input(Input::Returned { worker: a, key });
    assert_eq!(frames(&world, a), [[3]]);
    world.render(a, 0);
    assert_eq!(counts(&world, id), (3, 2, 1));
}

#[test]
fn another_chunk_leaves_what_is_over_or_was_handed_out_in_its_unit() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(chunked("1..12", 2));
    let chunk = |chunk| JobEdit {
        chunk: Some(chunk),
        ..JobEdit::default()
    };
    let layout = |world: &World| {
        let step = &world.scheduler.jobs[&id].steps[0];
        let units = 0..step.taken.len();
        let layout = units.map(|unit| step.positions(unit).len());
        layout.collect::<Vec<usize>>()
    };
    // What is handed out.
    world.edit(id, chunk(4));
    assert_eq!(layout(&world), [2, 4, 4, 2]);
    // What is over.
    world.start(a, 0);
    world.input(Input::Job(id, JobCommand::Pause));
    world.render(a, 0);
    world.render(a, 0);
    assert!(world.hands[&a].is_empty());
    world.edit(id, chunk(3));
    assert_eq!(layout(&world), [2, 3, 3, 3, 1]);
    world.input(Input::Job(id, JobCommand::Resume));
    assert_eq!(frames(&world, a), [[3, 4, 5]]);
    // What has failed, and was given back.
    world.fail(a, 0);
    let (key, _) = world.hands.get_mut(&a).unwrap().pop_front().unwrap();
    world.input(Input::Returned { worker: a, key });
    world.edit(id, chunk(100));
    assert_eq!(layout(&world)[..2], [2, 3]);
    world.restart();
    world.finish();
    assert_eq!(counts(&world, id), (12, 12, 0));
}

#[test]
fn what_lapsed_and_nobody_took_is_taken_up_again_by_who_had_it() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    lapse(&mut world, a);
    assert!(world.scheduler.leases.is_empty());
    let held = world.hands[&a].clone();
    assert_eq!(dropped(&mut world, a), []);
    assert_eq!(world.hands[&a], held);
    assert_eq!(world.scheduler.leases.len(), 2);
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn what_lapsed_is_dropped_where_it_is_not_to_be_any_more() {
    let lapsed = |change: &dyn Fn(&mut World, WorkerId, JobId)| {
        let mut world = World::new();
        nothing_ready(&mut world);
        let a = world.join(1);
        let id = world.submit(chunked("1..2", 2));
        let key = world.hands[&a][0].0;
        lapse(&mut world, a);
        change(&mut world, a, id);
        dropped(&mut world, a) == [key]
    };
    assert!(!lapsed(&|_, _, _| ()));
    let tell = |command: fn(JobId) -> WorkerCommand| {
        lapsed(&|world: &mut World, worker, id| {
            world.input(Input::Worker(worker, command(id)));
        })
    };
    assert!(tell(|_| WorkerCommand::Block(None)), "a blocked worker");
    assert!(tell(|id| WorkerCommand::Block(Some(id))), "blocked for it");
    assert!(!tell(|_| WorkerCommand::Pause), "it may finish it");
    for command in [JobCommand::Cancel, JobCommand::Remove] {
        assert!(lapsed(&|world: &mut World, _, id| {
            world.input(Input::Job(id, command.clone()));
        }));
    }
    assert!(
        lapsed(&|world: &mut World, _, _| {
            world.join(1);
        }),
        "another has it"
    );
    assert!(
        lapsed(&|world: &mut World, _, id| {
            // Another had it and gave it back; it may not have it again, so nobody does.
            let other = world.join(1);
            let key = world.hands[&other][0].0;
            let block = WorkerCommand::Block(Some(id));
            world.hands.get_mut(&other).unwrap().clear();
            world.input(Input::Returned { worker: other, key });
            world.input(Input::Worker(other, block));
            assert!(world.scheduler.leases.is_empty());
        }),
        "another had it"
    );
}

#[test]
fn what_failed_before_it_lapsed_is_not_taken_up_again() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(chunked("1..2", 2));
    let (key, orders) = world.hands[&a][0].clone();
    failed(&mut world, a, key, orders[0]);
    lapse(&mut world, a);
    assert_eq!(dropped(&mut world, a), [key]);
    // It was handed out anew, under the next attempt.
    let next = Attempt(key.attempt.0 + 1);
    assert_eq!(world.hands[&a][0].0.attempt, next);
}

#[test]
fn a_heartbeat_takes_up_what_is_rendered_and_gives_back_what_only_lies_there() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1"));
    let (key, _) = world.hands[&a][0].clone();
    world.cut(a);
    world.pass(SECOND * 2);
    // Its link is heard of again, but it is not to get the frame anew meanwhile.
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let say = |world: &mut World, rendering| {
        world.input(Input::Heartbeat {
            worker: a,
            holds: vec![(key, rendering)],
        })
    };
    let effects = say(&mut world, None);
    assert_eq!(effects.orders, [(a, Order::Recall(key))]);
    assert!(world.scheduler.leases.is_empty());
    let effects = say(&mut world, Some(0));
    assert_eq!(effects.orders, []);
    assert_eq!(view(&world, id).rendering, 1);
    let effects = say(&mut world, None);
    assert_eq!(effects.orders, []);
    assert_eq!(
        (view(&world, id).rendering, view(&world, id).leased),
        (0, 1)
    );
    let effects = say(&mut world, None);
    assert!(
        effects.jobs.is_empty() && effects.workers.is_empty(),
        "no news"
    );
    world.input(Input::Job(id, JobCommand::Cancel));
    for rendering in [None, Some(0)] {
        let effects = say(&mut world, rendering);
        assert_eq!(effects.orders, [(a, Order::Cancel(key))]);
    }
}

#[test]
fn a_heartbeat_is_as_good_as_a_link_and_as_a_word() {
    let mut world = World::new();
    let a = world.join(1);
    let beat = |world: &mut World| {
        let holds = Vec::new();
        world.input(Input::Heartbeat { worker: a, holds })
    };
    let linked = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        (view.linked, view.silent_ms)
    };
    world.pass(SECOND);
    assert_eq!(linked(&world), (true, Some(1000)));
    assert!(beat(&mut world).workers.is_empty(), "nothing new");
    assert_eq!(linked(&world), (true, Some(0)));
    world.cut(a);
    assert_eq!(linked(&world), (false, None));
    assert!(beat(&mut world).workers.contains(&a));
    assert_eq!(linked(&world), (true, Some(0)));
    // Silent for too long, and heard of again.
    world.pass(SECOND * 15);
    world.submit(job("1"));
    assert_eq!(world.scheduler.leases.len(), 1, "exactly that long is not");
    world.input(Input::Job(JobId(1), JobCommand::Remove));
    world.pass(MS);
    world.submit(job("1"));
    assert!(world.scheduler.leases.is_empty());
    assert!(beat(&mut world).workers.contains(&a));
    assert_eq!(world.scheduler.leases.len(), 1);
}

#[test]
fn a_worker_silent_for_too_long_keeps_its_link_until_it_closes() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    let linked = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.linked
    };
    world.pass(SECOND * 90 - MS);
    assert_eq!(world.scheduler.leases.len(), 1);
    world.pass(MS);
    assert_eq!(world.scheduler.leases.len(), 0);
    assert!(linked(&world));
    world.heartbeat(a);
    assert_eq!(world.scheduler.leases.len(), 1, "it is still at hand");
    world.cut(a);
    world.pass(SECOND / 2 - MS);
    assert_eq!(world.scheduler.leases.len(), 1);
    world.pass(MS);
    assert_eq!(world.scheduler.leases.len(), 0);
    assert!(!linked(&world));
}

#[test]
fn what_a_worker_never_names_is_taken_back_after_twelve_seconds() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    let key = world.hands[&a][0].0;
    let beat = |world: &mut World| {
        let holds = Vec::new();
        world.input(Input::Heartbeat { worker: a, holds }).changes
    };
    assert_eq!(beat(&mut world), []);
    world.now += SECOND * 12;
    assert_eq!(beat(&mut world), [], "exactly that long is not too long");
    world.now += MS;
    assert_eq!(beat(&mut world)[0], Change::LeaseEnded(key));
}

#[test]
fn a_unit_lost_seven_times_is_tried_again_and_not_after_the_eighth() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("5..6"));
    for lost in 1..=8 {
        let at = world.hands[&a]
            .iter()
            .position(|(key, _)| key.unit.index == 0)
            .unwrap();
        world.start(a, at);
        world.hands.get_mut(&a).unwrap().clear();
        world.link(a);
        assert_eq!(counts(&world, id), (2, 0, u32::from(lost == 8)), "{lost}");
    }
    let frames = world.scheduler.frames(id, StepIndex(0), 0, 9);
    assert_eq!((frames[0].failed, frames[0].failures), (true, 1));
    assert!(!frames[1].failed);
}

#[test]
fn who_got_something_meanwhile_has_not_waited_so_long() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1..9"));
    let starved = |world: &World| world.scheduler.jobs[&id].starved;
    wait(&mut world, &[a], 60);
    world.render(a, 0);
    wait(&mut world, &[a], 119);
    assert!(!starved(&world));
    wait(&mut world, &[a], 1);
    assert!(starved(&world));
    world.render(a, 0);
    assert!(!starved(&world));
}

#[test]
fn a_paused_worker_is_asked_once_for_what_has_not_begun() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..4"));
    world.start(a, 0);
    let ready = world.hands[&a][1].0;
    let mut tell = |command| world.input(Input::Worker(a, command)).orders;
    assert_eq!(
        tell(WorkerCommand::Pause),
        [
            (a, Order::Mode(WorkerMode::Paused)),
            (a, Order::Recall(ready))
        ]
    );
    assert_eq!(
        tell(WorkerCommand::Drain),
        [(a, Order::Mode(WorkerMode::Draining))],
        "it was asked already"
    );
    assert_eq!(
        tell(WorkerCommand::Resume),
        [(a, Order::Mode(WorkerMode::Active))]
    );
}

#[test]
fn a_drained_worker_that_links_works_again_and_a_paused_one_stays_paused() {
    for (command, mode, changes) in [
        (WorkerCommand::Drain, WorkerMode::Active, 1),
        (WorkerCommand::Pause, WorkerMode::Paused, 0),
        (WorkerCommand::Block(None), WorkerMode::Blocked, 0),
        (WorkerCommand::Resume, WorkerMode::Active, 0),
    ] {
        let mut world = World::new();
        let a = world.join(1);
        world.input(Input::Worker(a, command));
        world.cut(a);
        let linked = world.input(Input::Linked {
            worker: a,
            facts: super::world::facts(1, "3.4.1"),
            holds: Vec::new(),
        });
        let drop = Vec::new();
        assert_eq!(linked.outcome, Outcome::Linked { mode, drop });
        assert_eq!(linked.changes.len(), changes, "{mode:?}");
        let record = world.scheduler.worker(world.clock(), a).unwrap().record;
        assert_eq!(record.mode, mode);
    }
}

#[test]
fn other_slots_are_other_blenders_and_other_tags_are_not() {
    let mut world = World::new();
    let a = world.join(2);
    let id = world.submit(job("1..9"));
    world.start(a, 0);
    let loaded = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.loaded
    };
    assert_eq!(loaded(&world), [id]);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(loaded(&world), [id]);
    world.say(a, |facts| facts.slots = 3);
    assert_eq!(loaded(&world), []);
    // What was open is open after a link that was mended, and not when the program began anew.
    world.start(a, 1);
    world.cut(a);
    world.link(a);
    assert_eq!(loaded(&world), [id]);
    world.hands.get_mut(&a).unwrap().clear();
    world.cut(a);
    world.link(a);
    assert_eq!(loaded(&world), []);
}

#[test]
fn the_scenes_opened_last_are_open_one_for_each_slot() {
    let mut world = World::new();
    let a = world.join(2);
    let ids = [1, 2, 3].map(|_| world.submit(job("1..30")));
    let loaded = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.loaded
    };
    for (at, open) in [
        (0, vec![ids[0]]),
        (1, vec![ids[1], ids[0]]),
        (0, vec![ids[0], ids[1]]),
        (2, vec![ids[2], ids[0]]),
    ] {
        let key = LeaseKey {
            unit: UnitId {
                job: ids[at],
                step: StepIndex(0),
                index: 20,
            },
            attempt: Attempt(world.now.as_secs() as u32 + 1),
        };
        let now = world.now;
        assert!(hold(&mut world.scheduler, now, key, a));
        let started = Input::Started {
            worker: a,
            key,
            position: 20,
        };
        world.scheduler.apply(world.clock(), started);
        assert_eq!(loaded(&world), open);
        world.now += SECOND;
        let returned = Input::Returned { worker: a, key };
        world.scheduler.apply(world.clock(), returned);
    }
}

#[test]
fn who_waits_frame_by_frame_for_a_job_that_is_gone_waits_in_vain() {
    let mut world = World::new();
    let a = world.join(1);
    let first = world.submit(job("1..3"));
    world.render(a, 0);
    let after = vec![After {
        job: first,
        frames: true,
    }];
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let second = world.submit(with("1..3", |new| new.settings.after = after));
    assert_eq!(world.scheduler.jobs[&second].free_units(), 1);
    world.input(Input::Job(first, JobCommand::Remove));
    assert_eq!(world.scheduler.jobs[&second].free_units(), 0);
    world.input(Input::Worker(a, WorkerCommand::Resume));
    assert!(
        world.hands[&a]
            .iter()
            .all(|(key, _)| key.unit.job != second)
    );
    let why = world.scheduler.why_job(world.clock(), second).unwrap();
    assert!(!why.reasons.is_empty());
    assert_eq!(why.reasons.iter().map(Reason::code).count(), 1, "{why}");
}

#[test]
fn who_does_not_wait_for_a_job_any_more_has_nothing_to_do_with_its_end() {
    let mut world = World::new();
    let a = world.join(1);
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let second = world.submit(with("1", |new| new.settings.after = after));
    world.edit(
        second,
        JobEdit {
            after: Some(Vec::new()),
            ..JobEdit::default()
        },
    );
    world.render(a, 0);
    assert_eq!(state(&world, first), JobState::Done);
    let effects = world.input(Input::Job(first, JobCommand::Remove));
    assert_eq!(effects.changes, [Change::JobRemoved(first)]);
    assert!(!effects.jobs.contains(&second));
}

#[test]
fn a_restarted_manager_knows_how_many_frames_each_job_had() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1..9"));
    for _ in 0..3 {
        world.render(a, 0);
    }
    world.input(Input::Job(id, JobCommand::Pause));
    world.answer_recalls();
    let handed_out = |world: &World| world.scheduler.jobs[&id].dispatched;
    assert_eq!(handed_out(&world), 4);
    world.restart();
    // Three delivered, and one handed out and given back.
    assert_eq!(handed_out(&world), 4);
}

#[test]
fn a_restarted_manager_keeps_what_workers_hold_for_fifteen_seconds() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    world.restart();
    world.pass(SECOND * 15 - MS);
    assert_eq!(world.scheduler.leases.len(), 1);
    world.pass(MS);
    assert_eq!(world.scheduler.leases.len(), 0);
    assert_eq!(dropped(&mut world, a), [], "and takes it back after that");
}
