//! The farm without any of our own clients: a program written from the OpenAPI document alone, and `curl` by the page that shows it. What
//! they bring home is what plain Blender renders.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tessera_client::Api;
use tessera_model::{JobId, JobState};

use crate::ended::{Ended, run};
use crate::site::{Site, ask};
use crate::world::{World, identical, on_both, tessera_run, text};

on_both!(a_second_client, by_hand);

/// What anyone needs to ask a farm: its address, its authority, a token.
struct Access {
    manager: String,
    ca: PathBuf,
    token: String,
}

impl Access {
    fn to(world: &World, site: &Site) -> Self {
        let user = ["token", "create", "--user", "anna", "--role", "artist"];
        let user = [&user[..], &["--expires", "30d"]].concat();
        let ca = world.path("ca.pem");
        let local = site.boss.folder().join("config/local-manager.json");
        let farm: serde_json::Value = serde_json::from_slice(&fs::read(local).unwrap()).unwrap();
        fs::write(&ca, farm["anchor_pem"].as_str().unwrap()).unwrap();
        Self {
            manager: site.address(),
            ca,
            token: tessera_run(&site.boss, &user)
                .done()
                .text()
                .trim()
                .to_owned(),
        }
    }

    /// The second client with these words.
    fn client(&self, words: &[&str]) -> Ended {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/second_client.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args(["--manager", &self.manager, "--ca", text(&self.ca)])
            .args(words)
            .env("TESSERA_TOKEN", &self.token);
        run(&mut command)
    }
}

/// The series of the Blender that made the scenes.
fn series(world: &World) -> &'static str {
    match &*world.blender.name() {
        "blender-3.4.1" => "3.4",
        _ => "5.0",
    }
}

fn a_second_client(world: &World) {
    let project = world.scene("plain");
    let local = world.path("local");
    project.render_locally(world, "out/shot_###_x", (1, 2), "", &local);
    let site = Site::with_workers(world, &["worker"]);
    let access = Access::to(world, &site);
    let texture = project.path("textures/wood.png");
    let out = world.path("frames");
    let (blend, series) = (project.file(), series(world));
    let flags = ["--series", series, "--out", text(&out)];
    let words = ["render", blend, text(&texture), "--frames", "1..2"];
    let said = access.client(&[&words[..], &flags].concat()).done().text();
    assert!(said.contains("2 of 2 frames, done"), "{said}");
    identical(&out, &local.join("out"), 2);
    assert!(site.delivered_once(JobId(1)).accepts == 2);

    // Handed in, changed, ended; and brought again by whoever knows its number.
    let words = ["submit", blend, text(&texture), "--frames", "1..500"];
    let said = access.client(&[&words[..], &["--series", series]].concat());
    assert_eq!(said.done().text().trim(), "job 2");
    let said = access.client(&["edit", "2", "--priority", "7", "--name", "mine"]);
    assert_eq!(said.done().text().trim(), "job 2: mine, priority 7");
    let said = access.client(&["cancel", "2"]).done().text();
    assert_eq!(said.trim(), "job 2: cancelled");
    assert_eq!(access.client(&["watch", "2"]).status, 1);
    let again = world.path("again");
    access.client(&["fetch", "1", "--out", text(&again)]).done();
    identical(&again, &local.join("out"), 2);
    let (first, second) = ask(&site.boss, async |api: Api| {
        (
            api.job(JobId(1)).await.unwrap(),
            api.job(JobId(2)).await.unwrap(),
        )
    });
    assert!(first.fetched_at.is_some());
    assert_eq!(second.summary.state, JobState::Cancelled);
    let listed = |filters: &[&str]| {
        let words = [&["jobs"], filters].concat();
        tessera_run(&site.boss, &words).done().text()
    };
    let mine = listed(&["--state", "over", "--owner", "anna", "--search", "MINE"]);
    assert!(mine.contains("mine") && !mine.contains("plain"), "{mine}");
    assert_eq!(listed(&["--state", "active"]), "");
    let tokens = tessera_run(&site.boss, &["token", "list"]).done().text();
    let anna = tokens.lines().find(|line| line.contains("anna")).unwrap();
    assert!(!anna.contains("never"), "{anna}");
    let refused = access.client(&["cancel", "9"]);
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.errors().contains("job 9"), "{refused}");
}

/// Everything that a reader of the page is told to run, in its order.
fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let text = fs::read_to_string(page).unwrap();
    let mut script = "set -euo pipefail\n".to_owned();
    let mut blocks = 0;
    for part in text.split("```sh\n").skip(1) {
        let (block, _) = part.split_once("```").unwrap();
        writeln!(script, "{block}").unwrap();
        blocks += 1;
    }
    assert!(blocks >= 10, "{blocks} blocks");
    script
}

fn by_hand(world: &World) {
    let project = world.scene("stereo");
    let local = world.path("local");
    project.render_locally(world, "out/both", (1, 2), "", &local);
    let site = Site::with_workers(world, &["worker"]);
    let access = Access::to(world, &site);
    let folder = world.path("by-hand");
    fs::create_dir(&folder).unwrap();
    fs::copy(&project.blend, folder.join("shot.blend")).unwrap();
    fs::copy(&access.ca, folder.join("ca.pem")).unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &page()])
        .current_dir(&folder)
        .env("MANAGER", &access.manager)
        .env("TESSERA_TOKEN", &access.token)
        .env("SERIES", series(world));
    let said = run(&mut shell).done().text();
    for word in [
        "only an admin sees tokens",
        "data: {",
        "\"cancelled\"",
        "\"worker\"",
        "which there are",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    identical(&folder.join("frames"), &local.join("out"), 2);
    let (first, jobs) = ask(&site.boss, async |api: Api| {
        (
            api.job(JobId(1)).await.unwrap(),
            api.jobs(None, 9).await.unwrap(),
        )
    });
    assert!(first.fetched_at.is_some());
    assert_eq!(jobs.items.len(), 1, "the other one is gone");
}
