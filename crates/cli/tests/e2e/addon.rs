//! The add-on for Blender: its own tests, in real Blenders and in Blender's window, against the program under test.
//!
//! They are Python (`addon/tests`), since what they test is: this starts them, one module each.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{tessera, text};

#[test]
fn the_engine_gives_what_the_scenes_own_gives() {
    check("test_engine");
}

#[test]
fn jobs_are_rendered_sent_brought_and_steered() {
    check("test_jobs");
}

#[test]
fn mistakes_are_said_in_a_line() {
    check("test_mistakes");
}

#[test]
fn panels_are_drawn_as_often_as_the_window_can_bear() {
    check("test_drawing");
}

#[test]
fn the_package_is_an_extension() {
    check("test_package");
}

#[test]
fn blenders_window_stays_alive() {
    check("test_window");
}

/// Runs one module of the add-on's tests.
#[track_caller]
fn check(module: &str) {
    let script = in_repository("addon/tests/run.py");
    let output = Command::new("python3")
        .arg(script)
        .args(["--tessera", text(tessera())])
        .args(["--xtask", text(&xtask())])
        .arg(module)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{module}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The program that compares frames. It is another package's: tests of this one alone do not build it.
fn xtask() -> PathBuf {
    let built = tessera().with_file_name("xtask");
    if !built.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "xtask"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let done = build.current_dir(in_repository("")).status().unwrap();
        assert!(done.success(), "xtask cannot be built");
    }
    built
}

/// A path from the root of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}
