//! What is asked back, from whom and for whom, and what is ended.

use std::time::Duration;

use tessera_model::{JobId, LeaseKey, Share, UserName, WorkerId};

use super::world::{World, job, prioritised, with};
use crate::books::set_recalled;
use crate::{Input, JobCommand, NewJob, Order, WorkerCommand, line};

const SECOND: Duration = Duration::from_secs(1);

fn tagged(frames: &str) -> NewJob {
    with(frames, |new| new.settings.tags = vec!["fast".into()])
}

fn preempting(frames: &str, priority: u32) -> NewJob {
    with(frames, |new| {
        new.settings.priority = priority;
        new.settings.preempt = true;
    })
}

fn measured(world: &mut World, id: JobId, frame: Duration) {
    let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
    cost.frame_us = Some(frame.as_micros() as u64);
}

fn keys(world: &World, worker: WorkerId) -> Vec<LeaseKey> {
    world.hands[&worker].iter().map(|(key, _)| *key).collect()
}

/// Jobs of what a worker has in hand, oldest first.
fn hands(world: &World, worker: WorkerId) -> Vec<JobId> {
    keys(world, worker).iter().map(|key| key.unit.job).collect()
}

/// What was asked back since this was asked last.
fn recalled(world: &mut World) -> Vec<(WorkerId, LeaseKey)> {
    let orders = std::mem::take(&mut world.orders);
    let recalled = orders
        .into_iter()
        .filter_map(|(worker, order)| match order {
            Order::Recall(key) => Some((worker, key)),
            _ => None,
        });
    recalled.collect()
}

fn cancelled(world: &mut World) -> Vec<LeaseKey> {
    let orders = std::mem::take(&mut world.orders);
    let cancelled = orders.into_iter().filter_map(|(_, order)| match order {
        Order::Cancel(key) => Some(key),
        _ => None,
    });
    cancelled.collect()
}

#[test]
fn a_paused_job_is_asked_for_what_has_not_begun_and_once() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    world.start(a, 0);
    world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(recalled(&mut world), [(a, keys(&world, a)[1])]);
    world.input(Input::Job(id, JobCommand::Resume));
    world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(recalled(&mut world), []);
}

#[test]
fn one_unit_is_asked_back_for_each_empty_slot() {
    let mut world = World::new();
    let a = world.join(3);
    world.submit(job("1..6"));
    for at in 0..3 {
        world.start(a, at);
    }
    let held = keys(&world, a);
    assert_eq!(held.len(), 6);
    let b = world.join(2);
    assert_eq!(recalled(&mut world), [(a, held[5]), (a, held[4])]);
    // These do not come; who comes next has one of its own asked for.
    world.join(1);
    assert_eq!(recalled(&mut world), [(a, held[3])]);
    for key in [held[5], held[4]] {
        let hands = world.hands.get_mut(&a).unwrap();
        hands.retain(|held| held.0 != key);
        world.input(Input::Returned { worker: a, key });
    }
    assert!(!world.hands[&b].is_empty());
}

#[test]
fn a_worker_with_something_in_hand_has_its_other_slot_filled_too() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..2"));
    world.start(a, 0);
    let b = world.join(2);
    world.answer_recalls();
    assert_eq!(world.hands[&b].len(), 1);
    world.start(b, 0);
    recalled(&mut world);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    let more = world.submit(tagged("1"));
    assert_eq!(hands(&world, a)[1..], [more]);
    assert_eq!(recalled(&mut world), [], "the idle one could not do it");
    world.say(b, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(recalled(&mut world), [(a, keys(&world, a)[1])]);
}

#[test]
fn a_worker_keeps_what_its_own_slots_are_for() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..2"));
    // Nothing has begun.
    world.join(2);
    assert_eq!(recalled(&mut world), [(a, keys(&world, a)[1])]);
}

