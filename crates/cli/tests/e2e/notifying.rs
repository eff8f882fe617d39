//! Who does not look on is told: by mail over TLS, and on the desktop of who watches. Both by servers that are real: one that speaks SMTP, and
//! a bus with a service of notifications on it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig, response};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tessera_model::JobId;
use tessera_wire::line::LineKind;
use tessera_wire::notify::ReceiverInfo;
use zbus::OwnedVariant;

use crate::site::Site;
use crate::world::{World, tessera_run, text};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mail as it came.
#[derive(Debug, Clone, Default)]
struct Mail {
    from: String,
    to: Vec<String>,
    text: String,
}

/// Takes mails of one user, and only of them.
#[derive(Clone)]
struct Post {
    mail: Mail,
    is_user: bool,
    came: mpsc::Sender<Mail>,
}

impl Handler for Post {
    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        self.is_user = (user, password) == ("farm", "hush");
        match self.is_user {
            true => response::AUTH_OK,
            false => response::INVALID_CREDENTIALS,
        }
    }

    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.mail = Mail {
            from: from.to_owned(),
            ..Mail::default()
        };
        match self.is_user {
            true => response::OK,
            false => response::AUTHENTICATION_REQUIRED,
        }
    }

    fn rcpt(&mut self, to: &str) -> Response {
        self.mail.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mail.text += std::str::from_utf8(bytes).unwrap();
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.came.send(self.mail.clone()).unwrap();
        response::OK
    }
}

/// A mail server with a certificate of its own in the world's folder: its port, and what comes to it. It lives as long as the test.
fn open_post(world: &World) -> (u16, mpsc::Receiver<Mail>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (world.path("mail.pem"), world.path("mail.key"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, mails) = mpsc::channel();
    let mut server = Server::new(Post {
        mail: Mail::default(),
        is_user: false,
        came,
    });
    let ssl = SslConfig::SelfSigned {
        cert_path: text(&certificate).into(),
        key_path: text(&key).into(),
    };
    server
        .with_ssl(ssl)
        .unwrap()
        .with_auth(AuthMechanism::Plain)
        .with_tcp_listener(listener);
    std::thread::spawn(|| drop(server.serve()));
    (port, mails)
}

fn receivers(site: &Site) -> Vec<ReceiverInfo> {
    let lines = site.boss.run(&["notify", "list"]).unwrap();
    let info = |line: LineKind| match line {
        LineKind::Receiver { receiver } => Some(*receiver),
        _ => None,
    };
    lines.into_iter().filter_map(info).collect()
}

#[test]
fn a_finished_job_is_mailed_over_tls() {
    let world = World::any();
    let (port, mails) = open_post(&world);
    let password = world.path("password.txt");
    std::fs::write(&password, "hush\n").unwrap();
    let certificate = world.path("mail.pem");
    // The manager trusts whom its system trusts.
    let boss = world.home("boss").with("SSL_CERT_FILE", text(&certificate));
    let mut site = Site::new(boss);
    let server = format!("localhost:{port}");
    let add = |name: &str, more: &[&str]| {
        let whom = ["notify", "add", name, "--email", "anna@x.org;ben@x.org"];
        let by = ["--server", &server, "--from", "Farm <farm@x.org>"];
        let arguments: Vec<&str> = whom.iter().chain(&by).chain(more).copied().collect();
        tessera_run(&site.boss, &arguments)
    };
    let login = ["--tls", "starttls", "--user", "farm", "--secret-file"];
    let login: Vec<&str> = login.into_iter().chain([text(&password)]).collect();
    add("studio", &login).done();
    // Without TLS that server lets nobody in, and what is not there is said.
    add("open", &["--tls", "none", "--jobs", "named"]).done();
    add("studio", &login).refused(2, &["already", "notify change"]);
    let refused = tessera_run(&site.boss, &["notify", "test", "open"]);
    refused.refused(1, &["'open' did not arrive"]);
    tessera_run(&site.boss, &["notify", "test", "studio"]).done();
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.from, "farm@x.org");
    assert_eq!(mail.to, ["anna@x.org", "ben@x.org"]);
    assert!(
        mail.text
            .contains("Subject: [Site] A test of the farm's notifications\r\n"),
        "{}",
        mail.text
    );

    site.hire(world.home("anna"), "anna");
    let project = world.scene("plain");
    let job = site.submit(&project, &["-f", "1..2", "--name", "Film"]);
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    let has = |words: &str| assert!(mail.text.contains(words), "{words}: {}", mail.text);
    has(&format!("Subject: [Site] Job {job} 'Film' is done\r\n"));
    has("Frames: 2 of 2 done\r\n");
    has(&format!("{}/#/jobs/{job}", site.manager.urls[0]));
    let shown = receivers(&site);
    let names: Vec<&str> = shown
        .iter()
        .map(|info| info.receiver.name.as_str())
        .collect();
    assert_eq!(names, ["open", "studio"]);
    assert!(shown[1].has_secret && !shown[0].has_secret);
    tessera_run(&site.boss, &["notify", "remove", "open", "studio"]).done();
    assert!(receivers(&site).is_empty());
    let project = project.file();
    let nobody = tessera_run(&site.boss, &["submit", project, "--notify", "studio"]);
    nobody.refused(2, &["'studio'", "notify add"]);
}

/// A message bus that is this test's own.
struct Bus {
    daemon: Child,
    address: String,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Bus {
    fn open() -> Self {
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            daemon,
            address: address.trim().to_owned(),
        }
    }
}

/// What a desktop shows.
struct Desktop {
    shown: mpsc::Sender<(String, String)>,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Desktop {
    #[expect(
        clippy::too_many_arguments,
        reason = "so the specification of notifications has it"
    )]
    fn notify(
        &self,
        _app: &str,
        replaces: u32,
        _icon: &str,
        summary: String,
        body: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedVariant>,
        _timeout: i32,
    ) -> u32 {
        self.shown.send((summary, body)).unwrap();
        replaces + 1
    }

    fn get_server_information(&self) -> (&str, &str, &str, &str) {
        ("test", "tessera", "1", "1.2")
    }
}

#[test]
fn a_desktop_shows_what_is_watched() {
    let bus = Bus::open();
    let (sender, shown) = mpsc::channel();
    let world = World::any();
    let site = Site::with_workers(&world, &["anna"]);
    let boss = site
        .boss
        .clone()
        .with("DBUS_SESSION_BUS_ADDRESS", &bus.address);
    let none = tessera_run(&boss, &["watch", "--notify"]);
    none.refused(1, &["cannot be shown on this desktop"]);

    // Its threads serve the desktop for as long as it lives.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let desktop = zbus::connection::Builder::address(bus.address.as_str())
        .serve_at("/org/freedesktop/Notifications", Desktop { shown: sender })
        .name("org.freedesktop.Notifications");
    let desktop = runtime.block_on(desktop.build()).unwrap();
    let project = world.scene("plain");
    let job: JobId = site.submit(
        &project,
        &["-f", "1..2", "--name", "Film", "--tags", "later"],
    );
    let mut watch = boss
        .start(&["watch", &job.to_string(), "--notify"])
        .unwrap();
    // Its first line says that it listens.
    watch
        .wait(|line| matches!(line, LineKind::Event { .. }).then_some(()))
        .unwrap();
    site.boss
        .run(&["job", "edit", &job.to_string(), "--tags", "none"])
        .unwrap();
    let (title, body) = shown.recv_timeout(PATIENCE).unwrap();
    assert_eq!(title, format!("Job {job} 'Film' is done"));
    assert_eq!(body, "2 of 2 frames");
    watch.finish().unwrap();
    drop(desktop);
}
