//! What is told of a job that is not rendered and of a worker that does nothing, word for word.

use std::time::Duration;

use tessera_model::{After, JobEdit, JobId, JobState, Rest, Series, Share, WorkerId, WorkerMode};

use super::world::{World, build, job, with};
use crate::{
    Absence, Criterion, Input, JobCommand, NewJob, Order, Reason, Refusal, Why, WorkerCommand,
};

const SECOND: Duration = Duration::from_secs(1);

fn tagged(frames: &str, tag: &str) -> NewJob {
    with(frames, |new| new.settings.tags = vec![tag.into()])
}

fn tag(world: &mut World, worker: WorkerId, tag: &str) {
    world.say(worker, |facts| facts.tags.push(tag.into()));
}

fn why(world: &World, id: JobId) -> String {
    let why = world.scheduler.why_job(world.clock(), id);
    why.unwrap().to_string()
}

fn why_worker(world: &World, id: WorkerId) -> String {
    let why = world.scheduler.why_worker(world.clock(), id);
    why.unwrap().to_string()
}

/// Renders the first unit of a job that a worker has in hand.
fn render_of(world: &mut World, worker: WorkerId, id: JobId) {
    let at = place_of(world, worker, id);
    world.render(worker, at);
}

fn place_of(world: &World, worker: WorkerId, id: JobId) -> usize {
    let mut hands = world.hands[&worker].iter();
    hands.position(|(key, _)| key.unit.job == id).unwrap()
}

#[test]
fn the_last_frames_are_counted_while_they_are_in_hand() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    assert_eq!(why(&world, id), "2 frames are in workers' hands");
    world.start(a, 0);
    assert_eq!(
        why(&world, id),
        "1 slot renders it; 2 frames are in workers' hands"
    );
    world.render(a, 0);
    assert_eq!(why(&world, id), "1 frame is in workers' hands");
    world.render(a, 0);
    assert_eq!(why(&world, id), "it is done");
}

#[test]
fn a_frame_that_was_given_up_is_not_waited_for() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..3", |new| new.settings.max_attempts = 1));
    world.fail(a, 0);
    world.render(a, 0);
    assert_eq!(why(&world, id), "1 frame is in workers' hands");
}

#[test]
fn frames_that_are_tried_again_are_told_until_the_moment_they_are() {
    let mut world = World::new();
    world.set(|farm| farm.retry_after_ms = 10_000);
    let a = world.join(1);
    let id = world.submit(job("1..2"));
    world.fail(a, 0);
    assert_eq!(
        why(&world, id),
        "1 frame is in workers' hands; 1 failed frame is tried again in 10 s"
    );
    world.pass(SECOND * 3);
    world.fail(a, 0);
    assert_eq!(
        why(&world, id),
        "2 failed frames are tried again in 7 s",
        "the first of them counts"
    );
    world.pass(SECOND / 2);
    assert_eq!(why(&world, id), "2 failed frames are tried again in 7 s");
    world.pass(SECOND / 2);
    assert_eq!(why(&world, id), "2 failed frames are tried again in 6 s");
    world.heartbeat(a);
    world.pass(SECOND * 6);
    assert_eq!(
        why(&world, id),
        "1 frame is in workers' hands; 1 failed frame is tried again in 3 s"
    );
}

#[test]
fn who_waits_for_frames_says_so_besides_what_is_in_hand() {
    let mut world = World::new();
    world.join(1);
    let first = world.submit(tagged("1..3", "nowhere"));
    let after = vec![After {
        job: first,
        frames: true,
    }];
    let second = world.submit(with("1..3", |new| new.settings.after = after.clone()));
    let waits = "its frames wait for those of the same number of job 1";
    assert_eq!(why(&world, second), waits);
    world.input(Input::Job(first, JobCommand::Pause));
    assert_eq!(why(&world, second), format!("{waits}, which is paused"));
    world.input(Input::Job(first, JobCommand::Resume));
    world.input(Input::Job(second, JobCommand::Cancel));
    // Two frames of five wait for nothing: the other job has no such frames.
    let third = world.submit(with("1..5", |new| new.settings.after = after));
    assert_eq!(
        why(&world, third),
        format!("2 frames are in workers' hands; {waits}")
    );
}