#[test]
fn nothing_is_asked_back_for_a_worker_that_is_blocked_for_it() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    world.start(a, 0);
    let b = world.join(0);
    world.input(Input::Worker(b, WorkerCommand::Block(Some(id))));
    world.say(b, |facts| facts.slots = 2);
    assert_eq!(recalled(&mut world), []);
    let c = world.join(1);
    assert_eq!(recalled(&mut world).len(), 1);
    assert!(world.hands[&c].is_empty());
}

#[test]
fn one_of_each_is_asked_back_before_a_second_one_of_anybody() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..6"));
    measured(&mut world, id, SECOND / 2);
    world.set(|farm| farm.cap_percent = 100);
    for worker in [a, b] {
        world.start(worker, 0);
        assert_eq!(world.hands[&worker].len(), 3);
    }
    world.join(1);
    world.join(1);
    let mut asked = recalled(&mut world);
    asked.sort_unstable();
    assert_eq!(asked, [(a, keys(&world, a)[2]), (b, keys(&world, b)[2])]);
}

#[test]
fn for_its_first_frame_one_worker_is_asked_for_all_that_lies_ready() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    world.submit(prioritised("1..9", 1000));
    world.start(a, 0);
    world.start(b, 0);
    world.start(b, 1);
    recalled(&mut world);
    world.submit(prioritised("1..9", 1));
    let ready: Vec<_> = keys(&world, b)[2..].iter().map(|&key| (b, key)).collect();
    assert_eq!((recalled(&mut world), ready.len()), (ready, 2));
    // Nobody else is asked while it does not answer, whatever comes in.
    world.heartbeat(a);
    world.pass(SECOND);
    assert_eq!(recalled(&mut world), []);
}

#[test]
fn who_had_its_first_frame_asks_for_nothing() {
    let mut world = World::new();
    world.set(|farm| farm.first_frames = 0);
    let a = world.join(1);
    world.submit(job("1..9"));
    world.start(a, 0);
    world.submit(job("1..9"));
    assert_eq!(recalled(&mut world), []);
    world.set(|farm| farm.first_frames = 1);
    assert_eq!(recalled(&mut world).len(), 1);
}

#[test]
fn what_is_asked_back_for_a_first_frame_takes_a_second_at_least() {
    for (millis, asked) in [(999, 0), (1000, 1)] {
        let mut world = World::new();
        world.set(|farm| farm.first_frames = 0);
        let a = world.join(1);
        let id = world.submit(job("1..9"));
        world.start(a, 0);
        measured(&mut world, id, Duration::from_millis(millis));
        world.set(|farm| {
            farm.first_frames = 1;
            farm.long_unit_ms = 0;
        });
        world.submit(job("1..9"));
        assert_eq!(recalled(&mut world).len(), asked, "{millis}");
    }
}

#[test]
fn nobodys_first_frame_is_pushed_away_by_anothers() {
    let mut world = World::new();
    let a = world.join(1);
    let old = world.submit(job("1..9"));
    world.start(a, 0);
    let two = world.submit(prioritised("1..9", 1));
    world.answer_recalls();
    assert_eq!(hands(&world, a)[..2], [old, two]);
    recalled(&mut world);
    let three = world.submit(prioritised("1..9", 1));
    assert!(
        recalled(&mut world)
            .iter()
            .all(|(_, key)| key.unit.job != two)
    );
    world.answer_recalls();
    assert!(hands(&world, a).contains(&two) || hands(&world, a).contains(&three));
}

#[test]
fn a_job_whose_user_is_at_its_limit_asks_for_nothing() {
    let mut world = World::new();
    world.set(|farm| {
        let slots_max = Some(1);
        let share = Share {
            slots_max,
            ..Share::default()
        };
        farm.users.insert("bob".parse().unwrap(), share);
    });
    let bob: UserName = "bob".parse().unwrap();
    let (a, b) = (world.join(1), world.join(1));
    world.submit(with("1", |new| new.owner = bob.clone()));
    assert_eq!(world.hands[&a].len(), 1);
    world.start(a, 0);
    world.submit(job("1..9"));
    world.start(b, 0);
    recalled(&mut world);
    world.submit(with("1", |new| new.owner = bob.clone()));
    assert_eq!(recalled(&mut world), []);
    world.set(|farm| farm.users.clear());
    assert!(!recalled(&mut world).is_empty());
}

