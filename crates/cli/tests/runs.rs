//! Runs of one command that know of each other by what they leave: the record of frames, and the job.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests and does not see that these helpers are of tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tessera_model::JobState;
use tessera_wire::line::LineKind;
use xtask::farm::{Home, Manager, Process};

/// A farm whose only Blender is the fake one, and a scene of eight slow frames.
struct Farm {
    dir: TempDir,
    home: Home,
    scene: PathBuf,
    _manager: Manager,
    _worker: Process,
}

impl Farm {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = dir.path().join("programs");
        fs::create_dir(&programs).unwrap();
        tessera_blender::testing::install_fake_blender(&programs).unwrap();
        std::os::unix::fs::symlink(python(), programs.join("python3")).unwrap();
        let user = |name: &str| {
            Home::new(
                Path::new(env!("CARGO_BIN_EXE_tessera")),
                &dir.path().join(name),
            )
            .with("PATH", text(&programs))
            .with("HOME", text(&dir.path().join("nobodys-home")))
        };
        let scene = dir.path().join("scene.blend");
        let content = serde_json::json!({"start": 1, "end": 8, "seconds": 0.4});
        fs::write(&scene, tessera_blender::testing::fake_blend(&content)).unwrap();
        let home = user("boss");
        let manager = home.manager(&["--name", "Runs"]).unwrap();
        let worker = user("anna")
            .worker(&["--join", manager.link(), "--name", "anna"])
            .unwrap();
        Self {
            home,
            scene,
            _manager: manager,
            _worker: worker,
            dir,
        }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn render<'a>(&'a self, out: &'a Path) -> [&'a str; 4] {
        ["render", text(&self.scene), "-o", text(out)]
    }

    fn jobs(&self) -> Vec<JobState> {
        let lines = self.home.run(&["jobs"]).unwrap();
        let state = |line: &LineKind| match line {
            LineKind::Job { job } => Some(job.state),
            _ => None,
        };
        lines.iter().filter_map(state).collect()
    }
}

/// The interpreter itself: what is called so may be a script that looks for it by a path the fake does not have.
fn python() -> PathBuf {
    let asked = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn frames(lines: &[LineKind]) -> usize {
    let is_frame = |line: &&LineKind| matches!(line, LineKind::Frame { .. });
    lines.iter().filter(is_frame).count()
}

/// The second run of a command joins the job of the first; when it is interrupted, the first goes on.
#[test]
fn a_run_that_joined_leaves_the_job() {
    let farm = Farm::new();
    let out = farm.out();
    let mut first = farm.home.start(&farm.render(&out)).unwrap();
    first
        .wait(|line| matches!(line, LineKind::Submitted { .. }).then_some(()))
        .unwrap();
    let mut second = farm.home.start(&farm.render(&out)).unwrap();
    second
        .wait(|line| matches!(line, LineKind::Submitted { .. }).then_some(()))
        .unwrap();
    second.signal("INT").unwrap();
    let (status, lines) = second.end().unwrap();
    assert_eq!(status.code(), Some(130), "{lines:?}");
    let Some(LineKind::Error { message: said, .. }) = lines.last() else {
        panic!("no last word in {lines:?}");
    };
    assert!(
        said.contains("goes on") && said.contains("tessera job cancel 1"),
        "{said}"
    );
    let lines = first.finish().unwrap();
    assert!(
        matches!(
            lines.last(),
            Some(LineKind::Finished {
                state: JobState::Done,
                done: 8,
                ..
            })
        ),
        "{lines:?}"
    );
    assert_eq!(farm.jobs(), [JobState::Done]);
}

/// What is there of another Blender than the one that renders the rest is rendered again, and that is said.
#[test]
fn an_animation_is_of_one_blender() {
    let farm = Farm::new();
    let out = farm.out();
    farm.home.run(&farm.render(&out)).unwrap();
    // As if the Blender had been another build when frames 1 and 2 were rendered.
    let records = farm.home.folder().join("data/renders");
    let record = fs::read_dir(records)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let lines = fs::read_to_string(&record).unwrap();
    let other = |line: &str| {
        let mut entry: serde_json::Value = serde_json::from_str(line).unwrap();
        if entry["frame"] == 1 || entry["frame"] == 2 {
            entry["build"]["hash"] = "another".into();
        }
        format!("{entry}\n")
    };
    let changed: String = lines.lines().map(other).collect();
    assert_ne!(changed, lines);
    fs::write(&record, changed).unwrap();
    fs::remove_file(fs::read_dir(&out).unwrap().next().unwrap().unwrap().path()).unwrap();
    let lines = farm.home.run(&farm.render(&out)).unwrap();
    let warning = lines.iter().find_map(|line| match line {
        LineKind::Warning { message } => Some(message.as_str()),
        _ => None,
    });
    let warning = warning.expect("it is said");
    assert!(
        warning.contains("(build another)") && warning.contains("--again"),
        "{warning}"
    );
    assert!((2..=3).contains(&frames(&lines)), "{lines:?}");
    let again = farm.home.run(&farm.render(&out)).unwrap();
    assert_eq!(frames(&again), 0, "{again:?}");
}

/// Programs are told what a hand-in cost, also if the farm lacks nothing of it.
#[test]
fn the_last_word_on_sending_is_the_whole() {
    let farm = Farm::new();
    let sent = || {
        let lines = farm
            .home
            .run(&["submit", text(&farm.scene), "-f", "1"])
            .unwrap();
        let last = lines.iter().rev().find_map(|line| match line {
            LineKind::Sending { sent_bytes, .. } => Some(*sent_bytes),
            _ => None,
        });
        last.expect("it is said")
    };
    let (first, second) = (sent(), sent());
    // The request itself is some hundred bytes; the blocks were there the second time.
    assert!(second > 200 && second < first, "{first} {second}");
}
