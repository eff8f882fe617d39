//! The farm as an attacker sees it: every route that the manager says it has, with every credential that should not do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tessera_client::{Farm, Identity, Trust, WorkerFarm};
use tessera_wire::line::LineKind;
use xtask::farm::Home;

use crate::site::Site;
use crate::world::{World, tessera_run};

/// What anyone may ask, and nothing else, ever.
const PUBLIC: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/api/v1/health"),
    ("GET", "/api/v1/ready"),
    ("GET", "/assets/{file}"),
    ("POST", "/api/v1/pair"),
];

/// A farm under attack.
struct Target {
    site: Site,
    trust: Trust,
    runtime: tokio::runtime::Runtime,
}

/// Someone who asks.
#[derive(Clone, Default)]
struct Caller {
    token: Option<String>,
    certificate: Option<Identity>,
}

/// An answer, or none because the handshake was refused.
type Answered = Option<(StatusCode, String)>;

impl Target {
    fn new(world: &World) -> Self {
        // Whoever comes first installs it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut site = Site::new(world.fake_home("boss"));
        site.hire(world.fake_home("anna"), "anna");
        let trust = local_farm(&site.boss).trust;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self {
            site,
            trust,
            runtime,
        }
    }

    fn admin(&self) -> Caller {
        Caller {
            token: Some(local_farm(&self.site.boss).token),
            ..Caller::default()
        }
    }

    /// A token of this role.
    fn token(&self, role: &str) -> Caller {
        let lines = self
            .site
            .boss
            .run(&["token", "create", "--user", role, "--role", role])
            .unwrap();
        let token = lines.iter().find_map(|line| match line {
            LineKind::NewToken { token } => Some(token.token.clone()),
            _ => None,
        });
        Caller {
            token,
            ..Caller::default()
        }
    }

    /// Asks, with an empty JSON object where a body may be.
    fn ask(&self, caller: &Caller, method: &str, path: &str) -> Answered {
        let mut tls = self
            .trust
            .client_config(caller.certificate.as_ref())
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .build()
            .unwrap();
        let url = format!("{}{path}", self.site.manager.urls[0]);
        let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(token) = &caller.token {
            request = request.bearer_auth(token);
        }
        if method != "GET" {
            request = request
                .header("content-type", "application/json")
                .body("{}");
        }
        self.runtime.block_on(async {
            let answer = request.send().await.ok()?;
            let status = answer.status();
            // An event stream has no end; whoever got as far as that is in.
            let endless = answer
                .headers()
                .get("content-type")
                .is_some_and(|kind| kind == "text/event-stream");
            let text = if endless {
                String::new()
            } else {
                answer.text().await.ok()?
            };
            Some((status, text))
        })
    }

    /// Every route the manager says it has: method, path and who may.
    fn routes(&self) -> Vec<(String, String, Value)> {
        let (status, text) = self.ask(&self.admin(), "GET", "/api/v1/routes").unwrap();
        assert_eq!(status, StatusCode::OK);
        let listed: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(listed.len() > 30, "{text}");
        listed
            .into_iter()
            .map(|route| {
                let word = |key: &str| route[key].as_str().unwrap().to_owned();
                (word("method"), word("path"), route["access"].clone())
            })
            .collect()
    }

    /// Nobody gets in with this anywhere, except where anyone may.
    #[track_caller]
    fn refuses(&self, who: &str, caller: &Caller, wanted: &[StatusCode]) {
        for (method, path, access) in self.routes() {
            if access == "public" {
                continue;
            }
            let filled = filled(&path);
            match self.ask(caller, &method, &filled) {
                None => assert!(
                    caller.certificate.is_some(),
                    "{who}: {method} {path} is not answered at all"
                ),
                Some((status, text)) => {
                    assert!(
                        wanted.contains(&status),
                        "{who}: {method} {path} is answered {status}: {text}"
                    );
                    let problem: Value = serde_json::from_str(&text).unwrap();
                    assert!(problem["title"].is_string(), "{text}");
                    for secret in [
                        "tsr_",
                        "PRIVATE KEY",
                        self.site.manager.pairing.code.as_str(),
                    ] {
                        assert!(
                            !text.contains(secret),
                            "{who}: {method} {path} tells a secret"
                        );
                    }
                }
            }
        }
    }
}