#[test]
fn what_an_idle_worker_may_not_have_is_not_asked_back_for_it() {
    let mut world = World::new();
    let a = world.join(2);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    let plain = world.submit(with("1..3", |new| new.settings.priority = 90));
    let fast = world.submit(tagged("1"));
    assert_eq!(hands(&world, a), [plain, plain, plain, fast]);
    world.start(a, 0);
    world.start(a, 1);
    recalled(&mut world);
    world.join(2);
    assert_eq!(recalled(&mut world), [(a, keys(&world, a)[2])]);
}

#[test]
fn room_for_a_first_frame_is_sought_again_a_second_later() {
    let mut world = World::new();
    let a = world.join(1);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    world.submit(prioritised("1..9", 1000));
    world.start(a, 0);
    let new = world.submit(tagged("1"));
    let asked = [(a, keys(&world, a)[1])];
    assert_eq!(recalled(&mut world), asked);
    let sought = world.now;
    assert_eq!(world.scheduler.room_sought_at, Some(sought));
    // As if nobody had had anything to give up.
    set_recalled(&mut world.scheduler, asked[0].1, false);
    world.scheduler.jobs.get_mut(&new).unwrap().room_asked = false;
    world.pass(SECOND - Duration::from_millis(1));
    assert_eq!(recalled(&mut world), []);
    assert_eq!(world.scheduler.room_sought_at, Some(sought));
    world.pass(Duration::from_millis(1));
    assert_eq!(recalled(&mut world), asked);
}

#[test]
fn who_is_blocked_for_a_job_is_not_asked_to_make_room_for_it() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(3));
    world.submit(job("1..12"));
    world.start(a, 0);
    for at in 0..3 {
        world.start(b, at);
    }
    let new = world.submit(tagged("1"));
    world.input(Input::Worker(b, WorkerCommand::Block(Some(new))));
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    world.input(Input::Worker(a, WorkerCommand::Pause));
    recalled(&mut world);
    world.say(b, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(recalled(&mut world), []);
}

#[test]
fn the_sixty_sixth_job_has_room_made_for_its_first_frame_too() {
    let mut world = World::new();
    world.audit_every = 40;
    let a = world.join(1);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    let long = world.submit(prioritised("1..9", 1000));
    world.start(a, 0);
    world.set(|farm| farm.first_frames = 0);
    for _ in 0..65 {
        world.submit(prioritised("1", 5));
    }
    recalled(&mut world);
    world.set(|farm| farm.first_frames = 1);
    let jobs: Vec<JobId> = world.scheduler.jobs.keys().copied().collect();
    for id in jobs {
        world.scheduler.jobs.get_mut(&id).unwrap().dispatched = 1;
        line::refresh_job(&mut world.scheduler, world.now, id);
    }
    let last = world.submit(prioritised("1", 1));
    assert!(world.scheduler.jobs[&last].rank >= Some(64));
    let asked = recalled(&mut world);
    assert_eq!(asked, [(a, keys(&world, a)[1])]);
    assert!(world.scheduler.jobs[&last].room_asked);
    assert!(!world.scheduler.jobs[&long].room_asked);
}

/// A farm of two workers with three slots each, all held by a job and as much again lying ready; another one had none.
fn lopsided(slots: u32) -> (World, [WorkerId; 2], JobId) {
    let mut world = World::new();
    world.set(|farm| {
        farm.first_frames = 0;
        farm.queued_per_slot = 1;
        farm.cap_percent = 100;
    });
    let workers = [world.join(slots), world.join(slots)];
    let id = world.submit(job("1..1000"));
    recalled(&mut world);
    (world, workers, id)
}

