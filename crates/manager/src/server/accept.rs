//! One task a connection, with bounds on how many there are, how slow they may be, and how long nobody need say who they are.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::guests::{Guest, Guests, Stay};
use crate::http::Peer;
use crate::identity::PeerCertificate;
use tessera_wire::subnet::{Subnet, lets_in};

/// Longest that a handshake may take: three round trips over the worst network, and no more.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest that a request's head may take, and that a connection may lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections at once: a link and one for results of each of some thousand workers, and those of clients. Who comes later
/// waits in the system's queue.
const CONNECTIONS_MAX: usize = 16_384;

/// File descriptors that are left to the record, the store and everything else.
const DESCRIPTORS_KEPT: u64 = 200;

/// Requests at once in one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Bytes of a request's head.
const HEAD_MAX_BYTES: usize = 32 * 1024;

/// Bytes that may be on their way in one stream and in one connection. What is on its way when a link is cut is lost, so a stream has
/// as much as 1 Gbit/s needs at 8 ms and no more.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// An HTTP/2 connection whose other end does not answer pings is dropped.
const PING: Duration = Duration::from_secs(20);

/// How long requests that run when the manager ends have to finish.
const GRACE: Duration = Duration::from_secs(5);

/// After an accept that failed (no descriptors left) it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Server {
    tls: TlsAcceptor,
    router: Router,
    allow_from: Arc<[Subnet]>,
    room: Arc<Semaphore>,
    guests: Guests,
    connections: TaskTracker,
    ending: CancellationToken,
}

impl Server {
    pub(crate) fn new(
        tls: Arc<ServerConfig>,
        router: Router,
        allow_from: &[Subnet],
        connections: TaskTracker,
        ending: CancellationToken,
    ) -> Self {
        let connections_max = connection_bound();
        Self {
            tls: TlsAcceptor::from(tls),
            router,
            allow_from: allow_from.into(),
            room: Arc::new(Semaphore::new(connections_max)),
            guests: Guests::new(connections_max, Stay::USUAL),
            connections,
            ending,
        }
    }

    fn may_connect(&self, stream: &TcpStream, address: SocketAddr) -> bool {
        stream
            .local_addr()
            .is_ok_and(|own| lets_in(&self.allow_from, address.ip(), own.ip()))
    }
}

/// As many as there are file descriptors for.
fn connection_bound() -> usize {
    #[cfg(unix)]
    let descriptors = descriptors(CONNECTIONS_MAX as u64 + DESCRIPTORS_KEPT);
    #[cfg(not(unix))]
    let descriptors: Option<u64> = None;
    let room = descriptors.map_or(u64::MAX, |limit| {
        limit.saturating_sub(DESCRIPTORS_KEPT).max(16)
    });
    usize::try_from(room)
        .unwrap_or(usize::MAX)
        .min(CONNECTIONS_MAX)
}

/// The bound on this process's file descriptors, none if there is none, after it was raised to `wanted` as far as the system
/// lets it: what shells set is usually 1024, meant for programs that cannot have more.
#[cfg(unix)]
fn descriptors(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let reachable = limit.maximum.unwrap_or(wanted).min(wanted);
    if limit.current.is_none_or(|current| current >= reachable) {
        return limit.current;
    }
    let raised = Rlimit {
        current: Some(reachable),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Some(reachable),
        Err(error) => {
            tracing::warn!("the number of open files cannot be raised to {reachable}: {error}");
            limit.current
        }
    }
}

/// Accepts until the manager ends.
pub(crate) async fn serve(server: Server, listener: TcpListener) {
    loop {
        let accepted = async {
            let room = Arc::clone(&server.room)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (stream, address) = listener.accept().await?;
            Ok::<_, io::Error>((stream, address, room))
        };
        let accepted = tokio::select! {
            () = server.ending.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address, room)) if server.may_connect(&stream, address) => {
                let guest = tokio::select! {
                    () = server.ending.cancelled() => return,
                    guest = server.guests.admit() => guest,
                };
                let admitted = Admitted {
                    address,
                    guest,
                    room,
                };
                let connections = server.connections.clone();
                connections.spawn(connection(server.clone(), stream, admitted));
            }
            Ok((_, address, _)) => {
                tracing::warn!(%address, "refused: it is of no network that --allow-from lets in");
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The other end of a connection that was let in.
struct Admitted {
    address: SocketAddr,
    guest: Guest,
    room: OwnedSemaphorePermit,
}

async fn connection(server: Server, stream: TcpStream, admitted: Admitted) {
    let address = admitted.address;
    // Small answers leave at once. A socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let handshake = timeout(HANDSHAKE_TIMEOUT, server.tls.accept(stream));
    let handshaken = tokio::select! {
        () = server.ending.cancelled() => return,
        () = admitted.guest.overstays() => return,
        handshaken = handshake => handshaken,
    };
    match handshaken {
        Ok(Ok(stream)) => {
            // A task of its own, so that what only the handshake needed is not kept for as long as the connection lasts: there
            // are thousands of them.
            let connections = server.connections.clone();
            connections.spawn(requests(server, Box::new(stream), admitted));
        }
        Ok(Err(error)) => tracing::debug!(%address, "handshake failed: {error}"),
        Err(_) => tracing::debug!(%address, "handshake took too long"),
    }
}

async fn requests(server: Server, stream: Box<TlsStream<TcpStream>>, admitted: Admitted) {
    let Admitted {
        address,
        guest,
        room: _room,
    } = admitted;
    let shown = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let certificate = match shown.map(PeerCertificate::read) {
        // Verified, and yet no worker's: issued by the farm for something that this version does not know.
        Some(None) => {
            return tracing::warn!(%address, "a certificate of the farm that is no worker's");
        }
        Some(certificate) => certificate,
        None => None,
    };
    let peer = Peer {
        address,
        certificate,
        guest,
    };
    converse(server.router, server.ending, stream, peer).await;
}

/// Answers requests until one side ends it, or a guest has stayed too long.
async fn converse(
    router: Router,
    ending: CancellationToken,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
) {
    let address = peer.address;
    let guest = peer.guest.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
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
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let mut connection =
        pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = guest.overstays() => {
            return tracing::debug!(%address, "nobody said in time who is there");
        }
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!(%address, "a request was cut off by the end"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, "connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A connection of HTTP/2 that asks for nothing, seen from outside until it is closed.
    #[tokio::test]
    async fn who_says_nothing_is_not_kept() {
        let guests = Guests::new(100, crate::guests::tests::SHORT);
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificate: None,
            guest: guests.admit().await,
        };
        let (mut outside, inside) = tokio::io::duplex(1 << 16);
        // The greeting, and settings that set nothing.
        let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        outside.write_all(greeting).await.unwrap();
        let ending = CancellationToken::new();
        let conversing = converse(Router::new(), ending, inside, peer);
        let mut heard = Vec::new();
        let listening = outside.read_to_end(&mut heard);
        let ((), listened) = tokio::join!(conversing, listening);
        listened.unwrap();
        assert!(!heard.is_empty(), "it was HTTP/2 until then");
    }

    #[test]
    fn there_is_room_for_some_and_not_for_all() {
        assert!((16..=CONNECTIONS_MAX).contains(&connection_bound()));
    }
}
