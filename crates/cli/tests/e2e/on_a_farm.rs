//! A farm of a manager and workers, used as its people use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tessera_client::Api;
use tessera_model::{JobId, JobState, WorkerMode};
use tessera_wire::api::Phase;
use tessera_wire::event::What;
use tessera_wire::line::LineKind;
use xtask::farm::Home;

use crate::site::{Site, ask, next_begun, render_into, until, workers};
use crate::world::{Project, World, files_in, identical, on_both, tessera_run, text};

on_both!(
    two_workers_share_a_job,
    a_watched_job_is_seen,
    fetched_later_from_elsewhere_and_after_restarts,
    paused_resumed_cancelled,
    logs_are_blenders_own_bytes,
    nothing_is_shared_but_the_network,
    order_is_kept,
);

/// Frames 1 to 8 of the layers, as plain Blender makes them.
fn layers_locally(world: &World, project: &Project) -> std::path::PathBuf {
    let local = world.path("local");
    project.render_locally(world, "out/layers_####", (1, 8), "", &local);
    local
}

fn two_workers_share_a_job(world: &World) {
    let project = world.scene("layers");
    let local = layers_locally(world, &project);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let lines = site.boss.run(&render_into(&project, "1..8", &out)).unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 8);

    let mut by = BTreeMap::<_, u32>::new();
    let mut delivered = BTreeSet::new();
    for line in &lines {
        if let LineKind::Frame {
            frame,
            worker,
            files,
            ..
        } = line
        {
            *by.entry(*worker).or_default() += 1;
            assert!(
                delivered.insert(*frame),
                "frame {frame} was delivered twice"
            );
            assert_eq!(files.len(), 1);
        }
    }
    assert_eq!(delivered, (1..=8).collect());
    assert_eq!(by.len(), 2, "both workers rendered: {by:?}");
    assert!(matches!(
        lines.last(),
        Some(LineKind::Finished {
            state: JobState::Done,
            done: 8,
            failed: 0,
            ..
        })
    ));
    let begun = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Started { .. }))
        .count();
    assert_eq!(begun, 8, "each is rendered once: {lines:?}");
    assert_eq!(site.delivered_once(JobId(1)).failures, 0);

    let cost = site.boss.run(&["job", "times", "1"]).unwrap();
    let Some(LineKind::JobTimes { workers, .. }) = cost.first() else {
        panic!("{cost:?}");
    };
    let frames = workers.iter().map(|worker| (worker.worker, worker.frames));
    assert_eq!(frames.collect::<BTreeMap<_, _>>(), by);
    for worker in workers {
        assert!(worker.timings.render_us > 0, "{worker:?}");
        assert!(worker.timings.total_us() > worker.timings.render_us);
    }
    let cost = tessera_run(&site.boss, &["job", "times", "1"]).done();
    for words in [
        "worker-hours for 8 finished frames",
        "render",
        "anna",
        "ben",
    ] {
        assert!(cost.text().contains(words), "no {words} in {cost}");
    }

    // The same command again finds all of it done, as the frames are there.
    fs::rename(world.path("farm").join("out"), &out).unwrap();
    let again = site.boss.run(&render_into(&project, "1..8", &out)).unwrap();
    assert!(
        !again
            .iter()
            .any(|line| matches!(line, LineKind::Frame { .. } | LineKind::Submitted { .. }))
    );
    site.delivered_once(JobId(1));
}