#[test]
fn what_lies_ready_beyond_a_jobs_part_is_asked_back_once_a_sample() {
    let (mut world, workers, has) = lopsided(3);
    for worker in workers {
        world.start(worker, 0);
    }
    world.submit(job("1..1000"));
    let asked = recalled(&mut world);
    assert_eq!(asked.len(), 10, "all but what has begun");
    assert!(asked.iter().all(|(_, key)| key.unit.job == has));
    world.set(|farm| farm.starved_after_ms = 200_000);
    assert_eq!(recalled(&mut world), [], "once");
}

#[test]
fn nothing_is_asked_back_while_nobody_has_less_than_its_part() {
    let (mut world, _, has) = lopsided(3);
    world.submit(tagged("1..1000"));
    assert_eq!(recalled(&mut world), []);
    let job = &world.scheduler.jobs[&has];
    assert_eq!((job.held_milli, job.target_milli), (6000, 6000));
    let limited = |new: &mut NewJob| new.settings.resources = vec!["nuke".into()];
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 0);
    });
    world.submit(with("1..1000", limited));
    assert_eq!(recalled(&mut world), [], "it may have nothing");
    world.set(|farm| farm.resources.clear());
    assert!(!recalled(&mut world).is_empty());
}

#[test]
fn who_has_a_slot_more_than_its_part_gives_back_and_who_has_less_more_does_not() {
    for (beyond, gives) in [(999, false), (1000, true)] {
        let (mut world, _, has) = lopsided(1);
        let waits = world.submit(job("1..1000"));
        recalled(&mut world);
        for id in [has, waits] {
            world.scheduler.jobs.get_mut(&id).unwrap().trimmed = false;
        }
        world.scheduler.jobs.get_mut(&has).unwrap().target_milli = 2000 - beyond;
        for worker in world.hands.keys().copied().collect::<Vec<_>>() {
            world.hands.get_mut(&worker).unwrap().clear();
        }
        line::refresh_part(&mut world.scheduler, has);
        assert_eq!(world.scheduler.jobs[&has].held_milli, 2000);
        world.scheduler.trim_due = true;
        for key in world.scheduler.leases.keys().copied().collect::<Vec<_>>() {
            crate::books::set_recalled(&mut world.scheduler, key, false);
        }
        world.input(Input::Tick);
        assert_eq!(!recalled(&mut world).is_empty(), gives, "{beyond}");
    }
}

#[test]
fn not_more_than_so_many_units_are_asked_back_at_once() {
    let (mut world, _, _) = lopsided(200);
    assert_eq!(world.scheduler.leases.len(), 800);
    world.submit(job("1..1000"));
    assert_eq!(recalled(&mut world).len(), 256);
}

#[test]
fn what_takes_less_than_a_second_is_not_asked_back_for_anybodys_part() {
    for (millis, asked) in [(999, 0), (1000, 12)] {
        let (mut world, _, has) = lopsided(3);
        measured(&mut world, has, Duration::from_millis(millis));
        world.submit(job("1..1000"));
        assert_eq!(recalled(&mut world).len(), asked, "{millis}");
    }
}

/// A job of this priority renders on each of so many workers.
fn rendering(workers: u32, priority: u32) -> (World, Vec<WorkerId>, Vec<LeaseKey>) {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let workers: Vec<WorkerId> = (0..workers).map(|_| world.join(1)).collect();
    world.submit(prioritised("1..100", priority));
    let mut begun = Vec::new();
    for &worker in &workers {
        begun.push(world.start(worker, 0));
        world.pass(Duration::from_millis(10));
    }
    world.orders.clear();
    (world, workers, begun)
}

#[test]
fn what_begun_last_is_ended_first_and_only_up_to_the_cap() {
    let (mut world, workers, begun) = rendering(4, 10);
    let id = world.submit(preempting("1..100", 11));
    let mut ended = cancelled(&mut world);
    ended.sort_unstable();
    assert_eq!(ended, begun[1..], "three quarters of four");
    assert_eq!(hands(&world, workers[3]), [id]);
    world.pass(SECOND * 2);
    assert_eq!(cancelled(&mut world), []);
}

