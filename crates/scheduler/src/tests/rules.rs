//! One scene a rule of fairness, matching and the end of a job.

use std::time::Duration;

use tessera_model::{After, JobEdit, JobId, JobState, LeaseKey, Requirement, Share, WorkerId};

use super::world::{World, job, prioritised, with};
use crate::{Input, JobCommand, NewJob, Order, Outcome, Reason, Refusal, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);

/// Jobs of what a worker has in hand, oldest first.
fn hands(world: &World, worker: WorkerId) -> Vec<JobId> {
    world.hands[&worker]
        .iter()
        .map(|(key, _)| key.unit.job)
        .collect()
}

fn state(world: &World, id: JobId) -> JobState {
    world.scheduler.job(world.clock(), id).unwrap().state
}

fn codes(world: &World, id: JobId) -> Vec<&'static str> {
    let why = world.scheduler.why_job(world.clock(), id).unwrap();
    why.reasons.iter().map(Reason::code).collect()
}

fn why(world: &World, id: JobId) -> String {
    let why = world.scheduler.why_job(world.clock(), id).unwrap();
    why.to_string()
}

/// Part of the worker-seconds of a busy farm that each of these jobs got, in percent.
fn shares(world: &mut World, workers: &[WorkerId], jobs: &[JobId], samples: u32) -> Vec<u32> {
    let mut held = vec![0; jobs.len()];
    world.audit_every = 997;
    for round in 0..samples * 10 {
        for &worker in workers {
            world.heartbeat(worker);
            // Frames of 3 s, the workers one after another.
            if (round + worker.0).is_multiple_of(3) {
                world.render(worker, 0);
            }
            if let Some(first) = hands(world, worker).first()
                && let Some(at) = jobs.iter().position(|id| id == first)
            {
                held[at] += 1;
            }
        }
        world.answer_recalls();
        world.pass(SECOND);
    }
    let all = samples * 10 * workers.len() as u32;
    held.into_iter().map(|held| held * 100 / all).collect()
}

#[test]
fn slots_are_shared_by_priority() {
    for count in [2, 3, 9] {
        let mut world = World::new();
        let workers: Vec<WorkerId> = (0..count).map(|_| world.join(1)).collect();
        let one = world.submit(prioritised("1..5000", 1));
        let two = world.submit(prioritised("1..5000", 2));
        let got = shares(&mut world, &workers, &[one, two], 100);
        assert!(
            got[0].abs_diff(33) <= 5 && got[1].abs_diff(67) <= 5,
            "{count}: {got:?}"
        );
    }
}

#[test]
fn categories_are_equal_however_many_jobs_they_have() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..8).map(|_| world.join(1)).collect();
    let film = |new: &mut NewJob| new.settings.category = "film".into();
    let lone = world.submit(with("1..5000", film));
    let others: Vec<JobId> = (0..3).map(|_| world.submit(job("1..5000"))).collect();
    let got = shares(
        &mut world,
        &workers,
        &[lone, others[0], others[1], others[2]],
        100,
    );
    assert!(got[0].abs_diff(50) <= 5, "{got:?}");
    assert!(
        got[1..].iter().all(|part| part.abs_diff(17) <= 5),
        "{got:?}"
    );
}

#[test]
fn users_of_a_category_are_equal_and_a_set_share_holds() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..8).map(|_| world.join(1)).collect();
    let of = |name: &'static str| with("1..5000", move |new| new.owner = name.parse().unwrap());
    let jobs = [of("ada"), of("bob"), of("bob")].map(|new| world.submit(new));
    let got = shares(&mut world, &workers, &jobs, 100);
    assert!(got[0].abs_diff(50) <= 5, "{got:?}");
    world.set(|farm| {
        let priority = Some(3);
        let share = Share {
            priority,
            ..Share::default()
        };
        farm.users.insert("bob".parse().unwrap(), share);
    });
    shares(&mut world, &workers, &jobs, 5);
    let got = shares(&mut world, &workers, &jobs, 100);
    assert!(got[0].abs_diff(25) <= 5, "{got:?}");
}

