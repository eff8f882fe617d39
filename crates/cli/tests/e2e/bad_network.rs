//! Managers that are not there, not what they seem, or gone: said within seconds, in one line, with status 3.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tessera_wire::line::LineKind;
use xtask::farm::Home;

use crate::site::Site;
use crate::world::{World, tessera_run, text};

/// Longest that a command may take to find that nobody is there: the connection's time-out, tried twice, and a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// Something that listens and is no manager.
struct Stranger(String);

impl Stranger {
    /// Each connection is handled by `answer`, and then held open for ever or closed.
    fn new(answer: fn(&mut TcpStream) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                if answer(&mut stream) {
                    held.push(stream);
                }
            }
        });
        Self(address)
    }
}

fn code(site: &Site, arguments: &[&str]) -> String {
    let lines = site.boss.run(arguments).unwrap();
    let found = lines.into_iter().find_map(|line| match line {
        LineKind::Pairing { pairing } => Some(pairing.code),
        _ => None,
    });
    found.unwrap()
}

fn connected(world: &World, site: &Site, name: &str) -> Home {
    let code = code(site, &["token", "create", "--user", name, "--code"]);
    let home = world.fake_home(name);
    tessera_run(
        &home,
        &["connect", &code, "--manager", &site.manager.urls[0]],
    )
    .done();
    home
}

#[test]
fn wrong_address() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let for_client = code(&site, &["token", "create", "--user", "u", "--code"]);
    let for_worker = code(&site, &["cert", "create"]);
    let speaks_http = Stranger::new(|stream| {
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        false
    });
    let says_nothing = Stranger::new(|_| true);
    let hangs_up = Stranger::new(|_| false);
    let nobody = format!(
        "https://{}",
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    );
    let home = world.fake_home("new");
    for (address, words) in [
        (speaks_http.0.as_str(), "TLS"),
        (&says_nothing.0, "did not answer within"),
        (&hangs_up.0, "cut"),
        (&nobody, "nothing listens"),
        ("https://no-such-host.invalid:7373", "host name"),
    ] {
        let begun = Instant::now();
        tessera_run(&home, &["connect", &for_client, "--manager", address])
            .refused(3, &[words, address]);
        let link = format!("{address}/#{for_worker}");
        tessera_run(&home, &["worker", "--join", &link]).refused(3, &[words, address]);
        assert!(begun.elapsed() < SOON, "{address}: {:?}", begun.elapsed());
    }
    for (address, words) in [
        ("http://127.0.0.1:7373", "https"),
        ("::bad::", "address"),
        ("https://", "address"),
    ] {
        tessera_run(&home, &["connect", &for_client, "--manager", address]).refused(2, &[words]);
    }
    assert!(
        !home.folder().join("config/farms").exists(),
        "nothing is half-written"
    );
    assert!(
        !home.folder().join("data/worker/farm.json").exists(),
        "nothing is half-written"
    );
}

/// Every command that needs the manager says that it is gone, soon.
#[test]
fn manager_gone() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    site.hire(world.fake_home("anna"), "anna");
    let carla = connected(&world, &site, "carla");
    let project = world.fake_scene("scene", &serde_json::json!({"start": 1, "end": 2}));
    let url = site.manager.urls[0].clone();
    site.manager.process.signal("KILL").unwrap();
    site.manager.process.end().unwrap();
    let out = world.path("out");
    let commands = [
        &["jobs"][..],
        &["workers"],
        &["job", "show", "1"],
        &["job", "cancel", "1"],
        &["worker-admin", "pause", "anna"],
        &["token", "list"],
        &["cert", "list"],
        &["logs", "1", "1"],
        &["fetch", "1", "-o", text(&out)],
        &["watch"],
        &["web", "--no-browser"],
        &["submit", project.file()],
        &["render", project.file(), "-o", text(&out)],
    ];
    std::thread::scope(|scope| {
        for arguments in commands {
            let (carla, url) = (&carla, &url);
            scope.spawn(move || {
                let begun = Instant::now();
                tessera_run(carla, arguments).refused(3, &["nothing listens", url]);
                assert!(
                    begun.elapsed() < SOON,
                    "{arguments:?}: {:?}",
                    begun.elapsed()
                );
            });
        }
    });
    // Whoever started it there finds none running any more.
    tessera_run(&site.boss, &["jobs"]).refused(3, &["no farm is connected", "tessera manager"]);
    // Its worker waits for it, however long.
    site.restart_manager();
    let lines = carla
        .run(&["render", project.file(), "-o", text(&world.path("out"))])
        .unwrap();
    assert!(
        matches!(lines.last(), Some(LineKind::Finished { done: 2, .. })),
        "{lines:?}"
    );
}

