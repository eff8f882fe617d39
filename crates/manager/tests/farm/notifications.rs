//! Who is told of what: real receivers on this machine, of which each says what it was asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tessera_manager::ManagerConfig;
use tessera_model::{JobId, Notice, NoticeEvent, Role};
use tessera_wire::api::{Page, Submitted};
use tessera_wire::link::FromWorker;
use tessera_wire::notify::{ReceiverInfo, TestReport};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Api, Farm, Member, config, soon, start_with};
use crate::worker::{AGAIN, Link, deliver, failure, job, put, scene, submit};

/// A request as it came.
struct Told {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn notice(&self) -> Notice {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// An HTTP server that refuses the first requests.
struct Hook {
    address: SocketAddr,
    told: mpsc::UnboundedReceiver<Told>,
}

#[derive(Clone)]
struct Ear {
    busy: Arc<AtomicU32>,
    told: mpsc::UnboundedSender<Told>,
}

async fn hear(
    State(ear): State<Ear>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let told = Told {
        method,
        uri,
        headers,
        body,
    };
    ear.told.send(told).unwrap();
    let left = |left: u32| left.checked_sub(1);
    let busy = ear
        .busy
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
    match busy {
        Ok(_) => (StatusCode::INTERNAL_SERVER_ERROR, "busy"),
        Err(_) => (StatusCode::OK, "heard"),
    }
}

impl Hook {
    async fn at(address: SocketAddr, busy: u32) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, told) = mpsc::unbounded_channel();
        let ear = Ear {
            busy: Arc::new(AtomicU32::new(busy)),
            told: sender,
        };
        let router = Router::new().fallback(hear).with_state(ear);
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, told }
    }

    async fn new(busy: u32) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), busy).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn next(&mut self) -> Told {
        soon(self.told.recv()).await.unwrap()
    }
}

fn quick(dir: &Path) -> ManagerConfig {
    ManagerConfig {
        notify_retry_after: Duration::from_millis(10),
        notify_lost_after: Duration::from_millis(50),
        ..config(dir)
    }
}

async fn set(api: &Api, name: &str, input: Value) -> ReceiverInfo {
    api.json(routes::RECEIVER_SET, &[name], &input).await
}

async fn list(api: &Api) -> Vec<ReceiverInfo> {
    let page: Page<ReceiverInfo> = api.get(routes::RECEIVERS, &[]).await;
    page.items
}

/// Asks until it is so: what arrived is recorded a moment later.
async fn until(api: &Api, name: &str, wanted: impl Fn(&ReceiverInfo) -> bool) -> ReceiverInfo {
    soon(async {
        loop {
            let all = list(api).await;
            let found = all.into_iter().find(|info| info.receiver.name == name);
            if let Some(found) = found.filter(&wanted) {
                return found;
            }
            tokio::time::sleep(AGAIN).await;
        }
    })
    .await
}

/// What the example in docs/notifications.md says of a message.
fn is_genuine(key: &str, told: &Told) -> bool {
    let page = include_str!("../../../../docs/notifications.md");
    let (_, example) = page.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let asked = "import sys\nkey, at, signed, body = sys.argv[1:]\n\
        headers = {'tessera-timestamp': at, 'tessera-signature': signed}\n\
        print(is_genuine(key.encode(), headers, body.encode()))";
    let said = std::process::Command::new("python3")
        .args(["-c", &format!("{example}\n{asked}"), key])
        .args([
            told.header("tessera-timestamp"),
            told.header("tessera-signature"),
        ])
        .arg(std::str::from_utf8(&told.body).unwrap())
        .output()
        .unwrap();
    match String::from_utf8_lossy(&said.stdout).trim() {
        "True" => true,
        "False" => false,
        _ => panic!("{}", String::from_utf8_lossy(&said.stderr)),
    }
}

/// A worker with one slot, and its way to the manager.
struct Hand {
    member: Member,
    api: Api,
    link: Link,
}

