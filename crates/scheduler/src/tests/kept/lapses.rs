//! Links that close, workers that are silent, and what they still have when they are back.

use super::*;

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

/// Frame 5 takes its worker with it again and again; what is beside it is rendered in the end.
#[test]
fn a_frame_beside_one_that_kills_does_not_pay_for_it() {
    let mut world = World::new();
    let a = world.join(2);
    let id = world.submit(job("5..14"));
    let lost = |world: &World, position: u32| {
        let step = world.scheduler.jobs[&id].step(StepIndex(0)).unwrap();
        step.lost.get(&position).copied().unwrap_or(0)
    };
    let at = |world: &World, killer: bool| {
        let mut hands = world.hands[&a].iter();
        hands.position(|(key, _)| (key.unit.index == 0) == killer)
    };
    for times in 1..=7 {
        let (killer, beside) = (at(&world, true).unwrap(), at(&world, false).unwrap());
        let beside = world.start(a, beside).unit.index;
        world.start(a, killer);
        world.hands.get_mut(&a).unwrap().clear();
        world.link(a);
        assert_eq!(lost(&world, 0), times);
        // Either may be what did it, as long as neither was lost before.
        assert_eq!(lost(&world, beside), u32::from(times == 1), "{times}");
        let again = world.hands[&a]
            .iter()
            .position(|(key, _)| key.unit.index == beside);
        world.render(a, again.unwrap());
    }
}