/// In a terminal that has the colours, the last finished frame is what is left of the watching.
fn a_watched_job_is_seen(world: &World) {
    let project = world.scene("layers");
    let mut site = Site::new(world.home("boss"));
    let job = site.submit(&project, &["-f", "1..2"]).to_string();
    let told = world.path("terminal");
    let watch = site.boss.command(&["watch", &job]);
    let words = [watch.get_program()].into_iter().chain(watch.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-qefc", &words.join(" "), text(&told)]);
    for (name, value) in watch.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal
        .env("COLORTERM", "truecolor")
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    let mut watching = terminal.spawn().unwrap();
    let seen = || fs::read_to_string(&told).unwrap_or_default();
    until(&site.boss, "the job is watched", async |_| {
        seen().contains("Ctrl-C").then_some(())
    });
    assert!(!seen().contains('▀'));
    site.hire(world.home("anna"), "anna");
    assert!(watching.wait().unwrap().success(), "{}", seen());
    let shown = seen();
    let last = shown.rsplit_once("Ctrl-C").unwrap().0;
    let last = last.rsplit_once("WORKER").unwrap().1;
    assert!(last.contains("▀") && last.contains("frame "), "{shown}");
}

fn fetched_later_from_elsewhere_and_after_restarts(world: &World) {
    let project = world.scene("png");
    let local = world.path("local");
    project.render_locally(world, "out/a_##_x", (0, 2), "", &local);

    let mut site = Site::with_workers(world, &["anna"]);
    let submitted = tessera_run(&site.boss, &["submit", project.file()]).done();
    assert_eq!(submitted.text(), "1\n", "the job's number and nothing else");

    // To where the file says, which its owner may.
    tessera_run(&site.boss, &["fetch", "1", "--wait"]).done();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 15);

    // Another user, on what could be another machine.
    let carla = connected(world, &site, "carla", "artist");
    let told = tessera_run(&carla, &["fetch", "1"]);
    told.refused(2, &["job 1", "-o"]);
    let elsewhere = world.path("elsewhere");
    tessera_run(&carla, &["fetch", "1", "-o", text(&elsewhere)]).done();
    same_main_files(&elsewhere, &local.join("out"));
    // The files of nodes lie below, under the nodes' names.
    let by_name = |folder: &std::path::Path| -> BTreeMap<_, _> {
        let all = files_in(folder).into_iter();
        all.map(|name| (name.file_name().unwrap().to_owned(), folder.join(name)))
            .collect()
    };
    let (there, here) = (by_name(&elsewhere), by_name(&local));
    assert!(there.keys().eq(here.keys()), "{there:?}\n{here:?}");
    for (name, path) in &there {
        let report = tessera_merge::compare::files(path, &here[name]).unwrap();
        assert!(report.identical(), "{report}");
    }

    // Everything is started anew.
    for hand in &mut site.workers {
        hand.process.signal("TERM").unwrap();
    }
    site.manager.process.signal("TERM").unwrap();
    assert!(site.manager.process.end().unwrap().0.success());
    site.restart_manager();
    let later = world.path("later");
    tessera_run(&carla, &["fetch", "1", "-f", "1..2", "-o", text(&later)]).done();
    assert_eq!(main_files(&later), ["a_01_x.png", "a_02_x.png"]);
    site.workers[0].process.end().unwrap();
    site.workers[0].restart();
    let more = tessera_run(
        &carla,
        &[
            "render",
            project.file(),
            "-f",
            "1",
            "-o",
            text(&world.path("more")),
        ],
    );
    assert_eq!(more.status, 0, "{more}");
}