#[test]
fn nobody_has_more_than_the_cap_but_who_is_alone() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..8).map(|_| world.join(1)).collect();
    let alone = world.submit(prioritised("1..1000", 1000));
    let of = |world: &World, id| {
        let has = |worker: &&WorkerId| hands(world, **worker).contains(&id);
        workers.iter().filter(has).count()
    };
    assert_eq!(of(&world, alone), 8);
    let other = world.submit(prioritised("1..1000", 1));
    // What lies ready beyond the cap is asked back, what is rendered is finished.
    world.answer_recalls();
    for &worker in &workers {
        world.render(worker, 0);
    }
    world.answer_recalls();
    assert!(of(&world, alone) <= 6, "{}", of(&world, alone));
    assert!(of(&world, other) >= 2);
    assert!(
        codes(&world, alone).contains(&"capped"),
        "{}",
        why(&world, alone)
    );
    world.set(|farm| farm.cap_percent = 100);
    assert!(!codes(&world, alone).contains(&"capped"));
}

#[test]
fn every_job_gets_its_first_frame_soon() {
    let mut world = World::new();
    let a = world.join(1);
    let high = world.submit(prioritised("1..9", 1000));
    world.start(a, 0);
    let low = world.submit(prioritised("1..9", 1));
    // The unit that lay ready was asked back for it.
    world.answer_recalls();
    assert_eq!(hands(&world, a), [high, low]);
}

#[test]
fn who_waits_for_too_long_goes_first() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(prioritised("1..999", 1000));
    let low = world.submit(prioritised("1..9", 1));
    world.set(|farm| farm.cap_percent = 100);
    world.answer_recalls();
    // It has had its first frame; by its priority it would get every thousandth.
    world.audit_every = 97;
    let mut got = Vec::new();
    for _ in 0..400 {
        world.heartbeat(a);
        world.start(a, 0);
        got.push(hands(&world, a)[0]);
        world.pass(SECOND);
        world.render(a, 0);
        world.answer_recalls();
    }
    let times: Vec<usize> = (0..400).filter(|&at| got[at] == low).collect();
    assert!((3..=6).contains(&times.len()), "{times:?}");
    assert!(
        times.windows(2).all(|two| two[1] - two[0] <= 130),
        "{times:?}"
    );
}

#[test]
fn what_came_back_before_it_began_goes_first_again() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(prioritised("1..999", 1000));
    let low = world.submit(prioritised("1..9", 1));
    world.answer_recalls();
    let of_low = |world: &World| {
        let mut keys = world.hands[&a].iter().map(|(key, _)| *key);
        keys.find(|key| key.unit.job == low)
    };
    let urgent = |world: &World, key: LeaseKey| {
        world.orders.iter().any(
            |(_, order)| matches!(order, Order::Lease { key: of, urgent: true, .. } if *of == key),
        )
    };
    let give_back = |world: &mut World, key: LeaseKey| {
        let hands = world.hands.get_mut(&a).unwrap();
        hands.retain(|(held, _)| *held != key);
        world.input(Input::Returned { worker: a, key });
    };
    let first = of_low(&world).unwrap();
    assert!(urgent(&world, first));
    give_back(&mut world, first);
    let second = of_low(&world).unwrap();
    assert_eq!(
        (second.unit, second.attempt.0),
        (first.unit, first.attempt.0 + 1)
    );
    assert!(urgent(&world, second));
    // Once it was rendered its turn is over.
    let at = world.hands[&a].iter().position(|(key, _)| *key == second);
    world.start(a, at.unwrap());
    give_back(&mut world, second);
    assert!(of_low(&world).is_none_or(|third| !urgent(&world, third)));
}

