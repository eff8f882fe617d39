//! What is taken in and what is refused, at each bound and one beyond it; and what becomes of an edit.

use std::time::Duration;

use tessera_model::{
    After, Change, Device, FarmSettings, JobEdit, JobId, JobSettings, JobState, MAX_FRAMES,
    PRIORITY_MAX, Requirement, StepKind, Timestamp, WorkerMode,
};

use super::world::{World, build, job, with};
use crate::{Input, JobCommand, NewJob, Order, Outcome, Reason, Refusal, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);

fn state(world: &World, id: JobId) -> JobState {
    world.scheduler.job(world.clock(), id).unwrap().state
}

fn build_of(world: &World, id: JobId) -> Option<String> {
    let build = world.scheduler.job_ref(id).unwrap().build.clone();
    build.map(|build| build.version.to_string())
}

/// What a job is refused for; a refused one leaves nothing behind.
fn refused(new: NewJob) -> String {
    let mut world = World::new();
    let effects = world.input(Input::Submit(Box::new(new)));
    assert_eq!((effects.changes.len(), effects.jobs.len()), (0, 0));
    assert!(world.scheduler.jobs.is_empty());
    let Outcome::Refused(Refusal::Invalid(text)) = effects.outcome else {
        panic!("{:?}", effects.outcome)
    };
    assert_eq!(world.submit(job("1")), JobId(1), "no number was used up");
    text
}

fn set_wrong(change: impl FnOnce(&mut JobSettings)) -> String {
    refused(with("1", |new| change(&mut new.settings)))
}

fn taken(change: impl FnOnce(&mut NewJob)) {
    let mut world = World::new();
    let new = with("1", change);
    let id = world.submit(new.clone());
    let job = world.scheduler.job_ref(id).unwrap();
    assert_eq!((&job.settings, &job.steps), (&new.settings, &new.steps));
    assert_eq!(job.client_note, new.client_note);
}

fn set_right(change: impl FnOnce(&mut JobSettings)) {
    taken(|new| change(&mut new.settings));
}

#[test]
fn a_name_is_one_line_of_1_to_200_characters() {
    let says = "a job's name is one line of 1 to 200 characters";
    set_right(|job| job.name = "ä".repeat(200));
    for name in [String::new(), "  ".into(), "x".repeat(201), "a\nb".into()] {
        assert_eq!(set_wrong(|job| job.name = name), says);
    }
}

#[test]
fn a_category_is_one_line_of_1_to_200_characters() {
    let says = "a category is one line of 1 to 200 characters";
    set_right(|job| job.category = "ä".repeat(200));
    for name in [String::new(), " ".into(), "x".repeat(201), "a\tb".into()] {
        assert_eq!(set_wrong(|job| job.category = name), says);
    }
}

#[test]
fn a_job_has_up_to_32_tags_of_1_to_200_characters() {
    let says = "a job has at most 32 tags of 1 to 200 characters";
    let tags = |count: usize| (0..count).map(|tag| tag.to_string()).collect();
    set_right(|job| job.tags = tags(31));
    set_right(|job| job.tags = tags(32));
    set_right(|job| job.tags = vec!["ä".repeat(200)]);
    assert_eq!(set_wrong(|job| job.tags = tags(33)), says);
    assert_eq!(set_wrong(|job| job.tags = tags(34)), says);
    for tag in [String::new(), "x".repeat(201), "a\nb".into()] {
        assert_eq!(set_wrong(|job| job.tags = vec!["ok".into(), tag]), says);
    }
}

#[test]
fn a_comment_has_up_to_10000_characters() {
    set_right(|job| job.comment = "a\nb".into());
    set_right(|job| job.comment = "ä".repeat(10_000));
    for length in [10_001, 10_002] {
        let got = set_wrong(|job| job.comment = "x".repeat(length));
        assert_eq!(got, "a comment has at most 10000 characters");
    }
}

#[test]
fn a_priority_is_1_to_1000() {
    for priority in [1, PRIORITY_MAX] {
        set_right(|job| job.priority = priority);
    }
    for priority in [0, PRIORITY_MAX + 1] {
        let got = set_wrong(|job| job.priority = priority);
        assert_eq!(got, format!("a priority is 1 to 1000, not {priority}"));
    }
}