fn main_files(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn same_main_files(a: &std::path::Path, b: &std::path::Path) {
    assert_eq!(main_files(a), main_files(b));
    for name in main_files(a) {
        assert!(
            tessera_merge::compare::files(&a.join(&name), &b.join(&name))
                .unwrap()
                .identical(),
            "{name}"
        );
    }
}

/// A user who became a client by a code.
fn connected(world: &World, site: &Site, name: &str, role: &str) -> Home {
    let lines = site
        .boss
        .run(&["token", "create", "--user", name, "--role", role, "--code"])
        .unwrap();
    let link = lines
        .iter()
        .find_map(|line| match line {
            LineKind::Pairing { pairing } => pairing.links.first().cloned(),
            _ => None,
        })
        .unwrap();
    let home = world.home(name);
    tessera_run(&home, &["connect", &link]).done();
    home
}

fn paused_resumed_cancelled(world: &World) {
    let project = world.scene("slow");
    let site = Site::with_workers(world, &["anna"]);
    let job = site.submit(&project, &["--samples", "2000", "-f", "1..6"]);
    let number = job.to_string();
    let phase = async |api: &Api| api.job(job).await.unwrap().summary;
    until(&site.boss, "a frame is rendered", async |api| {
        (phase(api).await.phase == Phase::Rendering).then_some(())
    });

    // Paused: what renders is finished, nothing is begun.
    site.boss.run(&["job", "pause", &number]).unwrap();
    let paused = until(&site.boss, "what renders is finished", async |api| {
        let now = phase(api).await;
        (now.leased == 0).then_some(now)
    });
    assert_eq!(
        (paused.state, paused.phase),
        (JobState::Paused, Phase::Paused)
    );
    assert!((1..6).contains(&paused.done), "{paused:?}");

    // Resumed, changed, and cancelled in mid-frame: Blender dies.
    site.boss
        .run(&[
            "job",
            "edit",
            &number,
            "--priority",
            "7",
            "--name",
            "renamed",
            "--comment",
            "hm",
        ])
        .unwrap();
    site.boss.run(&["job", "resume", &number]).unwrap();
    until(&site.boss, "a frame is rendered again", async |api| {
        let now = phase(api).await;
        assert_eq!(
            (now.settings.priority, now.settings.name.as_str()),
            (7, "renamed")
        );
        (now.phase == Phase::Rendering).then_some(())
    });
    let blenders = site.workers[0].blenders();
    assert_eq!(blenders.len(), 1, "{blenders:?}");
    site.boss.run(&["job", "cancel", &number]).unwrap();
    blenders[0].gone();
    let cancelled = ask(&site.boss, async |api: Api| phase(&api).await);
    assert_eq!(cancelled.state, JobState::Cancelled);

    // Tried again, it ends; then it is removed with its frames.
    let shown = tessera_run(&site.boss, &["job", "show", &number]).done();
    assert!(shown.text().contains("cancelled"), "{shown}");
    site.boss.run(&["job", "remove", &number]).unwrap();
    tessera_run(&site.boss, &["job", "show", &number]).refused(2, &["job", &number]);
    tessera_run(
        &site.boss,
        &["fetch", &number, "-o", text(&world.path("gone"))],
    )
    .refused(2, &["job", &number]);
    assert_eq!(tessera_run(&site.boss, &["jobs"]).done().text(), "");
}

fn logs_are_blenders_own_bytes(world: &World) {
    let project = world.scene("chatty");
    let site = Site::with_workers(world, &["anna"]);
    let out = project.path("out");
    let mut arguments = render_into(&project, "1..3", &out);
    arguments.push("--scripts");
    site.boss.run(&arguments).unwrap();
    for frame in 1..=3 {
        let logs = tessera_run(&site.boss, &["logs", "1", &frame.to_string()]).done();
        let said = [
            format!("out {frame}: ").as_bytes(),
            b"\xc3\xa4 \xff\x00 no newline\r\tat the end",
        ]
        .concat();
        let complained = [
            format!("err {frame} ").repeat(5000).as_bytes(),
            b"\x1b[31mred",
        ]
        .concat();
        assert_eq!(count(&logs.stdout, &said), 1, "frame {frame}: {logs}");
        assert_eq!(count(&logs.stderr, &complained), 1, "frame {frame}");
        let others = (1..=3)
            .filter(|other| *other != frame)
            .map(|other| format!("err {other} "));
        for other in others {
            assert_eq!(
                count(&logs.stderr, other.as_bytes()),
                0,
                "another frame's words"
            );
        }
    }
    // Without leave, the file's script does not run, and the user is told that there is one.
    let quiet = world.path("quiet");
    let render = tessera_run(&site.boss, &render_into(&project, "1", &quiet)).done();
    assert!(render.errors().contains("speak.py"), "{render}");
    let logs = tessera_run(&site.boss, &["logs", "2", "1"]).done();
    assert_eq!(count(&logs.stdout, b"out 1: "), 0);
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes
        .windows(wanted.len())
        .filter(|window| *window == wanted)
        .count()
}

/// The project is gone before the worker is even started: all that it renders from came to it over the network.
fn nothing_is_shared_but_the_network(world: &World) {
    for (kind, arguments) in [("absolute", &[][..]), ("relative", &["relative"][..])] {
        let script = "../blender/tests/scenes/libraries.py";
        let project = world.project(script, arguments, kind, "proj/main.blend");
        let local = world.path(&format!("local-{kind}"));
        project.render_locally(world, "proj/out/", (1, 2), "", &local);
        let mut site = Site::new(world.home(&format!("boss-{kind}")));
        let job = site.submit(&project, &["-f", "1..2"]);
        fs::rename(&project.folder, world.path(&format!("{kind}-put-away"))).unwrap();
        site.hire(world.home(&format!("anna-{kind}")), "anna");
        let farm = world.path(&format!("farm-{kind}"));
        tessera_run(
            &site.boss,
            &["fetch", &job.to_string(), "--wait", "-o", text(&farm)],
        )
        .done();
        identical(&farm, &local.join("proj/out"), 2);
    }
}

/// Unbaked cloth on a farm of two: one worker renders all of it, in order.
fn order_is_kept(world: &World) {
    let project = world.scene("cloth");
    let local = world.path("local");
    project.render_locally(world, "out/cloth_", (1, 6), "", &local);
    let site = Site::with_workers(world, &["anna", "ben"]);
    let out = project.path("out");
    let lines = site.boss.run(&render_into(&project, "1..6", &out)).unwrap();
    project.take_products(&world.path("farm"));
    identical(&world.path("farm"), &local, 6);
    let by: BTreeSet<_> = lines
        .iter()
        .filter_map(|line| match line {
            LineKind::Frame { worker, .. } => Some(*worker),
            _ => None,
        })
        .collect();
    assert_eq!(by.len(), 1, "one worker rendered all: {lines:?}");
}

/// What administrators do to workers.
#[test]
fn workers_are_managed() {
    let world = World::any();
    let project = world.scene("slow");
    let mut site = Site::with_workers(&world, &["anna", "ben"]);
    let shown = tessera_run(&site.boss, &["workers"]).done();
    for word in ["anna", "ben", "3.4.1", "5.0.1", "active"] {
        assert!(shown.text().contains(word), "{shown}");
    }
    let mode = |name: &str| {
        let found = workers(&site.boss)
            .into_iter()
            .find(|worker| worker.name == name);
        found.unwrap().mode
    };
    site.boss.run(&["worker-admin", "pause", "anna"]).unwrap();
    assert_eq!(mode("anna"), WorkerMode::Paused);
    site.boss.run(&["worker-admin", "block", "ben"]).unwrap();
    assert_eq!(mode("ben"), WorkerMode::Blocked);

    // Nobody may render; the one who waits is told.
    let out = project.path("out");
    let mut render = site
        .boss
        .start(&render_into(&project, "1..4", &out))
        .unwrap();
    let job = render
        .wait(|line| match line {
            LineKind::Submitted { job, .. } => Some(*job),
            _ => None,
        })
        .unwrap();
    let because = until(&site.boss, "the job says why it waits", async |api| {
        let detail = api.job(job).await.unwrap();
        (!detail.waiting_because.is_empty()).then_some(detail.waiting_because)
    });
    assert!(because.contains("worker"), "{because}");

    // Ben alone is let in again, then taken off the job in mid-frame: Anna does all.
    site.boss.run(&["worker-admin", "unblock", "ben"]).unwrap();
    let (_, ben) = next_begun(&mut render, None);
    site.boss
        .run(&["worker-admin", "block", "ben", "--job", &job.to_string()])
        .unwrap();
    site.boss.run(&["worker-admin", "resume", "anna"]).unwrap();
    let lines = render.finish().unwrap();
    let by_ben = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Frame { worker, .. } if *worker == ben))
        .count();
    assert_eq!(by_ben, 0, "{lines:?}");
    site.delivered_once(job);

    // Drained, its program ends by itself; removed, it is refused.
    site.boss.run(&["worker-admin", "drain", "anna"]).unwrap();
    let (status, _) = site.workers[0].process.end().unwrap();
    assert!(status.success(), "{}", site.workers[0].process.last_words());
    site.boss.run(&["worker-admin", "remove", "ben"]).unwrap();
    let (status, _) = site.workers[1].process.end().unwrap();
    assert_eq!(
        status.code(),
        Some(3),
        "{}",
        site.workers[1].process.last_words()
    );
    let ben = &site.workers[1].home;
    tessera_run(ben, &["worker"]).refused(3, &["worker --join"]);
    tessera_run(&site.boss, &["worker-admin", "pause", "nobody"]).refused(2, &["nobody"]);
}

