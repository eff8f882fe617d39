//! Leases in the books: two of one unit, places, what a job holds beyond its part.

use tessera_model::{Split, SplitBy};

use super::*;
use crate::pace::Speed;

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
        let held = hold(&mut scheduler, world.now, key, worker, 1);
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
    assert!(
        !hold(&mut scheduler, world.now, next(3), c, 1),
        "it is over"
    );
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
        assert!(hold(&mut scheduler, world.now, key, a, 1));
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
fn what_a_range_of_samples_took_besides_them_is_kept_apart() {
    let mut world = World::new();
    let a = world.join(1);
    world.join(1);
    let id = world.submit(with("1", |new| {
        new.steps[0].split = Some(Split {
            width: 1920,
            height: 1080,
            samples: 128,
            first: 0,
            grows_to: None,
            noise: None,
            by: SplitBy::Samples,
        });
    }));
    let (key, orders) = world.hands[&a][0].clone();
    world.start(a, 0);
    let timings = ResultTimings {
        sync_us: 200,
        render_us: 8_000,
        write_us: 40_000,
        ..ResultTimings::default()
    };
    world.input(timed(a, key, orders[0], timings));
    let job = &world.scheduler.jobs[&id];
    // It had 8 of the 128.
    assert_eq!(
        (job.cost.frame_us, job.cost.range_us),
        (Some(128_000), 40_200)
    );
    let expected = job.expect_us(key.unit.step, 16, Speed::default());
    assert_eq!(expected, Some(16_000 + 40_200));
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
