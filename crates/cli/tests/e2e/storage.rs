//! What the farm stores, as its people see it: what uses the space, a quota that warns and refuses, and files that are sent again.

use std::path::Path;

use tessera_model::JobState;
use tessera_wire::line::LineKind;
use tessera_wire::store::{StoreLevel, StoreReport};

use crate::bad_places::fake_scene;
use crate::site::{Site, ask, until};
use crate::world::{World, files_in, tessera_run, text};

const EXTRA_BYTES: usize = 3_000_000;

fn store(site: &Site) -> StoreReport {
    let lines = site.boss.run(&["store"]).unwrap();
    let report = lines.into_iter().find_map(|line| match line {
        LineKind::Store { report } => Some(*report),
        _ => None,
    });
    report.unwrap()
}

fn sent_bytes(lines: &[LineKind]) -> u64 {
    let sent = lines.iter().rev().find_map(|line| match line {
        LineKind::Sending { sent_bytes, .. } => Some(*sent_bytes),
        _ => None,
    });
    sent.unwrap()
}

#[test]
fn a_farm_says_what_it_stores_and_keeps_its_quota() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let scene = fake_scene(&world, "large", 2, EXTRA_BYTES);
    let job = site.submit(&scene, &[]);
    let report = store(&site);
    assert!(report.used_bytes >= EXTRA_BYTES as u64, "{report:?}");
    assert_eq!(report.level, StoreLevel::Fine);
    let [used] = report.jobs.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(used.job, job);
    assert!(used.alone.files_bytes >= EXTRA_BYTES as u64, "{used:?}");
    assert_eq!(used.kept_until, None);
    let shown = tessera_run(&site.boss, &["store"]).done().text();
    assert!(
        shown.contains("of single jobs") && shown.contains("scene"),
        "{shown}"
    );
    // Of a manager that has just started nobody knows yet what uploads may need.
    let told = tessera_run(&site.boss, &["store", "collect"]).done().text();
    assert!(told.contains("nothing goes yet"), "{told}");

    // Unchanged files do not travel, unless they are to.
    let submit = ["submit", scene.file(), "--bandwidth", "500MB/s"];
    let again = sent_bytes(&site.boss.run(&submit).unwrap());
    assert!(again < 10_000, "{again}");
    let forced = [&submit[..], &["--force-upload"]].concat();
    let forced = sent_bytes(&site.boss.run(&forced).unwrap());
    assert!(forced > EXTRA_BYTES as u64, "{forced}");

    let quota = format!("store_quota_bytes={}", report.used_bytes / 2);
    site.boss.run(&["settings", "set", &quota]).unwrap();
    assert_eq!(store(&site).level, StoreLevel::Full);
    let more = fake_scene(&world, "more", 2, EXTRA_BYTES);
    tessera_run(&site.boss, &["submit", more.file()]).failed(1, &["stores", "quota"]);
    let doctor = tessera_run(&site.boss, &["doctor"]);
    assert!(
        doctor.text().contains("farm's storage"),
        "{}",
        doctor.text()
    );
    let room = format!("store_quota_bytes={}", report.used_bytes * 4);
    site.boss.run(&["settings", "set", &room]).unwrap();
    tessera_run(&site.boss, &["submit", more.file()]).done();
}

/// Time alone removes no frames that nobody has; who has brought all of them here tells the farm.
#[test]
fn what_nobody_has_fetched_is_kept() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let scene = fake_scene(&world, "scene", 3, 1000);
    let job = site.submit(&scene, &[]);
    let number = job.to_string();
    let out = world.path("out");
    let fetch = ["fetch", &number, "-o", text(&out)];

    // Nothing is there yet.
    let early = tessera_run(&site.boss, &fetch);
    early.failed(4, &["3 frames of job 1 are not there yet", "--wait"]);
    site.hire(world.fake_home("anna"), "anna");
    let state = async |api: &tessera_client::Api| {
        let found = api.job(job).await.unwrap().summary;
        (found.state == JobState::Done).then_some(())
    };
    until(&site.boss, "the job is done", state);
    let keep = ["settings", "set", "results_keep_ms=1"];
    site.boss.run(&keep).unwrap();
    tessera_run(&site.boss, &["store", "collect"]).done();
    let shown = tessera_run(&site.boss, &["job", "show", &number]).done();
    assert!(shown.text().contains("fetched    not yet"), "{shown}");
    let shown = tessera_run(&site.boss, &["store"]).done().text();
    assert!(
        shown.contains("no, over since") && shown.contains("it is fetched"),
        "{shown}"
    );

    // A part of it is not all.
    let part = [&fetch[..], &["-f", "1..2"]].concat();
    tessera_run(&site.boss, &part).done();
    let report = store(&site);
    assert!(report.jobs[0].unfetched_since.is_some(), "{report:?}");
    tessera_run(&site.boss, &fetch).done();
    let shown = tessera_run(&site.boss, &["job", "show", &number]).done();
    assert!(shown.text().contains("fetched    20"), "{shown}");
    tessera_run(&site.boss, &["store", "collect"]).done();
    tessera_run(&site.boss, &["job", "show", &number]).refused(2, &["job", &number]);

    // Who waits for a render has fetched it, at last by the same command again.
    site.boss
        .run(&["settings", "set", "results_keep_ms=0"])
        .unwrap();
    let project = fake_scene(&world, "waited", 3, 1000);
    let into = world.path("waited-out");
    let render = ["render", project.file(), "-o", text(&into)];
    let lines = site.boss.run(&render).unwrap();
    let rendered = lines.iter().find_map(|line| match line {
        LineKind::Submitted { job, .. } => Some(*job),
        _ => None,
    });
    let fetched = |job| {
        ask(&site.boss, async |api| {
            api.job(job).await.unwrap().fetched_at
        })
    };
    assert!(fetched(rendered.unwrap()).is_some());

    // Left to the farm, brought by the same command, of which a part was here.
    let project = fake_scene(&world, "left", 4, 1000);
    let into = world.path("left-out");
    let render = ["render", project.file(), "-o", text(&into)];
    let left = tessera_run(&site.boss, &[&render[..], &["--detach"]].concat()).done();
    let left: tessera_model::JobId = left.text().trim().parse().unwrap();
    site.boss.run(&render).unwrap();
    assert!(fetched(left).is_some());
}