/// A worker that was removed is paired anew by what its refusal says, whatever it kept; a code that is not needed is not used up.
#[test]
fn a_removed_worker_is_paired_again() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let code = |once: bool| {
        let more: &[&str] = if once { &["--once"] } else { &[] };
        let lines = site.boss.run(&[&["cert", "create"], more].concat());
        match lines.unwrap().as_slice() {
            [LineKind::Pairing { pairing }] => pairing.clone(),
            other => panic!("{other:?}"),
        }
    };
    let anna = site.workers[0].home.clone();
    let kept = || std::fs::read(anna.folder().join("data/worker/farm.json")).unwrap();
    let first = kept();
    let remove = |hand: &mut xtask::farm::Process| {
        site.boss.run(&["worker-admin", "remove", "anna"]).unwrap();
        assert_eq!(hand.end().unwrap().0.code(), Some(3));
    };

    // Thrown out while it works, it stays out, though the code it was started with is still good.
    let mut worker = site.workers.pop().unwrap().process;
    remove(&mut worker);
    assert!(kept() == first && workers(&site.boss).is_empty());

    let once = code(true);
    let mut worker = anna.worker(&["--join", &once.links[0]]).unwrap();
    let second = kept();
    assert_ne!(second, first);
    let names: Vec<_> = workers(&site.boss).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["anna"], "the name it had");
    worker.signal("TERM").unwrap();
    worker.end().unwrap();

    // Known again: the same code, long used up, and a new one are both not needed.
    let spare = code(true);
    for code in [&once, &spare] {
        let mut worker = anna.worker(&["--join", &code.links[0]]).unwrap();
        worker.signal("TERM").unwrap();
        worker.end().unwrap();
        assert_eq!(kept(), second);
    }

    // By the code alone, with the address beside it; and where the code is used up, that is said.
    let mut worker = anna.worker(&["--join", &once.links[0]]).unwrap();
    remove(&mut worker);
    tessera_run(&anna, &["worker", "--join", &once.links[0]])
        .refused(3, &["'anna'", "removed", "code", "cert create"]);
    let address = &site.manager.urls[0];
    let by_code = ["--join", &spare.code, "--manager", address];
    let _worker = anna.worker(&by_code).unwrap();
    assert_eq!(workers(&site.boss).len(), 1);
}

