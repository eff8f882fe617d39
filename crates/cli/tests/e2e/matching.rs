//! Who may render what, and when: tags, names, memory, counted resources, jobs that wait for jobs, jobs that push others aside;
//! and what is said to who asks why.

use tessera_model::{JobId, JobState};
use tessera_wire::line::LineKind;
use tessera_wire::why::Why;

use crate::site::{Site, worker_id};
use crate::tape::{Tape, begun, done, most_at_once};
use crate::world::{World, tessera_run};

fn why(site: &Site, job: JobId) -> Why {
    let lines = site.boss.run(&["job", "why", &job.to_string()]).unwrap();
    match lines.into_iter().next() {
        Some(LineKind::JobWhy { job: of, why }) if of == job => why,
        other => panic!("{other:?}"),
    }
}

/// What no worker has is never begun, why is said exactly, and the remedy that is said is one.
#[test]
fn what_does_not_fit_waits_and_says_why() {
    let world = World::any();
    let project = world.scene("plain");
    let site = Site::with_workers(&world, &["anna"]);
    let mut tape = Tape::of(&site.boss);
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["--tags", "gpu"], &["tag", "gpu"], &["--tags="]),
        (&["--workers", "zoe"], &["zoe"], &["--workers", "zoe;anna"]),
        (
            &["--memory", "900TB"],
            &["900", "memory"],
            &["--memory", "none"],
        ),
        (&["--cores", "5000"], &["5000", "cores"], &["--cores", "1"]),
        (&["--os", "windows"], &["windows"], &["--os", "linux"]),
        (
            &["--gpu", "rtx 4090"],
            &["rtx 4090", "GPU"],
            &["--gpu", "none"],
        ),
    ];
    let mut waiting = Vec::new();
    for (flags, words, remedy) in cases {
        let job = site.submit(&project, &[&["-f", "1"], *flags].concat());
        let why = why(&site, job);
        println!("{}: {}", flags.join(" "), why.text);
        for word in *words {
            let said = why.text.to_lowercase();
            assert!(said.contains(&word.to_lowercase()), "{flags:?}: {why:?}");
        }
        assert!(!why.reasons.is_empty() && why.reasons.iter().all(|it| !it.code.is_empty()));
        let shown = tessera_run(&site.boss, &["job", "why", &job.to_string()]).done();
        assert!(shown.text().contains(&why.text), "{shown}");
        waiting.push((job, *remedy));
    }
    // What fits goes past them.
    let plain = site.submit(&project, &["-f", "1..2"]);
    assert_eq!(tape.over(plain), JobState::Done);
    let begun_of = |tape: &Tape, job: JobId| {
        let all = tape.places(begun).into_iter();
        all.filter(|(_, ((of, _), _))| *of == job).count()
    };
    for (job, _) in &waiting {
        assert_eq!(begun_of(&tape, *job), 0, "job {job} fits nobody");
    }
    let idle = tessera_run(&site.boss, &["workers", "--why"]).done();
    println!("{}", idle.text());
    for (job, remedy) in waiting {
        let number = job.to_string();
        let edit = [&["job", "edit", &number], remedy].concat();
        site.boss.run(&edit).unwrap();
        assert_eq!(tape.over(job), JobState::Done, "{remedy:?}");
    }
}

/// A job after another one begins when that is done; frame after frame, each when its own is.
#[test]
fn jobs_wait_for_jobs_and_frames_for_frames() {
    let world = World::any();
    let project = world.scene("slow");
    let site = Site::with_workers(&world, &["anna", "ben"]);
    let mut tape = Tape::of(&site.boss);
    let first = site.submit(&project, &["-f", "1..12"]);
    let number = first.to_string();
    let whole = site.submit(&project, &["-f", "1..3", "--after", &number]);
    let told = why(&site, whole).text;
    println!("after: {told}");
    assert!(told.contains(&number), "{told}");
    let by_frame = site.submit(&project, &["-f", "3..14", "--after-frames", &number]);
    tessera_run(&site.boss, &["submit", project.file(), "--after", "99"]).refused(2, &["99"]);
    let shown = tessera_run(&site.boss, &["job", "show", &by_frame.to_string()]).done();
    assert!(shown.text().contains("job 1 frame by frame"), "{shown}");
    for job in [first, whole, by_frame] {
        assert_eq!(tape_over(&mut tape, job), JobState::Done);
    }

    let done = tape.places(done);
    let done_at = |job: JobId, frame: i32| {
        let found = done.iter().find(|(_, (of, _))| *of == (job, frame));
        found.unwrap().0
    };
    let last = (1..=12).map(|frame| done_at(first, frame)).max().unwrap();
    for (at, ((job, frame), _)) in tape.places(begun) {
        if job == whole {
            assert!(
                at > last,
                "frame {frame} was begun before all of job {first} was done"
            );
        }
        if job == by_frame && frame <= 12 {
            let own = done_at(first, frame);
            assert!(
                at > own,
                "frame {frame} was begun before that of job {first} was done"
            );
        }
    }
    let early = tape
        .places(begun)
        .into_iter()
        .find(|(_, ((job, _), _))| *job == by_frame);
    assert!(early.unwrap().0 < last, "frame by frame, not job by job");
    site.delivered_once(by_frame);
}