#[test]
fn a_frame_is_tried_1_to_100_times() {
    for attempts in [1, 100] {
        set_right(|job| job.max_attempts = attempts);
    }
    for attempts in [0, 101] {
        let got = set_wrong(|job| job.max_attempts = attempts);
        assert_eq!(
            got,
            format!("a frame is tried 1 to 100 times, not {attempts}")
        );
    }
}

#[test]
fn a_chunk_is_never_empty() {
    set_right(|job| job.chunk = u32::MAX);
    assert_eq!(
        set_wrong(|job| job.chunk = 0),
        "a chunk has at least 1 frame"
    );
}

#[test]
fn some_blender_that_is_allowed_opens_the_file() {
    let range = |range: &str| Some(range.parse().unwrap());
    let says = "no Blender within ..3.3 opens a file saved by Blender 3.4: allow 3.4 or newer, or save the file with an older Blender";
    for right in ["..3.4", "3.4", "3.0..5.0", "4.2.."] {
        set_right(|job| job.requirement.blender = range(right));
    }
    assert_eq!(
        set_wrong(|job| job.requirement.blender = range("..3.3")),
        says
    );
    // Also later; and what has its Blender keeps it.
    let mut world = World::new();
    let open = world.submit(job("1"));
    world.join(1);
    let pinned = world.submit(job("1"));
    for (id, to, text) in [
        (open, "..3.3", says),
        (pinned, "..3.3", says),
        (
            pinned,
            "3.5..",
            "job 2 is rendered with Blender 3.4.1, which is not within 3.5.., and a job keeps its Blender: submit it again",
        ),
    ] {
        let edit = JobEdit {
            requirement: Some(Requirement {
                blender: range(to),
                ..Requirement::default()
            }),
            ..JobEdit::default()
        };
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        assert_eq!(
            effects.outcome,
            Outcome::Refused(Refusal::Invalid(text.into()))
        );
        assert!(effects.changes.is_empty());
    }
}

#[test]
fn a_job_names_up_to_64_resources_and_workers() {
    let names = |count: usize| (0..count).map(|name| name.to_string()).collect();
    let wrong = ["".to_owned(), "x".repeat(201), "a\nb".into()];
    let says = |what| format!("a job has at most 64 {what} of 1 to 200 characters");
    for count in [63, 64] {
        set_right(|job| job.resources = names(count));
        set_right(|job| job.requirement.workers = names(count));
    }
    set_right(|job| job.resources = vec!["ä".repeat(200)]);
    for count in [65, 66] {
        let got = set_wrong(|job| job.resources = names(count));
        assert_eq!(got, says("resources"));
        let got = set_wrong(|job| job.requirement.workers = names(count));
        assert_eq!(got, says("names of workers"));
    }
    for name in wrong {
        let got = set_wrong(|job| job.resources = vec![name.clone()]);
        assert_eq!(got, says("resources"));
        let got = set_wrong(|job| job.requirement.workers = vec![name]);
        assert_eq!(got, says("names of workers"));
    }
}

#[test]
fn a_job_waits_for_up_to_64_others_that_exist() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let after = |job, count| {
        with("1", |new| {
            new.settings.after = vec![After { job, frames: false }; count];
        })
    };
    world.submit(after(first, 63));
    world.submit(after(first, 64));
    for count in [65, 66] {
        assert_eq!(
            refused(after(first, count)),
            "a job waits for at most 64 others"
        );
    }
    let nobody = JobId(99);
    let effects = world.input(Input::Submit(Box::new(after(nobody, 1))));
    assert_eq!(effects.outcome, Outcome::Refused(Refusal::NoJob(nobody)));
    assert_eq!(effects.changes, []);
}

#[test]
fn a_job_has_1_to_16_steps() {
    let steps = |count| {
        with("1", |new| {
            new.steps = vec![new.steps[0].clone(); count];
        })
    };
    for count in [1, 15, 16] {
        assert_eq!(World::new().submit(steps(count)), JobId(1));
    }
    for count in [0, 17, 18] {
        assert_eq!(
            refused(steps(count)),
            format!("a job has 1 to 16 steps, this one has {count}")
        );
    }
}