#[test]
fn one_of_the_same_priority_is_not_ended() {
    let (mut world, ..) = rendering(2, 10);
    world.submit(preempting("1..100", 10));
    assert_eq!(cancelled(&mut world), []);
}

#[test]
fn the_lowest_priority_is_ended_first() {
    for order in [[10, 20], [20, 10]] {
        let mut world = World::new();
        world.set(|farm| farm.queued_per_slot = 0);
        let workers = [world.join(1), world.join(1)];
        for (priority, worker) in order.into_iter().zip(workers) {
            world.submit(prioritised("1", priority));
            world.start(worker, 0);
            world.pass(SECOND);
        }
        world.orders.clear();
        world.submit(preempting("1", 30));
        let ended = cancelled(&mut world);
        assert_eq!(ended.len(), 1);
        let lowest = &world.scheduler.jobs[&ended[0].unit.job];
        assert_eq!(lowest.job.settings.priority, 10, "{order:?}");
    }
}

#[test]
fn only_a_worker_that_could_render_it_is_made_to_end_something() {
    let (mut world, workers, begun) = rendering(3, 10);
    world.say(workers[1], |facts| facts.tags = vec!["fast".into()]);
    world.orders.clear();
    world.submit(with("1..100", |new| {
        new.settings.priority = 11;
        new.settings.preempt = true;
        new.settings.tags = vec!["fast".into()];
    }));
    assert_eq!(cancelled(&mut world), [begun[1]]);
}

#[test]
fn a_job_at_a_limit_ends_nobody() {
    let (mut world, ..) = rendering(4, 10);
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 1);
    });
    world.orders.clear();
    world.submit(with("1..100", |new| {
        new.settings.priority = 11;
        new.settings.preempt = true;
        new.settings.resources = vec!["nuke".into()];
    }));
    assert_eq!(cancelled(&mut world).len(), 1);
    world.pass(SECOND * 2);
    assert_eq!(cancelled(&mut world), []);
}

#[test]
fn nobody_is_ended_for_a_job_with_nothing_left_to_hand_out() {
    let (mut world, ..) = rendering(4, 10);
    world.submit(preempting("1", 11));
    assert_eq!(cancelled(&mut world).len(), 1);
    for _ in 0..3 {
        world.pass(SECOND);
        assert_eq!(cancelled(&mut world), []);
    }
}

#[test]
fn it_is_looked_for_somebody_to_end_every_second() {
    let (mut world, _, _) = rendering(2, 20);
    world.submit(preempting("1..100", 11));
    assert_eq!(cancelled(&mut world), []);
    let since = world.now;
    assert_eq!(world.scheduler.preempted_at, Some(since));
    world.pass(Duration::from_millis(999));
    assert_eq!(world.scheduler.preempted_at, Some(since));
    assert_eq!(
        world.scheduler.next_tick(world.clock()),
        Some(Duration::from_millis(1))
    );
    world.pass(Duration::from_millis(1));
    assert_eq!(world.scheduler.preempted_at, Some(since + SECOND));
}

#[test]
fn a_new_job_that_preempts_need_not_wait_for_the_next_look() {
    let (mut world, ..) = rendering(2, 10);
    world.submit(preempting("1..100", 5));
    assert_eq!(cancelled(&mut world), []);
    world.submit(preempting("1", 11));
    assert_eq!(cancelled(&mut world).len(), 1);
}

#[test]
fn without_a_job_that_preempts_nobody_looks() {
    let (mut world, ..) = rendering(2, 10);
    world.submit(prioritised("1..100", 11));
    world.pass(SECOND);
    assert_eq!(world.scheduler.preempted_at, None);
}

