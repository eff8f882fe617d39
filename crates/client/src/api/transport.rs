//! One request: which address, which credentials, how long, how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use tessera_wire::problem::{MEDIA_TYPE, Problem};
use tessera_wire::routes::Method;

use super::ApiError;
use super::call::Call;
use super::meter::{Meter, Traffic};
use super::turns::{Repeat, Turns};
use crate::Bandwidth;
use crate::address::{AddressError, normalise_address};
use crate::connect::{CONNECT_TIMEOUT, ConnectError};
use crate::retry::Retry;
use crate::trust::{Identity, Trust, TrustError};

/// Longest silence of a manager in the middle of a request: it answers at once or streams.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that may be on their way from a manager.
const WINDOW_BYTES: u32 = 1 << 20;

/// Largest JSON answer that is read: pages of a thousand entries stay far below.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// Where a farm is, whom to believe there, and as whom to speak.
#[derive(Debug, Clone)]
pub struct Access {
    /// Addresses (`https://HOST:PORT`) of the farm's managers, tried in turn.
    pub addresses: Vec<String>,
    /// Whom to believe.
    pub trust: Trust,
    /// As whom to speak.
    pub credentials: Credentials,
}

/// As whom a request speaks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody: only public routes answer.
    None,
    /// A user with this bearer token.
    Token(String),
    /// A worker with this certificate.
    Certificate(Identity),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(withheld)",
            Self::Certificate(_) => "Certificate(withheld)",
        })
    }
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    tls: rustls::ClientConfig,
    addresses: Vec<String>,
    /// Index of the address that answered last.
    current: AtomicUsize,
    authorization: Option<HeaderValue>,
}

/// Client of one farm's managers. Clones share connections and counters.
#[derive(Debug, Clone)]
pub struct Api {
    inner: Arc<Inner>,
    retry: Retry,
    bandwidth: Bandwidth,
    meter: Arc<Meter>,
}

impl Api {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// If the trust or the identity cannot be used.
    pub fn new(access: Access) -> Result<Self, TrustError> {
        let identity = match &access.credentials {
            Credentials::Certificate(identity) => Some(identity),
            Credentials::None | Credentials::Token(_) => None,
        };
        let tls = access.trust.client_config(identity)?;
        Ok(Self::with_tls(access.addresses, &access.credentials, tls))
    }

    pub(crate) fn with_tls(
        addresses: Vec<String>,
        credentials: &Credentials,
        tls: rustls::ClientConfig,
    ) -> Self {
        let authorization = match credentials {
            Credentials::Token(token) => HeaderValue::from_str(&format!("Bearer {token}"))
                .ok()
                .map(|mut value| {
                    value.set_sensitive(true);
                    value
                }),
            Credentials::None | Credentials::Certificate(_) => None,
        };
        let mut http_tls = tls.clone();
        http_tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(http_tls)
            .https_only(true)
            // A farm is on the local network or a VPN: a proxy of the environment is not on the way.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(60))
            // What is on its way when a link is cut is lost: as much as 1 Gbit/s needs at 8 ms and no more.
            .http2_initial_stream_window_size(WINDOW_BYTES)
            .http2_initial_connection_window_size(WINDOW_BYTES)
            // A link that was cut tells nobody: without these, a request on it would wait for its own time-out.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the options above exclude each other in no way");
        let inner = Inner {
            http,
            tls,
            addresses: addresses
                .iter()
                .map(|text| normalise_address(text).unwrap_or_else(|_| text.clone()))
                .collect(),
            current: AtomicUsize::new(0),
            authorization,
        };
        Self {
            inner: Arc::new(inner),
            retry: Retry::once(),
            bandwidth: Bandwidth::default(),
            meter: Arc::default(),
        }
    }

    /// The same client with another patience.
    #[must_use]
    pub fn retrying(&self, retry: Retry) -> Self {
        Self {
            retry,
            ..self.clone()
        }
    }

    /// The same client with a limit on how fast blocks travel.
    #[must_use]
    pub fn limited(&self, bandwidth: Bandwidth) -> Self {
        Self {
            bandwidth,
            ..self.clone()
        }
    }

    /// The same client with a [`traffic`](Self::traffic) that begins at zero; it counts into this one's too.
    #[must_use]
    pub fn metered(&self) -> Self {
        Self {
            meter: Arc::new(self.meter.part()),
            ..self.clone()
        }
    }

    /// The address that answered last, or the first one.
    #[must_use]
    pub fn address(&self) -> &str {
        self.inner
            .addresses
            .get(self.inner.current.load(Ordering::Relaxed))
            .map_or("", String::as_str)
    }

