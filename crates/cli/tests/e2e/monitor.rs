//! The farm in a real browser: everything that the page offers is done there, and asked of the farm by other ways.
//!
//! What is done in the browser, and what it must come to, stands in `web/tests`; here is the farm that it is done to.

use std::process::Command;

use tessera_model::{JobState, Role};
use tessera_wire::line::LineKind;
use tokio::runtime::Runtime;
use xtask::bench::record_jobs;
use xtask::farm::{Home, Process};

use crate::ended::run;
use crate::site::{Site, until};
use crate::world::{World, in_crate, tessera, tessera_run, text};

/// What a name must not become.
const MARKUP: &str = "<img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>";

/// The page of this user, for as long as the process lives, and its link.
fn opened(home: &Home) -> (Process, String) {
    let mut web = home.start(&["web", "--no-browser"]).unwrap();
    let url = web.wait(|line| match line {
        LineKind::Web { url } => Some(url.clone()),
        _ => None,
    });
    (web, url.unwrap())
}

#[test]
fn the_page_in_a_browser() {
    let world = World::any();
    let (plain, poisoned) = (world.scene("plain"), world.scene("poisoned"));
    let (still, sampled) = (world.scene("still"), world.scene("sampled"));
    let textured = world.scene("film");
    let mut site = Site::with_workers(&world, &["anna", "ben"]);
    site.boss
        .run(&["settings", "set", "retry_after_ms=100ms"])
        .unwrap();
    let film = site.submit(&plain, &["-f", "1..8", "--name", "Film"]);
    let failing = site.submit(
        &poisoned,
        &[
            "-f",
            "2..3",
            "--scripts",
            "--attempts",
            "2",
            "--name",
            "Poisoned",
        ],
    );
    let nowhere = ["-f", "1..3", "--tags", "nowhere"];
    let waiting = |name: &str, more: &[&str]| {
        let flags: Vec<&str> = nowhere
            .iter()
            .chain(&["--name", name])
            .chain(more)
            .copied()
            .collect();
        site.submit(&plain, &flags)
    };
    let markup = waiting(MARKUP, &["--comment", MARKUP]);
    let shots: Vec<_> = ["Shot one", "Shot two", "Shot three"]
        .map(|name| waiting(name, &[]))
        .into();
    let many = site.submit(
        &plain,
        &["-f", "1..10000", "--tags", "nowhere", "--name", "Many"],
    );
    until(&site.boss, "what can be rendered is", async |api| {
        let film = api.job(film).await.unwrap().summary.state;
        let failing = api.job(failing).await.unwrap().summary.state;
        (film == JobState::Done && failing == JobState::Failed).then_some(())
    });

    let lines = site
        .boss
        .run(&[
            "token", "create", "--user", "vera", "--role", "viewer", "--code",
        ])
        .unwrap();
    let code = lines.iter().find_map(|line| match line {
        LineKind::Pairing { pairing } => Some(pairing.links[0].clone()),
        _ => None,
    });
    let vera = world.fake_home("vera");
    tessera_run(&vera, &["connect", &code.unwrap()]).done();
    let (_admins, url) = opened(&site.boss);
    let (_viewers, viewer_url) = opened(&vera);

    let (idle, crowd) = (world.home("idle"), world.home("crowd"));
    let data = crowd.folder().join("data/manager");
    let runtime = Runtime::new().unwrap();
    runtime.block_on(record_jobs(&data, 10_000)).unwrap();
    let _others = [&idle, &crowd].map(|home| home.manager(&[]).unwrap());
    let ((_idle, empty), (_crowd, crowded)) = (opened(&idle), opened(&crowd));

    let farm = serde_json::json!({
        "url": url,
        "viewer": {"url": viewer_url, "role": Role::Viewer},
        "tessera": text(tessera()),
        "home": text(site.boss.folder()),
        "newHome": text(world.home("carl").folder()),
        "manager": {"pid": site.manager.process.pid(), "address": site.address()},
        "jobs": {"film": film, "failing": failing, "markup": markup, "shots": shots, "many": many},
        "markup": MARKUP,
        "still": still.file(),
        "sampled": sampled.file(),
        "textured": textured.file(),
        "empty": empty,
        "crowded": crowded,
    });
    let web = in_crate("../../web");
    let told = run(Command::new(web.join("node_modules/.bin/vite-node"))
        .arg("tests/monitor.ts")
        .current_dir(&web)
        .env("FARM", farm.to_string()))
    .done();
    println!("{}", told.text());
    // The script ended the manager, and the one that it started itself.
    assert!(site.manager.process.end().is_ok());
}
