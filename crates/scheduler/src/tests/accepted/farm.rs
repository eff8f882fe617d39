//! Settings of the farm, workers and their names.

use super::*;

#[test]
fn settings_out_of_bounds_are_refused_and_the_same_once_more_are_no_change() {
    let mut world = World::new();
    let set = |settings: FarmSettings| Input::Settings(Box::new(settings));
    let effects = world.input(set(FarmSettings {
        lost_max: 0,
        ..FarmSettings::default()
    }));
    assert_eq!(
        effects.outcome,
        Outcome::Refused(Refusal::Invalid("lost_max is 1 to 1000, not 0".into()))
    );
    assert_eq!(world.scheduler.settings(), &FarmSettings::default());
    let effects = world.input(set(FarmSettings::default()));
    assert_eq!(
        (effects.outcome, effects.changes),
        (Outcome::Applied, vec![])
    );
    let other = FarmSettings {
        lost_max: 1,
        ..FarmSettings::default()
    };
    let effects = world.input(set(other.clone()));
    assert_eq!(effects.changes, [Change::FarmSet(Box::new(other))]);
}

#[test]
fn usage_is_measured_a_sample_after_its_length_was_set() {
    let mut world = World::new();
    world.submit(job("1"));
    world.now = SECOND * 4;
    world.set(|farm| {
        farm.sample_ms = 4_000;
        farm.starved_after_ms = 86_400_000;
    });
    let next = |world: &World| world.scheduler.next_tick(world.clock());
    assert_eq!(next(&world), Some(SECOND * 4));
    world.pass(SECOND);
    assert_eq!(next(&world), Some(SECOND * 3));
    // The time that it was meant for before is past by then, and forgotten.
    world.pass(SECOND * 3);
    assert_eq!(next(&world), Some(SECOND * 4));
}

#[test]
fn a_shorter_wait_makes_starved_who_has_waited_so_long_and_nobody_else() {
    let mut world = World::new();
    world.submit(job("1"));
    let paused = world.submit(job("1"));
    world.input(Input::Job(paused, JobCommand::Pause));
    let starved = |world: &World| {
        let jobs = world.scheduler.jobs.values();
        jobs.map(|job| job.starved).collect::<Vec<_>>()
    };
    world.pass(SECOND * 60);
    assert_eq!(starved(&world), [false, false]);
    world.set(|farm| farm.starved_after_ms = 60_001);
    assert_eq!(starved(&world), [false, false]);
    world.set(|farm| farm.starved_after_ms = 60_000);
    assert_eq!(starved(&world), [true, false]);
    world.set(|farm| farm.starved_after_ms = 60_001);
    assert_eq!(starved(&world), [false, false]);
    world.pass(Duration::from_millis(1));
    assert_eq!(starved(&world), [true, false]);
}

#[test]
fn who_waits_for_another_job_does_not_starve() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    world.submit(with("1", |new| new.settings.after = after));
    let starved = |world: &World| {
        let jobs = world.scheduler.jobs.values();
        jobs.map(|job| job.starved).collect::<Vec<_>>()
    };
    world.pass(SECOND * 30);
    world.set(|farm| farm.starved_after_ms = 20_000);
    assert_eq!(starved(&world), [true, false]);
}

#[test]
fn names_are_made_different_by_a_number() {
    let mut world = World::new();
    let mut name = |wished: &str| match world.input(Input::Paired(wished.into())).outcome {
        Outcome::Paired(id, name) => (id.0, name),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(" w\n "), (1, "w".into()));
    assert_eq!(name("w"), (2, "w-2".into()));
    assert_eq!(name("w"), (3, "w-3".into()));
    assert_eq!(name(""), (4, "worker".into()));
    assert_eq!(name("\t"), (5, "worker-2".into()));
    let long = "ä".repeat(100);
    assert_eq!(name(&"ä".repeat(101)), (6, long.clone()));
    assert_eq!(name("a\u{7}b"), (7, "ab".into()));
    for number in 8..=104 {
        assert_eq!(name("w"), (number, format!("w-{}", number - 4)));
    }
    // A hundred of a name are counted; after that the worker's own number is taken.
    assert_eq!(name("w"), (105, "w-105".into()));
    assert_eq!(name("w"), (106, "w-106".into()));
}

