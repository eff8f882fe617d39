//! Places that are full, forbidden or taken: one line says so, what was there stays whole, and it goes on once that is mended.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tessera_model::{JobId, JobState};
use tessera_wire::line::LineKind;

use crate::ended::run;
use crate::site::{Site, ask, until};
use crate::small_disk::SmallDisk;
use crate::world::{Project, World, as_root, files_in, tessera_run, text};

/// A scene whose frames are a few hundred bytes each, with so many bytes of noise beside it that it needs.
pub fn fake_scene(world: &World, name: &str, frames: u32, extra: usize) -> Project {
    let folder = world.path(name);
    fs::create_dir_all(&folder).unwrap();
    let mut noise = vec![0; extra];
    blake3::Hasher::new()
        .update(name.as_bytes())
        .finalize_xof()
        .fill(&mut noise);
    fs::write(folder.join("noise.bin"), noise).unwrap();
    let file = serde_json::json!({"stored": "//noise.bin", "path": text(&folder.join("noise.bin")), "kind": "image"});
    world.fake_scene(
        name,
        &serde_json::json!({"start": 1, "end": frames, "files": [file]}),
    )
}

#[test]
fn output_folder_full() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let project = world.scene("plain");
    let disk = SmallDisk::new(&world.path("out"), 24, "");
    let user = world.home("user");
    let arguments = [
        "render",
        project.file(),
        "-f",
        "1..16",
        "-o",
        text(&disk.place),
    ];
    let ended = tessera_run(&user, &arguments);
    ended.failed(1, &["full", text(&disk.place), "again"]);
    let there = files_in(&disk.place);
    assert!((1..16).contains(&there.len()), "{there:?}");
    for name in &there {
        assert!(
            !name.to_string_lossy().starts_with('.'),
            "left behind: {}",
            name.display()
        );
        assert!(
            image_is_whole(&disk.place.join(name)),
            "half-written: {}",
            name.display()
        );
    }
    disk.resize(1000);
    let lines = user.run(&arguments).unwrap();
    let rendered = lines
        .iter()
        .filter(|line| matches!(line, LineKind::Frame { .. }))
        .count();
    assert_eq!(rendered, 16 - there.len());
}

fn image_is_whole(path: &Path) -> bool {
    fs::read(path).unwrap().ends_with(b"IEND\xae\x42\x60\x82")
}

#[test]
fn output_folder_not_writable() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let project = world.scene("plain");
    let user = world.home("user");
    let render = |out: &Path| {
        tessera_run(
            &user,
            &["render", project.file(), "-f", "1", "-o", text(out)],
        )
    };
    let file = world.path("file");
    fs::write(&file, "").unwrap();
    render(&file).refused(2, &["output folder", text(&file), "-o"]);
    render(&file.join("below")).refused(2, &["output folder", text(&file), "-o"]);
    let disk = SmallDisk::new(&world.path("read-only"), 100, ",ro");
    render(&disk.place).refused(2, &["output folder", text(&disk.place), "Read-only"]);
    // Someone else's.
    let theirs = world.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let nobody = world.nobody("nobody");
    let ended =
        run(&mut nobody.command(&["render", project.file(), "-f", "1", "-o", text(&theirs)]));
    ended.refused(2, &["output folder", text(&theirs), "ermission"]);
    assert!(files_in(&theirs).is_empty());
}

#[test]
fn home_not_writable() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let project = world.scene("plain");
    let nobody = world.nobody("nobody");
    fs::set_permissions(nobody.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(nobody.folder(), Some(0), Some(0)).unwrap();
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let arguments = ["render", project.file(), "-f", "1", "-o", text(&out)];
    let ended = run(&mut nobody.command(&arguments));
    ended.refused(1, &[text(nobody.folder()), "ermission"]);
    let ended = run(&mut nobody.command(&["manager", "--listen", "127.0.0.1:0"]));
    ended.refused(1, &[text(nobody.folder()), "ermission"]);
    let there: Vec<_> = files_in(nobody.folder()).into_iter().collect();
    // What can be made again was written where it can be; all else is as it was before.
    assert!(
        there.iter().all(|path| path.starts_with("cache")),
        "{there:?}"
    );
}

