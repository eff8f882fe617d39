//! A manager in this process, and the other ends of its connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::StreamExt;
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Client, Method, Response, StatusCode};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_manager::{ManagerConfig, ManagerError, Running, run};
use tessera_model::{PairingGrant, Role};
use tessera_wire::api::{
    CreatedToken, NewToken, PairReply, PairRequest, PairWorker, Pairing, WorkerIdentity,
};
use tessera_wire::pairing::PairingLink;
use tessera_wire::problem::Problem;
use tessera_wire::routes::{self, Route};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::contract::{self, Asked};

/// Longest that a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not come")
}

pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if std::env::var_os("TESSERA_TEST_LOG").is_some() {
            eprintln!(
                "a subscriber is the binary's business; set one here to see the manager's log"
            );
        }
    });
}

/// A running manager. Dropped, it is told to end.
pub struct Farm {
    pub running: Running,
    pub dir: PathBuf,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ManagerError>>,
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn config(dir: &Path) -> ManagerConfig {
    let mut config = ManagerConfig::new(dir.to_owned(), "owner".parse().unwrap());
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.discovery = false;
    config.farm_name = Some("test farm".into());
    // How far ahead it hands out is the scheduler's affair; the tests count on one.
    config.scheduler.queued_per_slot = 1;
    config
}

pub async fn start_with(config: ManagerConfig) -> Result<Farm, ManagerError> {
    install_provider();
    let dir = config.data_dir.clone();
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let mut task = tokio::spawn(run(config, ready, shutdown.clone()));
    tokio::select! {
        Ok(running) = is_ready => Ok(Farm { running, dir, shutdown, task }),
        ended = &mut task => Err(ended.unwrap().expect_err("it ended before it was ready")),
    }
}

pub async fn start(dir: &Path) -> Farm {
    start_with(config(dir)).await.unwrap()
}

impl Farm {
    /// Ends it and waits until its folder is free.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        soon(&mut self.task).await.unwrap().unwrap();
    }

    pub fn end(&self) -> End {
        End::of(&self.running)
    }

    pub fn admin(&self) -> Api {
        self.end().api(Some(&self.running.admin_token), None)
    }

    /// A client with a token of its own.
    pub async fn client(&self, user: &str, role: Role) -> Api {
        let token = self.token(user, role, None).await;
        self.end().api(Some(&token.token), None)
    }

    pub async fn token(&self, user: &str, role: Role, lifetime_s: Option<u64>) -> CreatedToken {
        let wanted = NewToken {
            user: user.parse().unwrap(),
            role,
            note: "test".into(),
            lifetime_s,
        };
        self.admin().json(routes::TOKEN_NEW, &[], &wanted).await
    }

    pub async fn code(&self, grant: PairingGrant, once: bool) -> Pairing {
        self.running
            .mint_pairing(grant, Duration::from_secs(600), once)
            .await
            .unwrap()
    }

    /// A worker's identity and an API that shows it.
    pub async fn worker(&self, name: &str) -> Member {
        let code = self.code(PairingGrant::Worker, true).await;
        let key = KeyPair::generate().unwrap();
        let request = worker_request(&code.code, name, &key);
        let reply: PairReply = self
            .end()
            .api(None, None)
            .json(routes::PAIR, &[], &request)
            .await;
        let PairReply::Worker(identity) = reply else {
            panic!("{reply:?}");
        };
        Member { identity, key }
    }
}