#[test]
fn limits_of_users_and_resources_hold() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..4).map(|_| world.join(1)).collect();
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 2);
        let slots_max = Some(1);
        let share = Share {
            slots_max,
            ..Share::default()
        };
        farm.users.insert("bob".parse().unwrap(), share);
    });
    let nuke = |new: &mut NewJob| new.settings.resources = vec!["nuke".into()];
    let one = world.submit(with("1..9", nuke));
    let two = world.submit(with("1..9", nuke));
    let bob = world.submit(with("1..9", |new| new.owner = "bob".parse().unwrap()));
    let at = |world: &World, jobs: &[JobId]| {
        let has = |worker: &&WorkerId| hands(world, **worker).iter().any(|id| jobs.contains(id));
        workers.iter().filter(has).count()
    };
    assert_eq!((at(&world, &[one, two]), at(&world, &[bob])), (2, 1));
    assert!(
        why(&world, bob).contains("user bob is limited to 1 slot at once"),
        "{}",
        why(&world, bob)
    );
    world.set(|farm| {
        farm.resources.clear();
        farm.users.clear();
    });
    assert_eq!(at(&world, &[one, two, bob]), 4);
}

#[test]
fn only_who_has_what_is_needed_and_why_tells_who_does() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.say(a, |facts| facts.memory_bytes = 32_000_000_000);
    world.say(b, |facts| facts.tags = vec!["fast".into()]);
    let needs = |memory, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        with("1..2", |new| {
            new.settings.tags = tags;
            new.settings.requirement.memory_bytes = memory;
        })
    };
    let memory = world.submit(needs(Some(32_000_000_000), &[]));
    assert_eq!((hands(&world, a).len(), hands(&world, b).len()), (2, 0));
    let both = world.submit(needs(Some(32_000_000_000), &["fast"]));
    assert_eq!(
        why(&world, both),
        "needs the tag fast: 1 of 2 workers has it; needs 32 GB of memory: 1 of 2 workers has it; no worker has all of it together"
    );
    let nobody = world.submit(needs(Some(64_000_000_000), &[]));
    assert_eq!(
        why(&world, nobody),
        "needs 64 GB of memory: none of 2 workers has it"
    );
    let requirement = Some(Requirement::default());
    world.edit(
        nobody,
        JobEdit {
            requirement,
            ..JobEdit::default()
        },
    );
    assert_eq!(hands(&world, b), [nobody, nobody]);
    assert_eq!(hands(&world, a), [memory, memory]);
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let waits = world.submit(needs(Some(32_000_000_000), &[]));
    assert!(why(&world, waits).contains("1 worker that could render it is paused"));
    let idle = world.scheduler.why_worker(world.clock(), a).unwrap();
    assert_eq!(idle.to_string(), "it is paused");
}

#[test]
fn a_named_worker_and_one_that_rests() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let named = |new: &mut NewJob| new.settings.requirement.workers = vec!["w-2".into()];
    let id = world.submit(with("1..4", named));
    assert_eq!((hands(&world, a).len(), hands(&world, b).len()), (0, 2));
    world.start(b, 0);
    world.say(b, |facts| {
        let reason = "works Mon-Fri 19:00-07:00".into();
        facts.rest = Some(tessera_model::Rest {
            reason,
            until: None,
        });
    });
    world.answer_recalls();
    world.render(b, 0);
    assert!(hands(&world, b).is_empty(), "what it rendered was its last");
    assert_eq!(
        why(&world, id),
        "needs a worker named w-2: 1 of 2 workers has it; 1 worker that could render it is resting (works Mon-Fri 19:00-07:00)"
    );
    world.say(b, |facts| facts.rest = None);
    assert!(!hands(&world, b).is_empty());
}

#[test]
fn jobs_follow_jobs_and_frames_follow_frames() {
    let mut world = World::new();
    let a = world.join(1);
    let first = world.submit(job("1..3"));
    let after = |frames| vec![After { job: first, frames }];
    let whole = world.submit(with("1", |new| new.settings.after = after(false)));
    let frames = world.submit(with("2..4", |new| {
        new.settings.after = after(true);
        new.settings.priority = 9;
    }));
    world.answer_recalls();
    // Frame 4 waits for nothing: the first job has no such frame.
    assert!(hands(&world, a).contains(&frames));
    assert_eq!(why(&world, whole), format!("it waits for job {first}"));
    let mut delivered = Vec::new();
    while let Some((key, orders)) = world.hands[&a].front().cloned() {
        delivered.push((key.unit.job, orders[0].frame));
        world.render(a, 0);
    }
    let place = |what| delivered.iter().position(|done| *done == what).unwrap();
    for frame in [2, 3] {
        assert!(
            place((first, frame)) < place((frames, frame)),
            "{delivered:?}"
        );
    }
    for frame in 1..=3 {
        assert!(place((first, frame)) < place((whole, 1)), "{delivered:?}");
    }
    let circle = world.edit(
        first,
        JobEdit {
            after: Some(vec![After {
                job: whole,
                frames: false,
            }]),
            ..JobEdit::default()
        },
    );
    assert!(matches!(circle, Outcome::Refused(Refusal::Invalid(_))));
}