#[test]
fn a_job_has_up_to_four_million_frames_over_all_steps() {
    assert_eq!(MAX_FRAMES, 4_000_000);
    let new = |first: &str, second: &str| {
        with(first, |new| {
            new.settings.chunk = MAX_FRAMES;
            let mut step = new.steps[0].clone();
            step.frames = second.parse().unwrap();
            new.steps.push(step);
        })
    };
    let half = "-1000000..999999";
    for second in ["-1000000..999998", half] {
        assert_eq!(World::new().submit(new(half, second)), JobId(1));
    }
    for (second, frames) in [
        ("-1000000..1000000", 4_000_001),
        ("-1000000..1000001", 4_000_002),
    ] {
        assert_eq!(
            refused(new(half, second)),
            format!("a job has at most 4000000 frames, this one has {frames}: split it")
        );
    }
}

#[test]
fn a_note_has_up_to_64_kib() {
    for length in [0, 65_535, 65_536] {
        taken(|new| new.client_note = "x".repeat(length));
    }
    for length in [65_537, 65_538] {
        assert_eq!(
            refused(with("1", |new| new.client_note = "x".repeat(length))),
            "the client's note is longer than 65536 bytes"
        );
    }
}

#[test]
fn a_job_names_its_file() {
    assert_eq!(
        refused(with("1", |new| new.main_file.clear())),
        "the job names no .blend file"
    );
}

#[test]
fn a_step_that_follows_frame_by_frame_renders_on_the_same_device() {
    let second = |by_frame, device: Device| {
        with("1", |new| {
            let mut step = new.steps[0].clone();
            let StepKind::Render(overrides) = &mut step.kind;
            overrides.device = device;
            step.by_frame = by_frame;
            new.steps.push(step);
        })
    };
    assert_eq!(
        refused(second(true, Device::Gpu)),
        "a step that follows another frame by frame renders on the same device"
    );
    for new in [
        second(true, Device::Cpu),
        second(false, Device::Gpu),
        second(false, Device::Cpu),
    ] {
        World::new().submit(new);
    }
}

#[test]
fn an_edit_is_held_to_the_same_bounds_and_changes_nothing_if_refused() {
    let mut world = World::new();
    let id = world.submit(job("1"));
    let before = world.scheduler.job_ref(id).unwrap().clone();
    for edit in [
        JobEdit {
            name: Some("x".repeat(201)),
            ..JobEdit::default()
        },
        JobEdit {
            chunk: Some(0),
            comment: Some("kept?".into()),
            ..JobEdit::default()
        },
        JobEdit {
            after: Some(vec![After {
                job: id,
                frames: true,
            }]),
            ..JobEdit::default()
        },
    ] {
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        assert!(matches!(
            effects.outcome,
            Outcome::Refused(Refusal::Invalid(_))
        ));
        assert_eq!(effects.changes, []);
        assert_eq!(world.scheduler.job_ref(id), Some(&before));
    }
    let edit = JobEdit {
        after: Some(vec![After {
            job: JobId(99),
            frames: false,
        }]),
        ..JobEdit::default()
    };
    assert_eq!(
        world.edit(id, edit),
        Outcome::Refused(Refusal::NoJob(JobId(99)))
    );
}

#[test]
fn an_edit_changes_what_it_names_and_nothing_else() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let id = world.submit(job("1..4"));
    let old = world.scheduler.job_ref(id).unwrap().settings.clone();
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let new = JobSettings {
        name: "other".into(),
        category: "film".into(),
        priority: 5,
        tags: vec!["fast".into()],
        comment: "two\nlines".into(),
        chunk: 2,
        max_attempts: 7,
        requirement: Requirement {
            cores: Some(2),
            ..Requirement::default()
        },
        resources: vec!["nuke".into()],
        after,
        preempt: true,
    };
    let one = new.clone();
    let parts = [
        JobEdit {
            name: Some(one.name),
            ..JobEdit::default()
        },
        JobEdit {
            category: Some(one.category),
            priority: Some(one.priority),
            tags: Some(one.tags),
            ..JobEdit::default()
        },
        JobEdit {
            comment: Some(one.comment),
            chunk: Some(one.chunk),
            max_attempts: Some(one.max_attempts),
            ..JobEdit::default()
        },
        JobEdit {
            requirement: Some(one.requirement),
            resources: Some(one.resources),
            after: Some(one.after),
            preempt: Some(one.preempt),
            ..JobEdit::default()
        },
    ];
    let settings = |world: &World| world.scheduler.job_ref(id).unwrap().settings.clone();
    for (at, edit) in parts.into_iter().enumerate() {
        let effects = world.input(Input::Job(id, JobCommand::Edit(edit)));
        let edited = Change::JobEdited(id, settings(&world));
        assert_eq!(effects.changes[0], edited);
        if at == 0 {
            let name = new.name.clone();
            assert_eq!(
                settings(&world),
                JobSettings {
                    name,
                    ..old.clone()
                }
            );
        }
    }
    assert_eq!(settings(&world), new);
    // The same once more is no change.
    let effects = world.input(Input::Job(
        id,
        JobCommand::Edit(JobEdit {
            priority: Some(5),
            ..JobEdit::default()
        }),
    ));
    assert_eq!(effects.outcome, Outcome::Applied);
    assert_eq!(effects.changes, []);
}