impl Hand {
    async fn new(farm: &Farm, name: &str) -> Self {
        let member = farm.worker(name).await;
        let api = farm.end().api(None, Some(&member.certificate()));
        let entered = Link::enter(&farm.end(), &member, 1, Vec::new()).await;
        let link = entered.unwrap().0;
        Self { member, api, link }
    }

    async fn render(&mut self, frames: usize) {
        for _ in 0..frames {
            let offer = self.link.lease().await;
            deliver(
                &mut self.link,
                &self.api,
                self.member.identity.worker,
                &offer,
            )
            .await;
        }
    }

    async fn fail(&mut self, frames: usize) {
        for _ in 0..frames {
            let offer = self.link.lease().await;
            let log = put(&self.api, b"log").await;
            let error = failure(self.member.identity.worker, &offer, log);
            let _: Value = self.api.json(routes::WORKER_FAILURE, &[], &error).await;
            let key = offer.key;
            self.link.send(&FromWorker::Finished { key }).await.unwrap();
        }
    }
}

/// A job, changed as it goes to the manager.
async fn submit_with(api: &Api, frames: &str, change: impl FnOnce(&mut Value)) -> JobId {
    let mut wanted = serde_json::to_value(job(scene(api).await, frames)).unwrap();
    change(&mut wanted["settings"]);
    let submitted: Submitted = api.json(routes::SUBMIT, &[], &wanted).await;
    submitted.job
}

#[tokio::test]
async fn a_finished_job_is_posted_signed_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(quick(folder.path())).await.unwrap();
    let (admin, artist) = (farm.admin(), farm.client("ann", Role::Artist).await);
    let mut hook = Hook::new(2).await;
    let way = json!({"kind": "webhook", "url": hook.url("/hook?room=7")});
    set(
        &admin,
        "pipeline",
        json!({"way": way, "secret": "key", "events": ["job_done"]}),
    )
    .await;

    let job = submit(&artist, "1..2").await;
    Hand::new(&farm, "w").await.render(2).await;
    let tries = [hook.next().await, hook.next().await, hook.next().await];
    let notice = tries[2].notice();
    assert_eq!(notice.event, NoticeEvent::JobDone);
    assert_eq!(notice.title, format!("Job {job} 'shot' is done"));
    assert!(
        notice.text.contains("Owner: ann\nFrames: 2 of 2 done\n"),
        "{notice:?}"
    );
    let link = format!("{}/#/jobs/{job}", farm.running.urls[0]);
    assert_eq!(notice.link.as_deref(), Some(link.as_str()));
    let told = notice.job.clone().unwrap();
    assert_eq!((told.id, told.frames, told.done), (job, 2, 2));
    for one in &tries {
        assert_eq!(one.notice(), notice, "the same notice, under the same id");
        assert_eq!(
            (&one.method, one.uri.to_string()),
            (&Method::POST, "/hook?room=7".into())
        );
        assert_eq!(one.header("tessera-delivery"), notice.id);
        assert_eq!(one.header("tessera-event"), "job_done");
    }
    assert!(is_genuine("key", &tries[2]) && !is_genuine("other", &tries[2]));
    let info = until(&admin, "pipeline", |info| info.delivered_at.is_some()).await;
    assert_eq!((info.waiting, info.lost), (0, 0));
    assert_eq!(info.error.unwrap().text, "500 Internal Server Error: busy");
}