#[test]
fn a_job_waits_for_one_that_failed_or_is_gone_and_says_so() {
    let mut world = World::new();
    world.join(1);
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let second = world.submit(with("1", |new| new.settings.after = after));
    world.input(Input::Job(first, JobCommand::Cancel));
    assert_eq!(
        why(&world, second),
        format!("it waits for job {first}, which was cancelled")
    );
    world.input(Input::Job(first, JobCommand::Remove));
    assert!(
        why(&world, second).contains("which is gone"),
        "{}",
        why(&world, second)
    );
    world.edit(
        second,
        JobEdit {
            after: Some(Vec::new()),
            ..JobEdit::default()
        },
    );
    world.finish();
    assert_eq!(state(&world, second), JobState::Done);
}

#[test]
fn another_chunk_holds_for_what_was_not_handed_out() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..12", |new| new.settings.chunk = 2));
    assert_eq!(world.hands[&a].len(), 2);
    world.edit(
        id,
        JobEdit {
            chunk: Some(4),
            ..JobEdit::default()
        },
    );
    let b = world.join(1);
    let frames = |world: &World, worker, at: usize| world.hands[&worker][at].1.len();
    assert_eq!((frames(&world, a, 0), frames(&world, b, 0)), (2, 4));
    world.restart();
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_straggler_gets_a_second_lease_and_the_first_result_wins() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..8"));
    // Both know what a frame takes; then one of the last two does not end.
    for _ in 0..3 {
        for worker in [a, b] {
            world.start(worker, 0);
            world.heartbeat(worker);
        }
        world.pass(SECOND * 10);
        for worker in [a, b] {
            world.heartbeat(worker);
            world.render(worker, 0);
        }
        world.answer_recalls();
    }
    let stuck = world.start(a, 0);
    world.start(b, 0);
    world.pass(SECOND * 10);
    world.heartbeat(a);
    world.render(b, 0);
    assert!(hands(&world, b).is_empty(), "on time so far");
    let mut doubled = None;
    for second in 0..60 {
        world.pass(SECOND);
        world.heartbeat(a);
        world.heartbeat(b);
        if let Some((key, _)) = world.hands[&b].front() {
            doubled = Some((second, *key));
            break;
        }
    }
    let (second, twin) = doubled.expect("it was never doubled");
    assert!((5..=25).contains(&second), "{second}");
    assert_eq!(
        (twin.unit, twin.attempt.0),
        (stuck.unit, stuck.attempt.0 + 1)
    );
    assert_eq!(world.render(b, 0), Some(Outcome::Accepted));
    assert!(world.orders.contains(&(a, Order::Cancel(stuck))));
    assert_eq!(state(&world, id), JobState::Done);
}

#[test]
fn a_worker_stays_with_the_scene_it_has_open() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..4).map(|_| world.join(1)).collect();
    let jobs = [1, 1].map(|priority| world.submit(prioritised("1..5000", priority)));
    shares(&mut world, &workers, &jobs, 4);
    let mut changes = 0;
    for _ in 0..10 {
        let before: Vec<_> = workers
            .iter()
            .map(|&worker| hands(&world, worker)[0])
            .collect();
        shares(&mut world, &workers, &jobs, 1);
        let after: Vec<_> = workers
            .iter()
            .map(|&worker| hands(&world, worker)[0])
            .collect();
        changes += before
            .iter()
            .zip(&after)
            .filter(|(one, two)| one != two)
            .count();
    }
    assert_eq!(changes, 0, "each has two workers of its own");
}