#[test]
fn workers_that_get_nothing_at_all_are_counted_by_what_keeps_them() {
    let mut world = World::new();
    let workers: Vec<WorkerId> = (0..10).map(|_| world.join(1)).collect();
    for &worker in &workers[..2] {
        world.input(Input::Worker(worker, WorkerCommand::Pause));
    }
    world.input(Input::Worker(workers[2], WorkerCommand::Drain));
    world.input(Input::Worker(workers[3], WorkerCommand::Block(None)));
    for &worker in &workers[4..6] {
        world.cut(worker);
    }
    for &worker in &workers[6..9] {
        world.say(worker, |facts| facts.slots = 0);
    }
    world.say(workers[9], |facts| {
        facts.rest = Some(Rest {
            reason: "works at night".into(),
            until: None,
        });
    });
    let id = world.submit(job("1"));
    assert_eq!(
        why(&world, id),
        "2 workers that could render it are paused; \
         1 worker that could render it is draining; \
         1 worker that could render it is blocked; \
         2 workers that could render it are not connected; \
         3 workers that could render it keep no Blender running (0 slots); \
         1 worker that could render it is resting (works at night)"
    );
    for (at, told) in [
        (0, "it is paused"),
        (2, "it is draining"),
        (3, "it is blocked"),
        (4, "it is not connected"),
        (6, "it keeps no Blender running (0 slots)"),
        (9, "it is resting (works at night)"),
    ] {
        assert_eq!(why_worker(&world, workers[at]), told);
    }
}

#[test]
fn a_silence_of_fifteen_seconds_is_not_too_long_and_one_moment_more_is() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(tagged("1", "x"));
    world.pass(SECOND * 15);
    assert_eq!(
        why_worker(&world, a),
        "1 job needs the tag x, which it does not have"
    );
    world.pass(Duration::from_millis(1));
    assert_eq!(why_worker(&world, a), "it does not answer");
    world.edit(
        id,
        JobEdit {
            tags: Some(Vec::new()),
            ..JobEdit::default()
        },
    );
    assert_eq!(
        why(&world, id),
        "1 worker that could render it does not answer"
    );
    world.heartbeat(a);
    assert_eq!(world.hands[&a].len(), 1);
}

#[test]
fn a_blocked_worker_is_named_with_what_undoes_it() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..9"));
    world.start(a, 0);
    world.input(Input::Worker(b, WorkerCommand::Block(Some(id))));
    assert_eq!(
        why(&world, id),
        "1 slot renders it; \
         1 worker that could render it is blocked for this job, w-2 (`tessera worker-admin unblock w-2 --job 1` undoes it); \
         the worker that can render it is busy"
    );
    assert_eq!(why_worker(&world, b), "it is blocked for job 1");
    world.input(Input::Worker(a, WorkerCommand::Block(Some(id))));
    assert_eq!(
        why(&world, id),
        "2 workers that could render it are blocked for this job, w, w-2 (`tessera worker-admin unblock w --job 1` undoes it)"
    );
}

#[test]
fn a_job_at_its_cap_says_so_and_one_below_it_does_not() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    for _ in 0..4 {
        world.join(1);
    }
    let other = world.submit(job("1..9"));
    let one = world.submit(job("1..99"));
    world.answer_recalls();
    let two = "2 units of it wait at workers";
    let busy = "all 4 workers that can render it are busy";
    assert_eq!(why(&world, one), format!("{two}; {busy}"));
    world.set(|farm| farm.cap_percent = 50);
    assert_eq!(
        why(&world, one),
        format!(
            "{two}; it holds 2 slots of the 2 that one job may have while others have work; {busy}"
        )
    );
    world.input(Input::Job(other, JobCommand::Pause));
    assert!(
        !why(&world, one).contains("others have work"),
        "no other job has any"
    );
}

#[test]
fn a_limit_is_all_that_is_told_of_able_workers() {
    let mut world = World::new();
    for _ in 0..2 {
        world.join(1);
    }
    let slots_max = Some(1);
    let share = Share {
        slots_max,
        ..Share::default()
    };
    world.set(|farm| {
        farm.users.insert("bob".parse().unwrap(), share);
        farm.categories.insert("film".into(), share);
        farm.resources.insert("nuke".into(), 1);
    });
    let bob = |new: &mut NewJob| new.owner = "bob".parse().unwrap();
    let film = |new: &mut NewJob| {
        new.settings.category = "film".into();
        new.settings.resources = vec!["nuke".into()];
    };
    let of_user = world.submit(with("1..9", bob));
    let of_both = world.submit(with("1..9", film));
    assert_eq!(
        why(&world, of_user),
        "1 unit of it waits at workers; user bob is limited to 1 slot at once"
    );
    assert_eq!(
        why(&world, of_both),
        "1 unit of it waits at workers; category film is limited to 1 slot at once; resource nuke is limited to 1 slot at once"
    );
    // Another one of the user is held as well, and nobody else.
    let third = world.submit(with("1..9", bob));
    assert_eq!(why(&world, third), "user bob is limited to 1 slot at once");
    let fourth = world.submit(job("1..9"));
    assert!(!why(&world, fourth).contains("limited"));
}

