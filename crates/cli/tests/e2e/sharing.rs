//! Files that travel once: workers on hosts of their own begin a job at one moment, and the manager sends it about once.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use tessera_wire::line::LineKind;
use xtask::farm::Process;

use crate::network::Network;
use crate::world::{World, text};

/// Workers that begin together.
const WORKERS: usize = 4;

/// What the manager may send of a project, in copies of it: with everything that is on its wire.
const COPIES_MAX: f64 = 1.3;

/// Files that the scene is made of besides the .blend.
const FILES: u64 = 20;

#[test]
fn four_workers_take_one_copy_of_100_megabytes() {
    four_workers_take_one_copy(100_000_000);
}

#[test]
#[ignore = "takes a minute; run by `make test-all`"]
fn four_workers_take_one_copy_of_500_megabytes() {
    four_workers_take_one_copy(500_000_000);
}

fn four_workers_take_one_copy(bytes: u64) {
    let Some(mut network) = Network::new() else {
        return;
    };
    let world = World::any();
    let project = world.path("project");
    std::fs::create_dir(&project).unwrap();
    let files: Vec<_> = (0..FILES)
        .map(|number| {
            let path = project.join(format!("picture-{number}.exr"));
            write_noise(&path, number, bytes / FILES);
            json!({ "path": text(&path) })
        })
        .collect();
    let scene = json!({ "files": files, "seconds": 0.3 });
    let project = world.fake_scene("project", &scene);

    let office = network.host();
    let boss = office.home(world.fake_home("boss"));
    let manager = boss.manager_with(&["manager", "--no-discovery"]).unwrap();
    // Each is to render, not whoever is first.
    boss.run(&["settings", "set", "duplicate_gain_ms=0"])
        .unwrap();
    let _hands: Vec<Process> = (0..WORKERS)
        .map(|number| {
            let name = format!("hand-{number}");
            let home = network.host().home(world.fake_home(&name));
            let join = ["--join", manager.link(), "--name", &name, "--threads", "1"];
            home.worker(&join).unwrap()
        })
        .collect();

    let before = office.sent_bytes();
    let out = world.path("out");
    let render = ["render", project.file(), "-f", "1..24", "-o", text(&out)];
    let lines = boss.run(&render).unwrap();
    let sent = office.sent_bytes() - before;
    let by: BTreeSet<_> = lines
        .iter()
        .filter_map(|line| match line {
            LineKind::Frame { worker, .. } => Some(*worker),
            _ => None,
        })
        .collect();
    assert_eq!(by.len(), WORKERS, "all of them rendered: {lines:?}");
    let copies = sent as f64 / bytes as f64;
    eprintln!("the manager sent {sent} bytes, {copies:.3} copies, to {WORKERS} workers");
    assert!(copies >= 0.99, "{copies:.3} copies: it was not counted");
    assert!(copies <= COPIES_MAX, "the manager sent {copies:.3} copies");
}

/// Bytes that do not compress.
fn write_noise(path: &Path, seed: u64, bytes: u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut noise = vec![0; usize::try_from(bytes).unwrap()];
    hasher.finalize_xof().fill(&mut noise);
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(&noise))
        .unwrap();
}