#[test]
fn an_edit_may_keep_a_job_that_is_gone_among_those_waited_for() {
    let mut world = World::new();
    let first = world.submit(job("1"));
    let after = vec![After {
        job: first,
        frames: false,
    }];
    let id = world.submit(with("1", |new| new.settings.after = after.clone()));
    world.input(Input::Job(first, JobCommand::Remove));
    let edit = JobEdit {
        after: Some(after),
        priority: Some(9),
        ..JobEdit::default()
    };
    assert_eq!(world.edit(id, edit), Outcome::Applied);
    assert_eq!(world.scheduler.job_ref(id).unwrap().settings.priority, 9);
}

#[test]
fn an_edit_that_would_make_a_circle_is_refused_however_long_it_is() {
    let mut world = World::new();
    let after = |job| vec![After { job, frames: false }];
    let first = world.submit(job("1"));
    let second = world.submit(with("1", |new| new.settings.after = after(first)));
    let third = world.submit(with("1", |new| new.settings.after = after(second)));
    let wait_for = |job| JobEdit {
        after: Some(after(job)),
        ..JobEdit::default()
    };
    let refusal = Refusal::Invalid(format!(
        "job {first} would wait for itself: one of the jobs it shall wait for waits for it"
    ));
    assert_eq!(
        world.edit(first, wait_for(third)),
        Outcome::Refused(refusal)
    );
    // Two ways to the same job are no circle.
    let both = JobEdit {
        after: Some([after(first), after(second)].concat()),
        ..JobEdit::default()
    };
    assert_eq!(world.edit(third, both), Outcome::Applied);
}

#[test]
fn what_lies_ready_where_it_may_not_be_any_more_is_asked_back_and_nothing_else() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.say(b, |facts| {
        facts.tags = vec!["fast".into()];
        facts.memory_bytes = 2 << 30;
    });
    for edit in [
        JobEdit {
            tags: Some(vec!["fast".into()]),
            ..JobEdit::default()
        },
        JobEdit {
            requirement: Some(Requirement {
                memory_bytes: Some(2 << 30),
                ..Requirement::default()
            }),
            ..JobEdit::default()
        },
    ] {
        let id = world.submit(job("1..4"));
        world.start(a, 0);
        world.start(b, 0);
        world.orders.clear();
        let ready = world.hands[&a][1].0;
        world.edit(id, edit);
        let recalls: Vec<_> = world
            .orders
            .iter()
            .filter(|(_, order)| matches!(order, Order::Recall(_)))
            .cloned()
            .collect();
        assert_eq!(recalls, [(a, Order::Recall(ready))]);
        world.input(Input::Job(id, JobCommand::Remove));
    }
}

#[test]
fn an_edit_of_something_else_asks_nothing_back() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..4"));
    world.start(a, 0);
    // It may not have this job any more, but nobody asked.
    world.say(a, |facts| facts.builds = vec![build("3.6.0")]);
    world.orders.clear();
    let comment = Some("hello".into());
    world.edit(
        id,
        JobEdit {
            comment,
            ..JobEdit::default()
        },
    );
    assert_eq!(world.orders, []);
}