/// The path with something that is there for each parameter.
fn filled(path: &str) -> String {
    [
        ("{job}", "1"),
        ("{frame}", "1"),
        ("{worker}", "1"),
        ("{token}", "x"),
        ("{serial}", "00"),
        ("{file}", "icon.svg"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

fn local_farm(home: &Home) -> Farm {
    let file = home.folder().join("config/local-manager.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn identity_of(worker: &Home) -> Identity {
    WorkerFarm::load(&worker.folder().join("data/worker/farm.json"))
        .unwrap()
        .unwrap()
        .identity
}

/// A certificate that calls itself a worker of this farm, issued by a CA that calls itself the farm's.
fn forged() -> Identity {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "Tessera farm CA");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "worker-1");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Identity {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

#[test]
fn every_route_refuses_strangers() {
    let world = World::any();
    let target = Target::new(&world);
    let other = {
        let mut site = Site::new(world.fake_home("other-boss"));
        site.hire(world.fake_home("other-anna"), "anna");
        site
    };

    let listed = target.routes();
    let mut public: Vec<(&str, &str)> = listed
        .iter()
        .filter(|(_, _, access)| access == "public")
        .map(|(method, path, _)| (method.as_str(), path.as_str()))
        .collect();
    public.sort_unstable();
    assert_eq!(public, PUBLIC);

    let unauthorized = &[StatusCode::UNAUTHORIZED][..];
    target.refuses("no credentials", &Caller::default(), unauthorized);
    for token in [
        "",
        "garbage",
        "tsr_",
        &format!("tsr_{}", "A".repeat(43)),
        &local_farm(&other.boss).token,
    ] {
        let caller = Caller {
            token: Some(token.to_owned()),
            ..Caller::default()
        };
        target.refuses("a wrong token", &caller, unauthorized);
    }
    for (who, identity) in [
        ("a forged certificate", forged()),
        ("another farm's worker", identity_of(&other.workers[0].home)),
    ] {
        let caller = Caller {
            certificate: Some(identity.clone()),
            ..Caller::default()
        };
        target.refuses(who, &caller, unauthorized);
        // Not even beside a good token is it taken for a worker.
        let both = Caller {
            certificate: Some(identity),
            ..target.token("artist")
        };
        if let Some((status, text)) = target.ask(&both, "POST", "/api/v1/worker/results") {
            assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
        }
    }
    // A good certificate does not help a wrong token.
    let worker = identity_of(&target.site.workers[0].home);
    let mixed = Caller {
        token: Some("garbage".into()),
        certificate: Some(worker),
    };
    target.refuses(
        "a good certificate with a wrong token",
        &mixed,
        unauthorized,
    );
}

#[test]
fn every_route_asks_for_its_role() {
    let world = World::any();
    let target = Target::new(&world);
    let (viewer, artist) = (target.token("viewer"), target.token("artist"));
    let worker = Caller {
        certificate: Some(identity_of(&target.site.workers[0].home)),
        ..Caller::default()
    };
    let rank = |role: &str| {
        ["viewer", "artist", "admin"]
            .iter()
            .position(|known| *known == role)
            .unwrap()
    };
    let mut tried = 0;
    for (method, path, access) in target.routes() {
        let (role, workers) = match &access {
            Value::String(word) if word == "public" => continue,
            Value::String(word) if word == "worker" => (None, true),
            Value::Object(one) => match (one.get("client"), one.get("client_or_worker")) {
                (Some(role), None) => (role.as_str(), false),
                (None, Some(role)) => (role.as_str(), true),
                _ => panic!("{access}"),
            },
            _ => panic!("{access}"),
        };
        // A worker's link would close the one that it has.
        let filled = filled(&path);
        for (name, caller) in [("viewer", &viewer), ("artist", &artist)] {
            if role.is_none_or(|role| rank(name) < rank(role)) {
                let (status, text) = target.ask(caller, &method, &filled).unwrap();
                assert_eq!(
                    status,
                    StatusCode::FORBIDDEN,
                    "{name}: {method} {path}: {text}"
                );
                tried += 1;
            }
        }
        if !workers {
            let (status, text) = target.ask(&worker, &method, &filled).unwrap();
            assert_eq!(
                status,
                StatusCode::FORBIDDEN,
                "a worker: {method} {path}: {text}"
            );
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn what_is_not_there_is_not_told() {
    let world = World::any();
    let target = Target::new(&world);
    for (method, path) in [
        ("GET", "/api/v1/nothing"),
        ("DELETE", "/api/v1/health"),
        ("GET", "/admin"),
        ("GET", "/.git/config"),
        ("POST", "/api/v1/jobs/999999/actions"),
    ] {
        let (status, text) = target.ask(&Caller::default(), method, path).unwrap();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}: {text}");
    }
    for path in [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/farm.json",
    ] {
        if let Some((status, text)) = target.ask(&Caller::default(), "GET", path) {
            assert!(
                status.is_client_error() && !text.contains("root:"),
                "{path}: {status}"
            );
        }
    }
    // Health says that it is there, and which version it speaks.
    let (_, text) = target
        .ask(&Caller::default(), "GET", "/api/v1/health")
        .unwrap();
    let health: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let keys: Vec<&str> = health.keys().map(String::as_str).collect();
    assert_eq!(keys, ["protocol", "protocol_oldest", "status", "version"]);
    // What the list of tokens says is not their secrets, nor what they are recorded as.
    let (_, text) = target
        .ask(&target.admin(), "GET", "/api/v1/tokens")
        .unwrap();
    assert!(!text.contains("tsr_") && !text.contains("hash"), "{text}");
}

/// Codes of another farm, used up, of another kind; and guessing.
#[test]
fn wrong_codes() {
    let world = World::any();
    let site = Site::new(world.fake_home("boss"));
    let other = Site::new(world.fake_home("other-boss"));
    let code_for = |site: &Site, arguments: &[&str]| {
        let lines = site.boss.run(arguments).unwrap();
        lines
            .into_iter()
            .find_map(|line| match line {
                LineKind::Pairing { pairing } => Some(pairing),
                _ => None,
            })
            .unwrap()
    };
    // Another farm's code at this address: its certificate is not this one's, so its secret is never said.
    let foreign = code_for(&other, &["cert", "create"]);
    let anna = world.fake_home("anna");
    let crossed = format!("{}/#{}", site.manager.urls[0], foreign.code);
    tessera_run(&anna, &["worker", "--join", &crossed])
        .refused(3, &["farm", &site.manager.urls[0]]);
    assert!(!anna.folder().join("data/worker/farm.json").exists());

    // A client's code makes no worker, and a worker's no client.
    let clients = code_for(&site, &["token", "create", "--user", "carla", "--code"]);
    tessera_run(&anna, &["worker", "--join", &clients.links[0]]).refused(3, &["code"]);
    let workers = code_for(&site, &["cert", "create", "--once"]);
    let carla = world.fake_home("carla");
    tessera_run(&carla, &["connect", &workers.links[0]]).refused(3, &["code"]);
    assert!(
        !carla.folder().join("config/farms").exists()
            || fs::read_dir(carla.folder().join("config/farms"))
                .unwrap()
                .count()
                == 0
    );

    // Used up.
    let once = code_for(&site, &["token", "create", "--user", "dan", "--code"]);
    tessera_run(&carla, &["connect", &once.links[0]]).done();
    let eve = world.fake_home("eve");
    tessera_run(&eve, &["connect", &once.links[0]]).refused(3, &["code"]);

    // A typing error is found before anyone is asked.
    let mut typed = once.links[0].clone();
    let last = if typed.pop() == Some('0') { '1' } else { '0' };
    let at = typed.rfind('-').unwrap() - 2;
    let letter = if typed.as_bytes()[at] == b'7' {
        "8"
    } else {
        "7"
    };
    typed.replace_range(at..=at, letter);
    typed.push(last);
    tessera_run(&eve, &["connect", &typed]).refused(2, &["typing error"]);

    // Guessing ends soon, for everybody at that address.
    let target = Target {
        trust: local_farm(&site.boss).trust,
        site,
        runtime: tokio::runtime::Runtime::new().unwrap(),
    };
    let guess =
        serde_json::json!({"secret": "00".repeat(10), "protocol": tessera_wire::PROTOCOL, "worker": null}).to_string();
    let statuses: Vec<u16> = (0..12)
        .map(|_| {
            let tls = target.trust.client_config(None).unwrap();
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .build()
                .unwrap();
            let request = client
                .post(format!("{}/api/v1/pair", target.site.manager.urls[0]))
                .header("content-type", "application/json")
                .body(guess.clone());
            target
                .runtime
                .block_on(request.send())
                .unwrap()
                .status()
                .as_u16()
        })
        .collect();
    assert!(
        statuses.iter().all(|status| [403, 429].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

/// A worker's certificate that is voided is no good from that moment on, on its link and everywhere.
#[test]
fn a_voided_certificate() {
    let world = World::any();
    let mut target = Target::new(&world);
    let worker = Caller {
        certificate: Some(identity_of(&target.site.workers[0].home)),
        ..Caller::default()
    };
    let (status, _) = target.ask(&worker, "POST", "/api/v1/blobs/fetch").unwrap();
    assert_ne!(status, StatusCode::UNAUTHORIZED, "it is good as yet");
    let lines = target.site.boss.run(&["cert", "list"]).unwrap();
    let serial = lines
        .iter()
        .find_map(|line| match line {
            LineKind::Certificate { certificate } => Some(certificate.serial.clone()),
            _ => None,
        })
        .unwrap();
    target.site.boss.run(&["cert", "revoke", &serial]).unwrap();
    let hand = &mut target.site.workers[0];
    let (status, _) = hand.process.end().unwrap();
    assert_eq!(status.code(), Some(3), "{}", hand.process.last_words());
    target.refuses("a voided certificate", &worker, &[StatusCode::UNAUTHORIZED]);
    let anna = &target.site.workers[0].home;
    tessera_run(anna, &["worker"]).refused(3, &["worker --join"]);
}

/// Whatever opens a door is readable by its owner alone.
#[test]
fn secrets_are_kept_to_their_owner() {
    let world = World::any();
    let target = Target::new(&world);
    let lines = target
        .site
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
    let mut seen = 0;
    for home in ["boss", "anna", "carla"] {
        let home = world.path(home);
        for name in crate::world::files_in(&home) {
            let path = home.join(&name);
            let text = fs::read(&path).unwrap();
            let secret = [&b"PRIVATE KEY"[..], b"tsr_"]
                .iter()
                .any(|word| text.windows(word.len()).any(|part| part == *word));
            if secret {
                seen += 1;
                assert_eq!(
                    mode(&path) & 0o077,
                    0,
                    "{} can be read by others",
                    path.display()
                );
            }
        }
    }
    assert!(
        seen >= 4,
        "the manager's key, its user's token, the worker's key, the client's token: {seen}"
    );
    // No bearer token lies in the manager's record: only what it is hashed to.
    let manager = world.path("boss/data/manager");
    let token = local_farm(&carla_as_local(&carla)).token;
    for name in crate::world::files_in(&manager) {
        let text = fs::read(manager.join(&name)).unwrap();
        let found = text
            .windows(token.len())
            .any(|part| part == token.as_bytes());
        assert!(!found, "{} holds a token", name.display());
    }
}

/// Carla's one farm, where [`local_farm`] looks for it.
fn carla_as_local(carla: &Home) -> Home {
    let config = carla.folder().join("config");
    let farm = fs::read_dir(config.join("farms"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .unwrap();
    fs::copy(farm, config.join("local-manager.json")).unwrap();
    carla.clone()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode()
}
