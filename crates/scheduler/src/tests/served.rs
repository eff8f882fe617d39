//! Who is served next, and with what.

use std::time::Duration;

use tessera_model::{After, JobEdit, JobId, WorkerId};

use super::world::{World, job, prioritised, with};
use crate::job::Failures;
use crate::{Input, JobCommand, NewJob, Order, WorkerCommand, assign, books, line};

const SECOND: Duration = Duration::from_secs(1);

fn tagged(frames: &str, tag: &str) -> NewJob {
    with(frames, |new| new.settings.tags = vec![tag.into()])
}

fn tag(world: &mut World, worker: WorkerId, tags: &[&str]) {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    world.say(worker, |facts| facts.tags = tags);
}

/// Jobs of what a worker has in hand, oldest first.
fn hands(world: &World, worker: WorkerId) -> Vec<JobId> {
    let hands = world.hands[&worker].iter();
    hands.map(|(key, _)| key.unit.job).collect()
}

fn measured(world: &mut World, id: JobId, frame: Duration) {
    let cost = &mut world.scheduler.jobs.get_mut(&id).unwrap().cost;
    cost.frame_us = Some(frame.as_micros() as u64);
    line::refresh_job(&mut world.scheduler, world.now, id);
}

/// Sets a job's part and what is made up for.
fn owed(world: &mut World, id: JobId, target_milli: u64, credit_milli: i64) {
    let job = world.scheduler.jobs.get_mut(&id).unwrap();
    (job.target_milli, job.credit_milli) = (target_milli, credit_milli);
    line::refresh_part(&mut world.scheduler, id);
}

fn choice(world: &World, worker: WorkerId, level: u32) -> Option<JobId> {
    assign::choose(&world.scheduler, worker, level).map(|choice| choice.job)
}

/// A farm where all have had their first frames, nobody is bounded, and nothing lies ready.
fn plain() -> World {
    let mut world = World::new();
    world.set(|farm| {
        farm.first_frames = 0;
        farm.cap_percent = 100;
        farm.queued_per_slot = 0;
    });
    world
}

#[test]
fn two_a_slot_of_what_takes_long_and_three_of_what_does_not() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(2));
    let id = world.submit(job("1..99"));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (2, 4));
    measured(&mut world, id, SECOND);
    world.input(Input::Tick);
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (3, 6));
    assert!(world.scheduler.passed.is_empty());
}

#[test]
fn nobody_is_asked_in_vain_while_nothing_can_be_handed_out() {
    let mut world = World::new();
    let (a, _) = (world.join(1), world.join(1));
    for frames in ["1..2", "1..99"] {
        world.submit(job(frames));
        world.submit(tagged("1", "gone"));
        world.pass(SECOND);
        assert!(world.scheduler.passed.is_empty(), "{frames}");
        assert!(world.scheduler.next_tick(world.clock()) > Some(SECOND));
    }
    assert_eq!(world.hands[&a].len(), 2);
}

#[test]
fn a_first_frame_goes_in_front_of_short_ones_however_many() {
    let mut world = World::new();
    let a = world.join(1);
    let short = world.submit(job("1..2"));
    measured(&mut world, short, SECOND / 10);
    let new = world.submit(job("1..5"));
    assert_eq!(hands(&world, a), [short, short, new]);
    let urgent = |order: &Order| matches!(order, Order::Lease { key, urgent: true, .. } if key.unit.job == new);
    assert!(world.orders.iter().any(|(_, order)| urgent(order)));
}

#[test]
fn so_does_what_has_waited_for_too_long_and_what_did_both() {
    for (first_frames, frame) in [(0, None), (1, None), (9, Some(SECOND / 10))] {
        let mut world = World::new();
        world.set(|farm| {
            farm.first_frames = first_frames;
            farm.starved_after_ms = 100;
        });
        let a = world.join(1);
        let short = world.submit(job("1..2"));
        measured(&mut world, short, SECOND / 10);
        let waits = world.submit(tagged("1", "fast"));
        if let Some(frame) = frame {
            measured(&mut world, waits, frame);
        }
        world.pass(SECOND);
        assert!(world.scheduler.jobs[&waits].starved);
        tag(&mut world, a, &["fast"]);
        assert_eq!(hands(&world, a), [short, short, waits], "{first_frames}");
    }
}

