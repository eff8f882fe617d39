//! Files that cannot be rendered: one line says why, and nothing is begun.

use std::fs;
use std::path::{Path, PathBuf};

use tessera_wire::line::LineKind;

use crate::ended::run;
use crate::site::Site;
use crate::world::{World, as_root, files_in, identical, on_both, tessera_run, text};

/// Makes files whose renders end in an error.
const FAILING: &str = "../blender/tests/scenes/failing.py";

on_both!(damaged, missing_texture, vanishing_files);

/// A user's folder in which nothing but their own file may be when a command has refused.
#[track_caller]
fn nothing_left(world: &World, out: &Path) {
    assert!(
        !out.exists() || files_in(out).is_empty(),
        "{:?}",
        files_in(out)
    );
    let data = world.path("user/data");
    if data.exists() {
        // Locks, and the record of frames that the same command left; there are none.
        let kept = |name: &PathBuf| {
            name.extension()
                .is_some_and(|end| end == "lock" || end == "jsonl")
        };
        let left: Vec<_> = files_in(&data)
            .into_iter()
            .filter(|name| !kept(name))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[track_caller]
fn refused(world: &World, file: &str, status: i32, words: &[&str]) {
    let out = world.path("out");
    let ended = tessera_run(
        &world.home("user"),
        &["render", file, "-f", "1", "-o", text(&out)],
    );
    ended.refused(status, words);
    nothing_left(world, &out);
}

/// A .blend that was cut off, at several places, and one with a few bytes changed.
fn damaged(world: &World) {
    let project = world.scene("plain");
    let whole = fs::read(&project.blend).unwrap();
    let damaged = project.path("damaged.blend");
    for keep in [whole.len() / 2, whole.len() - 1000, 20] {
        fs::write(&damaged, &whole[..keep]).unwrap();
        refused(world, text(&damaged), 2, &["damaged.blend", "damaged"]);
    }
}

#[test]
fn not_a_blend() {
    let world = World::any();
    let file = |name: &str, content: &[u8]| {
        let path = world.path(name);
        fs::write(&path, content).unwrap();
        path
    };
    refused(
        &world,
        text(&file("words.blend", b"hello")),
        2,
        &["words.blend", "not a .blend"],
    );
    refused(
        &world,
        text(&file("empty.blend", b"")),
        2,
        &["empty.blend", "not a .blend"],
    );
    refused(
        &world,
        text(&world.path("missing.blend")),
        2,
        &["missing.blend", "No such file"],
    );
    refused(&world, text(&world.path("")), 2, &["directory"]);
    // Of a Blender that is not there yet.
    refused(
        &world,
        text(&file("future.blend", b"BLENDER-v999REND")),
        1,
        &["future.blend", "9.99", "3.4.1", "5.0.1"],
    );
}

/// No Blender anywhere.
#[test]
fn no_blender() {
    let world = World::any();
    let project = world.scene("plain");
    let nowhere = world.path("nowhere");
    let user = xtask::farm::Home::new(crate::world::tessera(), &world.path("user"))
        .with("PATH", text(&nowhere))
        .with("HOME", text(&nowhere));
    let out = world.path("out");
    let ended = tessera_run(&user, &["render", project.file(), "-o", text(&out)]);
    ended.refused(1, &["no Blender", "3.4", "--blender"]);
    nothing_left(&world, &out);
    // A worker without one joins, and says what it lacks; the job waits and says why.
    let mut site = Site::new(world.home("boss"));
    let mut worker = user
        .start(&["worker", "--join", site.manager.link(), "--name", "bare"])
        .unwrap();
    let said = worker
        .wait(|line| match line {
            LineKind::WorkerState {
                linked: true,
                message,
                ..
            } => Some(message.clone()),
            _ => None,
        })
        .unwrap();
    assert!(said.contains("no Blender"), "{said}");
    let job = site.submit(&project, &["-f", "1"]);
    let shown = tessera_run(&site.boss, &["job", "show", &job.to_string()]).done();
    assert!(
        shown
            .text()
            .contains("needs Blender 3.4 or newer, which the only worker does not have"),
        "{shown}"
    );
    // As soon as one who has it comes, it goes on.
    site.hire(world.home("anna"), "anna");
    tessera_run(
        &site.boss,
        &["fetch", &job.to_string(), "--wait", "-o", text(&out)],
    )
    .done();
}

/// A file of 5.0, and a worker that has only the fake 3.4.1.
#[test]
fn newer_than_any_worker() {
    let world = World::new(xtask::baseline::Baseline::module().unwrap());
    let project = world.scene("plain");
    let mut site = Site::new(world.home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    for command in ["submit", "render"] {
        let ended = tessera_run(&site.boss, &[command, project.file(), "-f", "1"]);
        ended.refused(1, &["saved by Blender 5.0", "3.4.1", "worker"]);
    }
    assert_eq!(tessera_run(&site.boss, &["jobs"]).done().text(), "");
    let out = project.path("out");
    assert!(!out.exists() || files_in(&out).is_empty());
}

fn missing_texture(world: &World) {
    let project = world.scene("lost");
    refused(
        world,
        project.file(),
        1,
        &["lost.blend", "textures/wood.png", "image 'wood.png'"],
    );
}

/// Files that go while they are read: whatever is caught of it, it is said in a line that names one, or all was read in time.
fn vanishing_files(world: &World) {
    let site = Site::new(world.home("boss"));
    let when: [fn(&LineKind) -> bool; 2] = [
        |line| matches!(line, LineKind::Packing { .. }),
        |line| matches!(line, LineKind::Packed { .. }),
    ];
    for (round, when) in when.into_iter().enumerate() {
        let project = world.scene_at("several", &format!("round-{round}"));
        // Large enough that reading and sending them takes a while, each unlike the others.
        for name in files_in(&project.path("textures")) {
            let mut noise = vec![0; 3 << 20];
            blake3::Hasher::new()
                .update(format!("{round} {}", name.display()).as_bytes())
                .finalize_xof()
                .fill(&mut noise);
            fs::write(project.path("textures").join(name), noise).unwrap();
        }
        let mut submit = site
            .boss
            .start(&["submit", project.file(), "-f", "1"])
            .unwrap();
        submit.wait(|line| when(line).then_some(())).unwrap();
        fs::remove_dir_all(project.path("textures")).unwrap();
        let (status, lines) = submit.end().unwrap();
        match status.code() {
            Some(0) => assert!(
                matches!(lines.last(), Some(LineKind::Submitted { .. })),
                "{lines:?}"
            ),
            Some(1) => {
                let Some(LineKind::Error { message, .. }) = lines.last() else {
                    panic!("{lines:?}");
                };
                assert!(message.contains("/textures/"), "{message}");
            }
            _ => panic!("{status}: {lines:?}"),
        }
    }
}

#[test]
fn frames_that_are_none() {
    let world = World::any();
    let project = world.scene("plain");
    for (frames, words) in [
        ("", "no frames given"),
        (" ", "no frames given"),
        ("5..1", "reversed"),
        ("-1..-5", "reversed"),
        ("1..", "'1..'"),
        ("..", "'..'"),
        ("all", "'all'"),
        ("1..2..3", "1..2..3"),
        ("1,,2", "''"),
        ("1..5x0", "step"),
        ("1..5x-1", "1..5x-1"),
        ("1..99999999999", "99999999999"),
        ("1.5", "1.5"),
    ] {
        let ended = tessera_run(
            &world.home("user"),
            &["render", project.file(), "-f", frames],
        );
        ended.refused(2, &[words, "--frames"]);
    }
    nothing_left(&world, &project.path("out"));
}

#[test]
fn scenes_engines_and_devices_that_are_none() {
    let world = World::any();
    let project = world.scene("plain");
    for (flags, words) in [
        (["--scene", "Nope"], ["no scene 'Nope'", "'Scene'"]),
        (["--engine", "NOPE"], ["'NOPE'", "CYCLES"]),
        (["--device", "toaster"], ["toaster", "cpu"]),
        (["--samples", "0"], ["--samples", "0"]),
    ] {
        let arguments = ["render", project.file(), "-f", "1", flags[0], flags[1]];
        tessera_run(&world.home("user"), &arguments).refused(2, &words);
    }
    // A device that this machine lacks is known when it renders; nothing else is used in its place.
    let ended = tessera_run(
        &world.home("user"),
        &[
            "render",
            project.file(),
            "-f",
            "1",
            "--device",
            "optix",
            "--attempts",
            "1",
        ],
    );
    assert_ne!(ended.status, 0, "{ended}");
    assert!(ended.errors().to_lowercase().contains("optix"), "{ended}");
    nothing_left(&world, &project.path("out"));
}

/// Debian builds Blender without a denoiser. That is what it says of each frame, of each try, and it leaves no picture.
#[test]
fn nothing_to_denoise_with() {
    let world = World::any();
    let project = world.project(FAILING, &[], "failing", "denoise.blend");
    let out = world.path("out");
    let user = world.home("user");
    let render = ["render", project.file(), "-f", "1..3", "-o", text(&out)];
    for attempts in ["1", "2"] {
        let ended = run(user.command(&render).args(["--attempts", attempts]));
        println!("{ended}");
        assert_ne!(ended.status, 0, "{ended}");
        assert!(
            ended.errors().contains("Build without OpenImageDenoiser"),
            "{ended}"
        );
        nothing_left(&world, &out);
    }
}

/// A file of which one frame fails each time: the others are those of Blender alone.
#[test]
fn one_frame_that_fails() {
    let world = World::any();
    let project = world.project(FAILING, &[], "failing", "denoise_two.blend");
    let local = world.path("local");
    for frame in [1, 3] {
        project.render_locally(&world, "out/####", (frame, frame), "", &local);
    }
    let out = project.path("out");
    let user = world.home("user");
    let render = ["render", project.file(), "-f", "1..3", "-o", text(&out)];
    let ended = run(user.command(&render).args(["--attempts", "2"]));
    println!("{ended}");
    assert_ne!(ended.status, 0, "{ended}");
    assert!(
        ended.errors().contains("Build without OpenImageDenoiser"),
        "{ended}"
    );
    identical(&out, &local.join("out"), 2);
    assert_eq!(files_in(&out).len(), 2, "{:?}", files_in(&out));
}

/// A file that this user may not read.
#[test]
fn unreadable() {
    if !as_root() {
        return;
    }
    let world = World::any();
    let project = world.scene("plain");
    let out = world.path("out");
    let nobody = world.nobody("nobody");
    let read = |arguments: &[&str]| run(&mut nobody.command(arguments));
    fs::set_permissions(
        &project.blend,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    read(&["render", project.file(), "-o", text(&out)])
        .refused(2, &["plain.blend", "Permission denied"]);
    fs::set_permissions(
        &project.blend,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let texture = project.path("textures/wood.png");
    fs::set_permissions(
        &texture,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let ended = read(&["render", project.file(), "-o", text(&out)]);
    ended.refused(ended.status.clamp(1, 2), &["wood.png", "ermission"]);
    assert!(!out.exists());
}
