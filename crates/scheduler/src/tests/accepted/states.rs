//! What can be done with a job in each of its states, and when it is gone.

use super::*;

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
    assert_eq!(world.scheduler.expired(ended, 9), []);
    let later = Timestamp(ended.0 + 1);
    assert_eq!(world.scheduler.expired(later, 9), [over]);
    let latest = Timestamp(world.clock().wall.0 + 1);
    assert_eq!(world.scheduler.expired(latest, 1), [over]);
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

fn fetched(world: &mut World, id: JobId, frames: u32) -> Result<Vec<Change>, String> {
    let effects = world.input(Input::Job(id, JobCommand::Fetched { frames, step: None }));
    match effects.outcome {
        Outcome::Applied => Ok(effects.changes),
        Outcome::Refused(refusal) => Err(refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Whether time alone would remove it.
fn goes(world: &World, id: JobId) -> bool {
    let latest = Timestamp(world.clock().wall.0 + 1);
    world.scheduler.expired(latest, 9).contains(&id)
}

#[test]
fn what_nobody_has_fetched_does_not_expire() {
    let mut world = World::new();
    let a = world.join(1);
    let id = world.submit(with("1..3", |new| new.settings.max_attempts = 1));
    world.render(a, 0);
    world.fail(a, 0);
    assert_eq!(
        fetched(&mut world, id, 1),
        Err("job 1 is not over: its frames are fetched when no more will come".into())
    );
    world.render(a, 0);
    assert_eq!(state(&world, id), JobState::Failed);
    assert!(!goes(&world, id));
    let over_before = Timestamp(world.clock().wall.0 + 1);
    let effects = world.input(Input::Job(id, JobCommand::Expire { over_before }));
    assert!(matches!(effects.outcome, Outcome::Refused(_)) && effects.changes.is_empty());
    assert_eq!(
        fetched(&mut world, id, 1),
        Err(
            "1 frames of job 1 were fetched and 2 are delivered: `tessera fetch 1` brings all of them"
                .into()
        )
    );
    let at = world.clock().wall;
    let mark = FetchedMark { frames: 2, at };
    assert_eq!(
        fetched(&mut world, id, 2),
        Ok(vec![Change::JobFetched(id, mark)])
    );
    assert_eq!(fetched(&mut world, id, 2), Ok(vec![]), "it is so already");
    assert!(goes(&world, id));
    let seen = |world: &World| world.scheduler.job(world.clock(), id).unwrap().fetched_at;
    assert_eq!(seen(&world), Some(at));

    // What comes later is not fetched with it.
    world.input(Input::Job(id, JobCommand::Retry));
    assert_eq!((seen(&world), goes(&world, id)), (Some(at), false));
    world.finish();
    assert_eq!(state(&world, id), JobState::Done);
    assert_eq!((seen(&world), goes(&world, id)), (None, false));
    world.pass(Duration::from_secs(1));
    assert_eq!(
        fetched(&mut world, id, 3).map(|changes| changes.len()),
        Ok(1)
    );
    assert!(goes(&world, id));
    // And the record remembers.
    world.restart();
    assert!(goes(&world, id));
}

#[test]
fn a_job_of_which_nothing_came_waits_for_nobody_to_fetch_it() {
    let mut world = World::new();
    let id = world.submit(job("1..3"));
    world.input(Input::Job(id, JobCommand::Cancel));
    assert!(goes(&world, id));
    assert_eq!(fetched(&mut world, id, 0), Ok(vec![]));
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