/// As [`Tape::over`], of a job that may be over already.
#[track_caller]
fn tape_over(tape: &mut Tape, job: JobId) -> JobState {
    let told = tape.places(|event| match &event.what {
        tessera_wire::event::What::Job { job: told } if told.id == job && told.state.is_over() => {
            Some(told.state)
        }
        _ => None,
    });
    match told.last() {
        Some((_, state)) => *state,
        None => tape.over(job),
    }
}

/// A resource of which there is one is used by one worker at a time; of which there are two, by two.
#[test]
fn counted_resources_are_never_overdrawn() {
    let world = World::any();
    let project = world.scene("slow");
    let site = Site::with_workers(&world, &["anna", "ben"]);
    site.boss
        .run(&["settings", "set", "resources.nuke=1"])
        .unwrap();
    let mut tape = Tape::of(&site.boss);
    let jobs = [(); 2].map(|()| site.submit(&project, &["-f", "1..6", "--resources", "nuke;free"]));
    tape.begins(jobs[0], None);
    let waits = why(&site, jobs[1]).text;
    println!("resource: {waits}");
    for job in jobs {
        assert_eq!(tape_over(&mut tape, job), JobState::Done);
    }
    assert_eq!(most_at_once(&tape.events, &jobs), 1);

    site.boss
        .run(&["settings", "set", "resources.nuke=2"])
        .unwrap();
    let both = site.submit(&project, &["-f", "1..12", "--resources", "nuke"]);
    assert_eq!(tape.over(both), JobState::Done);
    assert_eq!(most_at_once(&tape.events, &[both]), 2);
}

/// A job that may push others aside has the slot at once; one that may not waits until it is free.
#[test]
fn only_where_asked_a_frame_is_ended_for_a_higher_job() {
    let world = World::any();
    let project = world.scene("slow");
    let site = Site::with_workers(&world, &["anna"]);
    let anna = worker_id(&site.boss, "anna");
    let mut tape = Tape::of(&site.boss);
    // A frame of some ten seconds.
    let low = site.submit(
        &project,
        &["-f", "1..2", "--samples", "12000", "--priority", "10"],
    );
    let ((_, frame), _) = tape.begins(low, anna);
    let patient = site.submit(&project, &["-f", "1", "--priority", "1000"]);
    let began = std::time::Instant::now();
    let pushing = site.submit(&project, &["-f", "1", "--priority", "1000", "--preempt"]);
    let handed_in = began.elapsed();
    tape.begins(pushing, anna);
    println!(
        "preempted: handed in after {} ms, its frame begun after {} ms",
        handed_in.as_millis(),
        began.elapsed().as_millis()
    );
    let low_done = tape
        .places(done)
        .into_iter()
        .any(|(_, ((job, _), _))| job == low);
    assert!(!low_done, "frame {frame} of the low job was not waited for");
    let patient_begun = tape
        .places(begun)
        .into_iter()
        .any(|(_, ((job, _), _))| job == patient);
    assert!(!patient_begun, "who does not ask does not push");
    for job in [pushing, patient] {
        assert_eq!(tape_over(&mut tape, job), JobState::Done);
    }
    // What was ended is nobody's failure, and is rendered again.
    let times = |tape: &Tape| {
        let all = tape.places(begun).into_iter();
        all.filter(|(_, (of, _))| *of == (low, frame)).count()
    };
    while times(&tape) < 2 {
        tape.begins(low, anna);
    }
    assert_eq!(tape_over(&mut tape, low), JobState::Done);
    assert_eq!(site.delivered_once(low).failures, 0);
}
