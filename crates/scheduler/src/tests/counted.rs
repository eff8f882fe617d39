//! What is measured and counted: parts of the farm, what is used of them, how long things take.

use std::time::Duration;

use tessera_model::{After, JobId, Share, WorkerId};

use super::world::{World, job, prioritised, with};
use crate::pace::{Cost, FRAME, Measured, Speed};
use crate::parts::demand;
use crate::{Input, JobCommand, NewJob, WorkerCommand, line};

const SECOND: Duration = Duration::from_secs(1);

/// The whole farm, in the unit of usage.
const WHOLE: u64 = 1_000_000_000;

fn of(frames: &str, owner: &str, category: &str) -> NewJob {
    with(frames, |new| {
        new.owner = owner.parse().unwrap();
        new.settings.category = category.into();
    })
}

fn farm(slots: &[u32]) -> (World, Vec<WorkerId>) {
    let mut world = World::new();
    world.set(|farm| farm.cap_percent = 100);
    let workers = slots.iter().map(|&slots| world.join(slots)).collect();
    (world, workers)
}

fn targets<const N: usize>(world: &World, jobs: [JobId; N]) -> [u64; N] {
    jobs.map(|id| world.scheduler.jobs[&id].target_milli)
}

fn usage(world: &World, id: JobId) -> u64 {
    world.scheduler.jobs[&id].usage
}

fn credit(world: &World, id: JobId) -> i64 {
    world.scheduler.jobs[&id].credit_milli
}

/// Everybody is heard of, then time passes.
fn pass(world: &mut World, workers: &[WorkerId], time: Duration) {
    for &worker in workers {
        world.heartbeat(worker);
    }
    world.pass(time);
}

#[test]
fn the_first_frame_tells_the_cost_and_the_next_ones_both() {
    let mut cost = Cost::default();
    assert_eq!(cost.expect_us(1, Speed::default()), None);
    assert_eq!(
        cost.learn(Measured::frame(1_500_000), Speed(2000), 9 * FRAME),
        Speed(2000)
    );
    assert_eq!(cost.frame_us, Some(3_000_000));
    assert_eq!(
        cost.learn(Measured::frame(1_000_000), Speed(1000), 9 * FRAME),
        Speed(1250)
    );
    assert_eq!(cost.frame_us, Some(2_750_000));
    assert_eq!(cost.expect_us(3, Speed(500)), Some(16_500_000));
    assert_eq!(cost.expect_us(1, Speed(0)), Some(2_750_000_000));
}

#[test]
fn no_single_frame_makes_a_worker_more_than_fifty_times_faster_or_slower() {
    let mut known = Cost::default();
    known.learn(Measured::frame(1_000_000), Speed(1000), 0);
    for (took, speed) in [
        (1, 7125),
        (20_000, 7125),
        (40_000, 4000),
        (1_000_000, 1000),
        (50_000_000, 877),
        (10_000_000_000, 877),
    ] {
        let mut cost = known;
        assert_eq!(
            cost.learn(Measured::frame(took), Speed(1000), 9 * FRAME),
            Speed(speed),
            "{took}"
        );
    }
}

#[test]
fn what_opening_a_scene_takes_is_learned() {
    let mut cost = Cost::default();
    cost.learn_load(801);
    assert_eq!(cost.load_us, Some(801));
    cost.learn_load(1601);
    assert_eq!(cost.load_us, Some(901));
    assert_eq!(cost.frame_us, None);
}

#[test]
fn the_farm_is_divided_by_priority_and_nobody_gets_more_than_it_can_use() {
    let (mut world, _) = farm(&[4, 4]);
    let low = world.submit(prioritised("1..100", 1));
    assert_eq!(targets(&world, [low]), [8000]);
    let high = world.submit(prioritised("1..100", 3));
    assert_eq!(targets(&world, [low, high]), [2000, 6000]);
    let one = world.submit(prioritised("1", 4));
    assert_eq!(targets(&world, [low, high, one]), [1750, 5250, 1000]);
    world.set(|farm| farm.cap_percent = 50);
    assert_eq!(targets(&world, [low, high, one]), [3000, 4000, 1000]);
}

