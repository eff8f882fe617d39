//! What a machine says of itself, and the farm's page: `doctor`, `config`, `web`.

use std::collections::BTreeMap;
use std::fs;

use reqwest::StatusCode;
use tessera_wire::line::LineKind;
use xtask::farm::{Home, Process};

use crate::site::Site;
use crate::world::{World, tessera, tessera_run, text};

/// What the doctor found: by name, whether it is good, what it is and what to do.
fn findings(lines: &[LineKind]) -> BTreeMap<String, (Option<bool>, String, String)> {
    let findings = lines.iter().filter_map(|line| match line {
        LineKind::Check {
            name,
            good,
            found,
            advice,
        } => Some((name.clone(), (*good, found.clone(), advice.clone()))),
        _ => None,
    });
    findings.collect()
}

/// Every Blender of this machine is driven to a frame; nothing is broken on a machine on which these tests pass.
#[test]
fn doctor_finds_all_well() {
    let world = World::any();
    let site = Site::new(world.home("boss"));
    let found = findings(&site.boss.run(&["doctor"]).unwrap());
    for (name, words) in [
        ("Blender 3.4.1", "renders"),
        ("Blender 5.0.1 (bpy module)", "renders"),
        ("data folder", "free"),
        ("manager", "127.0.0.1"),
        ("farm", "Site"),
    ] {
        let (good, said, _) = found
            .get(name)
            .unwrap_or_else(|| panic!("nothing about {name}: {found:?}"));
        // A disk that is nearly full is warned of, and nothing of Tessera's.
        let warned = name == "data folder" && good.is_none();
        assert!(warned || *good == Some(true), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
    }
}

/// What is broken is said with what to do, and the status is that of a failure.
#[test]
fn doctor_says_what_to_do() {
    let world = World::any();
    let nowhere = world.path("nowhere");
    let bare = Home::new(tessera(), &world.path("bare"))
        .with("PATH", text(&nowhere))
        .with("HOME", text(&nowhere));
    let ended = tessera_run(&bare, &["doctor"]);
    assert_eq!(ended.status, 1, "{ended}");
    for word in [
        "none found",
        "install",
        "TESSERA_BLENDER",
        "tessera connect CODE",
    ] {
        assert!(ended.text().contains(word), "{word}: {ended}");
    }
    assert!(ended.errors().contains("broken, see above"), "{ended}");

    // A manager that is gone, and credentials that others can read.
    let mut site = Site::new(world.fake_home("boss"));
    let lines = site
        .boss
        .run(&["token", "create", "--user", "carla", "--code"])
        .unwrap();
    let link = lines
        .iter()
        .find_map(|line| match line {
            LineKind::Pairing { pairing } => Some(pairing.links[0].clone()),
            _ => None,
        })
        .unwrap();
    let carla = world.fake_home("carla");
    tessera_run(&carla, &["connect", &link]).done();
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    let ended = tessera_run(&carla, &["doctor"]);
    assert_eq!(ended.status, 1, "{ended}");
    assert!(ended.text().contains("nothing listens"), "{ended}");
}

/// A settings file that no other command runs with is one finding, and the others are made all the same.
#[test]
fn doctor_goes_on_without_a_settings_file_that_is_wrong() {
    let world = World::any();
    let user = world.fake_home("user");
    let file = user.folder().join("config/tessera.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, fault) in [
        ("[worker]\nslotz = 3\n", "no setting 'worker.slotz'"),
        ("[worker\n", "tessera.toml:1"),
        ("[worker]\nnice = \"very\"\n", "very"),
    ] {
        fs::write(&file, text).unwrap();
        tessera_run(&user, &["config"]).refused(2, &[fault]);
        let ended = tessera_run(&user, &["doctor"]);
        assert_eq!(ended.status, 1, "{ended}");
        for word in ["settings", fault, "mend the file", "tessera connect CODE"] {
            assert!(ended.text().contains(word), "{word}: {ended}");
        }
        assert!(ended.errors().contains("broken, see above"), "{ended}");
    }
}

#[test]
fn config_says_where_each_value_came_from() {
    let world = World::any();
    let user = world
        .fake_home("user")
        .with("TESSERA_WORKER_NICE", "7")
        .with("TESSERA_TOKEN", "tsr_secret");
    let file = user.folder().join("config/tessera.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(
        &file,
        "[worker]\nslots = 3\nnice = 2\n\n[job]\npriority = 40\n",
    )
    .unwrap();
    let lines = user.run(&["config"]).unwrap();
    let setting = |wanted: &str| {
        let found = lines.iter().find_map(|line| match line {
            LineKind::Setting {
                key, value, origin, ..
            } if key == wanted => Some((value.clone(), origin.clone())),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {wanted} in {lines:?}"))
    };
    assert_eq!(
        setting("worker.slots"),
        (Some("3".into()), format!("{}:2", file.display()))
    );
    assert_eq!(
        setting("worker.nice"),
        (Some("7".into()), "TESSERA_WORKER_NICE".into())
    );
    assert_eq!(setting("job.priority").1, format!("{}:6", file.display()));
    assert_eq!(setting("worker.memory"), (None, "default".into()));
    let all = tessera_run(&user, &["config"]).done();
    assert!(
        !all.text().contains("tsr_secret"),
        "a secret is not printed"
    );
    assert!(all.text().contains("TESSERA_TOKEN"), "{all}");
}

/// One that opens the page: it keeps what cookies it is given, as a browser does.
struct Browser {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    cookie: Option<String>,
}

impl Browser {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // Not needed for plain HTTP, and yet no client can be made without.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            runtime,
            client,
            cookie: None,
        }
    }

    fn get(&mut self, url: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            if let Some(cookie) = answer.headers().get("set-cookie") {
                self.cookie = cookie
                    .to_str()
                    .unwrap()
                    .split(';')
                    .next()
                    .map(str::to_owned);
            }
            (answer.status(), answer.text().await.unwrap())
        })
    }
}