/// The manager's disk is full: it says so, lives on, and takes the job once there is room.
#[test]
fn manager_disk_full() {
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
    let large = fake_scene(&world, "large", 2, 12 << 20);
    let out = world.path("out");
    let arguments = ["render", large.file(), "-o", text(&out)];
    tessera_run(&site.boss, &arguments).failed(1, &["manager", "disk", "full"]);
    assert!(!out.exists() || files_in(&out).is_empty());
    tessera_run(&site.boss, &["jobs"]).done();
    // Small things still fit.
    let small = fake_scene(&world, "small", 2, 10);
    tessera_run(
        &site.boss,
        &["render", small.file(), "-o", text(&world.path("small-out"))],
    )
    .done();
    disk.resize(60_000);
    tessera_run(&site.boss, &arguments).done();
    assert_eq!(files_in(&out).len(), 2);
}

/// A worker's disk is full: the frame fails there with a word about it, and goes to one that has room.
#[test]
fn worker_disk_full() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let disk = SmallDisk::new(&world.path("anna/data"), 2000, "");
    site.hire(world.fake_home("anna"), "anna");
    let large = fake_scene(&world, "large", 3, 8 << 20);
    let job = site.submit(&large, &["--attempts", "9"]);
    let error = until(
        &site.boss,
        "the worker says that it has no room",
        async |api| api.errors(job).await.unwrap().items.into_iter().next(),
    );
    assert!(
        error.message.contains("full") || error.message.contains("space"),
        "{}",
        error.message
    );
    site.hire(world.fake_home("ben"), "ben");
    let out = world.path("out");
    tessera_run(
        &site.boss,
        &["fetch", &job.to_string(), "--wait", "-o", text(&out)],
    )
    .done();
    assert_eq!(files_in(&out).len(), 3);
    // Mended, it renders again.
    disk.resize(100_000);
    drop(site.workers.pop());
    let small = fake_scene(&world, "small", 2, 10);
    tessera_run(
        &site.boss,
        &["render", small.file(), "-o", text(&world.path("small-out"))],
    )
    .done();
    let state = ask(&site.boss, async |api| {
        api.job(JobId(2)).await.unwrap().summary.state
    });
    assert_eq!(state, JobState::Done);
}

#[test]
fn taken() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let address = site.address();
    let other = world.fake_home("other");
    let manager = |arguments: &[&str]| {
        tessera_run(
            &other,
            &[&["manager", "--no-discovery"], arguments].concat(),
        )
    };
    let port = address.rsplit(':').next().unwrap();
    manager(&["--listen", &address]).refused(1, &["port", port, "taken", "--listen"]);
    let data = site.boss.folder().join("data/manager");
    manager(&["--listen", "127.0.0.1:0", "--data", text(&data)])
        .refused(1, &["another manager", text(&data), "--data"]);
    manager(&["--listen", "192.0.2.1:7373"]).refused(1, &["192.0.2.1", "--listen"]);
    // The first one is none the worse for it.
    tessera_run(&site.boss, &["jobs"]).done();
    // The same for a worker's folder.
    let mut site = site;
    site.hire(world.fake_home("anna"), "anna");
    let again = tessera_run(&site.workers[0].home, &["worker"]);
    again.refused(
        1,
        &[
            "another",
            text(&world.path("anna/data/worker")),
            "data folder",
        ],
    );
}

#[test]
fn settings() {
    let world = World::any();
    let user = world.fake_home("user");
    let file = user.folder().join("config/tessera.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (content, words) in [
        ("[worker]\nslotz = 3\n", ["worker.slotz", "worker.slots"]),
        ("slots = 3\n", ["'slots'", "worker.slots"]),
        ("x = [\n", ["tessera.toml:1", "]"]),
        ("[worker]\nslots = \"many\"\n", ["worker.slots", "many"]),
        ("[worker]\nslots = 0\n", ["worker.slots", "0"]),
    ] {
        fs::write(&file, content).unwrap();
        for command in ["jobs", "config", "worker"] {
            tessera_run(&user, &[command]).refused(2, &[&words[..], &[text(&file)]].concat());
        }
    }
    fs::remove_file(&file).unwrap();
    let wrong = user.clone().with("TESSERA_WORKER_SLOTS", "many");
    tessera_run(&wrong, &["config"]).refused(2, &["TESSERA_WORKER_SLOTS", "many"]);
}