#[test]
fn what_lies_ready_is_taken_back_with_what_is_ended_but_for_who_preempts_too() {
    let mut world = World::new();
    world.set(|farm| farm.first_frames = 0);
    let a = world.join(2);
    let low = world.submit(prioritised("1..2", 10));
    world.start(a, 1);
    world.pass(SECOND);
    world.start(a, 0);
    let high = world.submit(prioritised("1", 50));
    let peer = world.submit(preempting("1", 10));
    assert_eq!(hands(&world, a), [low, low, high, peer]);
    let ended = [0, 2, 3].map(|at| keys(&world, a)[at]);
    world.orders.clear();
    let id = world.submit(preempting("1", 20));
    let is_urgent = |(_, order): &(WorkerId, Order)| matches!(order, Order::Lease { key, urgent: true, .. } if key.unit.job == id);
    assert!(world.orders.iter().any(is_urgent), "it begins at once");
    assert_eq!(cancelled(&mut world), ended, "lower, or not preempting");
    assert!(hands(&world, a).contains(&id));
}

#[test]
fn a_job_that_preempts_with_the_same_priority_keeps_what_lies_ready() {
    let mut world = World::new();
    world.set(|farm| farm.first_frames = 0);
    let a = world.join(1);
    let low = world.submit(prioritised("1", 10));
    world.start(a, 0);
    // It finds room behind before it may end anything: one of the same priority is there.
    let first = world.submit(preempting("1", 10));
    world.edit(
        first,
        tessera_model::JobEdit {
            priority: Some(20),
            ..Default::default()
        },
    );
    assert_eq!(hands(&world, a), [low, first]);
    world.orders.clear();
    let second = world.submit(preempting("1..5", 20));
    let ended = cancelled(&mut world);
    assert_eq!(
        ended.iter().map(|key| key.unit.job).collect::<Vec<_>>(),
        [low]
    );
    assert_eq!(hands(&world, a)[..2], [first, second]);
}

#[test]
fn on_more_slots_only_one_render_is_ended_and_it_is_the_latest() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let a = world.join(3);
    world.submit(prioritised("1..3", 10));
    let mut begun = Vec::new();
    for at in [1, 0, 2] {
        begun.push(world.start(a, at));
        world.pass(SECOND);
    }
    world.orders.clear();
    world.submit(preempting("1", 11));
    assert_eq!(cancelled(&mut world), [begun[2]]);
}

#[test]
fn of_jobs_of_one_priority_what_was_begun_last_is_ended_first() {
    for first in [0, 1] {
        let mut world = World::new();
        world.set(|farm| farm.queued_per_slot = 0);
        let workers = [world.join(1), world.join(1)];
        for _ in workers {
            world.submit(prioritised("1", 10));
        }
        world.start(workers[first], 0);
        world.pass(SECOND);
        let last = world.start(workers[1 - first], 0);
        world.orders.clear();
        world.submit(preempting("1", 11));
        assert_eq!(cancelled(&mut world), [last]);
    }
}

#[test]
fn at_a_worker_with_more_slots_what_is_not_lower_goes_on() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let a = world.join(2);
    world.submit(prioritised("1", 10));
    world.submit(prioritised("1", 20));
    let low = world.start(a, 0);
    world.pass(SECOND);
    world.start(a, 1);
    world.orders.clear();
    let id = world.submit(preempting("1", 20));
    assert_eq!(cancelled(&mut world), [low]);
    assert!(hands(&world, a).contains(&id));
}

#[test]
fn who_waited_for_too_long_for_its_first_frame_has_room_made_as_well() {
    let mut world = World::new();
    world.set(|farm| farm.starved_after_ms = 100);
    let a = world.join(1);
    world.submit(prioritised("1..2", 1000));
    world.start(a, 0);
    let waits = world.submit(with("1", |new| {
        new.settings.priority = 1;
        new.settings.tags = vec!["fast".into()];
    }));
    world.pass(SECOND);
    assert!(world.scheduler.jobs[&waits].starved);
    assert_eq!(recalled(&mut world), []);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(recalled(&mut world), [(a, keys(&world, a)[1])]);
}
