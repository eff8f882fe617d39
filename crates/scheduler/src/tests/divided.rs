//! Frames that are divided among workers.

use std::time::Duration;

use tessera_model::{Change, JobId, JobState, Split, SplitBy, StepIndex, WorkerId};

use super::world::{World, with};
use crate::{JobCommand, NewJob, Order};

const SLICES: StepIndex = StepIndex(0);
const ASSEMBLED: StepIndex = StepIndex(1);

fn split(by: SplitBy) -> Split {
    Split {
        width: 1920,
        height: 1080,
        samples: 128,
        first: 0,
        grows_to: None,
        noise: None,
        by,
    }
}

fn still(by: SplitBy) -> NewJob {
    with("1", |new| new.steps[0].split = Some(split(by)))
}

/// Step, first position and length of what was handed out, oldest first.
fn handed_out(world: &World) -> Vec<(WorkerId, StepIndex, u32, u32)> {
    let orders = world.orders.iter();
    let leases = orders.filter_map(|(worker, order)| match order {
        Order::Lease { key, span, .. } => Some((*worker, key.unit.step, key.unit.index, *span)),
        _ => None,
    });
    leases.collect()
}

fn measured(world: &mut World, id: JobId, frame: Duration) {
    let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
    cost.frame_us = Some(frame.as_micros() as u64);
}

fn view(world: &World, id: JobId) -> crate::JobView {
    world.scheduler.job(world.clock(), id).unwrap()
}

#[test]
fn a_worker_is_given_a_third_of_its_part_and_less_and_less() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(still(SplitBy::Halvings(8)));
    // Nothing is known of what it takes: an eighth of each one's part.
    let given = handed_out(&world);
    assert_eq!(given, [(a, SLICES, 0, 16), (b, SLICES, 16, 8)]);
    measured(&mut world, id, Duration::from_secs(64));
    world.start(a, 0);
    world.start(b, 0);
    world.pass(Duration::from_secs(4));
    world.render(a, 0);
    // A third of 116 places and a little more, down to where a rectangle ends.
    assert_eq!(handed_out(&world)[2], (a, SLICES, 24, 24));
    world.render(b, 0);
    assert_eq!(handed_out(&world)[3], (b, SLICES, 48, 32));
    let shown = view(&world, id);
    assert_eq!((shown.frames, shown.done), (1, 0));
    assert_eq!((shown.places, shown.places_done), (256, 24));
    world.finish();
    assert_eq!(view(&world, id).state, JobState::Done);
}

#[test]
fn what_parts_take_counts_by_how_much_of_the_frame_they_are() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(still(SplitBy::Halvings(8)));
    // 16 and 8 of 256 places.
    for worker in [a, b] {
        world.start(worker, 0);
    }
    world.pass(Duration::from_secs(2));
    let frame_us = |world: &World| world.scheduler.jobs[&id].cost.frame_us.unwrap();
    world.render(a, 0);
    assert_eq!(frame_us(&world), 32_000_000);
    world.render(b, 0);
    // By that a frame takes 64 s; it weighs half as much.
    assert_eq!(frame_us(&world), (2 * 32_000_000 + 64_000_000) / 3);
    // Of who took twice as long as was expected it says little: a thirty-second of a frame, twice, for there are two slots.
    let worker = &world.scheduler.workers[&b];
    assert_eq!((worker.measured, worker.speed.0), (62_500, 970));
}

#[test]
fn of_samples_a_worker_is_given_no_fewer_than_pay_for_a_file_of_the_frame() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(still(SplitBy::Samples));
    let given = handed_out(&world);
    assert_eq!(given, [(a, SLICES, 0, 8), (b, SLICES, 8, 7)]);
    measured(&mut world, id, Duration::from_secs(64));
    world.start(a, 0);
    world.start(b, 0);
    world.pass(Duration::from_secs(4));
    world.render(a, 0);
    // A sixth of the 113 that are left.
    assert_eq!(handed_out(&world)[2], (a, SLICES, 15, 18));
    // What each range takes besides its samples: so much that none is shorter than 16 s. A sixth of the 95 that are left would be 15.
    let cost = |world: &mut World, frame_s, range_us| {
        measured(world, id, Duration::from_secs(frame_s));
        world.scheduler.jobs.get_mut(&id).unwrap().cost.range_us = range_us;
    };
    cost(&mut world, 64, 2_000_000);
    world.render(b, 0);
    let (_, _, first, span) = handed_out(&world)[3];
    assert!(first == 33 && (26..=32).contains(&span), "{span}");
    // And where that is next to nothing, none is shorter than 3 s, which all that are left do not take.
    cost(&mut world, 4, 1);
    world.start(a, 0);
    world.pass(Duration::from_millis(560));
    world.render(a, 0);
    let (worker, _, next, rest) = handed_out(&world)[4];
    assert_eq!((worker, next, next + rest), (a, 33 + span, 128));
    world.finish();
    assert_eq!(view(&world, id).state, JobState::Done);
}