fn opened(home: &Home) -> (Process, String) {
    let mut web = home.start(&["web", "--no-browser"]).unwrap();
    let url = web
        .wait(|line| match line {
            LineKind::Web { url } => Some(url.clone()),
            _ => None,
        })
        .unwrap();
    (web, url)
}

/// The page comes through the loopback address, with the user's own rights, to the one browser that opened the link.
#[test]
fn the_page() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let (mut web, url) = opened(&site.boss);
    let (base, _) = url.split_once("/enter/").unwrap();
    assert!(base.starts_with("http://127.0.0.1:"), "{base}");

    let mut stranger = Browser::new();
    for path in [
        "/",
        "/api/v1/farm",
        "/assets/icon.svg",
        "/enter/",
        "/enter/wrong",
    ] {
        let (status, text) = stranger.get(&format!("{base}{path}"), &[]);
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {text}");
    }
    let mut browser = Browser::new();
    assert_eq!(browser.get(&url, &[]).0, StatusCode::SEE_OTHER);
    let (status, page) = browser.get(&format!("{base}/"), &[]);
    assert_eq!(status, StatusCode::OK);
    assert!(page.to_lowercase().contains("<!doctype html>"), "{page}");
    let named = page.split('"').filter(|part| part.starts_with("/assets/"));
    let assets: Vec<&str> = named.collect();
    for kind in [".js", ".css", ".svg"] {
        assert!(assets.iter().any(|name| name.ends_with(kind)), "{page}");
    }
    for asset in assets {
        let (status, text) = browser.get(&format!("{base}{asset}"), &[]);
        assert_eq!(status, StatusCode::OK, "{asset}: {text}");
    }
    let (_, farm) = browser.get(&format!("{base}/api/v1/farm"), &[]);
    assert!(
        farm.contains("\"Site\"") && farm.contains("\"admin\""),
        "{farm}"
    );

    // The link is used up, other pages and other names of this address get nothing.
    assert_eq!(stranger.get(&url, &[]).0, StatusCode::FORBIDDEN);
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "evil.example:80")],
        &[("origin", "http://evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let (status, text) = browser.get(&format!("{base}/api/v1/farm"), headers);
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}: {text}");
    }
    // No token is ever shown to a page.
    assert!(!page.contains("tsr_") && !farm.contains("tsr_"));
    web.signal("INT").unwrap();
    assert_eq!(web.end().unwrap().0.code(), Some(130));
    assert!(
        std::net::TcpStream::connect(base.trim_start_matches("http://")).is_err(),
        "the door is closed"
    );
}