#[tokio::test]
async fn secrets_stay_inside_and_only_admins_ask() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(quick(folder.path())).await.unwrap();
    let (admin, artist) = (farm.admin(), farm.client("ann", Role::Artist).await);
    let hook = Hook::new(0).await;
    let secret = hook.url("/services/hush");
    let input = json!({"way": {"kind": "slack"}, "secret": secret, "events": ["job_done"], "jobs": {"owner": "ann"}});
    // As it stands in a path.
    let name = "a%20b%2F%C3%BC";
    let set_to = set(&admin, name, input.clone()).await;
    assert!(set_to.has_secret && set_to.receiver.name == "a b/ü");
    let text = serde_json::to_string(&list(&admin).await).unwrap();
    assert!(
        text.contains("\"has_secret\":true") && !text.contains("hush"),
        "{text}"
    );
    // Another one of the same kind keeps it, so it still arrives.
    let again = json!({"way": {"kind": "slack"}});
    assert!(set(&admin, name, again.clone()).await.has_secret);
    let report: TestReport = admin.json(routes::RECEIVER_TEST, &[name], &()).await;
    assert_eq!(
        (report.delivered, report.answer.as_str()),
        (true, "200 OK: heard")
    );

    let problem = admin.problem(routes::RECEIVER_SET, &["new"], &again).await;
    assert_eq!(problem.kind, ProblemKind::Invalid);
    assert!(
        problem.title.contains("address of its webhook"),
        "{problem}"
    );
    for route in [routes::RECEIVER_TEST, routes::RECEIVER_REMOVE] {
        let problem = admin.problem(route, &["new"], &()).await;
        assert_eq!(problem.kind, ProblemKind::NotFound);
        assert!(problem.title.contains("'new'"), "{problem}");
    }
    for (route, body) in [
        (routes::RECEIVERS, json!(null)),
        (routes::RECEIVER_SET, input),
    ] {
        let problem = artist.problem(route, &["x"], &body).await;
        assert_eq!(problem.kind, ProblemKind::Forbidden);
    }
    let gone = admin.to(routes::RECEIVER_REMOVE, &[name]).send().await;
    assert_eq!(gone.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(list(&admin).await.is_empty());
}

#[tokio::test]
async fn chats_are_told_in_their_own_ways() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(quick(folder.path())).await.unwrap();
    let admin = farm.admin();
    let mut hook = Hook::new(0).await;
    let ways = [
        ("d", json!({"kind": "discord"}), hook.url("/discord")),
        ("s", json!({"kind": "slack"}), hook.url("/slack")),
        (
            "m",
            json!({"kind": "matrix", "homeserver": hook.url(""), "room": "!a/b:m.org"}),
            "token".into(),
        ),
    ];
    for (name, way, secret) in ways {
        set(
            &admin,
            name,
            json!({"way": way, "secret": secret, "jobs": "named"}),
        )
        .await;
    }
    let named = |settings: &mut Value| {
        settings["notify"] = json!(["d", "s", "m"]);
        settings["name"] = json!("*a* <b> @everyone");
    };
    // One that names nobody is told to nobody.
    submit(&admin, "1").await;
    let job = submit_with(&admin, "1", named).await;
    Hand::new(&farm, "w").await.render(2).await;
    let mut told = [hook.next().await, hook.next().await, hook.next().await];
    told.sort_by_key(|told| told.uri.path().to_owned());
    let [matrix, discord, slack] = &told;
    let content = discord.json();
    let text = content["content"].as_str().unwrap();
    assert!(
        text.starts_with(&format!(
            "**Job {job} '\\*a\\* <b\\> @everyone' is done**\nOwner: owner\n"
        )),
        "{text}"
    );
    assert_eq!(content["allowed_mentions"], json!({"parse": []}));
    let text = slack.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with(&format!("*Job {job} '*a* &lt;b&gt; @everyone' is done*\n")),
        "{text}"
    );
    assert_eq!(
        (&matrix.method, matrix.header("authorization")),
        (&Method::PUT, "Bearer token")
    );
    let path = matrix.uri.path();
    let start = "/_matrix/client/v3/rooms/!a%2Fb:m.org/send/m.room.message/";
    assert_eq!(path.strip_prefix(start).unwrap().len(), 32, "{path}");
    let body = matrix.json();
    assert_eq!(body["msgtype"], "m.text");
    let text = body["body"].as_str().unwrap();
    assert!(
        text.starts_with("Job ") && text.ends_with(&format!("/#/jobs/{job}")),
        "{text}"
    );

    let problem = admin
        .problem(
            routes::JOB_EDIT,
            &[&job.to_string()],
            &json!({"notify": ["x"]}),
        )
        .await;
    assert!(problem.title.contains("called 'x'"), "{problem}");
}

