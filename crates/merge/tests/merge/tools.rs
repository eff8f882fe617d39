//! The programs that the tests hold the crate against, and what to do when one is missing.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs one of the scripts beside this file in the environment that `scripts/tools-venv` makes.
pub(crate) fn run_script<S: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = S>) {
    let tools = env_path("TESSERA_TOOLS").unwrap_or_else(|| cache().join("tools"));
    let python = tools.join("bin/python");
    assert!(
        python.exists(),
        "{} is missing: run scripts/tools-venv",
        python.display()
    );
    run(Command::new(python).arg(beside(script)).args(arguments));
}

/// Runs a script in real Blender 3.4.1.
pub(crate) fn run_in_blender_3(script: &str, out: &Path) {
    let blender = env_path("TESSERA_BLENDER_3").unwrap_or_else(|| "blender".into());
    let mut command = Command::new(blender);
    command.args([
        "--background",
        "--factory-startup",
        "--python-exit-code",
        "3",
        "--python",
    ]);
    run(command.arg(beside(script)).arg("--").arg(out));
}

/// Runs a script in real Blender 5.0.1, which is a Python module.
pub(crate) fn run_in_blender_5(script: &str, out: &Path) {
    let python =
        env_path("TESSERA_BLENDER_5").unwrap_or_else(|| cache().join("bpy-5.0.1/bin/python"));
    assert!(
        python.exists(),
        "{} is missing: make a venv there and install bpy==5.0.1",
        python.display()
    );
    run(Command::new(python).arg(beside(script)).arg("--").arg(out));
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let last: Vec<_> = said.lines().rev().take(20).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{command:?}:\n{last}");
}

fn beside(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/merge")
        .join(script)
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    env_path("XDG_CACHE_HOME")
        .unwrap_or_else(home)
        .join("tessera")
}

fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value: &OsString| !value.is_empty())
        .map(PathBuf::from)
}