#[test]
fn nothing_short_comes_in_place_of_the_long_one_whose_turn_it_is() {
    let mut world = World::new();
    world.set(|farm| farm.first_frames = 0);
    let a = world.join(1);
    let short = world.submit(job("1..9"));
    assert_eq!(hands(&world, a), [short, short]);
    measured(&mut world, short, SECOND / 10);
    let long = world.submit(prioritised("1..9", 9));
    assert_eq!(hands(&world, a), [short, short]);
    assert_eq!(
        (choice(&world, a, 1), choice(&world, a, 2)),
        (Some(long), None)
    );
    owed(&mut world, long, 0, 0);
    owed(&mut world, short, 5000, 0);
    assert_eq!(choice(&world, a, 2), Some(short));
}

#[test]
fn the_seventieth_job_is_served_when_nobody_before_it_can_be() {
    let mut world = World::new();
    world.audit_every = 70;
    let a = world.join(1);
    for _ in 0..69 {
        world.submit(tagged("1..9", "gone"));
    }
    let last = world.submit(job("1..9"));
    assert_eq!(world.scheduler.jobs[&last].rank, Some(69));
    assert_eq!(hands(&world, a), [last, last]);
}

#[test]
fn a_worker_stays_with_its_scene_wherever_in_the_line_that_is() {
    for before in [0, 3, 62, 68, 130] {
        let mut world = plain();
        world.audit_every = 1000;
        for _ in 0..before {
            world.submit(tagged("1..9", "gone"));
        }
        let [first, open] = [(); 2].map(|()| world.submit(job("1..9")));
        assert_eq!(world.scheduler.jobs[&open].rank, Some(before + 1));
        let a = world.join(1);
        assert_eq!(hands(&world, a), [first], "{before}");
        world.input(Input::Worker(a, WorkerCommand::Block(None)));
        books::unloaded(&mut world.scheduler, a);
        books::loaded(&mut world.scheduler, a, open);
        for id in [first, open] {
            owed(&mut world, id, 500, 0);
        }
        world.input(Input::Worker(a, WorkerCommand::Unblock(None)));
        assert_eq!(hands(&world, a), [open], "{before}");
    }
}

/// One slot, free, and two jobs with half of it each; the worker has the scene of the first one open.
fn half_each() -> (World, WorkerId, [JobId; 2]) {
    let mut world = plain();
    let a = world.join(1);
    let open = world.submit(job("1..9"));
    let other = world.submit(job("1..9"));
    world.start(a, 0);
    world.set(|farm| farm.sample_ms = 20_000);
    world.input(Input::Worker(a, WorkerCommand::Pause));
    world.render(a, 0);
    assert!(world.hands[&a].is_empty());
    world.scheduler.workers.get_mut(&a).unwrap().record.mode = tessera_model::WorkerMode::Active;
    crate::pools::place(&mut world.scheduler, a);
    line::settle(&mut world.scheduler, world.now);
    (world, a, [open, other])
}

#[test]
fn it_stays_until_another_lacks_most_of_a_slot_and_it_has_half_too_much() {
    let (mut world, a, [open, other]) = half_each();
    for (credit, stays) in [(1, true), (0, false)] {
        owed(&mut world, open, 500, credit);
        owed(&mut world, other, 500, 250);
        assert_eq!(choice(&world, a, 0), Some(if stays { open } else { other }));
    }
    // By one thousandth less the other one has to wait until it is three quarters too much.
    for (credit, stays) in [(0, true), (-249, true), (-250, false)] {
        owed(&mut world, open, 500, credit);
        owed(&mut world, other, 500, 249);
        assert_eq!(choice(&world, a, 0), Some(if stays { open } else { other }));
    }
}