/// A job whose only free frame failed on a worker of two slots that holds so many other units, while the only other
/// worker is full. Units are short if `short` says so.
fn failed_there(units: usize, short: bool) -> (World, [WorkerId; 2], JobId) {
    let mut world = World::new();
    if !short {
        world.set(|farm| farm.long_unit_ms = 0);
    }
    let a = world.join(2);
    tag(&mut world, a, "a");
    let id = world.submit(job("1..2"));
    if short {
        world.render(a, 0);
    } else {
        world.start(a, 0);
        world.pass(SECOND);
        world.render(a, 0);
    }
    world.fail(a, 0);
    let b = world.join(1);
    tag(&mut world, b, "b");
    let full = world.submit(tagged("1..9", "b"));
    let fill = world.submit(tagged(&format!("1..{}", units + 1), "a"));
    for (worker, id) in [(b, full), (a, fill)] {
        if short {
            render_of(&mut world, worker, id);
        } else {
            let at = place_of(&world, worker, id);
            world.start(worker, at);
        }
    }
    if !short {
        let at = place_of(&world, a, fill);
        let (key, frames) = world.hands[&a][at].clone();
        world.pass(Duration::from_millis(500));
        assert_eq!(key.unit.job, fill);
        assert_eq!(frames.len(), 1);
        world.render(a, at);
        world.pass(Duration::from_millis(500));
    } else {
        world.pass(SECOND);
    }
    assert_eq!(world.hands[&a].len(), units);
    (world, [a, b], id)
}

#[test]
fn a_frame_that_failed_on_the_worker_with_room_waits_for_another() {
    let there = "its free frames failed on 1 worker with room and wait for another; the worker that can render it is busy";
    let busy = "all 2 workers that can render it are busy";
    // Of units that take long two a slot may be in hand, of short ones three.
    for (units, short, told) in [
        (0, false, there),
        (1, false, there),
        (3, false, there),
        (4, false, busy),
        (0, true, there),
        (4, true, there),
        (5, true, there),
        (6, true, busy),
    ] {
        let (world, [a, _], id) = failed_there(units, short);
        assert_eq!(why(&world, id), told, "{units} units, short: {short}");
        if units < 2 {
            assert_eq!(
                why_worker(&world, a),
                format!(
                    "1 job needs the tag b, which it does not have; the free frames of job {id} failed here before"
                )
            );
        }
    }
}

#[test]
fn a_worker_counts_its_slots_and_what_lies_ready_behind_them() {
    let mut world = World::new();
    let a = world.join(2);
    assert_eq!(why_worker(&world, a), "no job has frames to hand out");
    for told in [
        "no job has frames to hand out",
        "its 2 slots are busy",
        "its 2 slots are busy, 1 unit more lies ready",
        "its 2 slots are busy, 2 units more lie ready",
    ] {
        world.submit(job("1"));
        assert_eq!(why_worker(&world, a), told);
    }
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1"));
    assert_eq!(why_worker(&world, a), "its 1 slot is busy");
}

