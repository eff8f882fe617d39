//! More of everything: thousands of frames, dozens of kills, disks that fill in mid-job.

use std::collections::BTreeSet;
use std::fs;

use tessera_client::Api;
use tessera_model::{JobId, JobState};
use tessera_wire::line::LineKind;

use crate::site::{Site, ask, until};
use crate::small_disk::SmallDisk;
use crate::world::{World, as_root, files_in, tessera_run, text};

/// More frames than any page, queue or batch holds.
#[test]
fn thousands_of_frames() {
    const FRAMES: u32 = 2100;
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    site.hire(world.fake_home("ben"), "ben");
    let project = world.fake_scene("scene", &serde_json::json!({"start": 1, "end": FRAMES}));
    let out = world.path("out");
    let lines = site
        .boss
        .run(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    let delivered = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Frame { .. }))
        .count();
    assert_eq!(delivered, FRAMES as usize);
    assert_eq!(files_in(&out).len(), FRAMES as usize);
    assert_eq!(site.delivered_once(JobId(1)).failures, 0);
    // Anyone who comes later gets them all.
    let later = world.path("later");
    tessera_run(&site.boss, &["fetch", "1", "-o", text(&later)]).done();
    assert_eq!(files_in(&later).len(), FRAMES as usize);
    // The same command looks at each and renders none.
    let again = site
        .boss
        .run(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    assert!(
        matches!(again.last(), Some(LineKind::Finished { done: FRAMES, .. })),
        "{:?}",
        again.last()
    );
    assert!(
        !again
            .iter()
            .any(|line| matches!(line, LineKind::Started { .. }))
    );
}

/// Manager, workers and Blenders are killed again and again while light frames fly.
#[test]
fn a_bad_day() {
    const FRAMES: i32 = 400;
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    for name in ["anna", "ben"] {
        site.hire(world.fake_home(name), name);
    }
    let project = world.fake_scene(
        "scene",
        &serde_json::json!({"start": 1, "end": FRAMES, "seconds": 0.03}),
    );
    let out = world.path("out");
    let arguments = [
        "render",
        project.file(),
        "-o",
        text(&out),
        "--attempts",
        "50",
    ];
    let mut render = site.boss.start(&arguments).unwrap();
    let mut delivered = BTreeSet::new();
    let mut take = |line: &LineKind| match line {
        LineKind::Frame { frame, .. } => {
            assert!(
                delivered.insert(*frame),
                "frame {frame} was delivered twice"
            );
            Some(())
        }
        _ => None,
    };
    for round in 0..24 {
        // After a few more frames each time.
        for _ in 0..=round % 5 {
            render.wait(&mut take).unwrap();
        }
        match round % 4 {
            0 => site.workers[round / 4 % 2]
                .blenders()
                .iter()
                .for_each(crate::processes::Watched::kill),
            1 | 3 => {
                let hand = &mut site.workers[round / 2 % 2];
                hand.process.signal("KILL").unwrap();
                hand.process.end().unwrap();
                hand.start();
            }
            _ => {
                site.manager.process.signal("KILL").unwrap();
                site.manager.process.end().unwrap();
                site.restart_manager();
            }
        }
    }
    let lines = render.finish().unwrap();
    for line in &lines {
        take(line);
    }
    assert_eq!(delivered, (1..=FRAMES).collect());
    assert_eq!(files_in(&out).len(), FRAMES as usize);
    site.delivered_once(JobId(1));
}

/// The manager's disk fills while frames come in: workers keep what they have rendered, and bring it once there is room.
#[test]
fn manager_disk_full_in_mid_job() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let disk = SmallDisk::new(&world.path("record"), 4000, "");
    let boss = world.fake_home("boss");
    let listen = [
        "manager",
        "--listen",
        "127.0.0.1:0",
        "--no-discovery",
        "--data",
        text(&disk.place),
    ];
    let manager = boss.manager_with(&listen).unwrap();
    let mut site = Site {
        boss,
        manager,
        workers: Vec::new(),
    };
    site.hire(world.fake_home("anna"), "anna");
    // Each frame's log takes half a megabyte of noise.
    let scene = serde_json::json!({"start": 1, "end": 12, "seconds": 0.05, "noise_bytes": 250_000});
    let project = world.fake_scene("scene", &scene);
    let out = world.path("out");
    let mut render = site
        .boss
        .start(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    render
        .wait(|line| matches!(line, LineKind::Frame { .. }).then_some(()))
        .unwrap();
    // It is full before the last frame has come; how far it got is its affair.
    let filler = disk.place.join("filler");
    let _ = fs::write(&filler, vec![1; 4 << 20]);
    let more = world.fake_scene(
        "more",
        &serde_json::json!({"start": 1, "end": 1, "note": "x".repeat(50_000)}),
    );
    let refused = tessera_run(&site.boss, &["submit", more.file()]);
    refused.refused(1, &["disk", "full"]);
    let state = ask(&site.boss, async |api: Api| {
        api.job(JobId(1)).await.unwrap().summary.state
    });
    assert_eq!(state, JobState::Active);
    fs::remove_file(&filler).unwrap();
    disk.resize(60_000);
    let lines = render.finish().unwrap();
    assert!(
        matches!(
            lines.last(),
            Some(LineKind::Finished {
                done: 12,
                failed: 0,
                ..
            })
        ),
        "{lines:?}"
    );
    assert_eq!(site.delivered_once(JobId(1)).failures, 0);
    assert_eq!(files_in(&out).len(), 12);
}

/// A worker stands still for a while, as a laptop that sleeps: it keeps its work, and nothing is done twice.
#[test]
fn a_worker_that_sleeps() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let project = world.fake_scene(
        "scene",
        &serde_json::json!({"start": 1, "end": 6, "seconds": 0.2}),
    );
    let out = world.path("out");
    let mut render = site
        .boss
        .start(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    render
        .wait(|line| matches!(line, LineKind::Started { .. }).then_some(()))
        .unwrap();
    site.workers[0].process.signal("STOP").unwrap();
    // Suspect after 15 seconds: it would get nothing new.
    until(&site.boss, "it is silent for 16 seconds", async |api| {
        let worker = api.workers().await.unwrap().items.remove(0);
        worker
            .silent_ms
            .is_some_and(|silent| silent > 16_000)
            .then_some(())
    });
    site.workers[0].process.signal("CONT").unwrap();
    let lines = render.finish().unwrap();
    let begun = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Started { .. }))
        .count();
    assert!(begun <= 6, "{lines:?}");
    let journal = site.delivered_once(JobId(1));
    assert_eq!((journal.leases, journal.failures), (6, 0));
}