/// A frame that fails is given up after its tries; mended, it is tried again, and only it.
#[test]
fn failed_frames_are_tried_again() {
    let world = World::any();
    let mut site = Site::with_workers(&world, &[]);
    let home = world.fake_home("anna");
    let scene = serde_json::json!({"start": 1, "end": 4, "crash": {"3": 11}});
    let project = world.fake_scene("scene", &scene);
    site.hire(home, "anna");
    let boss = world.fake_user(&site.boss);
    let out = world.path("out");
    let arguments = [
        "render",
        project.file(),
        "-f",
        "1..4",
        "-o",
        text(&out),
        "--attempts",
        "2",
    ];
    let ended = tessera_run(&boss, &arguments);
    ended.failed(1, &["1 of 4 frames", "frame 3", "3 are in"]);
    let journal = ask(&site.boss, async |api: Api| {
        api.journal(JobId(1)).await.unwrap()
    });
    assert_eq!((journal.accepts, journal.failures), (3, 2));
    let shown = tessera_run(&site.boss, &["job", "show", "1"]).done();
    assert!(shown.text().contains("crash"), "{shown}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    // Tried again it fails again, as nothing was mended; what is there stays.
    site.boss.run(&["job", "retry", "1"]).unwrap();
    let over = until(&site.boss, "it is given up again", async |api| {
        let detail = api.job(JobId(1)).await.unwrap().summary;
        (detail.state == JobState::Failed).then_some(detail)
    });
    assert_eq!((over.done, over.failed), (3, 1));
    let journal = ask(&site.boss, async |api: Api| {
        api.journal(JobId(1)).await.unwrap()
    });
    assert_eq!((journal.accepts, journal.failures), (3, 4));

    // One that fails once and never again is done then.
    let once = world.path("once");
    let scene = serde_json::json!({"start": 1, "end": 3, "exit": {"2": 3}, "once": text(&once)});
    let project = world.fake_scene("flaky", &scene);
    let out = world.path("flaky-out");
    let arguments = [
        "render",
        project.file(),
        "-o",
        text(&out),
        "--attempts",
        "1",
    ];
    tessera_run(&boss, &arguments).failed(1, &["1 of 3 frames"]);
    site.boss.run(&["job", "retry", "2"]).unwrap();
    tessera_run(&site.boss, &["fetch", "2", "--wait", "-o", text(&out)]).done();
    assert_eq!(files_in(&out).len(), 3);
    site.delivered_once(JobId(2));
}

/// A log is read along while its frame is rendered, to its last byte.
#[test]
fn a_log_is_followed() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let scene = serde_json::json!({"start": 1, "end": 1, "seconds": 1.5, "noise_bytes": 700_000, "stdout": "last words\n"});
    let project = world.fake_scene("scene", &scene);
    let job = site.submit(&project, &[]);
    let followed = tessera_run(&site.boss, &["logs", &job.to_string(), "1", "--follow"]).done();
    let afterwards = tessera_run(&site.boss, &["logs", &job.to_string(), "1"]).done();
    assert!(followed.stdout.len() >= 700_000);
    assert!(followed.stdout == afterwards.stdout, "they differ");
    assert!(followed.stderr == afterwards.stderr, "they differ");
    let all = tessera_run(&site.boss, &["logs", &job.to_string()]).done();
    assert!(all.stdout == afterwards.stdout, "of its one frame");
    tessera_run(&site.boss, &["logs", &job.to_string(), "2"]).refused(2, &["frame 2"]);
}

