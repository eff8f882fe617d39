//! Second leases at the end of a job: when they pay, and for whom they are not.
//!
//! Frames take ten seconds and a second lease has to gain five: who renders for 25 s is expected to take as long
//! again as it is late, another worker ten.

use std::time::Duration;

use tessera_model::{JobId, Share, WorkerId};

use super::world::{World, job, with};
use crate::pace::Speed;
use crate::{Input, NewJob, Order, WorkerCommand, books};

const SECOND: Duration = Duration::from_secs(1);

fn measured(world: &mut World, id: JobId, frame: Duration) {
    let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
    cost.frame_us = Some(frame.as_micros() as u64);
}

/// A worker that began the only frame of a job, and an idle one.
fn stuck() -> (World, WorkerId, WorkerId, JobId) {
    stuck_with(&[1], 1, job("1"))
}

/// The first worker of these begins what it has of a job; one more is as good as idle.
fn stuck_with(slots: &[u32], thief: u32, new: NewJob) -> (World, WorkerId, WorkerId, JobId) {
    let mut world = World::new();
    let workers: Vec<WorkerId> = slots.iter().map(|&slots| world.join(slots)).collect();
    let thief = world.join(thief);
    let id = world.submit(new);
    measured(&mut world, id, SECOND * 10);
    world.start(workers[0], 0);
    (world, workers[0], thief, id)
}

/// The second at which a worker is given something.
fn given_at(world: &mut World, worker: WorkerId, until: u64) -> Option<u64> {
    let before = world.hands[&worker].len();
    for _ in 0..until {
        for worker in world.linked.clone() {
            world.heartbeat(worker);
        }
        world.pass(SECOND);
        if world.hands[&worker].len() > before {
            return Some(world.now.as_secs());
        }
    }
    None
}

#[test]
fn it_is_given_when_it_gains_enough_and_not_before() {
    let (mut world, slow, thief, _) = stuck();
    assert_eq!(given_at(&mut world, thief, 60), Some(25));
    let (key, _) = world.hands[&thief][0].clone();
    assert_eq!((key.unit.index, key.attempt.0), (0, 2));
    assert_eq!(world.hands[&slow].len(), 1);
}

#[test]
fn how_much_it_has_to_gain_can_be_set() {
    for (gain_ms, second) in [(1, Some(21)), (1000, Some(21)), (8000, Some(28)), (0, None)] {
        let (mut world, _, thief, _) = stuck();
        world.set(|farm| farm.duplicate_gain_ms = gain_ms);
        assert_eq!(given_at(&mut world, thief, 60), second, "{gain_ms}");
    }
}

#[test]
fn a_faster_worker_gains_more() {
    let (mut world, _, thief, _) = stuck();
    world.scheduler.workers.get_mut(&thief).unwrap().speed = Speed(2000);
    assert_eq!(given_at(&mut world, thief, 60), Some(20));
}

#[test]
fn who_has_the_scene_open_need_not_open_it() {
    for (open, second) in [(false, 28), (true, 25)] {
        let (mut world, _, thief, id) = stuck();
        let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
        cost.load_us = Some(3_000_000);
        if open {
            books::loaded(&mut world.scheduler, thief, id);
        }
        assert_eq!(given_at(&mut world, thief, 60), Some(second));
    }
}

#[test]
fn it_is_looked_for_again_every_second_by_itself() {
    let mut world = World::new();
    world.set(|farm| farm.suspect_after_ms = 60_000);
    let (slow, thief) = (world.join(1), world.join(1));
    let id = world.submit(job("1"));
    measured(&mut world, id, SECOND * 10);
    world.start(slow, 0);
    for second in 0..25 {
        assert!(world.hands[&thief].is_empty());
        let due = world.scheduler.next_tick(world.clock());
        assert_eq!(due, Some(SECOND), "{second}");
        world.pass(SECOND);
    }
    assert_eq!(world.hands[&thief].len(), 1);
}

#[test]
fn it_is_not_looked_for_more_often_than_every_second() {
    let (mut world, _, thief, _) = stuck();
    world.set(|farm| farm.suspect_after_ms = 60_000);
    world.pass(Duration::from_millis(24_500));
    world.pass(Duration::from_millis(999));
    assert!(world.hands[&thief].is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.hands[&thief].len(), 1);
}