#[test]
fn who_is_owed_half_a_slot_goes_before_who_is_not() {
    let (mut world, a, [open, other]) = half_each();
    books::unloaded(&mut world.scheduler, a);
    for [one, two] in [[open, other], [other, open]] {
        owed(&mut world, one, 500, 0);
        owed(&mut world, two, 499, 0);
        assert_eq!(choice(&world, a, 0), Some(one));
        owed(&mut world, two, 749, 0);
        owed(&mut world, one, 750, 0);
        assert_eq!(choice(&world, a, 0), Some(one));
    }
    let first = world.scheduler.line.order[0];
    owed(&mut world, open, 499, 0);
    owed(&mut world, other, 499, 0);
    assert_eq!(choice(&world, a, 0), Some(first));
}

#[test]
fn who_has_next_to_no_part_of_a_slot_does_not_keep_one() {
    let mut world = plain();
    let a = world.join(1);
    let held = world.submit(job("1..9"));
    let [open, other] = [(); 2].map(|()| world.submit(job("1..9")));
    assert_eq!(hands(&world, a), [held]);
    books::loaded(&mut world.scheduler, a, open);
    owed(&mut world, held, 0, 0);
    owed(&mut world, other, 900, 0);
    // Two units on one slot would count half each.
    owed(&mut world, open, 250, 0);
    assert_eq!(choice(&world, a, 1), Some(open));
    owed(&mut world, open, 249, 0);
    assert_eq!(choice(&world, a, 1), Some(other));
}

#[test]
fn what_one_more_unit_would_count_depends_on_the_slots_of_its_worker() {
    for (slots, own, elsewhere, counts) in [(3, 2, 1, 4000), (1, 1, 0, 1000), (1, 1, 1, 2000)] {
        let mut world = plain();
        let a = world.join(slots);
        let id = world.submit(job("1..99"));
        for _ in own..slots {
            world.input(Input::Job(id, JobCommand::Pause));
            let (key, _) = world.hands.get_mut(&a).unwrap().pop_back().unwrap();
            world.input(Input::Returned { worker: a, key });
            world.input(Input::Worker(a, WorkerCommand::Pause));
            world.input(Input::Job(id, JobCommand::Resume));
        }
        if elsewhere > 0 {
            world.join(elsewhere);
        }
        if own < slots {
            world.scheduler.workers.get_mut(&a).unwrap().record.mode =
                tessera_model::WorkerMode::Active;
            crate::pools::place(&mut world.scheduler, a);
        }
        let scheduler = &world.scheduler;
        assert_eq!(scheduler.workers[&a].leases.len(), own as usize);
        assert_eq!(
            scheduler.jobs[&id].held_milli,
            u64::from(own + elsewhere) * 1000
        );
        let other = tagged("1..99", "fast");
        let other = world.submit(other);
        line::settle(&mut world.scheduler, world.now);
        for (target, stays) in [(counts - 499, true), (counts - 500, false)] {
            let pools = world.scheduler.pools.pools.values_mut();
            let rank = world.scheduler.jobs[&other].rank.unwrap();
            pools.for_each(|pool| pool.jobs.set(rank, true));
            world.scheduler.line.capped.set(rank, false);
            owed(&mut world, id, target, 0);
            owed(&mut world, other, 9000, 0);
            let chosen = choice(&world, a, 1);
            assert_eq!(chosen, Some(if stays { id } else { other }), "{counts}");
        }
    }
}

#[test]
fn first_comes_what_it_has_most_of_in_hand() {
    let mut world = plain();
    let (a, b) = (world.join(1), world.join(1));
    tag(&mut world, b, &["b"]);
    let theirs = world.submit(tagged("1..9", "b"));
    let held = world.submit(job("1..9"));
    assert_eq!(
        (hands(&world, a), hands(&world, b)),
        (vec![held], vec![theirs])
    );
    let open = world.submit(job("1..9"));
    books::loaded(&mut world.scheduler, a, open);
    assert_eq!(choice(&world, a, 1), Some(held));
}

