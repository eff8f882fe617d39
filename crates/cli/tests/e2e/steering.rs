//! What is done to a farm while it works, by its people and by accident, takes effect at once: each deed by the command line, on
//! real processes, each effect seen in what the farm tells.
//!
//! How long each took is printed, from the start of the command to the event; what is asserted is the order of things.

use std::time::Instant;

use tessera_model::{JobId, JobState, WorkerMode};
use tessera_wire::event::What;
use tessera_wire::line::LineKind;

use crate::site::{Site, worker_id};
use crate::tape::{Tape, begun};
use crate::world::{Project, World, tessera_run};

/// A job of frames of half a second each on one thread, in the hands of the farm.
fn handed_in(site: &Site, project: &Project, flags: &[&str]) -> JobId {
    site.submit(project, &[&["--scripts"], flags].concat())
}

/// Does it, waits for its effect, and says how long both together took.
fn timed<T>(what: &str, deed: impl FnOnce(), effect: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    deed();
    let told = began.elapsed();
    let seen = effect();
    println!(
        "{what}: command {} ms, effect seen {} ms after it was started",
        told.as_millis(),
        began.elapsed().as_millis()
    );
    seen
}

/// Waits for a job that stands so.
fn job_is(
    tape: &mut Tape,
    what: &str,
    id: JobId,
    so: impl Fn(&tessera_wire::api::JobSummary) -> bool,
) {
    tape.next(what, |event| match &event.what {
        What::Job { job } if job.id == id && so(job) => Some(()),
        _ => None,
    });
}

#[test]
fn jobs_are_steered_while_they_run() {
    let world = World::any();
    let project = world.scene("slow");
    let site = Site::with_workers(&world, &["anna", "ben"]);
    let mut tape = Tape::of(&site.boss);
    let run = |arguments: &[&str]| drop(site.boss.run(arguments).unwrap());
    let first = handed_in(&site, &project, &["-f", "1..200"]);
    tape.begins(first, None);
    let second = handed_in(&site, &project, &["-f", "1..200", "--priority", "1"]);
    tape.begins(second, None);

    // A thousand times the share: the second job has both slots soon.
    timed(
        "edit priority",
        || run(&["job", "edit", &second.to_string(), "--priority", "1000"]),
        || {
            job_is(&mut tape, "its priority is told", second, |job| {
                job.settings.priority == 1000
            });
        },
    );
    run(&["job", "edit", &first.to_string(), "--priority", "1"]);
    let mut in_a_row = 0;
    tape.next("the second job has all slots", |event| {
        let ((job, _), _) = begun(event)?;
        in_a_row = if job == second { in_a_row + 1 } else { 0 };
        (in_a_row == 6).then_some(())
    });

    let number = second.to_string();
    timed(
        "pause a job",
        || run(&["job", "pause", &number]),
        || {
            job_is(&mut tape, "the job is paused", second, |job| {
                job.state == JobState::Paused
            });
        },
    );
    let paused_at = tape.events.len();
    job_is(
        &mut tape,
        "what it had in hand is finished",
        second,
        |job| job.leased == 0,
    );
    let (_, _) = tape.begins(first, None);
    let late = tape
        .places(begun)
        .into_iter()
        .filter(|(at, ((job, _), _))| *at >= paused_at && *job == second)
        .count();
    assert!(late <= 2, "{late} frames were begun of a paused job");

    timed(
        "resume a job",
        || run(&["job", "resume", &number]),
        || {
            job_is(&mut tape, "it is given to somebody", second, |job| {
                job.leased > 0
            })
        },
    );
    tape.begins(second, None);
    for job in [first, second] {
        timed(
            "cancel a job",
            || run(&["job", "cancel", &job.to_string()]),
            || tape.over(job),
        );
        let journal = site.journal(job);
        assert!(journal.repeated.is_empty(), "{journal:?}");
    }
}