#[test]
fn a_worker_that_becomes_idle_is_looked_at_at_once() {
    let (mut world, slow, thief, _) = stuck();
    let other = world.submit(job("1"));
    assert_eq!(world.hands[&thief].len(), 1);
    world.start(thief, 0);
    for _ in 0..24 {
        for worker in [slow, thief] {
            world.heartbeat(worker);
        }
        world.pass(SECOND);
    }
    world.pass(Duration::from_millis(700));
    world.pass(Duration::from_millis(500));
    assert_eq!(world.hands[&thief][0].0.unit.job, other);
    world.render(thief, 0);
    assert_eq!(world.hands[&thief].len(), 1, "of the late one");
}

#[test]
fn of_two_late_ones_it_is_the_later_one() {
    for late in [0, 1] {
        let mut world = World::new();
        let workers = [world.join(1), world.join(1)];
        world.set(|farm| farm.suspect_after_ms = 60_000);
        let id = world.submit(job("1..2"));
        measured(&mut world, id, SECOND * 10);
        world.start(workers[late], 0);
        world.pass(SECOND * 3);
        world.start(workers[1 - late], 0);
        world.pass(SECOND * 30);
        let thief = world.join(1);
        let unit = world.hands[&workers[late]][0].0.unit;
        assert_eq!(world.hands[&thief][0].0.unit, unit);
    }
}

#[test]
fn there_is_one_second_lease_and_no_third() {
    let (mut world, _, thief, _) = stuck();
    let other = world.join(1);
    assert_eq!(given_at(&mut world, thief, 60), Some(25));
    assert_eq!(given_at(&mut world, other, 60), None);
}

#[test]
fn a_job_at_its_cap_gets_none() {
    let (mut world, _, thief, _) = stuck();
    world.set(|farm| farm.cap_percent = 50);
    assert_eq!(given_at(&mut world, thief, 40), None);
    world.set(|farm| farm.cap_percent = 51);
    assert_eq!(given_at(&mut world, thief, 1), Some(41));
}

#[test]
fn a_worker_without_what_the_job_needs_gets_none() {
    let mut world = World::new();
    let slow = world.join(1);
    world.say(slow, |facts| facts.tags = vec!["fast".into()]);
    let thief = world.join(1);
    let id = world.submit(with("1", |new| new.settings.tags = vec!["fast".into()]));
    measured(&mut world, id, SECOND * 10);
    world.start(slow, 0);
    assert_eq!(given_at(&mut world, thief, 40), None);
    world.say(thief, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(given_at(&mut world, thief, 1), Some(41));
}

#[test]
fn a_worker_that_is_blocked_for_the_job_gets_none() {
    let (mut world, _, thief, id) = stuck();
    world.input(Input::Worker(thief, WorkerCommand::Block(Some(id))));
    assert_eq!(given_at(&mut world, thief, 40), None);
    world.input(Input::Worker(thief, WorkerCommand::Unblock(Some(id))));
    assert_eq!(given_at(&mut world, thief, 1), Some(41));
}

#[test]
fn a_user_at_its_limit_gets_none() {
    let (mut world, _, thief, _) = stuck();
    let limit = |slots| {
        move |farm: &mut tessera_model::FarmSettings| {
            let slots_max = Some(slots);
            let share = Share {
                slots_max,
                ..Share::default()
            };
            farm.users.insert("ada".parse().unwrap(), share);
        }
    };
    world.set(limit(1));
    assert_eq!(given_at(&mut world, thief, 40), None);
    world.set(limit(2));
    assert_eq!(given_at(&mut world, thief, 1), Some(41));
}

#[test]
fn who_renders_another_unit_of_the_job_gets_none() {
    let (mut world, _, thief, _) = stuck_with(&[1], 2, job("1..2"));
    assert_eq!(world.hands[&thief].len(), 1);
    world.start(thief, 0);
    assert_eq!(given_at(&mut world, thief, 40), None);
}

#[test]
fn an_empty_slot_is_enough_whatever_the_others_render() {
    let (mut world, _, thief, _) = stuck_with(&[1], 2, job("1"));
    let other = world.submit(job("1"));
    assert_eq!(world.hands[&thief][0].0.unit.job, other);
    world.start(thief, 0);
    assert_eq!(given_at(&mut world, thief, 60), Some(25));
    assert_eq!(given_at(&mut world, thief, 60), None);
}

#[test]
fn a_worker_with_all_slots_full_gets_none() {
    let (mut world, _, thief, _) = stuck();
    world.submit(job("1"));
    world.start(thief, 0);
    assert_eq!(given_at(&mut world, thief, 40), None);
}

#[test]
fn a_job_with_units_left_gets_none() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (slow, thief) = (world.join(1), world.join(1));
    let id = world.submit(job("1..2"));
    measured(&mut world, id, SECOND * 10);
    world.start(slow, 0);
    world.fail(thief, 0);
    // It failed there and the other one could have it.
    assert_eq!(given_at(&mut world, thief, 40), None);
    assert_eq!(world.scheduler.jobs[&id].free_units(), 1);
}