#[test]
fn every_state_says_what_can_be_done_instead() {
    let mut world = World::new();
    let a = world.join(1);
    let done = world.submit(job("1"));
    world.render(a, 0);
    let cancelled = world.submit(job("1"));
    world.input(Input::Job(cancelled, JobCommand::Cancel));
    let failed = world.submit(with("1", |new| new.settings.max_attempts = 1));
    world.fail(a, 0);
    assert_eq!(
        [done, cancelled, failed].map(|id| state(&world, id)),
        [JobState::Done, JobState::Cancelled, JobState::Failed]
    );
    let mut says = |id: JobId, command| {
        let effects = world.input(Input::Job(id, command));
        assert_eq!(effects.changes, []);
        match effects.outcome {
            Outcome::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for command in [JobCommand::Pause, JobCommand::Resume, JobCommand::Cancel] {
        assert_eq!(
            says(done, command),
            "job 1 is done: submit it again to render it again"
        );
    }
    assert_eq!(
        says(done, JobCommand::Retry),
        "job 1 is done: it has no failed frames"
    );
    for command in [JobCommand::Pause, JobCommand::Resume] {
        assert_eq!(
            says(cancelled, command.clone()),
            "job 2 is cancelled: `tessera job retry` takes it up again"
        );
        assert_eq!(
            says(failed, command),
            "job 3 is failed: `tessera job retry` tries its failed frames again"
        );
    }
    let nobody = JobId(9);
    for command in [JobCommand::Pause, JobCommand::Retry, JobCommand::Remove] {
        assert_eq!(
            says(nobody, command),
            "there is no job 9: `tessera jobs` lists them"
        );
    }
    world.input(Input::Job(failed, JobCommand::Cancel));
    assert_eq!(state(&world, failed), JobState::Cancelled);
}

/// Only what has been over for long enough goes, also if it was taken up again in between.
#[test]
fn a_job_expires_when_it_was_over_for_long_enough() {
    let mut world = World::new();
    let (over, again, active) = (
        world.submit(job("1..3")),
        world.submit(job("1..3")),
        world.submit(job("1..3")),
    );
    world.pass(Duration::from_secs(10));
    for id in [over, again] {
        world.input(Input::Job(id, JobCommand::Cancel));
    }
    let ended = world.clock().wall;
    world.pass(Duration::from_secs(10));
    world.input(Input::Job(again, JobCommand::Retry));
    world.input(Input::Job(again, JobCommand::Cancel));
    assert_eq!(world.scheduler.over_before(ended, 9), []);
    let later = Timestamp(ended.0 + 1);
    assert_eq!(world.scheduler.over_before(later, 9), [over]);
    let latest = Timestamp(world.clock().wall.0 + 1);
    assert_eq!(world.scheduler.over_before(latest, 1), [over]);
    for (id, over_before, goes) in [
        (active, latest, false),
        (again, later, false),
        (over, ended, false),
        (over, later, true),
    ] {
        let effects = world.input(Input::Job(id, JobCommand::Expire { over_before }));
        assert_eq!(effects.outcome == Outcome::Applied, goes, "{id}");
        assert_eq!(effects.changes.contains(&Change::JobRemoved(id)), goes);
    }
}

#[test]
fn pause_and_resume_are_states_of_their_own() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(job("1..3"));
    world.start(a, 0);
    world.orders.clear();
    let effects = world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(
        effects.changes,
        [Change::JobState(id, JobState::Paused, world.clock().wall)],
        "what is rendered goes on"
    );
    assert!(
        world
            .orders
            .iter()
            .all(|(_, order)| matches!(order, Order::Recall(_)))
    );
    world.answer_recalls();
    assert_eq!(world.hands[&a].len(), 1);
    let effects = world.input(Input::Job(id, JobCommand::Pause));
    assert_eq!(
        (effects.outcome, effects.changes),
        (Outcome::Applied, vec![])
    );
    // Nothing failed, so there is nothing to retry: it stays as it is.
    let effects = world.input(Input::Job(id, JobCommand::Retry));
    assert_eq!(
        (effects.outcome, effects.changes),
        (Outcome::Applied, vec![])
    );
    let effects = world.input(Input::Job(id, JobCommand::Resume));
    assert_eq!(
        effects.changes[0],
        Change::JobState(id, JobState::Active, world.clock().wall)
    );
    assert_eq!(world.hands[&a].len(), 2);
}

#[test]
fn retry_takes_the_failed_frames_of_a_live_job_up_again() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..4", |new| new.settings.max_attempts = 1));
    world.fail(a, 0);
    let counts = |world: &World| {
        let view = world.scheduler.job(world.clock(), id).unwrap();
        (view.state, view.done, view.failed)
    };
    assert_eq!(counts(&world), (JobState::Active, 0, 1));
    let effects = world.input(Input::Job(id, JobCommand::Retry));
    assert_eq!(effects.changes[0], Change::FramesRetried(id));
    assert_eq!(counts(&world), (JobState::Active, 0, 0));
    world.finish();
    assert_eq!(counts(&world), (JobState::Done, 4, 0));
}