#[tokio::test]
async fn many_errors_of_a_job_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(quick(folder.path())).await.unwrap();
    let admin = farm.admin();
    let patch = json!({"retry_after_ms": 0, "hopeless_after": 100});
    let _: Value = admin.json(routes::SETTINGS_EDIT, &[], &patch).await;
    let mut hook = Hook::new(0).await;
    let way = json!({"kind": "webhook", "url": hook.url("/")});
    let events = ["first_error", "frame_given_up", "job_failed", "job_done"];
    set(&admin, "all", json!({"way": way, "events": events})).await;
    let once = |settings: &mut Value| settings["max_attempts"] = json!(1);
    let job = submit_with(&admin, "1..4", once).await;
    let mut first = Hand::new(&farm, "first").await;
    first.fail(3).await;
    drop(first);
    let mut second = Hand::new(&farm, "second").await;
    second.fail(1).await;
    let _: Value = admin
        .json(
            routes::JOB_ACT,
            &[&job.to_string()],
            &json!({"action": "retry"}),
        )
        .await;
    second.fail(1).await;
    second.render(3).await;
    let mut told = Vec::new();
    while told.len() < 6 {
        let notice = hook.next().await.notice();
        told.push((notice.event.name(), notice.workers.join(",")));
    }
    let expected = [
        ("first_error", "first"),
        ("frame_given_up", "first"),
        ("job_failed", ""),
        // It was retried: an error is news again.
        ("first_error", "second"),
        ("frame_given_up", "second"),
        ("job_failed", ""),
    ];
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|(event, by)| (*event, by.as_str()))
        .collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_waits_outlives_the_manager() {
    let folder = tempfile::tempdir().unwrap();
    let patient = ManagerConfig {
        notify_retry_after: Duration::from_secs(3600),
        ..quick(folder.path())
    };
    let farm = start_with(patient.clone()).await.unwrap();
    let admin = farm.admin();
    // A port that nobody listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = free.local_addr().unwrap();
    drop(free);
    let way = json!({"kind": "webhook", "url": format!("http://{closed}/")});
    set(&admin, "away", json!({"way": way, "events": ["job_done"]})).await;
    let job = submit(&admin, "1").await;
    Hand::new(&farm, "w").await.render(1).await;
    let info = until(&admin, "away", |info| info.error.is_some()).await;
    assert_eq!((info.waiting, info.delivered_at), (1, None));
    assert!(info.error.unwrap().text.contains("refused"));
    let report: TestReport = admin.json(routes::RECEIVER_TEST, &["away"], &()).await;
    assert!(
        !report.delivered && report.answer.contains("refused"),
        "{report:?}"
    );
    farm.stop().await;

    let mut hook = Hook::at(closed, 0).await;
    let farm = start_with(patient).await.unwrap();
    let told = hook.next().await.notice();
    assert_eq!(told.job.unwrap().id, job);
    let info = until(&farm.admin(), "away", |info| info.waiting == 0).await;
    assert!(info.delivered_at.is_some());
}

#[tokio::test]
async fn a_worker_that_went_without_a_word_is_lost_unless_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start_with(quick(folder.path())).await.unwrap();
    let mut hook = Hook::new(0).await;
    let way = json!({"kind": "webhook", "url": hook.url("/")});
    set(
        &farm.admin(),
        "all",
        json!({"way": way, "events": ["worker_lost"]}),
    )
    .await;
    let mut polite = Hand::new(&farm, "polite").await;
    polite.link.send(&FromWorker::Leaving).await.unwrap();
    drop(polite);
    let back = Hand::new(&farm, "back").await;
    let lost = Hand::new(&farm, "lost").await;
    drop(back.link);
    let (_again, _) = Link::enter(&farm.end(), &back.member, 1, Vec::new())
        .await
        .unwrap();
    drop(lost.link);
    let notice = hook.next().await.notice();
    assert_eq!(
        (notice.title.as_str(), notice.workers),
        ("Worker 'lost' is lost", vec!["lost".to_owned()])
    );
    assert!(notice.job.is_none());
}
