//! What reports say, and what follows from frames that failed.

use super::*;

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
fn where_order_matters_what_is_given_up_is_in_nobodys_hands() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(with("1..4", |new| {
        new.steps[0].in_order = true;
        new.settings.max_attempts = 1;
    }));
    let frame_us = Some(10_000_000);
    world.scheduler.jobs.get_mut(&id).unwrap().cost.frame_us = frame_us;
    let (slow, other) = match world.hands[&a].is_empty() {
        true => (b, a),
        false => (a, b),
    };
    world.start(slow, 0);
    // Until another begins the same.
    while world.hands[&other].is_empty() {
        assert!(world.now < SECOND * 600);
        world.heartbeat(slow);
        world.heartbeat(other);
        world.pass(SECOND);
    }
    let leased = |world: &World| world.scheduler.jobs[&id].leased;
    assert_eq!(leased(&world), 4);
    let (key, orders) = world.hands[&other][0].clone();
    failed(&mut world, other, key, orders[2]);
    assert_eq!(leased(&world), 2, "the first two are still rendered");
    assert_eq!(counts(&world, id), (4, 0, 2));
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
fn a_unit_of_which_the_last_frame_is_given_up_with_another_is_nobodys_any_more() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(with("1..2", |new| {
        new.settings.chunk = 2;
        new.settings.max_attempts = 1;
        let mut second = new.steps[0].clone();
        second.by_frame = true;
        new.steps.push(second);
        new.steps.push(new.steps[0].clone());
    }));
    world.render(a, 0);
    world.fail(a, 0);
    assert_eq!(frames(&world, a), [[1]], "the second step's");
    let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
    cost.frame_us = Some(10_000_000);
    world.start(a, 0);
    let b = world.join(1);
    for _ in 0..30 {
        world.heartbeat(a);
        world.heartbeat(b);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(frames(&world, b), [[1]], "it takes long there");
    world.start(b, 0);
    world.input(Input::Job(id, JobCommand::Retry));
    world.render(a, 0);
    assert_eq!(frames(&world, a), [[2]], "the first step's");
    world.orders.clear();
    let second = world.hands[&b][0].0;
    world.fail(a, 0);
    assert!(world.orders.contains(&(b, Order::Cancel(second))));
    assert_eq!(
        (state(&world, id), counts(&world, id)),
        (JobState::Active, (6, 2, 2)),
        "the third step is to come"
    );
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
        let overrides = second.overrides_mut();
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