/// Everything that happens is told to who watches, as it happens, also across the manager's end; what happened in between, by how it
/// stands then.
#[test]
fn the_farm_is_watched() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let mut watch = site.boss.start(&["watch"]).unwrap();
    let told = |watch: &mut xtask::farm::Process, wanted: fn(&What) -> bool| {
        let found = watch.wait(|line| match line {
            LineKind::Event { event } => wanted(&event.what).then_some(()),
            _ => None,
        });
        found.unwrap();
    };
    site.hire(world.fake_home("anna"), "anna");
    told(
        &mut watch,
        |what| matches!(what, What::Worker { worker } if worker.linked),
    );
    let project = world.fake_scene("scene", &serde_json::json!({"start": 1, "end": 2}));
    site.submit(&project, &[]);
    told(
        &mut watch,
        |what| matches!(what, What::FrameDone { result } if result.frame == 2),
    );
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    site.restart_manager();
    site.submit(&project, &["-f", "1"]);
    // Its frame may be done before the watching has found the manager again: then it is told how the job stands.
    told(
        &mut watch,
        |what| matches!(what, What::Job { job } if job.id == JobId(2) && job.done == 1),
    );
    watch.signal("INT").unwrap();
    assert_eq!(watch.end().unwrap().0.code(), Some(130));
}