#[test]
fn a_job_at_its_cap_may_lie_ready_where_it_needs_no_further_slot() {
    let mut world = plain();
    let workers: Vec<WorkerId> = (0..4).map(|_| world.join(1)).collect();
    world.set(|farm| farm.cap_percent = 75);
    tag(&mut world, workers[3], &["d"]);
    let theirs = world.submit(tagged("1..9", "d"));
    let id = world.submit(prioritised("1..99", 9));
    let other = world.submit(prioritised("1..99", 1));
    assert_eq!(world.scheduler.jobs[&id].places, 3);
    assert_eq!(hands(&world, workers[3]), [theirs]);
    owed(&mut world, theirs, 0, 0);
    owed(&mut world, other, 3000, 0);
    owed(&mut world, id, 9000, 0);
    assert_eq!(choice(&world, workers[0], 1), Some(id));
    assert_eq!(choice(&world, workers[3], 1), Some(other));
    // Beyond its cap it gives its slots up one by one.
    world.set(|farm| farm.cap_percent = 50);
    owed(&mut world, id, 9000, 0);
    assert!(world.scheduler.line.over.contains(&id));
    assert_eq!(choice(&world, workers[0], 1), Some(other));
}

#[test]
fn units_that_failed_here_are_passed_over_up_to_so_many() {
    let mut world = plain();
    world.audit_every = 1000;
    let (a, b) = (world.join(1), world.join(1));
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let id = world.submit(job("1..99"));
    assert_eq!(world.hands[&b][0].0.unit.index, 0);
    let unit = |world: &World, worker| {
        let entry = &world.scheduler.workers[&worker];
        assign::try_job(&world.scheduler, entry, id).map(|choice| choice.unit)
    };
    assert_eq!(unit(&world, a), Some(1));
    for failed in 1..=64 {
        let step = &mut world.scheduler.jobs.get_mut(&id).unwrap().steps[0];
        let failures = Failures {
            count: 1,
            workers: [a].into(),
            ..Failures::default()
        };
        step.failures.insert(failed, failures);
        let next = (failed < 64).then_some(failed + 1);
        assert_eq!(unit(&world, a), next);
        assert_eq!(unit(&world, b), Some(1));
    }
    // Where it failed at everybody it may as well fail here again.
    let step = &mut world.scheduler.jobs.get_mut(&id).unwrap().steps[0];
    step.failures.get_mut(&1).unwrap().workers.insert(b);
    assert_eq!(unit(&world, a), Some(1), "who is paused does not count");
}

#[test]
fn who_may_have_nothing_of_it_does_not_keep_the_next_from_it() {
    let mut world = plain();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(tagged("1..2", "gone"));
    world.input(Input::Worker(a, WorkerCommand::Block(Some(id))));
    let tags = Some(Vec::new());
    world.edit(
        id,
        JobEdit {
            tags,
            ..JobEdit::default()
        },
    );
    assert_eq!((hands(&world, a), hands(&world, b)), (vec![], vec![id]));
    assert!(world.scheduler.passed.contains(&a));
    assert_eq!(world.scheduler.next_tick(world.clock()), Some(SECOND));
    // For something new it is asked at once, and when it may have what it might not.
    let new = world.submit(job("1"));
    assert_eq!(hands(&world, a), [new]);
    world.render(a, 0);
    assert!(world.scheduler.passed.contains(&a));
    world.input(Input::Worker(a, WorkerCommand::Unblock(Some(id))));
    assert_eq!(hands(&world, a), [id]);
}

#[test]
fn sixty_four_are_refused_at_an_input_and_the_next_goes_on() {
    let mut world = plain();
    world.audit_every = 100;
    let workers: Vec<WorkerId> = (0..66).map(|_| world.join(1)).collect();
    let id = world.submit(tagged("1", "gone"));
    let (last, refused) = workers.split_last().unwrap();
    for &worker in refused {
        world.input(Input::Worker(worker, WorkerCommand::Block(Some(id))));
    }
    let tags = Some(Vec::new());
    world.edit(
        id,
        JobEdit {
            tags,
            ..JobEdit::default()
        },
    );
    assert_eq!(world.scheduler.passed.len(), 64);
    assert!(hands(&world, *last).is_empty());
    world.input(Input::Tick);
    assert_eq!(hands(&world, *last), [id]);
}