#[test]
fn workers_are_steered_while_they_render() {
    let world = World::any();
    let project = world.scene("slow");
    let mut site = Site::with_workers(&world, &["anna", "ben"]);
    let [anna, ben] = ["anna", "ben"].map(|name| worker_id(&site.boss, name));
    let mut tape = Tape::of(&site.boss);
    let boss = site.boss.clone();
    let run = |arguments: &[&str]| drop(boss.run(arguments).unwrap());
    let job = handed_in(&site, &project, &["-f", "1..150", "--attempts", "10"]);
    tape.begins(job, anna);
    tape.begins(job, ben);

    // Paused: what renders is finished, nothing else begins.
    timed(
        "pause a worker",
        || run(&["worker-admin", "pause", "ben"]),
        || {
            tape.worker_is("ben is paused", ben, |it| it.mode == WorkerMode::Paused);
        },
    );
    tape.worker_is("ben has nothing left", ben, |it| it.holds.is_empty());
    let idle_at = tape.events.len();
    tape.begins(job, anna);
    tape.begins(job, anna);
    let by_ben = tape
        .places(begun)
        .into_iter()
        .filter(|(at, (_, by))| *at >= idle_at && *by == ben);
    assert_eq!(by_ben.count(), 0, "ben is paused and idle");
    timed(
        "resume a worker",
        || run(&["worker-admin", "resume", "ben"]),
        || tape.begins(job, ben),
    );

    // Blocked in mid-frame: its Blender dies, the frame is somebody else's.
    tape.skip_to_now();
    let ((_, frame), _) = tape.begins(job, anna);
    let blenders = site.workers[0].blenders();
    timed(
        "block a worker",
        || run(&["worker-admin", "block", "anna"]),
        || {
            tape.worker_is("anna is blocked and has nothing", anna, |it| {
                it.mode == WorkerMode::Blocked && it.holds.is_empty()
            });
        },
    );
    for blender in &blenders {
        blender.gone();
    }
    let blocked_at = tape.events.len();
    tape.next("what anna had is done by ben", |event| match &event.what {
        What::FrameDone { result } if result.frame == frame => Some(()),
        _ => None,
    });
    let by_anna = tape
        .places(begun)
        .into_iter()
        .filter(|(at, (_, by))| *at >= blocked_at && *by == anna);
    assert_eq!(by_anna.count(), 0, "anna is blocked");
    timed(
        "unblock a worker",
        || run(&["worker-admin", "unblock", "anna"]),
        || {
            tape.worker_is("anna has work again", anna, |it| !it.holds.is_empty());
        },
    );

    // One joins in mid-job.
    let mut joined = Instant::now();
    timed(
        "add a worker (its start and the question which Blenders it has are in it)",
        || {
            site.hire(world.home("carl"), "carl");
            joined = Instant::now();
        },
        || {
            tape.next("carl has work", |event| match &event.what {
                What::Worker { worker } if worker.name == "carl" && !worker.holds.is_empty() => {
                    Some(())
                }
                _ => None,
            });
        },
    );
    println!(
        "  work {} ms after its link was open",
        joined.elapsed().as_millis()
    );
    let carl = worker_id(&site.boss, "carl");

    // And is killed in mid-frame: what it had is rendered elsewhere, and is delivered once.
    let ((_, frame), _) = tape.begins(job, carl);
    timed(
        "kill a worker (its link has half a second to come back)",
        || site.workers[2].process.signal("KILL").unwrap(),
        || {
            tape.worker_is("carl is away", carl, |it| !it.linked);
            tape.next("its frame is begun again", |event| {
                begun(event).filter(|((_, again), by)| *again == frame && *by != carl)
            })
        },
    );

    // Drained, it finishes its frame and ends by itself.
    tape.skip_to_now();
    let ((_, frame), _) = tape.begins(job, anna);
    run(&["worker-admin", "drain", "anna"]);
    let (status, _) = site.workers[0].process.end().unwrap();
    assert!(status.success(), "{}", site.workers[0].process.last_words());
    let by = tape.next("its last frame is done", |event| match &event.what {
        What::FrameDone { result } if result.frame == frame => Some(result.worker),
        _ => None,
    });
    assert_eq!(by, anna, "what it had begun is finished");

    tape.over(job);
    site.delivered_once(job);
}

