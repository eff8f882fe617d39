//! Ctrl-C, and going on afterwards: nothing lives on, nothing is lost, and only what is missing is rendered.

use std::fs;

use tessera_model::JobState;
use tessera_wire::line::LineKind;
use xtask::farm::Home;

use crate::processes::Watched;
use crate::site::Site;
use crate::world::{Project, World, identical, on_both, text};

on_both!(alone);

fn alone(world: &World) {
    let project = world.scene("slow");
    let local = world.path("local");
    project.render_locally(world, "out/slow_", (1, 6), "", &local);
    let user = world.home("user");
    let arguments = ["render", project.file(), "-f", "1..6", "--scripts"];

    // Before anything is rendered, while the file is read.
    let mut early = user.start(&arguments).unwrap();
    early
        .wait(|line| matches!(line, LineKind::Packing { .. }).then_some(()))
        .unwrap();
    early.signal("INT").unwrap();
    let (status, _) = early.end().unwrap();
    assert_eq!(status.code(), Some(130), "{}", early.last_words());
    nothing_lives(&user);

    // In mid-frame, with frames done.
    let mut first = user.start(&arguments).unwrap();
    let mut done = 0;
    while done < 2 {
        first
            .wait(|line| matches!(line, LineKind::Frame { .. }).then_some(()))
            .unwrap();
        done += 1;
    }
    let blenders = Watched::blenders_of(user.folder());
    assert!(!blenders.is_empty());
    first.signal_all("INT").unwrap();
    let (status, lines) = first.end().unwrap();
    assert_eq!(status.code(), Some(130), "{}", first.last_words());
    done += frames_in(&lines).len();
    nothing_lives(&user);
    // Each file that is there is whole, and nothing half-written lies beside them.
    assert_eq!(fs::read_dir(project.path("out")).unwrap().count(), done);

    // Killed without a word: Blender goes with it all the same.
    let mut killed = user.start(&arguments).unwrap();
    killed
        .wait(|line| matches!(line, LineKind::Started { .. }).then_some(()))
        .unwrap();
    let blenders = Watched::blenders_of(user.folder());
    assert!(!blenders.is_empty());
    killed.signal("KILL").unwrap();
    let (_, lines) = killed.end().unwrap();
    done += frames_in(&lines).len();
    blenders.iter().for_each(Watched::gone);

    // The same command goes on.
    let rest = user.run(&arguments).unwrap();
    let present = rest.iter().find_map(|line| match line {
        LineKind::Submitted {
            present, frames, ..
        } => Some((*present, *frames)),
        _ => None,
    });
    assert_eq!(present, Some((done as u32, 6)), "{rest:?}");
    assert_eq!(frames_in(&rest).len(), 6 - done);
    assert!(
        matches!(
            rest.last(),
            Some(LineKind::Finished {
                state: JobState::Done,
                done: 6,
                ..
            })
        ),
        "{rest:?}"
    );

    // What is gone or damaged is rendered again, and nothing else.
    fs::remove_file(project.path("out/slow_0002.png")).unwrap();
    let damaged = project.path("out/slow_0005.png");
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let mended = user.run(&arguments).unwrap();
    assert_eq!(frames_in(&mended), [2, 5]);
    assert_eq!(frames_in(&user.run(&arguments).unwrap()), [0; 0]);

    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 6);
    // Two were interrupted in mid-frame and two were mended; one that was just being written may have been lost each time.
    let work = fs::read_to_string(user.folder().join("work.txt")).unwrap();
    let begun = work
        .lines()
        .filter(|line| line.starts_with("begin"))
        .count();
    assert!(begun <= 6 + 2 * 2 + 2, "{work}");
}

/// Frames that these lines say were put into place, in order of their numbers.
fn frames_in(lines: &[LineKind]) -> Vec<i32> {
    let mut frames: Vec<i32> = lines
        .iter()
        .filter_map(|line| match line {
            LineKind::Frame { frame, .. } => Some(*frame),
            _ => None,
        })
        .collect();
    frames.sort_unstable();
    frames
}

#[track_caller]
fn nothing_lives(user: &Home) {
    let left = Watched::of_home(user.folder());
    assert!(left.is_empty(), "{left:?}");
}

fn slow_fake(world: &World) -> Project {
    world.fake_scene(
        "scene",
        &serde_json::json!({"start": 1, "end": 8, "seconds": 0.4}),
    )
}