#[test]
fn who_was_refused_is_asked_again_after_a_second() {
    let mut world = plain();
    let (a, b) = (world.join(1), world.join(1));
    tag(&mut world, b, &["b"]);
    let id = world.submit(job("1"));
    assert_eq!(hands(&world, a), [id]);
    world.submit(tagged("1", "b"));
    world.start(b, 0);
    world.fail(a, 0);
    world.pass(SECOND);
    assert!(hands(&world, a).is_empty(), "the other one is to have it");
    world.pass(Duration::from_millis(300));
    world.input(Input::Worker(b, WorkerCommand::Pause));
    world.pass(Duration::from_millis(699));
    assert!(hands(&world, a).is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(hands(&world, a), [id]);
}

#[test]
fn of_idle_workers_the_one_with_the_scene_open_is_given_it() {
    let mut world = plain();
    let (a, b) = (world.join(1), world.join(1));
    tag(&mut world, b, &["b"]);
    let id = world.submit(with("1", |new| new.settings.tags = vec!["gone".into()]));
    books::loaded(&mut world.scheduler, b, id);
    let anybody = || JobEdit {
        tags: Some(Vec::new()),
        ..JobEdit::default()
    };
    world.edit(id, anybody());
    assert_eq!((hands(&world, a), hands(&world, b)), (vec![], vec![id]));
    // An empty slot goes before an open scene.
    world.set(|farm| farm.queued_per_slot = 1);
    let next = world.submit(with("1", |new| new.settings.tags = vec!["gone".into()]));
    books::loaded(&mut world.scheduler, b, next);
    world.edit(next, anybody());
    assert_eq!((hands(&world, a), hands(&world, b)), (vec![next], vec![id]));
}

#[test]
fn else_the_one_that_has_its_files() {
    let mut world = plain();
    let (a, b) = (world.join(1), world.join(1));
    let digest = world.submit(tagged("1", "gone"));
    let digest = world.scheduler.jobs[&digest].job.manifest.digest;
    world.scheduler.workers.get_mut(&b).unwrap().brought(digest);
    let id = world.submit(job("1"));
    assert_eq!((hands(&world, a), hands(&world, b)), (vec![], vec![id]));
    // But not before an empty slot.
    world.set(|farm| farm.queued_per_slot = 1);
    let next = world.submit(job("1"));
    assert_eq!(hands(&world, a), [next]);
}

#[test]
fn whose_turn_it_is_goes_before_the_scene_a_worker_has_open() {
    let mut world = plain();
    let [a, b, c] = [(); 3].map(|()| world.join(1));
    tag(&mut world, a, &["both"]);
    tag(&mut world, b, &["both", "b"]);
    tag(&mut world, c, &["c"]);
    let before = world.submit(tagged("1", "c"));
    let after = |tag: &str, priority| {
        let mut new = tagged("1", tag);
        new.settings.priority = priority;
        new.settings.after = vec![After {
            job: before,
            frames: false,
        }];
        new
    };
    let open = world.submit(after("both", 1));
    let high = world.submit(after("b", 9));
    books::loaded(&mut world.scheduler, b, open);
    world.render(c, 0);
    assert_eq!(
        (hands(&world, a), hands(&world, b)),
        (vec![open], vec![high])
    );
}

#[test]
fn beyond_256_jobs_a_new_one_waits_a_second_for_its_place_in_the_line() {
    let mut world = World::new();
    world.audit_every = 1000;
    for _ in 0..255 {
        world.submit(job("1"));
    }
    let at_once = world.submit(prioritised("1", 5));
    assert_eq!(world.scheduler.jobs[&at_once].rank, Some(0));
    world.pass(SECOND);
    let later = world.submit(prioritised("1", 9));
    world.pass(Duration::from_millis(500));
    let last = world.submit(prioritised("1", 8));
    let ranks = |world: &World| [later, last].map(|id| world.scheduler.jobs[&id].rank);
    world.pass(Duration::from_millis(499));
    assert_eq!(ranks(&world), [Some(256), Some(257)]);
    world.pass(Duration::from_millis(1));
    assert_eq!(ranks(&world), [Some(0), Some(1)]);
}
