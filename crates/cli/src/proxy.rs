//! A loopback door to the manager's web page.
//!
//! A browser knows neither the farm's CA nor the user's token, and should not: this proxy listens on a loopback
//! port for as long as `tessera web` runs, adds the token and checks the manager's certificate as every
//! command does. Any program and any web page on this machine can reach a loopback port, so the [`guard`] lets in only the
//! browser that opened the link that was printed.

mod guard;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use tessera_client::Api;
use tessera_wire::routes;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use guard::{Entry, Guard};

/// Largest body that is passed on to the manager, in bytes: beside files, the page sends small JSON documents.
const BODY_MAX: usize = 4 << 20;

/// Headers of one connection (RFC 9110, 7.6.1), and those that are this proxy's own affair.
const NOT_PASSED: [HeaderName; 10] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::HOST,
    header::COOKIE,
    header::SET_COOKIE,
    header::ORIGIN,
    header::CONTENT_LENGTH,
];

/// A door that is open.
pub(crate) struct Proxy {
    listener: TcpListener,
    guard: Arc<Guard>,
    api: Api,
}

#[derive(Clone)]
struct Shared {
    guard: Arc<Guard>,
    api: Api,
}

impl Proxy {
    /// Opens it.
    pub(crate) async fn bind(api: Api) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .context("cannot open a port on the loopback address")?;
        let port = listener
            .local_addr()
            .context("cannot tell the port")?
            .port();
        let guard = Arc::new(Guard::new(port).context("the system gives no random numbers")?);
        Ok(Self {
            listener,
            guard,
            api,
        })
    }

    /// The address to open once in a browser.
    pub(crate) fn url(&self) -> String {
        self.guard.url()
    }

    /// Serves until the end.
    pub(crate) async fn serve(self, end: CancellationToken) -> Result<()> {
        let shared = Shared {
            guard: self.guard,
            api: self.api,
        };
        let router = Router::new().fallback(answer).with_state(shared);
        // Event streams never end by themselves: the server is dropped, not drained.
        tokio::select! {
            () = end.cancelled() => Ok(()),
            served = axum::serve(self.listener, router) => served.context("the loopback port was closed"),
        }
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    match shared.guard.check(request.uri().path(), request.headers()) {
        Entry::Refused(reason) => (
            StatusCode::FORBIDDEN,
            [(header::CACHE_CONTROL, "no-store")],
            reason,
        )
            .into_response(),
        Entry::Welcome { cookie } => (
            StatusCode::SEE_OTHER,
            [
                (header::LOCATION, "/".to_owned()),
                (header::SET_COOKIE, cookie),
                (header::CACHE_CONTROL, "no-store".to_owned()),
                (header::REFERRER_POLICY, "no-referrer".to_owned()),
            ],
        )
            .into_response(),
        Entry::Known => match pass_on(&shared.api, request).await {
            Ok(response) => response,
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")).into_response(),
        },
    }
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut out = HeaderMap::new();
    for (name, value) in headers {
        if !NOT_PASSED.contains(name) && !named.iter().any(|other| other == name.as_str()) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// Whether a request sends a file, whose bounds are the manager's to say.
fn is_file(method: &Method, path: &str) -> bool {
    method == Method::PUT && path == routes::FILE_PUT.path
}

/// A body that is passed on while it arrives. Of several made of the same pieces, each goes on where the one before ended.
fn as_it_comes(pieces: &Arc<Mutex<BodyDataStream>>) -> reqwest::Body {
    let pieces = Arc::clone(pieces);
    reqwest::Body::wrap_stream(stream::unfold(pieces, async |pieces| {
        let piece = pieces.lock().await.next().await?;
        Some((piece, pieces))
    }))
}

async fn pass_on(api: &Api, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let headers = passed(&parts.headers);
    let answer = if is_file(&parts.method, parts.uri.path()) {
        let pieces = Arc::new(Mutex::new(body.into_data_stream()));
        api.forward(parts.method, path, headers, || as_it_comes(&pieces))
            .await?
    } else {
        let bytes = axum::body::to_bytes(body, BODY_MAX)
            .await
            .context("the request is larger than the page ever sends")?;
        api.forward(parts.method, path, headers, || bytes.clone().into())
            .await?
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = passed(answer.headers());
    let framed = HeaderValue::from_static("DENY");
    response
        .headers_mut()
        .insert(header::X_FRAME_OPTIONS, framed);
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}

#[cfg(test)]
mod tests;
