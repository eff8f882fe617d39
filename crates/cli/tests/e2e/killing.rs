//! Whatever is killed, and in whichever order: every frame is delivered exactly once, and no more is rendered again than was in
//! somebody's hands.
//!
//! What is rendered is counted by a script of the scene itself, in the home of the worker; what is delivered by the
//! manager's record and by the files.

use std::collections::BTreeSet;
use std::fs;

use tessera_model::{JobId, WorkerId};
use tessera_wire::line::LineKind;
use xtask::farm::Process;

use crate::site::{Site, worker_id};
use crate::world::{World, identical, on_both, text};

on_both!(every_frame_comes_once, in_order_all_the_same);

const FRAMES: i32 = 48;

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Blender,
    Worker,
    Manager,
}

use Victim::{Blender, Manager, Worker};

/// Each alone, each pair in both orders, and all together.
const DEEDS: &[&[Victim]] = &[
    &[Blender],
    &[Worker],
    &[Manager],
    &[Worker, Manager],
    &[Manager, Worker],
    &[Blender, Manager],
    &[Manager, Blender],
    &[Blender, Worker],
    &[Blender, Worker, Manager],
    &[Manager, Worker, Blender],
];

fn every_frame_comes_once(world: &World) {
    let project = world.scene("slow");
    let local = world.path("local");
    project.render_locally(world, "out/slow_", (1, FRAMES), "", &local);

    let mut site = Site::with_workers(world, &["anna", "ben"]);
    let anna = worker_id(&site.boss, "anna");
    let range = format!("1..{FRAMES}");
    let out = project.path("out");
    let arguments = [
        "render",
        project.file(),
        "-f",
        &range,
        "-o",
        text(&out),
        "--scripts",
        "--attempts",
        "10",
    ];
    let mut render = site.boss.start(&arguments).unwrap();
    let site_boss = site.boss.clone();
    let mut lines = Vec::new();
    let mut may_repeat = 0;
    // Ben takes over what a dead worker leaves, and otherwise leaves frames for the deeds that are still to come.
    let ben = |what: &str| drop(site_boss.run(&["worker-admin", what, "ben"]).unwrap());
    ben("pause");
    for deed in DEEDS {
        begun(&mut render, &mut lines, anna);
        let takes_over = deed.contains(&Worker);
        if takes_over {
            ben("resume");
        }
        may_repeat += commit(&mut site, deed);
        if takes_over {
            ben("pause");
        }
    }
    ben("resume");
    lines.extend(render.finish().unwrap());
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, FRAMES as usize);

    let mut delivered = BTreeSet::new();
    for line in &lines {
        if let LineKind::Frame { frame, .. } = line {
            assert!(
                delivered.insert(*frame),
                "frame {frame} was delivered twice"
            );
        }
    }
    assert_eq!(delivered, (1..=FRAMES).collect());
    let journal = site.delivered_once(JobId(1));
    let done: usize = site
        .workers
        .iter()
        .map(|hand| count(&hand.home, "begin"))
        .sum();
    let repeated = done - FRAMES as usize;
    assert!(
        repeated <= may_repeat,
        "{repeated} frames were rendered again, {may_repeat} were in hand when something was killed: {journal:?}"
    );
}

/// Waits until Anna has begun a frame.
fn begun(render: &mut Process, lines: &mut Vec<LineKind>, anna: WorkerId) {
    lines.extend(render.lines_so_far());
    loop {
        let line = render.wait(|line| Some(line.clone())).unwrap();
        let found = matches!(line, LineKind::Started { worker, .. } if worker == anna);
        lines.push(line);
        if found {
            return;
        }
    }
}

/// Kills, and starts again what was killed, in the same order. How many frames were in hand: one that renders, and with the
/// worker one more that it was just delivering.
fn commit(site: &mut Site, deed: &[Victim]) -> usize {
    let blenders = site.workers[0].blenders();
    for victim in deed {
        match victim {
            Blender => blenders.iter().for_each(crate::processes::Watched::kill),
            Worker => site.workers[0].process.signal("KILL").unwrap(),
            Manager => site.manager.process.signal("KILL").unwrap(),
        }
    }
    if deed.contains(&Blender) || deed.contains(&Worker) {
        // Also when its worker has no time to see to it.
        for blender in &blenders {
            blender.gone();
        }
    }
    if deed.contains(&Worker) {
        site.workers[0].process.end().unwrap();
    }
    if deed.contains(&Manager) {
        site.manager.process.end().unwrap();
    }
    for victim in deed {
        match victim {
            Blender => {}
            Worker => site.workers[0].start(),
            Manager => site.restart_manager(),
        }
    }
    if deed.contains(&Worker) {
        site.workers[0].wait_linked();
    }
    match (deed.contains(&Blender), deed.contains(&Worker)) {
        (_, true) => 2,
        (true, false) => 1,
        (false, false) => 0,
    }
}

fn count(home: &xtask::farm::Home, what: &str) -> usize {
    let work = fs::read_to_string(home.folder().join("work.txt")).unwrap_or_default();
    work.lines().filter(|line| line.starts_with(what)).count()
}

/// Frames that depend on each other: whoever takes over renders them all again, and only what is missing is delivered.
fn in_order_all_the_same(world: &World) {
    let project = world.scene("drape");
    let local = world.path("local");
    project.render_locally(world, "out/drape_", (1, 6), "", &local);
    let mut site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let arguments = ["render", project.file(), "-f", "1..6", "-o", text(&out)];
    let mut render = site.boss.start(&arguments).unwrap();
    let by = render
        .wait(|line| match line {
            LineKind::Frame {
                frame: 2, worker, ..
            } => Some(*worker),
            _ => None,
        })
        .unwrap();
    let victim = usize::from(by != worker_id(&site.boss, "anna"));
    site.workers[victim].process.signal("KILL").unwrap();
    site.workers[victim].process.end().unwrap();
    let lines = render.finish().unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 6);
    let last = lines.iter().rev().find_map(|line| match line {
        LineKind::Frame { worker, .. } => Some(*worker),
        _ => None,
    });
    assert_ne!(last, Some(by), "another one went on: {lines:?}");
    site.delivered_once(JobId(1));
}

/// A Blender that stands still is told from one that works, ended, and the frame is tried again.
#[test]
fn a_blender_that_hangs() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let anna = world.fake_home("anna");
    let process = anna
        .worker(&[
            "--join",
            site.manager.link(),
            "--name",
            "anna",
            "--hang-after",
            "2s",
        ])
        .unwrap();
    site.workers.push(crate::site::Hand {
        home: anna,
        process,
    });
    let once = world.path("once");
    // The first frame works for longer than that without a word, and is no hang.
    let scene = serde_json::json!({"start": 1, "end": 3, "burn_seconds": 3.0, "hang": [2], "once": text(&once)});
    let project = world.fake_scene("scene", &scene);
    let out = world.path("out");
    let lines = site
        .boss
        .run(&["render", project.file(), "-o", text(&out)])
        .unwrap();
    let failed: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            LineKind::FrameFailed {
                frame,
                message,
                given_up,
                ..
            } => Some((*frame, message.as_str(), *given_up)),
            _ => None,
        })
        .collect();
    assert!(
        matches!(&failed[..], [(2, message, false)] if message.contains("hung")),
        "{failed:?}"
    );
    assert_eq!(site.delivered_once(JobId(1)).failures, 1);
}
