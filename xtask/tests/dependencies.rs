//! Holds the architecture: which crate may use which, and what stays out of the pure ones.

#![expect(clippy::unwrap_used, reason = "a test that can not go on shall panic")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// `X` may depend on these crates of the workspace and no others. The same table stands in ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("tessera-model", &[]),
    ("tessera-scheduler", &["model"]),
    ("tessera-state", &["model"]),
    ("tessera-blobs", &[]),
    ("tessera-merge", &[]),
    ("tessera-wire", &["model", "blobs"]),
    ("tessera-blender", &["model"]),
    ("tessera-client", &["wire", "model", "blobs", "blender"]),
    (
        "tessera-manager",
        &["scheduler", "state", "wire", "model", "blobs"],
    ),
    (
        "tessera-worker",
        &["client", "merge", "wire", "model", "blobs", "blender"],
    ),
    (
        "tessera-cli",
        &[
            "manager", "worker", "client", "merge", "wire", "model", "blobs", "blender",
        ],
    ),
    ("tessera-sim", &["scheduler", "state", "blobs", "model"]),
    (
        "xtask",
        &[
            "sim",
            "scheduler",
            "state",
            "model",
            "merge",
            "wire",
            "blobs",
            "blender",
            "client",
        ],
    ),
];

/// What a crate must never pull in, directly or through others.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    (
        "tessera-model",
        &["tokio", "sqlx", "reqwest", "rustls", "rand"],
    ),
    (
        "tessera-scheduler",
        &["tokio", "sqlx", "reqwest", "rustls", "rand", "axum"],
    ),
    (
        "tessera-wire",
        &["tokio", "sqlx", "reqwest", "rustls", "axum"],
    ),
    (
        "tessera-blobs",
        &["tokio", "sqlx", "reqwest", "rustls", "exr"],
    ),
    ("tessera-merge", &["tokio", "sqlx", "reqwest", "rustls"]),
    ("tessera-state", &["reqwest", "rustls", "axum", "exr"]),
    ("tessera-manager", &["exr", "image", "png"]),
];

/// Asked for one platform, cargo needs no package of the others, which may not be here.
const HOST: &str = "x86_64-unknown-linux-gnu";

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            HOST,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn crates_depend_only_in_the_direction_of_the_design() {
    let metadata = metadata();
    let members: BTreeSet<String> = metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        let name = text(&package["name"]);
        let allowed = MAY_USE
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| {
                panic!("{name} is not in the table of this test: add it with a reason")
            })
            .1;
        for dependency in package["dependencies"].as_array().unwrap() {
            // Tests may use a real neighbour where a mock would stand otherwise.
            if dependency["kind"] == "dev" {
                continue;
            }
            if let Some(used) = dependency["name"]
                .as_str()
                .unwrap()
                .strip_prefix("tessera-")
            {
                assert!(allowed.contains(&used), "{name} must not depend on {used}");
            }
        }
        seen.insert(name);
    }
    let table: BTreeSet<String> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, table, "the table names a crate that is gone");
}

/// Names of all packages that are compiled into a crate, as cargo resolves its features here.
fn reached(name: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--target", HOST, "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn pure_crates_stay_pure_and_ring_stays_out() {
    for (name, forbidden) in MUST_NOT_KNOW {
        let reached = reached(name);
        assert!(
            reached.contains(*name),
            "cargo tree shows nothing of {name}"
        );
        for other in *forbidden {
            assert!(!reached.contains(*other), "{name} pulls in {other}");
        }
    }
    assert!(
        !reached("tessera-cli").contains("ring"),
        "rustls panics with two providers"
    );
}