#[test]
fn a_job_can_use_what_it_has_and_what_is_left_of_it() {
    let (mut world, workers) = farm(&[1, 1, 1, 1]);
    let first = world.submit(job("1..3"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let waits = world.submit(with("1..3", |new| new.settings.after = after));
    let demand = |world: &World, id: JobId| demand(&world.scheduler, &world.scheduler.jobs[&id]);
    assert_eq!((demand(&world, first), demand(&world, waits)), (3000, 0));
    world.render(workers[0], 0);
    assert_eq!(demand(&world, first), 2000);
    let big = world.submit(job("1..100"));
    assert_eq!(demand(&world, big), 4000);
    world.input(Input::Worker(workers[0], WorkerCommand::Pause));
    assert_eq!(demand(&world, big), 3000);
}

#[test]
fn limits_of_users_and_categories_bound_their_part() {
    let (mut world, _) = farm(&[8]);
    world.set(|farm| {
        let limited = |slots| Share {
            slots_max: Some(slots),
            ..Share::default()
        };
        farm.users.insert("bob".parse().unwrap(), limited(3));
        farm.categories.insert("test".into(), limited(2));
    });
    let bob = world.submit(of("1..100", "bob", "film"));
    let eve = world.submit(of("1..100", "eve", "film"));
    let test = world.submit(of("1..100", "eve", "test"));
    assert_eq!(targets(&world, [bob, eve, test]), [3000, 3000, 2000]);
    world.input(Input::Job(eve, JobCommand::Cancel));
    assert_eq!(targets(&world, [bob, test]), [3000, 2000]);
}

#[test]
fn a_priority_that_was_set_goes_before_that_of_the_jobs() {
    let (mut world, _) = farm(&[8]);
    let film = world.submit(of("1..100", "ada", "film"));
    let bob = world.submit(of("1..100", "bob", "test"));
    let eve = world.submit(of("1..100", "eve", "test"));
    assert_eq!(targets(&world, [film, bob, eve]), [4000, 2000, 2000]);
    let priority = |priority| Share {
        priority: Some(priority),
        ..Share::default()
    };
    world.set(|farm| {
        farm.categories.insert("test".into(), priority(3));
        farm.users.insert("eve".parse().unwrap(), priority(2));
    });
    assert_eq!(targets(&world, [film, bob, eve]), [2000, 2000, 4000]);
}

#[test]
fn a_category_counts_with_its_highest_job_however_many_it_has() {
    let (mut world, _) = farm(&[8]);
    let film = world.submit(of("1..100", "ada", "film"));
    let high = world.submit(with("1..100", |new| {
        new.settings.category = "test".into();
        new.settings.priority = 3;
    }));
    let low = world.submit(of("1..100", "bob", "test"));
    assert_eq!(targets(&world, [film, high, low]), [2000, 4500, 1500]);
}

#[test]
fn of_equals_the_higher_priority_is_first_then_the_older_one() {
    let mut world = World::new();
    let [one, two, high, three] = [1, 1, 5, 1].map(|p| world.submit(prioritised("1", p)));
    assert_eq!(world.scheduler.line.order, [high, one, two, three]);
    let film = world.submit(of("1", "ada", "film"));
    assert_eq!(world.scheduler.line.order, [high, one, two, three, film]);
    world.set(|farm| {
        let priority = Some(6);
        let share = Share {
            priority,
            ..Share::default()
        };
        farm.categories.insert("film".into(), share);
    });
    assert_eq!(world.scheduler.line.order, [film, high, one, two, three]);
}

#[test]
fn who_has_fewer_places_for_its_priority_is_first() {
    let (mut world, _) = farm(&[1, 1]);
    world.set(|farm| farm.first_frames = 0);
    let film = world.submit(of("1..100", "ada", "film"));
    let test = world.submit(of("1..100", "ada", "test"));
    assert_eq!(world.scheduler.line.order, [test, film]);
    let bob = world.submit(of("1..100", "bob", "film"));
    assert_eq!(world.scheduler.line.order, [test, bob, film]);
    let same = world.submit(of("1..100", "ada", "film"));
    assert_eq!(world.scheduler.line.order, [test, bob, same, film]);
}

#[test]
fn parts_are_compared_exactly() {
    assert_eq!(line::ratio(3, 2), 3 << 19);
    assert_eq!(line::ratio(7, 0), 7 << 20);
    assert!(line::ratio(1, 1000) < line::ratio(1, 999));
}

#[test]
fn three_quarters_of_the_slots_that_could_are_rounded_up() {
    let mut world = World::new();
    let workers = [3, 1, 1].map(|slots| world.join(slots));
    world.say(workers[0], |facts| facts.tags = vec!["fast".into()]);
    let any = world.submit(job("1..100"));
    let fast = world.submit(with("1..100", |new| {
        new.settings.tags = vec!["fast".into()]
    }));
    let cap = |world: &World, id: JobId| line::cap(&world.scheduler, &world.scheduler.jobs[&id]);
    assert_eq!((cap(&world, any), cap(&world, fast)), (4, 3));
    world.input(Input::Worker(workers[1], WorkerCommand::Block(Some(any))));
    assert_eq!(cap(&world, any), 3);
    // One that could not do it anyway makes no difference.
    world.input(Input::Worker(workers[1], WorkerCommand::Block(Some(fast))));
    assert_eq!(cap(&world, fast), 3);
    world.set(|farm| farm.cap_percent = 50);
    assert_eq!((cap(&world, any), cap(&world, fast)), (2, 2));
}

#[test]
fn only_who_has_more_than_its_cap_is_beyond_it() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..4).map(|_| world.join(1)).collect();
    let id = world.submit(job("1..100"));
    assert!(
        world.scheduler.line.over.contains(&id),
        "four, three allowed"
    );
    world.cut(workers[3]);
    world.pass(SECOND * 3);
    let job = &world.scheduler.jobs[&id];
    assert_eq!((job.places, line::cap(&world.scheduler, job)), (3, 3));
    assert!(!world.scheduler.line.over.contains(&id), "three of three");
    assert!(world.scheduler.line.capped.get(0));
}