#[test]
fn only_where_asked_a_render_is_ended_for_a_higher_job() {
    let mut world = World::new();
    let a = world.join(1);
    let low = world.submit(prioritised("1..2", 10));
    let begun = world.start(a, 0);
    world.pass(SECOND * 2);
    let high = world.submit(prioritised("1", 1000));
    world.answer_recalls();
    assert_eq!(hands(&world, a), [low, high], "the higher one waits behind");
    world.pass(SECOND * 2);
    world.heartbeat(a);
    let urgent = world.submit(with("1", |new| {
        new.settings.priority = 1000;
        new.settings.preempt = true;
    }));
    assert!(world.orders.contains(&(a, Order::Cancel(begun))));
    let mut left = hands(&world, a);
    left.sort_unstable();
    assert_eq!(left, [high, urgent]);
    let at = hands(&world, a)
        .iter()
        .position(|id| *id == urgent)
        .unwrap();
    world.start(a, at);
    world.answer_recalls();
    world.heartbeat(a);
    world.answer_recalls();
    let mut left = hands(&world, a);
    left.sort_unstable();
    assert_eq!(left, [high, urgent], "nothing lower comes in between");
    world.finish();
}

#[test]
fn a_job_keeps_its_blender_and_gets_one_as_soon_as_one_is_within_its_range() {
    let mut world = World::new();
    world.join(1);
    let range = |range: &str| {
        Some(JobEdit {
            requirement: Some(Requirement {
                blender: range.parse().ok(),
                ..Requirement::default()
            }),
            ..JobEdit::default()
        })
    };
    let pinned = world.submit(job("1..9"));
    let Outcome::Refused(refusal) = world.edit(pinned, range("5.0..5.1").unwrap()) else {
        panic!("its frames are rendered with another one already");
    };
    let text = refusal.to_string();
    assert!(text.contains("a job keeps its Blender"), "{text}");
    let waits = world.submit(with("1..9", |new| {
        new.settings.requirement = range("5.0..5.1").unwrap().requirement.unwrap();
    }));
    assert_eq!(world.scheduler.jobs[&waits].job.build, None);
    assert_eq!(world.edit(waits, range("").unwrap()), Outcome::Applied);
    assert!(world.scheduler.jobs[&waits].job.build.is_some());
}

#[test]
fn a_retry_finds_the_blender_that_came_meanwhile() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    world.input(Input::Job(id, JobCommand::Cancel));
    world.join(1);
    assert_eq!(world.scheduler.jobs[&id].job.build, None);
    world.input(Input::Job(id, JobCommand::Retry));
    assert!(world.scheduler.jobs[&id].job.build.is_some());
    world.finish();
}

#[test]
fn a_lower_limit_takes_back_what_had_not_begun() {
    let mut world = World::new();
    let workers = [world.join(1), world.join(1)];
    let id = world.submit(with("1..9", |new| {
        new.settings.resources = vec!["nuke".into()];
    }));
    for worker in workers {
        world.start(worker, 0);
    }
    let ready = |world: &World| world.scheduler.jobs[&id].lying.len();
    assert_eq!(ready(&world), 2);
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 1);
    });
    world.answer_recalls();
    assert_eq!(
        ready(&world),
        0,
        "only one of the two goes on after this frame"
    );
    for worker in workers {
        world.render(worker, 0);
    }
    let held: usize = workers.iter().map(|id| world.hands[id].len()).sum();
    assert!(held >= 1);
    let at = workers.iter().filter(|id| !world.hands[id].is_empty());
    assert_eq!(at.count(), 1);
}

#[test]
fn nobody_is_asked_for_the_unit_of_its_own_slot() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..2"));
    assert_eq!(world.hands[&a].len(), 2);
    for _ in 0..3 {
        world.join(1);
    }
    let asked = |world: &World| {
        let recalls = world.orders.iter();
        recalls
            .filter(|(_, order)| matches!(order, Order::Recall(_)))
            .count()
    };
    assert_eq!(asked(&world), 1);
}
