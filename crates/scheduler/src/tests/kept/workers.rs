//! Workers and jobs with time, and over a restart of the manager.

use super::*;

#[test]
fn who_got_something_meanwhile_has_not_waited_so_long() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1..9"));
    let starved = |world: &World| world.scheduler.jobs[&id].starved;
    wait(&mut world, &[a], 60);
    world.render(a, 0);
    wait(&mut world, &[a], 119);
    assert!(!starved(&world));
    wait(&mut world, &[a], 1);
    assert!(starved(&world));
    world.render(a, 0);
    assert!(!starved(&world));
}

#[test]
fn a_paused_worker_is_asked_once_for_what_has_not_begun() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..4"));
    world.start(a, 0);
    let ready = world.hands[&a][1].0;
    let mut tell = |command| world.input(Input::Worker(a, command)).orders;
    assert_eq!(
        tell(WorkerCommand::Pause),
        [
            (a, Order::Mode(WorkerMode::Paused)),
            (a, Order::Recall(ready))
        ]
    );
    assert_eq!(
        tell(WorkerCommand::Drain),
        [(a, Order::Mode(WorkerMode::Draining))],
        "it was asked already"
    );
    assert_eq!(
        tell(WorkerCommand::Resume),
        [(a, Order::Mode(WorkerMode::Active))]
    );
}

#[test]
fn a_drained_worker_that_links_works_again_and_a_paused_one_stays_paused() {
    for (command, mode, changes) in [
        (WorkerCommand::Drain, WorkerMode::Active, 1),
        (WorkerCommand::Pause, WorkerMode::Paused, 0),
        (WorkerCommand::Block(None), WorkerMode::Blocked, 0),
        (WorkerCommand::Resume, WorkerMode::Active, 0),
    ] {
        let mut world = World::new();
        let a = world.join(1);
        world.input(Input::Worker(a, command));
        world.cut(a);
        let linked = world.input(Input::Linked {
            worker: a,
            facts: super::super::world::facts(1, "3.4.1"),
            holds: Vec::new(),
        });
        let drop = Vec::new();
        assert_eq!(linked.outcome, Outcome::Linked { mode, drop });
        assert_eq!(linked.changes.len(), changes, "{mode:?}");
        let record = world.scheduler.worker(world.clock(), a).unwrap().record;
        assert_eq!(record.mode, mode);
    }
}

#[test]
fn other_slots_are_other_blenders_and_other_tags_are_not() {
    let mut world = World::new();
    let a = world.join(2);
    let id = world.submit(job("1..9"));
    world.start(a, 0);
    let loaded = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.loaded
    };
    assert_eq!(loaded(&world), [id]);
    world.say(a, |facts| facts.tags = vec!["fast".into()]);
    assert_eq!(loaded(&world), [id]);
    world.say(a, |facts| facts.slots = 3);
    assert_eq!(loaded(&world), []);
    // What was open is open after a link that was mended, and not when the program began anew.
    world.start(a, 1);
    world.cut(a);
    world.link(a);
    assert_eq!(loaded(&world), [id]);
    world.hands.get_mut(&a).unwrap().clear();
    world.cut(a);
    world.link(a);
    assert_eq!(loaded(&world), []);
}

#[test]
fn the_scenes_opened_last_are_open_one_for_each_slot() {
    let mut world = World::new();
    let a = world.join(2);
    let ids = [1, 2, 3].map(|_| world.submit(job("1..30")));
    let loaded = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.loaded
    };
    for (at, open) in [
        (0, vec![ids[0]]),
        (1, vec![ids[1], ids[0]]),
        (0, vec![ids[0], ids[1]]),
        (2, vec![ids[2], ids[0]]),
    ] {
        let key = LeaseKey {
            unit: UnitId {
                job: ids[at],
                step: StepIndex(0),
                index: 20,
            },
            attempt: Attempt(world.now.as_secs() as u32 + 1),
        };
        let now = world.now;
        assert!(hold(&mut world.scheduler, now, key, a, 1));
        let started = Input::Started {
            worker: a,
            key,
            position: 20,
        };
        world.scheduler.apply(world.clock(), started);
        assert_eq!(loaded(&world), open);
        world.now += SECOND;
        let returned = Input::Returned { worker: a, key };
        world.scheduler.apply(world.clock(), returned);
    }
}

#[test]
fn who_waits_frame_by_frame_for_a_job_that_is_gone_waits_in_vain() {
    let mut world = World::new();
    let a = world.join(1);
    let first = world.submit(job("1..3"));
    world.render(a, 0);
    let after = vec![After {
        job: first,
        frames: true,
    }];
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let second = world.submit(with("1..3", |new| new.settings.after = after));
    assert_eq!(world.scheduler.jobs[&second].free_units(), 1);
    world.input(Input::Job(first, JobCommand::Remove));
    assert_eq!(world.scheduler.jobs[&second].free_units(), 0);
    world.input(Input::Worker(a, WorkerCommand::Resume));
    assert!(
        world.hands[&a]
            .iter()
            .all(|(key, _)| key.unit.job != second)
    );
    let why = world.scheduler.why_job(world.clock(), second).unwrap();
    assert!(!why.reasons.is_empty());
    assert_eq!(why.reasons.iter().map(Reason::code).count(), 1, "{why}");
}

#[test]
fn who_does_not_wait_for_a_job_any_more_has_nothing_to_do_with_its_end() {
    let mut world = World::new();
    let a = world.join(1);
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let second = world.submit(with("1", |new| new.settings.after = after));
    world.edit(
        second,
        JobEdit {
            after: Some(Vec::new()),
            ..JobEdit::default()
        },
    );
    world.render(a, 0);
    assert_eq!(state(&world, first), JobState::Done);
    let effects = world.input(Input::Job(first, JobCommand::Remove));
    assert_eq!(effects.changes, [Change::JobRemoved(first)]);
    assert!(!effects.jobs.contains(&second));
}

#[test]
fn a_restarted_manager_knows_how_many_frames_each_job_had() {
    let mut world = World::new();
    nothing_ready(&mut world);
    let a = world.join(1);
    let id = world.submit(job("1..9"));
    for _ in 0..3 {
        world.render(a, 0);
    }
    world.input(Input::Job(id, JobCommand::Pause));
    world.answer_recalls();
    let handed_out = |world: &World| world.scheduler.jobs[&id].dispatched;
    assert_eq!(handed_out(&world), 4);
    world.restart();
    // Three delivered, and one handed out and given back.
    assert_eq!(handed_out(&world), 4);
}

#[test]
fn a_restarted_manager_keeps_what_workers_hold_for_fifteen_seconds() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    world.restart();
    world.pass(SECOND * 15 - MS);
    assert_eq!(world.scheduler.leases.len(), 1);
    world.pass(MS);
    assert_eq!(world.scheduler.leases.len(), 0);
    assert_eq!(dropped(&mut world, a), [], "and takes it back after that");
}