#[test]
fn usage_is_counted_by_time_of_the_slots_there_are() {
    let (mut world, workers) = farm(&[2, 1, 1]);
    world.cut(workers[2]);
    pass(&mut world, &workers[..2], SECOND * 4);
    let two = world.submit(of("1..2", "ada", "film"));
    let one = world.submit(of("1", "ada", "film"));
    pass(&mut world, &workers[..2], SECOND * 10);
    assert_eq!(
        (usage(&world, two), usage(&world, one)),
        (WHOLE / 3, WHOLE / 6)
    );
    let category = world.scheduler.jobs[&two].category();
    let user = world.scheduler.jobs[&two].user();
    assert_eq!(world.scheduler.accounts.get(category).usage, WHOLE / 2);
    assert_eq!(world.scheduler.line.usage[&(category, user)], WHOLE / 2);
    pass(&mut world, &workers[..2], SECOND * 10);
    assert_eq!(world.scheduler.accounts.get(category).usage, WHOLE / 4 * 3);
    assert_eq!(world.scheduler.line.usage[&(category, user)], WHOLE / 4 * 3);
}

#[test]
fn what_ended_before_it_was_measured_counts_too() {
    let (mut world, workers) = farm(&[1]);
    let id = world.submit(job("1"));
    pass(&mut world, &workers, SECOND * 5);
    world.render(workers[0], 0);
    pass(&mut world, &workers, SECOND * 5);
    assert_eq!(usage(&world, id), WHOLE / 4);
}

#[test]
fn what_lies_behind_the_slots_of_a_worker_uses_nothing() {
    let (mut world, workers) = farm(&[1]);
    let one = world.submit(job("1"));
    let two = world.submit(job("1"));
    assert_eq!(world.hands[&workers[0]].len(), 2);
    pass(&mut world, &workers, SECOND * 2);
    // Nothing has begun: the first one has the slot. Then the second one begins.
    world.start(workers[0], 1);
    pass(&mut world, &workers, SECOND * 8);
    assert_eq!(
        (usage(&world, one), usage(&world, two)),
        (WHOLE / 10, WHOLE / 10 * 4)
    );
}

/// A job that renders one frame for ever, and one that waits behind it on the only slot.
fn one_behind_another() -> (World, Vec<WorkerId>, JobId, JobId) {
    let (mut world, workers) = farm(&[1]);
    let has = world.submit(job("1..100"));
    world.start(workers[0], 0);
    let waits = world.submit(job("1..100"));
    assert_eq!(targets(&world, [has, waits]), [500, 500]);
    (world, workers, has, waits)
}