    /// All addresses it tries.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.inner.addresses
    }

    /// Bytes of all bodies so far, of this client and its clones.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }

    pub(crate) fn tls(&self) -> &rustls::ClientConfig {
        &self.inner.tls
    }

    pub(super) fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.meter.sent(bytes);
    }

    pub(crate) fn retry(&self) -> &Retry {
        &self.retry
    }

    pub(crate) fn turns(&self, repeat: Repeat) -> Result<Turns<'_>, ApiError> {
        Turns::new(
            &self.inner.addresses,
            &self.inner.current,
            repeat,
            self.retry.begin(),
        )
    }

    /// Sends a call and hands back an answer that is a success; its body is still to be read.
    pub(crate) async fn send(&self, call: &Call) -> Result<(String, Response), ApiError> {
        let mut turns = self.turns(call.repeat)?;
        loop {
            match self.send_to(turns.address(), call).await {
                Ok(response) => {
                    turns.answered();
                    return Ok((turns.address().to_owned(), response));
                }
                Err(error) => turns.failed(error).await?,
            }
        }
    }

    /// A request in this client's name.
    pub(super) fn request(
        &self,
        method: reqwest::Method,
        address: &str,
        path: &str,
        headers: HeaderMap,
    ) -> reqwest::RequestBuilder {
        let request = self
            .inner
            .http
            .request(method, format!("{address}{path}"))
            .headers(headers);
        match &self.inner.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    async fn send_to(&self, address: &str, call: &Call) -> Result<Response, ApiError> {
        let method = match call.route.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.request(method, address, &call.path, call.headers.clone());
        if let Some((body, media_type)) = &call.body {
            self.meter.sent(body.len());
            request = request.header(CONTENT_TYPE, *media_type).body(body.clone());
        }
        let body_bytes = call.body.as_ref().map_or(0, |(body, _)| body.len());
        let patience = call.patience + sending_time(body_bytes);
        let response = match tokio::time::timeout(patience, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(request_error(address, call, error)),
            Err(_) => {
                return Err(ApiError::TimedOut {
                    address: address.to_owned(),
                    what: call.what(),
                });
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(address.to_owned(), response).await)
    }

    pub(super) async fn refusal(&self, address: String, response: Response) -> ApiError {
        let status = response.status();
        let ours = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(MEDIA_TYPE));
        if !ours {
            return ApiError::NotManager {
                address,
                status: status.as_u16(),
            };
        }
        match self.body(&address, "a refusal", response).await {
            Ok(bytes) => match serde_json::from_slice::<Problem>(&bytes) {
                Ok(problem) => ApiError::Problem {
                    address,
                    problem: Box::new(problem),
                },
                Err(source) => ApiError::Answer {
                    address,
                    what: format!("a request (HTTP status {status})"),
                    source: Box::new(source),
                },
            },
            Err(error) => error,
        }
    }

    /// The whole body of an answer, bounded in bytes and in silence.
    pub(crate) async fn body(
        &self,
        address: &str,
        what: &str,
        mut response: Response,
    ) -> Result<Bytes, ApiError> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk(address, what, &mut response).await? {
            if whole.len() + chunk.len() > ANSWER_MAX_BYTES {
                let source = format!("it is longer than {ANSWER_MAX_BYTES} bytes").into();
                return Err(ApiError::Answer {
                    address: address.to_owned(),
                    what: what.to_owned(),
                    source,
                });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.into())
    }

    /// The next bytes of an answer; none at its end.
    pub(crate) async fn chunk(
        &self,
        address: &str,
        what: &str,
        response: &mut Response,
    ) -> Result<Option<Bytes>, ApiError> {
        match tokio::time::timeout(IDLE_TIMEOUT, response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.meter.received(chunk.as_ref().map_or(0, Bytes::len));
                Ok(chunk)
            }
            Ok(Err(source)) => Err(ApiError::Cut {
                address: address.to_owned(),
                what: what.to_owned(),
                source: Box::new(source),
            }),
            Err(_) => Err(ApiError::TimedOut {
                address: address.to_owned(),
                what: what.to_owned(),
            }),
        }
    }

    /// Sends a call and reads its JSON answer.
    ///
    /// The answer is read within the try: a connection that is cut in the middle of it is tried again like one never made.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ApiError> {
        let mut turns = self.turns(call.repeat)?;
        loop {
            match self.json_from(turns.address(), &call).await {
                Ok(answer) => {
                    turns.answered();
                    return Ok(answer);
                }
                Err(error) => turns.failed(error).await?,
            }
        }
    }

    async fn json_from<T: DeserializeOwned>(
        &self,
        address: &str,
        call: &Call,
    ) -> Result<T, ApiError> {
        let response = self.send_to(address, call).await?;
        let bytes = self.body(address, &call.what(), response).await?;
        serde_json::from_slice(&bytes).map_err(|source| ApiError::Answer {
            address: address.to_owned(),
            what: call.what(),
            source: Box::new(source),
        })
    }

    /// Sends a call whose answer says nothing but that it was done.
    pub(crate) async fn done(&self, call: Call) -> Result<(), ApiError> {
        self.send(&call).await.map(|_| ())
    }
}

/// How long a request of so many bytes may take to be sent, at a pace that the slowest network in use keeps (1 Mbit/s).
fn sending_time(body_bytes: usize) -> Duration {
    Duration::from_secs(body_bytes as u64 / 125_000)
}

pub(super) fn request_error(address: &str, call: &Call, error: reqwest::Error) -> ApiError {
    if error.is_builder() {
        let text = address.to_owned();
        let why = "it is not one that can be connected to".to_owned();
        return ConnectError::Address(AddressError { text, why }).into();
    }
    if error.is_connect() {
        return ConnectError::from_nest(address, Box::new(error)).into();
    }
    // In TLS 1.3 a client's certificate is refused after the handshake, hence with the first answer.
    match ConnectError::from_nest(address, Box::new(error)) {
        refused @ ConnectError::IdentityRefused { .. } => refused.into(),
        ConnectError::TimedOut { address } => ApiError::TimedOut {
            address,
            what: call.what(),
        },
        ConnectError::Cut { address, source } => ApiError::Cut {
            address,
            what: call.what(),
            source,
        },
        other => ApiError::Cut {
            address: address.to_owned(),
            what: call.what(),
            source: Box::new(other),
        },
    }
}
