//! What lies ready while something else renders, and how long it may lie.

use super::*;

#[test]
fn the_next_jobs_files_come_while_this_one_renders() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..2)));
    world.start(0, None);
    world.lease(offer(2, 8, frames(0..1)));
    assert_eq!(world.fetching, [tree(8)]);
    world.brought(8);
    world.render(0);
    assert_eq!(world.order(0).offer.key, key(1), "not before it is over");
    // The last frame's end brings the next scene's order, whether or not its report has been taken.
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    let order = world.order(0);
    assert_eq!(order.offer.key, key(2));
    assert_eq!(order.transfer, Duration::from_secs(3));
}

#[test]
fn files_that_are_late_hold_up_nobody_else() {
    let mut world = World::new(2);
    for (unit, scene) in [(1, 7), (2, 8), (3, 9)] {
        world.lease(offer(unit, scene, frames(0..1)));
    }
    assert_eq!(world.fetching, [tree(7), tree(8), tree(9)], "all at once");
    world.started(0);
    world.started(1);
    // Those that came first wait for their files; the third has them, and a slot is free.
    world.brought(9);
    assert_eq!(world.begun.len(), 1);
    world.brought(8);
    assert_eq!(world.begun.len(), 2);
    let units: BTreeSet<u32> = (0..2)
        .map(|slot| world.order(slot).offer.key.unit.index)
        .collect();
    assert_eq!(units, set([2, 3]));
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert!(world.at[0].is_none());
    world.brought(7);
    assert_eq!(world.order(0).offer.key, key(1), "with its last file");
}

#[test]
fn a_free_slot_starts_blender_while_the_files_come_beside_one_that_renders() {
    let mut world = World::new(2);
    world.lease(offer(1, 7, frames(0..9)));
    world.brought(7);
    world.started(0);
    world.start(0, None);
    world.lease(offer(2, 8, frames(0..1)));
    assert_eq!(world.at[1], Some(Order::Warm(build(4))));
    world.brought(8);
    world.started(1);
    assert_eq!(world.order(1).offer.key, key(2));
}

#[test]
fn files_of_what_is_recalled_are_given_up_unless_others_want_them() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..9)));
    world.lease(offer(2, 8, frames(0..1)));
    world.lease(offer(3, 8, frames(1..2)));
    world.hear(Input::Recall(key(2)));
    assert!(world.aborted.is_empty());
    world.hear(Input::Recall(key(3)));
    assert_eq!(world.aborted, [tree(8)]);
    assert_eq!(world.returned(), set([2, 3]));
}

/// However leases come and scenes fit: nobody is overtaken more often than the bound says.
#[test]
fn nobody_is_overtaken_more_often_than_the_bound() {
    for slots in [1, 2, 3] {
        for seed in 0..200_u32 {
            let overtaken = overtaken(slots, seed);
            assert!(overtaken <= PASSED_OVER_MAX, "{slots} slots, seed {seed}");
        }
    }
}

/// How often, at most, one lease with its files there was overtaken by others that came later, and could be kept from
/// beginning by nothing else.
fn overtaken(slots: usize, seed: u32) -> u32 {
    let mut random = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % below
    };
    let mut world = World::new(slots);
    for scene in 7..10 {
        world.lease(offer(900 + u32::from(scene), scene, frames(0..1)));
        world.brought(scene);
    }
    for slot in 0..slots {
        if matches!(world.at[slot], Some(Order::Warm(_))) {
            world.started(slot);
        }
    }
    let mut came = 0;
    let mut begun = Vec::new();
    let mut worst = 0;
    while begun.len() < 60 {
        while came < 60 && world.desk.waiting() < 8 {
            let scene = 7 + next(3) as u8;
            let position = came * 10;
            let mut lease = offer(came, scene, frames(position..position + 1));
            lease.build = build(if next(4) == 0 { 6 } else { 4 });
            world.lease(lease);
            came += 1;
        }
        let slot = next(slots as u32) as usize;
        let before = world.begun.len();
        match &world.at[slot] {
            Some(Order::Warm(_)) => world.started(slot),
            Some(Order::Frame(_)) => {
                world.render(slot);
            }
            _ => {}
        }
        for (_, position) in world.begun[before..].iter() {
            if position % 10 == 0 {
                begun.push(position / 10);
            }
        }
    }
    for (at, unit) in begun.iter().enumerate() {
        let later = begun[..at].iter().filter(|other| *other > unit);
        worst = worst.max(later.count() as u32);
    }
    worst
}

#[test]
fn attempts_of_one_unit_are_leases_of_their_own() {
    let mut world = World::loaded(7);
    let first = offer(1, 7, frames(0..2));
    let mut second = first.clone();
    second.key.attempt = Attempt(2);
    world.lease(first.clone());
    world.lease(second.clone());
    world.hear(Input::Cancel(vec![first.key]));
    assert_eq!(world.stopped, [0]);
    assert_eq!(world.desk.holds(), [second.key]);
    world.end(0, FrameEnd::Stopped);
    assert_eq!(world.order(0).offer.key, second.key);
    // What was told of the first one is nothing to the second.
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    world.report(first.key, 0);
    assert_eq!(world.desk.unsent_frames(), 1);
    world.report(second.key, 0);
    assert_eq!(world.desk.unsent_frames(), 0);
}

#[test]
fn a_frame_that_was_done_when_the_cancel_came_is_not_reported() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..1)));
    world.hear(Input::Cancel(vec![key(1)]));
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert!(!world.desk.is_held(&key(1)), "so its delivery is dropped");
    assert_eq!(world.desk.unsent_frames(), 0);
    assert!(world.said.is_empty(), "{:?}", world.said);
    world.lease(offer(2, 7, frames(1..2)));
    assert_eq!(world.order(0).offer.key, key(2));
}