#[test]
fn who_gets_less_than_its_part_has_it_made_up_within_bounds() {
    let (mut world, workers, has, waits) = one_behind_another();
    for made_up in [500, 1000, 1500, 2000, 2000] {
        pass(&mut world, &workers, SECOND * 10);
        let credits = (credit(&world, has), credit(&world, waits));
        assert_eq!(credits, (-made_up, made_up));
    }
}

#[test]
fn more_is_made_up_where_units_take_long() {
    let (mut world, workers, has, waits) = one_behind_another();
    let takes = |world: &mut World, time: Duration| {
        for id in [has, waits] {
            let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
            cost.frame_us = Some(time.as_micros() as u64);
        }
        for _ in 0..10 {
            pass(world, &workers, SECOND * 10);
        }
        (credit(world, has), credit(world, waits))
    };
    // Four of them.
    assert_eq!(takes(&mut world, SECOND * 10), (-4000, 4000));
    assert_eq!(takes(&mut world, SECOND), (-2000, 2000));
    assert_eq!(takes(&mut world, SECOND * 7), (-3000, 3000));
}

#[test]
fn a_job_in_hands_as_a_whole_has_its_part_made_up_too() {
    let (mut world, workers) = farm(&[1]);
    let needs = |new: &mut NewJob| new.settings.tags = vec!["gone".into()];
    let nobodys = world.submit(with("1..100", needs));
    pass(&mut world, &workers, SECOND * 5);
    let id = world.submit(job("1"));
    for _ in 0..2 {
        pass(&mut world, &workers, SECOND * 5);
        assert_eq!((credit(&world, id), credit(&world, nobodys)), (500, 0));
        pass(&mut world, &workers, SECOND * 5);
    }
}

#[test]
fn nothing_is_made_up_for_the_time_of_a_pause() {
    let (mut world, workers, _, waits) = one_behind_another();
    pass(&mut world, &workers, SECOND * 10);
    assert_eq!(credit(&world, waits), 500);
    world.input(Input::Job(waits, JobCommand::Pause));
    world.answer_recalls();
    pass(&mut world, &workers, SECOND * 10);
    assert_eq!(credit(&world, waits), 0);
}

#[test]
fn a_job_that_nobody_can_render_is_measured_all_the_same() {
    let (mut world, workers) = farm(&[1]);
    let needs = |new: &mut NewJob| new.settings.tags = vec!["gone".into()];
    world.submit(with("1", needs));
    for _ in 0..3 {
        pass(&mut world, &workers, SECOND * 10);
        assert!(world.scheduler.sampling);
        assert_eq!(world.scheduler.sampled_at, world.now);
    }
}

#[test]
fn usage_is_followed_until_it_has_faded_and_then_the_farm_sleeps() {
    let (mut world, workers) = farm(&[1]);
    let id = world.submit(job("1"));
    pass(&mut world, &workers, SECOND * 10);
    assert_eq!(usage(&world, id), WHOLE / 2);
    world.render(workers[0], 0);
    pass(&mut world, &workers, SECOND * 10);
    assert_eq!(usage(&world, id), WHOLE / 4);
    let (category, user) = (
        world.scheduler.jobs[&id].category(),
        world.scheduler.jobs[&id].user(),
    );
    world.input(Input::Job(id, JobCommand::Remove));
    pass(&mut world, &workers, SECOND * 10);
    assert_eq!(world.scheduler.line.usage[&(category, user)], WHOLE / 8);
    assert!(world.scheduler.sampling);
    for _ in 0..30 {
        pass(&mut world, &workers, SECOND * 10);
    }
    assert!(!world.scheduler.sampling);
    assert!(world.scheduler.line.usage.is_empty());
    assert_eq!(world.scheduler.accounts.get(category).usage, 0);
    world.cut(workers[0]);
    world.pass(SECOND * 100);
    assert_eq!(world.scheduler.next_tick(world.clock()), None);
}

#[test]
fn less_than_a_millionth_of_the_farm_counts_as_nothing() {
    let (mut world, workers) = farm(&[1]);
    let needs = |new: &mut NewJob| new.settings.tags = vec!["gone".into()];
    let id = world.submit(with("1", needs));
    world.scheduler.jobs.get_mut(&id).unwrap().usage = 2000;
    for left in [1000, 0] {
        pass(&mut world, &workers, SECOND * 10);
        assert_eq!(usage(&world, id), left);
    }
}