/// One job that it cannot be done to is not in the way of the others.
#[test]
fn what_can_be_done_is_done() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let scene = serde_json::json!({"start": 1, "end": 8});
    let project = world.fake_scene("project", &scene);
    let jobs = [(); 2].map(|()| site.submit(&project, &[]).to_string());
    let all_are = |state: JobState| {
        let lines = site.boss.run(&["jobs"]).unwrap();
        let states = lines.iter().filter_map(|line| match line {
            LineKind::Job { job } => Some(job.state),
            _ => None,
        });
        assert_eq!(states.collect::<Vec<_>>(), [state; 2]);
    };
    let pause = ["job", "pause", &jobs[0], "999", &jobs[1]];
    let said = tessera_run(&site.boss, &pause);
    said.failed(1, &["1 of 3 jobs could not be paused: 999"]);
    assert!(said.errors().contains("warning: job 999: "), "{said}");
    all_are(JobState::Paused);
    // Alone, it is a job that is not there.
    tessera_run(&site.boss, &["job", "pause", "999"]).refused(2, &["999"]);

    // Nothing of a list stays where none is said.
    let edit = |flags: &[&str]| {
        let words = [&["job", "edit", &jobs[0]], flags].concat();
        match site.boss.run(&words).unwrap().pop() {
            Some(LineKind::Job { job }) => job.settings,
            other => panic!("{other:?}"),
        }
    };
    let lists = [
        "--tags",
        "a;b;a",
        "--resources",
        "nuke",
        "--workers",
        "anna",
    ];
    assert_eq!(edit(&lists).tags, ["a", "b"]);
    let lists = ["--tags", "none", "--resources", "none", "--workers", "none"];
    let none = edit(&lists);
    let left = [none.tags, none.resources, none.requirement.workers].concat();
    assert_eq!(left, [""; 0]);
    let wrong = ["job", "edit", &jobs[0], "--category", "a;b"];
    tessera_run(&site.boss, &wrong).refused(2, &["'a;b' cannot be a name"]);
}

/// How many frames are handed out together is changed in mid-job: what was handed out stays as it is, and nothing is lost or
/// done twice over it, nor when the manager is killed then.
#[test]
fn a_chunk_is_changed_in_mid_job() {
    let world = World::any();
    let project = world.scene("plain");
    let mut site = Site::with_workers(&world, &["anna"]);
    let mut tape = Tape::of(&site.boss);
    let job = site.submit(&project, &["-f", "1..60"]);
    let number = job.to_string();
    tape.begins(job, None);
    let chunked = |size| ["job", "edit", &number, "--chunk", size].map(str::to_owned);
    let edit = |site: &Site, size| {
        let words = chunked(size);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        site.boss.run(&words).unwrap();
    };
    edit(&site, "7");
    let shown = tessera_run(&site.boss, &["job", "show", &number]).done();
    assert!(shown.text().contains("7 frames"), "{shown}");
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    site.restart_manager();
    tape.begins(job, None);
    edit(&site, "3");
    assert_eq!(tape.over(job), JobState::Done);
    let journal = site.delivered_once(job);
    assert!(journal.leases < 45, "{journal:?}");
}

/// Settings of the farm hold at once, stay when the manager is killed, and go back when they are told to.
#[test]
fn settings_survive_the_managers_death() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let table = tessera_run(&site.boss, &["settings"]).done();
    for word in [
        "cap_percent",
        "75 %",
        "sample_ms",
        "10s",
        "most slots of one job",
    ] {
        assert!(table.text().contains(word), "{table}");
    }
    let set = [
        "settings",
        "set",
        "cap_percent=50",
        "sample_ms=200",
        "users.ada.slots_max=10",
        "categories.film.priority=3",
        "resources.nuke=4",
    ];
    let told = tessera_run(&site.boss, &set).done();
    assert!(told.text().contains("users.ada.slots_max"), "{told}");
    let settings = |site: &Site| {
        let lines = site.boss.run(&["settings"]).unwrap();
        match lines.first() {
            Some(LineKind::FarmSettings { settings }) => (**settings).clone(),
            other => panic!("{other:?}"),
        }
    };
    let before = settings(&site);
    assert_eq!((before.cap_percent, before.sample_ms), (50, 200));
    assert_eq!(before.users[&"ada".parse().unwrap()].slots_max, Some(10));
    assert_eq!(before.categories["film"].priority, Some(3));
    assert_eq!(before.resources["nuke"], 4);

    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    site.restart_manager();
    assert_eq!(settings(&site), before);

    let wrong = tessera_run(&site.boss, &["settings", "set", "cap_percent=101"]);
    wrong.refused(2, &["cap_percent", "1 to 100", "101"]);
    tessera_run(&site.boss, &["settings", "set", "cap_persent=10"])
        .refused(2, &["'cap_persent'", "did you mean 'cap_percent'"]);
    tessera_run(&site.boss, &["settings", "set", "sample_ms=soon"]).refused(2, &["'soon'", "10s"]);
    assert_eq!(settings(&site), before, "what was refused changed nothing");

    let back = [
        "settings",
        "unset",
        "users.ada",
        "categories.film",
        "resources.nuke",
        "cap_percent",
        "sample_ms",
    ];
    tessera_run(&site.boss, &back).done();
    assert_eq!(settings(&site), tessera_model::FarmSettings::default());
}