#[test]
fn an_idle_worker_tells_what_each_job_with_work_lacks() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    tag(&mut world, b, "b");
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 0);
    });
    let nuke = |new: &mut NewJob| new.settings.resources = vec!["nuke".into()];
    // What is all in hand is nobody's reason, nor is what is paused.
    world.submit(tagged("1..2", "b"));
    let paused = world.submit(tagged("1", "c"));
    world.input(Input::Job(paused, JobCommand::Pause));
    assert_eq!(why_worker(&world, a), "no job has frames to hand out");
    world.submit(tagged("1", "c"));
    assert_eq!(
        why_worker(&world, a),
        "1 job needs the tag c, which it does not have"
    );
    world.submit(tagged("1", "c"));
    world.submit(with("1", |new| new.settings.requirement.cores = Some(2)));
    let needs = "2 jobs need the tag c, which it does not have; 1 job needs 2 cores, which it does not have";
    assert_eq!(why_worker(&world, a), needs);
    world.submit(with("1", nuke));
    assert_eq!(
        why_worker(&world, a),
        format!("{needs}; 1 job is held by a limit")
    );
    world.submit(with("1", nuke));
    assert_eq!(
        why_worker(&world, a),
        format!("{needs}; 2 jobs are held by a limit")
    );
    world.input(Input::Worker(b, WorkerCommand::Pause));
    let paused = WorkerCommand::Pause;
    world.input(Input::Worker(a, paused));
    let ids = [job("1"), job("1")].map(|new| world.submit(new));
    for id in ids {
        world.input(Input::Worker(a, WorkerCommand::Block(Some(id))));
    }
    world.input(Input::Worker(a, WorkerCommand::Resume));
    assert_eq!(
        why_worker(&world, a),
        format!(
            "{needs}; it is blocked for jobs {}, {}; 2 jobs are held by a limit",
            ids[0], ids[1]
        )
    );
}

#[test]
fn a_worker_looks_at_every_job_of_a_long_line() {
    let mut world = World::new();
    world.audit_every = 50;
    let a = world.join(1);
    for _ in 0..130 {
        world.submit(tagged("1", "x"));
    }
    assert_eq!(
        why_worker(&world, a),
        "130 jobs need the tag x, which it does not have"
    );
    let last = JobId(130);
    world.edit(
        last,
        JobEdit {
            tags: Some(Vec::new()),
            ..JobEdit::default()
        },
    );
    assert_eq!(world.hands[&a][0].0.unit.job, last);
}

#[test]
fn what_nobody_has_is_told_and_whether_somebody_has_all_of_it() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    assert_eq!(
        why(&world, id),
        "no worker has joined this farm yet: run `tessera worker` on a machine"
    );
    let (a, b) = (world.join(1), world.join(1));
    tag(&mut world, a, "x");
    tag(&mut world, b, "y");
    let both = world.submit(with("1", |new| {
        new.settings.tags = vec!["y".into(), "x".into(), "y".into()];
    }));
    assert_eq!(
        why(&world, both),
        "needs the tag x: 1 of 2 workers has it; needs the tag y: 1 of 2 workers has it; no worker has all of it together"
    );
    let one = world.submit(with("1", |new| {
        new.settings.tags = vec!["x".into(), "z".into()];
    }));
    assert_eq!(
        why(&world, one),
        "needs the tag x: 1 of 2 workers has it; needs the tag z: none of 2 workers has it"
    );
    // What every worker has is not worth a word.
    for worker in [a, b] {
        tag(&mut world, worker, "all");
    }
    world.input(Input::Worker(a, WorkerCommand::Pause));
    world.input(Input::Worker(b, WorkerCommand::Pause));
    let all = world.submit(tagged("1", "all"));
    assert_eq!(
        why(&world, all),
        "2 workers that could render it are paused"
    );
}

#[test]
fn a_job_that_is_held_or_over_says_how_to_go_on() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1", |new| new.settings.max_attempts = 1));
    world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(
        why(&world, id),
        "it is paused (`tessera job resume` goes on)"
    );
    world.input(Input::Job(id, JobCommand::Resume));
    world.answer_recalls();
    world.fail(a, 0);
    assert_eq!(
        why(&world, id),
        "it has failed (`tessera job retry` tries its failed frames again)"
    );
    world.input(Input::Job(id, JobCommand::Cancel));
    assert_eq!(
        why(&world, id),
        "it was cancelled (`tessera job retry` takes it up again)"
    );
    assert_eq!(world.scheduler.why_job(world.clock(), JobId(9)), None);
    assert_eq!(world.scheduler.why_worker(world.clock(), WorkerId(9)), None);
}

#[test]
fn who_is_waited_for_is_told_with_what_became_of_it() {
    let jobs = vec![
        (JobId(1), None),
        (JobId(2), Some(JobState::Failed)),
        (JobId(3), Some(JobState::Cancelled)),
        (JobId(4), Some(JobState::Paused)),
        (JobId(5), Some(JobState::Active)),
    ];
    assert_eq!(
        Reason::WaitsForJobs(jobs).to_string(),
        "it waits for job 1, which is gone (`tessera job edit --after` sets what it waits for), job 2, which has failed, job 3, which was cancelled, job 4, which is paused, job 5"
    );
}

