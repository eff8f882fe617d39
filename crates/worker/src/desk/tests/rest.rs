//! Hours end and begin.

use super::*;

#[test]
fn a_worker_that_begins_to_rest_finishes_its_frame_and_lets_go_of_blender() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..9)));
    world.lease(offer(2, 7, frames(9..10)));
    world.lease(offer(3, 8, frames(0..1)));
    world.hear(Input::Rest(Resting::AfterFrame));
    assert_eq!(world.returned(), set([2, 3]));
    assert_eq!(world.aborted, [tree(8)], "nor are files brought");
    assert!(world.stopped.is_empty());
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert_eq!(world.at[0], Some(Order::Cool));
    world.report(key(1), 0);
    assert_eq!(world.returned(), set([1, 2, 3]));
    world.cooled(0);
    assert!(world.at[0].is_none());

    // On its way when the farm heard of the rest.
    world.lease(offer(4, 7, frames(10..11)));
    assert_eq!(world.returned(), set([1, 2, 3, 4]));
    assert!(world.at[0].is_none());

    world.hear(Input::Rest(Resting::No));
    world.lease(offer(5, 7, frames(11..12)));
    assert_eq!(
        world.order(0).offer.key,
        key(5),
        "its files are still there"
    );
}

#[test]
fn whoever_comes_back_to_the_machine_has_it_at_once() {
    let mut world = World::loaded(7);
    let mut in_order = offer(1, 7, frames(0..9));
    in_order.in_order = true;
    world.lease(in_order);
    world.lease(offer(2, 7, frames(9..10)));
    world.hear(Input::Rest(Resting::Now));
    assert_eq!(world.returned(), set([2]));
    assert_eq!(world.stopped, [0]);
    world.end(0, FrameEnd::Stopped);
    assert_eq!(world.returned(), set([1, 2]));

    world.hear(Input::Rest(Resting::No));
    world.cooled(0);
    world.lease(offer(3, 7, frames(11..12)));
    assert_eq!(world.order(0).offer.key, key(3));
}

#[test]
fn a_pause_and_a_rest_hold_each_for_itself() {
    let mut world = World::loaded(7);
    world.hear(Input::Mode(WorkerMode::Paused));
    world.hear(Input::Rest(Resting::AfterFrame));
    world.hear(Input::Mode(WorkerMode::Active));
    world.lease(offer(1, 7, frames(0..1)));
    world.hear(Input::Mode(WorkerMode::Paused));
    world.hear(Input::Rest(Resting::No));
    world.lease(offer(2, 7, frames(0..1)));
    assert_eq!(world.returned(), set([1, 2]));
    world.hear(Input::Mode(WorkerMode::Active));
    world.cooled(0);
    world.lease(offer(3, 7, frames(0..1)));
    assert_eq!(world.order(0).offer.key, key(3));
}

#[test]
fn a_rest_tears_no_frames_apart_that_depend_on_their_order() {
    let mut world = World::loaded(7);
    let mut lease = offer(1, 7, frames(0..3));
    lease.in_order = true;
    world.lease(lease);
    world.hear(Input::Rest(Resting::AfterFrame));
    for _ in 0..3 {
        world.render(0);
    }
    assert_eq!(world.finished(), set([1]));
    world.cooled(0);
}

#[test]
fn a_blender_keeps_what_frames_in_order_left_in_it_while_they_wait() {
    let bytes = UNSENT_BYTES_MAX;
    let mut lease = offer(1, 7, frames(0..3));
    lease.in_order = true;
    for lost in [false, true] {
        let mut world = World::loaded(7);
        world.lease(lease.clone());
        world.hear(Input::Rest(Resting::AfterFrame));
        world.end(0, FrameEnd::Rendered { bytes });
        assert!(world.at[0].is_none(), "it waits for its report");
        if lost {
            world.hear(Input::Cooled { slot: 0 });
        }
        world.report(key(1), 0);
        match lost {
            false => assert_eq!(world.order(0).frame.position, 1),
            // The farm begins again from the first one.
            true => assert_eq!(world.returned(), set([1])),
        }
    }
}

#[test]
fn a_worker_that_rests_starts_no_blender() {
    let desk = Desk::new(1, Shelf::new(0, []), vec![build(6)], Some(build(6)));
    let mut world = World {
        desk,
        ..World::new(1)
    };
    world.hear(Input::Rest(Resting::AfterFrame));
    world.hear(Input::SlotIdle {
        slot: 0,
        warm: Warm::default(),
    });
    assert!(world.at[0].is_none());
}