pub fn secret_of(code: &str) -> String {
    let link: PairingLink = code.parse().unwrap();
    link.code
        .secret
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub fn csr(key: &KeyPair) -> String {
    CertificateParams::default()
        .serialize_request(key)
        .unwrap()
        .pem()
        .unwrap()
}

pub fn worker_request(code: &str, name: &str, key: &KeyPair) -> PairRequest {
    PairRequest {
        secret: secret_of(code),
        protocol: tessera_wire::PROTOCOL,
        worker: Some(PairWorker {
            name: name.into(),
            csr: csr(key),
        }),
        note: String::new(),
    }
}

pub fn client_request(code: &str) -> PairRequest {
    PairRequest {
        secret: secret_of(code),
        protocol: tessera_wire::PROTOCOL,
        worker: None,
        note: "laptop".into(),
    }
}

/// A paired worker.
pub struct Member {
    pub identity: WorkerIdentity,
    pub key: KeyPair,
}

impl Member {
    pub fn certificate(&self) -> (String, String) {
        (self.identity.certificate.clone(), self.key.serialize_pem())
    }
}

/// Where a manager is, and what to trust there.
#[derive(Clone)]
pub struct End {
    pub url: String,
    pub anchor_pem: String,
}

impl End {
    pub fn of(running: &Running) -> Self {
        Self {
            url: format!("https://{}", running.addresses[0]),
            anchor_pem: running.anchor_pem.clone(),
        }
    }

    pub fn tls(&self, certificate: Option<&(String, String)>) -> rustls::ClientConfig {
        install_provider();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.anchor_pem.as_bytes()).unwrap())
            .unwrap();
        let builder = rustls::ClientConfig::builder().with_root_certificates(Arc::new(roots));
        match certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }

    pub fn api(&self, token: Option<&str>, certificate: Option<&(String, String)>) -> Api {
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls(certificate))
            .https_only(true)
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Api {
            client,
            url: self.url.clone(),
            token: token.map(ToOwned::to_owned),
        }
    }
}

/// Requests as one party.
#[derive(Clone)]
pub struct Api {
    pub client: Client,
    pub url: String,
    pub token: Option<String>,
}

impl Api {
    /// A request whose answer is held against the OpenAPI document.
    pub fn to(&self, route: Route, params: &[&str]) -> Asked {
        let mut path = String::new();
        let mut params = params.iter();
        for part in route.path.split_inclusive(['/']) {
            if part.starts_with('{') {
                path += params.next().expect("a parameter for each brace");
                if part.ends_with('/') {
                    path += "/";
                }
            } else {
                path += part;
            }
        }
        let (path, query) = match params.next() {
            Some(query) => (path, format!("?{query}")),
            None => (path, String::new()),
        };
        let method = match route.method {
            routes::Method::Get => Method::GET,
            routes::Method::Post => Method::POST,
            routes::Method::Put => Method::PUT,
            routes::Method::Patch => Method::PATCH,
            routes::Method::Delete => Method::DELETE,
        };
        let request = self
            .client
            .request(method, format!("{}{path}{query}", self.url));
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Asked::new(route, request)
    }

    /// Path parameters first, then at most one query.
    pub async fn get<T: DeserializeOwned>(&self, route: Route, params: &[&str]) -> T {
        read(self.to(route, params).send().await.unwrap()).await
    }

    pub async fn json<T: DeserializeOwned>(
        &self,
        route: Route,
        params: &[&str],
        body: &impl Serialize,
    ) -> T {
        read(self.to(route, params).json(body).send().await.unwrap()).await
    }

    pub async fn problem(&self, route: Route, params: &[&str], body: &impl Serialize) -> Problem {
        problem_of(self.to(route, params).json(body).send().await.unwrap()).await
    }
}

pub async fn read<T: DeserializeOwned>(response: Response) -> T {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub async fn problem_of(response: Response) -> Problem {
    let status = response.status();
    let media = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert!(!status.is_success(), "{text}");
    assert_eq!(
        media.unwrap(),
        tessera_wire::problem::MEDIA_TYPE,
        "{status} {text}"
    );
    let problem: Problem =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(problem.status, status.as_u16());
    assert!(!problem.title.is_empty());
    problem
}

/// Messages of an event stream: (id, event). Comments are left out.
pub struct Events {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    pending: String,
}

impl Events {
    pub async fn open(api: &Api, query: &str, last_id: Option<&str>) -> Self {
        let mut request = api.to(routes::EVENTS, &[query]);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            bytes: response.bytes_stream().boxed(),
            pending: String::new(),
        }
    }

    /// None at the end of the stream.
    pub async fn next(&mut self) -> Option<(String, tessera_wire::event::Event)> {
        loop {
            if let Some((message, rest)) = self.pending.split_once("\n\n") {
                let field = |name: &str| {
                    message
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                let found = field("data:").map(|data| {
                    let event = serde_json::from_str(&data)
                        .unwrap_or_else(|error| panic!("{error}: {data}"));
                    contract::check_event(&data);
                    (field("id:").unwrap(), event)
                });
                self.pending = rest.to_owned();
                if found.is_some() {
                    return found;
                }
                continue;
            }
            let piece = soon(self.bytes.next()).await?.ok()?;
            self.pending += std::str::from_utf8(&piece).unwrap();
        }
    }
}
