//! Connections of other workers: who shows no worker's certificate of this farm does not come past the handshake.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tessera_client::{WorkerCertificate, WorkerFarm, peer_server_config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::answer::{Shelves, router};
use super::book::PeerBook;
use crate::block_cache::BlockCache;
use crate::crew::Crew;

/// Connections at once: one of each worker that was told of this one. A manager names 16 to each, so each is named to 16 on average.
const CONNECTIONS_MAX: usize = 48;

/// Requests at once in one connection: what one worker asks at a time.
const STREAMS_MAX: u32 = 16;

/// Longest that a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest that a request's head may take, and that a connection may lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a request's head.
const HEAD_MAX_BYTES: usize = 8 * 1024;

/// A connection whose other end does not answer pings is dropped.
const PING: Duration = Duration::from_secs(10);

/// Bytes that wait to be sent in one stream.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// After an accept that failed (no descriptors left) it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves blocks of this worker's cache.
#[derive(Debug)]
pub(crate) struct PeerServer {
    pub listener: TcpListener,
    /// Its certificate is renewed now and then.
    pub farm: watch::Receiver<WorkerFarm>,
    pub book: Arc<PeerBook>,
    pub blocks: Arc<BlockCache>,
    pub crew: Crew,
}

impl PeerServer {
    /// Accepts until the worker ends.
    pub(crate) async fn run(mut self) {
        let router = router(Shelves::new(Arc::clone(&self.book), self.blocks));
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(turn) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, from)) if self.book.may_connect(&stream, from) => stream,
                Ok((_, from)) => {
                    tracing::warn!(%from, "refused: the farm does not let this address in");
                    continue;
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection of a worker: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let identity = self.farm.borrow_and_update().identity.clone();
            let tls = match peer_server_config(&identity) {
                Ok(tls) => TlsAcceptor::from(Arc::new(tls)),
                Err(error) => {
                    tracing::warn!("no worker can be given blocks: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let router = router.clone();
            self.crew.spawn("connection of a worker", async move {
                let _turn = turn;
                connection(tls, router, stream).await;
            });
        }
    }
}

async fn connection(tls: TlsAcceptor, router: Router, stream: TcpStream) {
    // A socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("handshake of a worker failed: {error}"),
        Err(_) => return tracing::debug!("handshake of a worker took too long"),
    };
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| WorkerCertificate::read(chain.first()?));
    let Some(certificate) = certificate else {
        return tracing::warn!("a certificate of the farm that is no worker's");
    };
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(certificate.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX_BYTES as u32)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    if let Err(error) = serving.await {
        tracing::debug!("connection of a worker ended: {error}");
    }
}