#[test]
fn one_and_many_are_told_apart() {
    let what = || Criterion::Cores(8);
    let told = |reason: Reason| reason.to_string();
    for (reason, text) in [
        (Reason::Rendering { slots: 1 }, "1 slot renders it"),
        (Reason::Rendering { slots: 2 }, "2 slots render it"),
        (
            Reason::Needs {
                what: what(),
                have: 0,
                of: 1,
            },
            "needs 8 cores, which the only worker does not have",
        ),
        (
            Reason::Needs {
                what: what(),
                have: 2,
                of: 3,
            },
            "needs 8 cores: 2 of 3 workers have it",
        ),
        (
            Reason::Absent {
                why: Absence::Silent,
                workers: 2,
            },
            "2 workers that could render it do not answer",
        ),
        (
            Reason::Absent {
                why: Absence::Held(WorkerMode::Draining),
                workers: 2,
            },
            "2 workers that could render it are draining",
        ),
        (
            Reason::Limit {
                of: "user ada".into(),
                limit: 3,
            },
            "user ada is limited to 3 slots at once",
        ),
        (
            Reason::JobsFailedHere {
                jobs: vec![JobId(3), JobId(4)],
            },
            "the free frames of jobs 3, 4 failed here before",
        ),
        (Reason::Full { slots: 1, units: 0 }, "its 1 slot is busy"),
    ] {
        assert_eq!(told(reason), text);
    }
    let why = Why {
        reasons: vec![Reason::Paused, Reason::NoWork, Reason::NotTogether],
    };
    assert_eq!(
        why.to_string(),
        "it is paused (`tessera job resume` goes on); no job has frames to hand out; no worker has all of it together"
    );
    assert_eq!(Why::default().to_string(), "");
}

#[test]
fn each_reason_has_a_word_of_its_own_for_programs() {
    let mut world = World::new();
    let a = world.join(1);
    let codes = |why: Option<Why>| -> Vec<&'static str> {
        let why = why.unwrap();
        why.reasons.iter().map(Reason::code).collect()
    };
    let idle = world.scheduler.why_worker(world.clock(), a);
    assert_eq!(codes(idle), ["no_work"]);
    let id = world.submit(job("1..2"));
    let given = world.scheduler.why_job(world.clock(), id);
    assert_eq!(codes(given), ["in_hand"]);
    world.start(a, 0);
    let rendered = world.scheduler.why_job(world.clock(), id);
    assert_eq!(codes(rendered), ["rendering", "in_hand"]);
    let full = world.scheduler.why_worker(world.clock(), a);
    assert_eq!(codes(full), ["full"]);
    world.cut(a);
    let away = world.scheduler.why_worker(world.clock(), a);
    assert_eq!(codes(away), ["worker"]);
}

#[test]
fn a_refusal_says_what_to_do() {
    let series: Series = "4.2".parse().unwrap();
    for (refusal, text) in [
        (
            Refusal::NoJob(JobId(7)),
            "there is no job 7: `tessera jobs` lists them",
        ),
        (
            Refusal::NoWorker(WorkerId(7)),
            "there is no worker 7: `tessera workers` lists them",
        ),
        (
            Refusal::JobState {
                job: JobId(7),
                state: "done",
                hint: "it has no failed frames",
            },
            "job 7 is done: it has no failed frames",
        ),
        (
            Refusal::NoBuild {
                file: series,
                newest: build("3.4.1").version,
            },
            "the file was saved by Blender 4.2, and the newest Blender of this farm's workers is 3.4.1: install Blender 4.2 or newer on a worker",
        ),
        (Refusal::Invalid("as it is".into()), "as it is"),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn nothing_is_asked_back_for_who_is_held_by_a_limit_of_none() {
    let mut world = World::new();
    let a = world.join(1);
    world.set(|farm| {
        farm.resources.insert("nuke".into(), 0);
    });
    world.submit(job("1..9"));
    let none = world.submit(with("1", |new| {
        new.settings.resources = vec!["nuke".into()]
    }));
    assert_eq!(
        why(&world, none),
        "resource nuke is limited to 0 slots at once"
    );
    assert_eq!(world.hands[&a].len(), 2);
    let recalls = |(_, order): &(WorkerId, Order)| matches!(order, Order::Recall(_));
    assert!(!world.orders.iter().any(recalls));
}