/// A farm job is cancelled; the same command makes another for what is missing.
#[test]
fn on_a_farm() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let project = slow_fake(&world);
    let out = world.path("out");
    let arguments = ["render", project.file(), "-o", text(&out)];
    let mut render = site.boss.start(&arguments).unwrap();
    render
        .wait(|line| matches!(line, LineKind::Frame { .. }).then_some(()))
        .unwrap();
    render.signal("INT").unwrap();
    let (status, lines) = render.end().unwrap();
    assert_eq!(status.code(), Some(130));
    let done = 1 + frames_in(&lines).len();
    let jobs = site.boss.run(&["jobs"]).unwrap();
    assert!(
        matches!(&jobs[..], [LineKind::Job { job }] if job.state == JobState::Cancelled),
        "{jobs:?}"
    );
    let rest = site.boss.run(&arguments).unwrap();
    assert_eq!(frames_in(&rest).len(), 8 - done, "{rest:?}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 8);
}

/// With --detach it is the farm's affair: nothing on this side can be interrupted, and the same command without it brings the frames.
#[test]
fn detached() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let project = slow_fake(&world);
    let out = world.path("out");
    let arguments = ["render", project.file(), "-o", text(&out)];
    site.boss
        .run(&[&arguments[..], &["--detach"]].concat())
        .unwrap();
    let lines = site.boss.run(&arguments).unwrap();
    assert_eq!(frames_in(&lines), (1..=8).collect::<Vec<_>>());
    let jobs = site.boss.run(&["jobs"]).unwrap();
    assert_eq!(
        jobs.len(),
        1,
        "it is the job that was handed in before: {jobs:?}"
    );
}

/// The manager is away while a command waits: it says so, and goes on when it is back.
#[test]
fn the_manager_is_away() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let project = slow_fake(&world);
    let out = world.path("out");
    let mut render = site
        .boss
        .start(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    render
        .wait(|line| matches!(line, LineKind::Frame { .. }).then_some(()))
        .unwrap();
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    let said = render
        .wait(|line| match line {
            LineKind::Outage { message } => Some(message.clone()),
            _ => None,
        })
        .unwrap();
    assert!(said.contains("manager"), "{said}");
    site.restart_manager();
    render
        .wait(|line| matches!(line, LineKind::Back { .. }).then_some(()))
        .unwrap();
    render.finish().unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 8);
}

/// The manager dies while a job is being sent: a command that only hands in says so and ends; one that waits goes on when
/// it is back. What has arrived is not sent again.
#[test]
fn the_manager_dies_while_files_are_sent() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let folder = world.path("scene");
    fs::create_dir_all(&folder).unwrap();
    let mut noise = vec![0; 96 << 20];
    blake3::Hasher::new()
        .update(b"noise")
        .finalize_xof()
        .fill(&mut noise);
    fs::write(folder.join("noise.bin"), noise).unwrap();
    let file = serde_json::json!({"stored": "//noise.bin", "path": text(&folder.join("noise.bin")), "kind": "image"});
    let project = world.fake_scene(
        "scene",
        &serde_json::json!({"start": 1, "end": 1, "files": [file]}),
    );
    let out = world.path("out");
    let die = |site: &mut Site, sends: &mut xtask::farm::Process| {
        sends
            .wait(|line| {
                matches!(line, LineKind::Sending { sent_bytes, .. } if *sent_bytes > 0)
                    .then_some(())
            })
            .unwrap();
        site.manager.process.signal("KILL").unwrap();
        site.manager.process.end().unwrap();
    };
    let mut submit = site.boss.start(&["submit", project.file()]).unwrap();
    die(&mut site, &mut submit);
    let (status, lines) = submit.end().unwrap();
    let Some(LineKind::Error { message, .. }) = lines.last() else {
        panic!("{status}: {lines:?}");
    };
    assert_eq!(status.code(), Some(3), "{message}");
    assert!(message.contains(&site.manager.urls[0]), "{message}");
    site.restart_manager();

    let mut render = site
        .boss
        .start(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    die(&mut site, &mut render);
    let said = render
        .wait(|line| match line {
            LineKind::Outage { message } => Some(message.clone()),
            _ => None,
        })
        .unwrap();
    assert!(said.contains("waiting for it"), "{said}");
    assert!(!out.exists() || fs::read_dir(&out).unwrap().count() == 0);
    site.restart_manager();
    render.finish().unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

/// Two renders of one user on one machine at once know nothing of each other.
#[test]
fn two_at_once() {
    let world = World::any();
    let user = world.fake_home("user");
    let begin = |name: &str| {
        let project = world.fake_scene(
            name,
            &serde_json::json!({"start": 1, "end": 4, "seconds": 0.3}),
        );
        let out = world.path(&format!("{name}-out"));
        let mut render = user
            .start(&["render", project.file(), "-o", text(&out)])
            .unwrap();
        render
            .wait(|line| matches!(line, LineKind::Started { .. }).then_some(()))
            .unwrap();
        (render, out)
    };
    let (one, one_out) = begin("one");
    let (two, two_out) = begin("two");
    for (render, out) in [(one, one_out), (two, two_out)] {
        render.finish().unwrap();
        assert_eq!(fs::read_dir(out).unwrap().count(), 4);
    }
    nothing_lives(&user);
}