#[test]
fn a_job_that_waits_for_a_blender_is_pinned_when_one_comes_and_others_stay_as_they_are() {
    let mut world = World::new();
    let early = |version: &str| with("1..9", |new| new.file_version = version.parse().unwrap());
    let waits = world.submit(early("4.0"));
    let over = world.submit(early("4.0"));
    world.input(Input::Job(over, JobCommand::Cancel));
    let (a, b) = (world.join(1), world.join(1));
    world.say(b, |facts| facts.builds.clear());
    let pinned = world.submit(early("3.4"));
    assert_eq!(build_of(&world, pinned).as_deref(), Some("3.4.1"));
    // A better one for both files.
    world.say(a, |facts| facts.builds.push(build("3.4.9")));
    assert_eq!(build_of(&world, waits), None);
    world.say(b, |facts| facts.builds = vec![build("4.0.2")]);
    assert_eq!(build_of(&world, waits).as_deref(), Some("4.0.2"));
    assert_eq!(build_of(&world, pinned).as_deref(), Some("3.4.1"));
    assert_eq!(build_of(&world, over), None);
    assert!(world.hands[&b].iter().all(|(key, _)| key.unit.job == waits));
    assert_eq!(world.hands[&b].len(), 2);
}

#[test]
fn only_what_waits_for_a_job_that_is_done_forgets_it_with_it() {
    let mut world = World::new();
    let a = world.join(1);
    let done = world.submit(job("1"));
    world.render(a, 0);
    let open = world.submit(job("1..50"));
    let after = |job| After { job, frames: false };
    let both = vec![after(done), after(open)];
    let waiting = world.submit(with("1", |new| new.settings.after = both));
    let waits_for = |world: &World| {
        let why = world.scheduler.why_job(world.clock(), waiting).unwrap();
        why.to_string()
    };
    let settings = |world: &World| world.scheduler.job_ref(waiting).unwrap().settings.clone();
    world.input(Input::Job(done, JobCommand::Remove));
    assert_eq!(settings(&world).after, [after(open)]);
    assert_eq!(waits_for(&world), format!("it waits for job {open}"));
    world.input(Input::Job(open, JobCommand::Remove));
    assert_eq!(settings(&world).after, [after(open)]);
    assert_eq!(
        waits_for(&world),
        format!(
            "it waits for job {open}, which is gone (`tessera job edit --after` sets what it waits for)"
        )
    );
}

#[test]
fn who_waited_for_a_removed_job_that_was_done_goes_on() {
    let mut world = World::new();
    let a = world.join(1);
    let done = world.submit(job("1"));
    world.render(a, 0);
    let after = |frames| {
        with("1..2", |new| {
            new.settings.after = vec![After { job: done, frames }];
        })
    };
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let jobs = [world.submit(after(false)), world.submit(after(true))];
    world.input(Input::Job(done, JobCommand::Remove));
    world.input(Input::Worker(a, WorkerCommand::Resume));
    world.finish();
    assert_eq!(jobs.map(|id| state(&world, id)), [JobState::Done; 2]);
}

#[test]
fn a_removed_job_is_closed_where_it_was_open() {
    let mut world = World::new();
    let a = world.join(2);
    let jobs = [world.submit(job("1..9")), world.submit(job("1..9"))];
    world.answer_recalls();
    for at in 0..world.hands[&a].len() {
        world.start(a, at);
    }
    let loaded = |world: &World| {
        let view = world.scheduler.worker(world.clock(), a).unwrap();
        view.loaded
    };
    assert_eq!(loaded(&world).len(), 2);
    let effects = world.input(Input::Job(jobs[0], JobCommand::Remove));
    assert_eq!(loaded(&world), [jobs[1]]);
    assert!(effects.removed_jobs.contains(&jobs[0]));
    assert!(!effects.jobs.contains(&jobs[0]));
}

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
    let facts = super::world::facts(1, "3.4.1");
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