#[test]
fn what_failed_at_a_worker_does_not_come_back_to_it() {
    let mut world = World::new();
    let (thief, slow) = (world.join(1), world.join(1));
    let id = world.submit(job("1"));
    measured(&mut world, id, SECOND * 10);
    world.fail(thief, 0);
    assert_eq!(given_at(&mut world, slow, 2), Some(1));
    world.start(slow, 0);
    assert_eq!(given_at(&mut world, thief, 60), None);
}

#[test]
fn a_unit_with_a_frame_that_backs_off_waits_until_that_is_over() {
    let mut world = World::new();
    world.set(|farm| farm.retry_after_ms = 40_000);
    let (slow, thief) = (world.join(1), world.join(1));
    let id = world.submit(with("1..2", |new| new.settings.chunk = 2));
    measured(&mut world, id, SECOND * 10);
    world.fail(slow, 0);
    world.start(slow, 0);
    assert_eq!(given_at(&mut world, thief, 60), Some(40));
}

#[test]
fn what_lies_ready_and_is_not_asked_back_is_nobody_elses() {
    let (mut world, slow, thief) = (World::new(), WorkerId(1), WorkerId(2));
    assert_eq!((world.join(1), world.join(1)), (slow, thief));
    let id = world.submit(job("1"));
    measured(&mut world, id, SECOND * 10);
    assert_eq!(given_at(&mut world, thief, 60), None);
    assert!(
        !world
            .orders
            .iter()
            .any(|(_, order)| matches!(order, Order::Recall(_)))
    );
}

#[test]
fn what_was_asked_back_and_does_not_come_counts_as_begun() {
    let mut world = World::new();
    world.set(|farm| farm.suspect_after_ms = 60_000);
    let slow = world.join(1);
    let id = world.submit(job("1..2"));
    measured(&mut world, id, SECOND * 10);
    let thief = world.join(1);
    let recalled = world.hands[&slow][1].0;
    assert!(world.orders.contains(&(slow, Order::Recall(recalled))));
    world.cut(thief);
    world.link(thief);
    for _ in 0..24 {
        world.pass(SECOND);
    }
    assert!(world.hands[&thief].is_empty());
    world.pass(SECOND);
    assert_eq!(world.hands[&thief][0].0.unit, recalled.unit);
}

#[test]
fn what_lies_at_a_silent_worker_counts_as_begun_when_it_was_heard_of_last() {
    let mut world = World::new();
    let (silent, thief, other) = (world.join(1), world.join(1), world.join(1));
    let id = world.submit(job("1"));
    measured(&mut world, id, SECOND * 10);
    assert_eq!(world.hands[&silent].len(), 1);
    let given = |world: &World| world.hands[&thief].len() + world.hands[&other].len();
    for _ in 0..24 {
        world.heartbeat(thief);
        world.heartbeat(other);
        world.pass(SECOND);
    }
    assert_eq!(given(&world), 0);
    world.pass(SECOND);
    assert_eq!(given(&world), 1);
}
