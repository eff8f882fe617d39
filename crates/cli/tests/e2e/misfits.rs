//! Frames that fail everywhere and workers on which everything fails: each stays alone with it.

use std::collections::BTreeSet;

use tessera_client::Api;
use tessera_model::JobState;
use tessera_wire::event::What;

use crate::site::{Site, ask, until, worker_id};
use crate::tape::{Tape, begun, done};
use crate::world::{World, files_in, tessera_run, text};

/// A worker on which a job always fails gets no more of it, whoever is started again, until somebody says so.
#[test]
fn a_worker_that_fails_a_job_is_kept_from_it() {
    let world = World::any();
    let project = world.scene("allergic");
    let mut site = Site::with_workers(&world, &["anna", "ben"]);
    let anna = worker_id(&site.boss, "anna");
    let allergy = site.workers[0].home.folder().join("allergic");
    std::fs::write(&allergy, "").unwrap();
    let boss = site.boss.clone();
    let run = |arguments: &[&str]| drop(boss.run(arguments).unwrap());
    run(&[
        "settings",
        "set",
        "block_after_failures=2",
        "retry_after_ms=100ms",
    ]);
    let mut tape = Tape::of(&site.boss);
    let flags = ["--scripts", "-f", "1..60", "--attempts", "50"];
    let job = site.submit(&project, &flags);
    let number = job.to_string();
    let blocked = async |api: &Api| api.job(job).await.unwrap().blocked_workers;
    until(&boss, "anna gets no more of it", async |api| {
        (blocked(api).await == [anna]).then_some(())
    });
    // Ben leaves what there is for later.
    run(&["worker-admin", "pause", "ben"]);
    assert_eq!(site.journal(job).failures, 2, "blocked after two");
    tape.next("nobody has anything of it", |event| match &event.what {
        What::Job { job: told } if told.id == job && told.leased == 0 => Some(()),
        _ => None,
    });
    let why = tessera_run(&boss, &["job", "why", &number]).done().text();
    println!("blocked: {why}");
    assert!(why.contains("blocked") && why.contains("paused"), "{why}");
    tape.skip_to_now();
    let blocked_at = tape.events.len();

    // Anna starts again, then the manager does.
    site.workers[0].process.signal("KILL").unwrap();
    site.workers[0].process.end().unwrap();
    site.workers[0].restart();
    assert_eq!(ask(&boss, async |api: Api| blocked(&api).await), [anna]);
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    site.restart_manager();
    for hand in &mut site.workers {
        hand.wait_linked();
    }
    assert_eq!(ask(&boss, async |api: Api| blocked(&api).await), [anna]);
    // Other work she gets: it is this job that she is kept from.
    let other = world.scene("plain");
    let other = site.submit(&other, &["-f", "1..2"]);
    assert_eq!(tape.over(other), JobState::Done);
    let begun_since = tape.places(begun).into_iter();
    let tried = begun_since.filter(|(at, ((of, _), _))| *at >= blocked_at && *of == job);
    assert_eq!(tried.count(), 0, "nobody may");

    // Cured, and let in again: she does the rest, as Ben still pauses.
    std::fs::remove_file(&allergy).unwrap();
    run(&["worker-admin", "unblock", "anna", "--job", &number]);
    assert_eq!(tape.over(job), JobState::Done);
    let delivered = tape.places(done).into_iter();
    let by: BTreeSet<_> = delivered
        .filter(|(at, ((of, _), _))| *at >= blocked_at && *of == job)
        .map(|(_, (_, by))| by)
        .collect();
    assert_eq!(by, [anna].into());
    site.delivered_once(job);
}

/// The last frame lies with a worker that stands still: who has nothing left to do renders it too, the first result counts, and
/// the other one does not when it comes.
#[test]
fn a_straggler_is_helped_and_counts_once() {
    let world = World::any();
    let project = world.scene("slow");
    let site = Site::with_workers(&world, &["anna", "ben"]);
    let [anna, ben] = ["anna", "ben"].map(|name| worker_id(&site.boss, name));
    // It is not the silence that takes the frame from her, and she has no other.
    let set = [
        "settings",
        "set",
        "expired_after_ms=1h",
        "duplicate_gain_ms=1s",
        "queued_per_slot=0",
    ];
    site.boss.run(&set).unwrap();
    let mut tape = Tape::of(&site.boss);
    let job = site.submit(&project, &["--scripts", "-f", "1..12"]);
    let ((_, frame), _) = tape.begins(job, anna);
    site.workers[0].process.signal("STOP").unwrap();
    assert_eq!(tape.over(job), JobState::Done);
    let by = tape
        .places(done)
        .into_iter()
        .find(|(_, (of, _))| *of == (job, frame));
    assert_eq!(by.unwrap().1.1, ben, "it was rendered by who was free");
    site.workers[0].process.signal("CONT").unwrap();
    // She hands hers in, and is there for the next job.
    let next = site.submit(&project, &["-f", "1..8"]);
    tape.begins(next, anna);
    assert_eq!(tape.over(next), JobState::Done);
    let journal = site.delivered_once(job);
    assert!(journal.leases > 12 && journal.failures == 0, "{journal:?}");
}

/// A frame that kills every Blender that touches it fails alone; all others are delivered.
#[test]
fn a_poisoned_frame_fails_alone() {
    let world = World::any();
    let project = world.scene("poisoned");
    let site = Site::with_workers(&world, &["anna", "ben"]);
    site.boss
        .run(&["settings", "set", "retry_after_ms=100ms"])
        .unwrap();
    let mut tape = Tape::of(&site.boss);
    let out = world.path("out");
    let arguments = [
        "render",
        project.file(),
        "-f",
        "1..8",
        "-o",
        text(&out),
        "--scripts",
    ];
    tessera_run(&site.boss, &arguments).failed(1, &["1 of 8 frames", "frame 3"]);
    assert_eq!(files_in(&out).len(), 7);
    tape.skip_to_now();
    let failed = tape.places(|event| match &event.what {
        What::FrameFailed { error, given_up } => Some((error.frame, error.worker, *given_up)),
        _ => None,
    });
    let failed: Vec<_> = failed.into_iter().map(|(_, it)| it).collect();
    println!("failures: {failed:?}");
    assert!(failed.iter().all(|(frame, ..)| *frame == 3), "{failed:?}");
    assert_eq!(failed.len(), 3, "its attempts");
    assert!(failed[2].2 && !failed[1].2, "{failed:?}");
    let on: BTreeSet<_> = failed.iter().map(|it| it.1).collect();
    assert_eq!(on.len(), 2, "another worker was tried: {failed:?}");
    let journal = site.journal(tessera_model::JobId(1));
    assert_eq!((journal.accepts, journal.repeated.len()), (7, 0));
}