/// A viewer sees and changes nothing; an artist changes what is their own; an administrator all.
#[test]
fn roles_are_kept() {
    let world = World::any();
    let mut site = Site::with_workers(&world, &[]);
    site.hire(world.fake_home("anna"), "anna");
    let project = world.fake_scene("scene", &serde_json::json!({"start": 1, "end": 2}));
    let carla = world.fake_user(&connected(&world, &site, "carla", "artist"));
    let dan = world.fake_user(&connected(&world, &site, "dan", "artist"));
    let vera = world.fake_user(&connected(&world, &site, "vera", "viewer"));
    let out = world.path("out");
    tessera_run(&carla, &["render", project.file(), "-o", text(&out)]).done();

    for home in [&vera, &dan, &carla] {
        assert!(tessera_run(home, &["jobs"]).done().text().contains("carla"));
        tessera_run(home, &["fetch", "1", "-o", text(&world.path("seen"))]).done();
    }
    for arguments in [
        &[
            "render",
            project.file(),
            "-f",
            "1",
            "-o",
            text(&world.path("v")),
        ][..],
        &["submit", project.file()],
        &["job", "cancel", "1"],
        &["job", "remove", "1"],
        &["job", "edit", "1", "--priority", "9"],
    ] {
        tessera_run(&vera, arguments).refused(3, &["role", "artist"]);
    }
    for arguments in [
        &["job", "cancel", "1"][..],
        &["job", "remove", "1"],
        &["job", "edit", "1", "--priority", "9"],
    ] {
        tessera_run(&dan, arguments).refused(3, &["job 1", "carla", "dan"]);
    }
    for arguments in [
        &["worker-admin", "pause", "anna"][..],
        &["token", "list"],
        &["token", "create", "--user", "x"],
        &["token", "create", "--user", "x", "--code"],
        &["cert", "list"],
        &["cert", "create"],
    ] {
        tessera_run(&carla, arguments).refused(3, &["role", "admin"]);
    }
    carla.run(&["job", "edit", "1", "--priority", "9"]).unwrap();
    carla.run(&["job", "remove", "1"]).unwrap();

    // A token is void the moment it is revoked.
    let tokens = ask(&site.boss, async |api: Api| {
        api.tokens().await.unwrap().items
    });
    let carlas = tokens
        .iter()
        .find(|token| token.user.as_str() == "carla")
        .unwrap();
    site.boss.run(&["token", "revoke", &carlas.id]).unwrap();
    tessera_run(&carla, &["jobs"]).refused(3, &["token", "tessera connect"]);

    // A token for scripts, given by environment alone.
    let made = tessera_run(
        &site.boss,
        &["token", "create", "--user", "ci", "--role", "artist"],
    )
    .done();
    let ca = world.path("ca.pem");
    let farm: serde_json::Value = serde_json::from_slice(
        &fs::read(site.boss.folder().join("config/local-manager.json")).unwrap(),
    )
    .unwrap();
    fs::write(&ca, farm["anchor_pem"].as_str().unwrap()).unwrap();
    let script = world
        .home("script")
        .with("TESSERA_TOKEN", made.text().trim())
        .with("TESSERA_FARM_CA", text(&ca))
        .with("TESSERA_MANAGER", &site.manager.urls[0]);
    tessera_run(&script, &["jobs"]).done();
    tessera_run(&script, &["token", "list"]).refused(3, &["admin"]);
}