#[test]
fn a_worker_that_is_gone_is_not_known() {
    let mut world = World::new();
    let a = world.join(1);
    world.input(Input::Worker(a, WorkerCommand::Remove));
    let facts = super::super::world::facts(1, "3.4.1");
    for input in [
        Input::Linked {
            worker: a,
            facts: facts.clone(),
            holds: Vec::new(),
        },
        Input::Facts { worker: a, facts },
        Input::Heartbeat {
            worker: a,
            holds: Vec::new(),
        },
        Input::Unlinked(a),
        Input::Worker(a, WorkerCommand::Pause),
    ] {
        let effects = world.input(input);
        assert_eq!(effects.outcome, Outcome::Refused(Refusal::NoWorker(a)));
        assert_eq!((effects.changes, effects.orders), (vec![], vec![]));
    }
    let Outcome::Paired(_, name) = world.input(Input::Paired("w".into())).outcome else {
        panic!()
    };
    assert_eq!(name, "w", "its name is free again");
}

#[test]
fn a_mode_is_told_once() {
    let mut world = World::new();
    let a = world.join(1);
    for (command, mode) in [
        (WorkerCommand::Pause, WorkerMode::Paused),
        (WorkerCommand::Drain, WorkerMode::Draining),
        (WorkerCommand::Block(None), WorkerMode::Blocked),
        (WorkerCommand::Resume, WorkerMode::Active),
    ] {
        let effects = world.input(Input::Worker(a, command.clone()));
        assert_eq!(effects.orders, [(a, Order::Mode(mode))]);
        assert_eq!(effects.changes.len(), 1);
        let effects = world.input(Input::Worker(a, command));
        assert_eq!((effects.orders, effects.changes), (vec![], vec![]));
    }
}

#[test]
fn to_block_or_unblock_for_a_job_there_is_one() {
    let mut world = World::new();
    let a = world.join(1);
    let nobody = JobId(9);
    for command in [
        WorkerCommand::Block(Some(nobody)),
        WorkerCommand::Unblock(Some(nobody)),
    ] {
        assert_eq!(
            world.input(Input::Worker(a, command)).outcome,
            Outcome::Refused(Refusal::NoJob(nobody))
        );
    }
}

#[test]
fn a_worker_blocked_for_a_job_goes_on_with_the_others() {
    let mut world = World::new();
    let a = world.join(1);
    let jobs = [world.submit(job("1..9")), world.submit(job("1..9"))];
    world.answer_recalls();
    let block = || Input::Worker(a, WorkerCommand::Block(Some(jobs[0])));
    let kept: Vec<_> = world.hands[&a]
        .iter()
        .filter(|(key, _)| key.unit.job == jobs[1])
        .cloned()
        .collect();
    assert_eq!(kept.len(), 1);
    let effects = world.input(block());
    assert!(effects.changes.contains(&Change::JobBlocked(jobs[0], a)));
    assert!(world.hands[&a].contains(&kept[0]));
    assert!(
        world.hands[&a]
            .iter()
            .all(|(key, _)| key.unit.job == jobs[1])
    );
    assert_eq!(world.input(block()).changes, []);
    let why = world.scheduler.why_job(world.clock(), jobs[0]).unwrap();
    let codes: Vec<&str> = why.reasons.iter().map(Reason::code).collect();
    assert!(codes.contains(&"blocked"), "{codes:?}");
    let unblock = || Input::Worker(a, WorkerCommand::Unblock(Some(jobs[0])));
    let effects = world.input(unblock());
    assert!(effects.changes.contains(&Change::JobUnblocked(jobs[0], a)));
    assert_eq!(world.input(unblock()).changes, []);
}

#[test]
fn names_that_would_be_read_as_lists_are_refused_wherever_they_come_from() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    for edit in [
        JobEdit {
            tags: Some(vec!["a;b".into()]),
            ..JobEdit::default()
        },
        JobEdit {
            resources: Some(vec!["a=2".into()]),
            ..JobEdit::default()
        },
        JobEdit {
            category: Some(" film".into()),
            ..JobEdit::default()
        },
    ] {
        let outcome = world.edit(id, edit);
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    let mut new = job("1");
    new.settings.tags = vec!["a,b".into()];
    let outcome = world.input(Input::Submit(Box::new(new))).outcome;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}