#[test]
fn one_result_is_of_all_places_of_its_run_and_comes_once() {
    let mut world = World::new();
    let a = world.join(1);
    world.join(1);
    let id = world.submit(still(SplitBy::Halvings(8)));
    let (key, orders) = world.hands[&a][0].clone();
    let before = world.record.accepts.len();
    world.deliver(a, key, orders[0]);
    world.deliver(a, key, orders[0]);
    assert_eq!(world.record.accepts.len() - before, 16);
    assert!(world.record.accepts.values().all(|&times| times == 1));
    assert_eq!(world.scheduler.jobs[&id].steps[0].done.count(), 16);
}

#[test]
fn the_frame_is_put_together_when_all_of_it_is_there() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(still(SplitBy::Grid {
        columns: 2,
        rows: 1,
    }));
    assert_eq!(
        handed_out(&world),
        [(a, SLICES, 0, 1), (b, SLICES, 1, 1)],
        "tiles that were asked for are given one by one"
    );
    world.render(b, 0);
    assert_eq!(handed_out(&world).len(), 2);
    world.render(a, 0);
    assert_eq!(handed_out(&world).len(), 3);
    let (_, step, position, _) = handed_out(&world)[2];
    assert_eq!((step, position), (ASSEMBLED, 0));
    world.finish();
    assert_eq!(view(&world, id).done, 1);
}

#[test]
fn what_a_lost_worker_had_is_handed_out_as_it_was() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    world.submit(still(SplitBy::Halvings(8)));
    world.hands.get_mut(&a).unwrap().clear();
    world.cut(a);
    world.pass(Duration::from_secs(10));
    world.orders.clear();
    world.render(b, 0);
    assert_eq!(handed_out(&world), [(b, SLICES, 0, 16)]);
    world.restart();
    world.finish();
}

#[test]
fn a_frame_that_lacks_a_part_is_given_up_and_nothing_more_of_it_rendered() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(with("1..2", |new| {
        new.settings.max_attempts = 1;
        new.steps[0].split = Some(split(SplitBy::Grid {
            columns: 3,
            rows: 1,
        }));
    }));
    assert_eq!(handed_out(&world).len(), 2);
    world.orders.clear();
    world.fail(a, 0);
    // Of its frame the third tile is left, and the second under way at the other; it is the next frame's turn.
    let given = handed_out(&world);
    assert_eq!(given, [(a, SLICES, 3, 1), (b, SLICES, 4, 1)]);
    let shown = view(&world, id);
    assert_eq!((shown.failed, shown.done), (1, 0));
    // Who is at another part of it has it taken away.
    let cancelled = world.hands[&b].iter().all(|(key, _)| key.unit.index > 1);
    assert!(cancelled, "{:?}", world.hands[&b]);
    world.finish();
    let shown = view(&world, id);
    assert_eq!((shown.failed, shown.done), (1, 1));
    assert_eq!(shown.state, JobState::Failed);
    world.input(crate::Input::Job(id, JobCommand::Retry));
    world.finish();
    assert_eq!(view(&world, id).state, JobState::Done);
}

#[test]
fn who_cannot_render_parts_is_given_none() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.say(b, |facts| facts.divides = false);
    let id = world.submit(still(SplitBy::Halvings(8)));
    assert!(world.hands[&b].is_empty());
    let why = world.scheduler.why_worker(world.clock(), b).unwrap();
    assert!(
        why.to_string().contains("a worker of this version"),
        "{why}"
    );
    assert!(handed_out(&world).iter().all(|given| given.0 == a));
    world.say(b, |facts| facts.divides = true);
    assert!(!world.hands[&b].is_empty());
    world.finish();
    assert_eq!(view(&world, id).state, JobState::Done);
}

#[test]
fn whole_frames_and_the_parts_of_the_last_ones_are_rendered_side_by_side() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let workers = [world.join(1), world.join(1)];
    let id = world.submit(with("1..5", |new| {
        new.steps[0].split = Some(split(SplitBy::Halvings(8)));
    }));
    let job = world.scheduler.job_ref(id).unwrap();
    let frames: Vec<String> = job
        .steps
        .iter()
        .map(|step| step.frames.to_string())
        .collect();
    assert_eq!(frames, ["1", "2..5", "2..5"]);
    // One has the whole frame, the other does not wait for it.
    let steps: Vec<StepIndex> = handed_out(&world).iter().map(|given| given.1).collect();
    assert_eq!(steps, [StepIndex(0), StepIndex(1)]);
    for worker in workers {
        world.render(worker, 0);
    }
    world.finish();
    let shown = view(&world, id);
    assert_eq!((shown.frames, shown.done), (5, 5));
}

#[test]
fn only_whole_frames_can_be_submitted() {
    let mut world = World::new();
    let mut new = still(SplitBy::Halvings(8));
    let overrides = new.steps[0].overrides().clone();
    new.steps[0].kind = tessera_model::StepKind::Slices(overrides);
    let effects = world.input(crate::Input::Submit(Box::new(new)));
    assert!(effects.changes.is_empty());
    let mut new = still(SplitBy::Halvings(13));
    new.steps[0].frames = "1".parse().unwrap();
    let effects = world.input(crate::Input::Submit(Box::new(new)));
    assert!(
        !effects
            .changes
            .iter()
            .any(|change| matches!(change, Change::JobAdded(_)))
    );
}