#[test]
fn a_user_near_their_quota_is_warned_and_then_refused() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let scene = fake_scene(&world, "large", 2, EXTRA_BYTES);
    site.submit(&scene, &[]);
    let used = store(&site).users[0].bytes;
    let quota = |bytes: u64| {
        let quota = format!("store_user_quota_bytes={bytes}");
        site.boss.run(&["settings", "set", &quota]).unwrap();
    };
    quota(used * 11 / 10);
    let more = fake_scene(&world, "more", 2, EXTRA_BYTES);
    let warned = tessera_run(&site.boss, &["submit", more.file()]).done();
    assert!(
        warned
            .errors()
            .contains("what you may store is nearly used up"),
        "{warned}"
    );
    let third = fake_scene(&world, "third", 2, EXTRA_BYTES);
    tessera_run(&site.boss, &["submit", third.file()])
        .failed(1, &["the jobs of", "each user", "store_user_quota_bytes"]);
    let shown = tessera_run(&site.boss, &["store"]).done().text();
    assert!(
        shown.contains("quota of each user") && shown.contains("used up"),
        "{shown}"
    );
    quota(0);
    tessera_run(&site.boss, &["submit", third.file()]).done();
}

/// A disk that has eaten the farm's copies: the frames fail with the way out, and that is one.
#[test]
fn what_the_farm_has_lost_is_sent_again() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let scene = fake_scene(&world, "scene", 1, EXTRA_BYTES);
    let job = site.submit(&scene, &["--attempts", "1"]);
    let packs = files_in(site.boss.folder());
    let packs = packs
        .iter()
        .filter(|path| path.parent().is_some_and(|dir| dir.ends_with("packs")));
    let mut damaged = 0;
    for pack in packs {
        let path = site.boss.folder().join(pack);
        let mut bytes = std::fs::read(&path).unwrap();
        // In the middle of the noise, which is nearly all that there is.
        let middle = bytes.len() / 2;
        if bytes.len() > EXTRA_BYTES / 2 {
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    site.hire(world.fake_home("anna"), "anna");
    let out = world.path("out");
    let number = job.to_string();
    tessera_run(&site.boss, &["fetch", &number, "--wait", "-o", text(&out)])
        .failed(1, &["job", &number]);
    let shown = tessera_run(&site.boss, &["job", "show", &number]).done();
    assert!(shown.text().contains("--force-upload"), "{shown}");
    let again = site.submit(&scene, &["--force-upload"]).to_string();
    tessera_run(&site.boss, &["fetch", &again, "--wait", "-o", text(&out)]).done();
    // With what was sent the first job has its files, too.
    site.boss.run(&["job", "retry", &number]).unwrap();
    tessera_run(&site.boss, &["fetch", &number, "--wait", "-o", text(&out)]).done();
}

/// A frame that the farm's disk has eaten costs nobody the others.
#[test]
fn a_lost_frame_keeps_back_no_other() {
    let world = World::any();
    let project = world.scene("plain");
    let site = Site::with_workers(&world, &["anna"]);
    let number = site.submit(&project, &["-f", "1..3"]).to_string();
    let before = world.path("before");
    let fetch = |out: &Path| tessera_run(&site.boss, &["fetch", &number, "-o", text(out)]);
    tessera_run(
        &site.boss,
        &["fetch", &number, "--wait", "-o", text(&before)],
    )
    .done();
    let frames: Vec<_> = files_in(&before).into_iter().collect();
    assert_eq!(frames.len(), 3);
    let eaten = std::fs::read(before.join(&frames[1])).unwrap();
    // Of a picture that is compressed itself the farm keeps the bytes as they are.
    let middle = &eaten[eaten.len() / 2..][..16];
    let mut damaged = 0;
    for file in files_in(site.boss.folder()) {
        let path = site.boss.folder().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(16).position(|window| window == middle) {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    let after = world.path("after");
    for _ in 0..2 {
        fetch(&after).failed(1, &["frame 2", "`tessera render`"]);
        let there: Vec<_> = files_in(&after).into_iter().collect();
        assert_eq!(there, [frames[0].clone(), frames[2].clone()]);
    }
}