/// Another manager has the address now: it is not taken for the farm, and is told nothing.
#[test]
fn another_farm_at_the_address() {
    let world = World::any();
    let mut site = Site::new(world.fake_home("boss"));
    let carla = connected(&world, &site, "carla");
    let address = site.address();
    site.manager.process.signal("TERM").unwrap();
    site.manager.process.end().unwrap();
    let impostor = world.fake_home("impostor");
    let _manager = impostor
        .manager_with(&["manager", "--no-discovery", "--listen", &address])
        .unwrap();
    tessera_run(&carla, &["jobs"]).refused(3, &[&address, "farm"]);
}

/// The owner's own certificate: accepted as it is, refused when it has expired, at the start and on the way.
#[test]
fn own_certificate() {
    let world = World::any();
    let boss = world.fake_home("boss");
    let (chain, key) = (world.path("chain.pem"), world.path("key.pem"));
    let with_certificate = [
        "manager",
        "--no-discovery",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        text(&chain),
        "--tls-key",
        text(&key),
    ];
    let now = time::OffsetDateTime::now_utc();
    let day = time::Duration::DAY;

    write_chain(&chain, &key, "localhost", now - 9 * day, now - day);
    tessera_run(&boss, &with_certificate).refused(2, &[text(&chain), "expired"]);
    write_chain(&chain, &key, "localhost", now + day, now + 9 * day);
    tessera_run(&boss, &with_certificate).refused(2, &[text(&chain), "not valid before"]);
    write_chain(&chain, &key, "localhost", now - day, now + day);
    std::fs::write(&key, "no key").unwrap();
    tessera_run(&boss, &with_certificate).refused(2, &[text(&key)]);
    tessera_run(
        &boss,
        &[
            "manager",
            "--tls-cert",
            text(&world.path("none.pem")),
            "--tls-key",
            text(&key),
        ],
    )
    .refused(1, &["none.pem", "No such file"]);
    tessera_run(&boss, &["manager", "--tls-cert", text(&chain)]).refused(2, &["--tls-key"]);

    // Good for a few seconds: clients and workers know it, until it has expired.
    let end = now + time::Duration::seconds(12);
    write_chain(&chain, &key, "localhost", now - day, end);
    let manager = boss.manager_with(&with_certificate).unwrap();
    let mut site = Site {
        boss,
        manager,
        workers: Vec::new(),
    };
    let port = site.address().rsplit(':').next().unwrap().to_owned();
    let by_name = format!("https://localhost:{port}");
    let carla = world.fake_home("carla");
    let link = code(&site, &["token", "create", "--user", "carla", "--code"]);
    // Its names do not hold the address.
    tessera_run(
        &carla,
        &[
            "connect",
            &link,
            "--manager",
            &format!("https://127.0.0.1:{port}"),
        ],
    )
    .refused(3, &["127.0.0.1", "name"]);
    tessera_run(&carla, &["connect", &link, "--manager", &by_name]).done();
    tessera_run(&carla, &["jobs"]).done();
    let anna = world.fake_home("anna");
    let for_worker = code(&site, &["cert", "create"]);
    let process = anna
        .worker(&[
            "--join",
            &for_worker,
            "--manager",
            &by_name,
            "--name",
            "anna",
        ])
        .unwrap();
    site.workers.push(crate::site::Hand {
        home: anna,
        process,
    });
    assert!(
        tessera_run(&carla, &["workers"])
            .done()
            .text()
            .contains("anna")
    );
    let expired = loop {
        let asked = tessera_run(&carla, &["jobs"]);
        if asked.status != 0 {
            break asked;
        }
        assert!(
            time::OffsetDateTime::now_utc() < end + time::Duration::seconds(5),
            "it is taken for good: {asked}"
        );
    };
    expired.refused(3, &["ended on", &by_name]);
}

/// A certificate for one host name, with a CA of its own as anchor.
fn write_chain(
    chain: &std::path::Path,
    key: &std::path::Path,
    name: &str,
    from: time::OffsetDateTime,
    until: time::OffsetDateTime,
) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "The owner's CA");
    let anchor = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (leaf.not_before, leaf.not_after) = (from, until);
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf.signed_by(&leaf_key, &issuer).unwrap();
    std::fs::write(chain, certificate.pem() + &anchor.pem()).unwrap();
    std::fs::write(key, leaf_key.serialize_pem()).unwrap();
}
