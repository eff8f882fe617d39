//! A worker's WebSocket to its manager, over the same TLS as everything else.
//!
//! It is dialled here and not through the HTTP client, so that its buffers can be small: a manager holds one for every worker.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::ServerName;
use tessera_wire::link::{FromWorker, MESSAGE_MAX, ToWorker};
use tessera_wire::problem::Problem;
use tessera_wire::routes;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::address::host_and_port;
use crate::api::{Api, ApiError, Repeat};
use crate::connect::{CONNECT_TIMEOUT, ConnectError};

/// Bytes read at once; heartbeats and leases are small, larger messages take several reads.
const READ_BUFFER_BYTES: usize = 4096;

/// A link that carried nothing for so long is cut: the manager pings every ten seconds. Short enough that a worker behind a
/// dead gateway is back before its units are handed out again.
const LINK_SILENCE: Duration = Duration::from_secs(20);

/// Longest that a message may take to leave: a manager that does not read is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A link that is not there, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] ApiError),
    /// Nothing was heard for too long, not even a ping.
    #[error("the manager at {address} has said nothing for {} s: the link counts as cut", LINK_SILENCE.as_secs())]
    Silent {
        /// Address.
        address: String,
    },
    /// It broke.
    #[error("the link to the manager at {address} was cut")]
    Cut {
        /// Address.
        address: String,
        /// How.
        source: tungstenite::Error,
    },
    /// The manager says what this program does not understand.
    #[error(
        "a message of the manager at {address} cannot be read: use the same version of Tessera on both sides"
    )]
    Message {
        /// Address.
        address: String,
        /// Where it stops making sense.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An open link.
#[derive(Debug)]
pub struct Link {
    address: String,
    socket: Socket,
}

/// The speaking half of a link.
#[derive(Debug)]
pub struct LinkSender {
    address: String,
    sink: SplitSink<Socket, Message>,
}

/// The hearing half of a link.
#[derive(Debug)]
pub struct LinkReceiver {
    address: String,
    stream: SplitStream<Socket>,
}

impl Api {
    /// Opens the worker's link, at the addresses in turn. Needs a worker's certificate.
    ///
    /// # Errors
    /// As any request; a refusal of the manager comes as its problem.
    pub async fn link(&self) -> Result<Link, LinkError> {
        let mut turns = self.turns(Repeat::Safe)?;
        loop {
            let address = turns.address();
            let error = match tokio::time::timeout(CONNECT_TIMEOUT, self.dial(address)).await {
                Ok(Ok(socket)) => {
                    turns.answered();
                    return Ok(Link {
                        address: address.to_owned(),
                        socket,
                    });
                }
                Ok(Err(error)) => error,
                Err(_) => ConnectError::TimedOut {
                    address: address.to_owned(),
                }
                .into(),
            };
            turns.failed(error).await?;
        }
    }

    async fn dial(&self, address: &str) -> Result<Socket, ApiError> {
        let (host, port) = host_and_port(address).map_err(ConnectError::Address)?;
        let nest = |error: std::io::Error| ConnectError::from_nest(address, Box::new(error));
        let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|source| ConnectError::NoHost {
                address: address.to_owned(),
                source: Some(source),
            })?
            .collect();
        let tcp = TcpStream::connect(&addresses[..]).await.map_err(nest)?;
        tcp.set_nodelay(true).map_err(nest)?;
        let name = ServerName::try_from(host)
            .map_err(|error| ConnectError::from_nest(address, Box::new(error)))?;
        let mut tls = self.tls().clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TlsConnector::from(std::sync::Arc::new(tls))
            .connect(name, tcp)
            .await
            .map_err(nest)?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 2 * MESSAGE_MAX;
        config.max_message_size = Some(MESSAGE_MAX);
        config.max_frame_size = Some(MESSAGE_MAX);
        let url = format!(
            "{}{}",
            address.replacen("https", "wss", 1),
            routes::LINK.path
        );
        match client_async_with_config(url, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(opening_error(address, error)),
        }
    }
}

fn opening_error(address: &str, error: tungstenite::Error) -> ApiError {
    match error {
        tungstenite::Error::Http(response) => {
            let status = response.status().as_u16();
            match response
                .body()
                .as_deref()
                .map(serde_json::from_slice::<Problem>)
            {
                Some(Ok(problem)) => ApiError::Problem {
                    address: address.to_owned(),
                    problem: Box::new(problem),
                },
                _ => ApiError::NotManager {
                    address: address.to_owned(),
                    status,
                },
            }
        }
        other => ConnectError::from_nest(address, Box::new(other)).into(),
    }
}

impl Link {
    /// The manager's address that the link leads to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Parts it, so that speaking never waits for hearing.
    #[must_use]
    pub fn split(self) -> (LinkSender, LinkReceiver) {
        let (sink, stream) = self.socket.split();
        (
            LinkSender {
                address: self.address.clone(),
                sink,
            },
            LinkReceiver {
                address: self.address,
                stream,
            },
        )
    }
}

impl LinkSender {
    /// Says one message.
    ///
    /// # Errors
    /// If the link is cut or the manager does not read.
    pub async fn send(&mut self, message: &FromWorker) -> Result<(), LinkError> {
        let text = serde_json::to_string(message)
            .expect("messages have no maps with keys that JSON lacks");
        match tokio::time::timeout(SEND_TIMEOUT, self.sink.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(LinkError::Cut {
                address: self.address.clone(),
                source,
            }),
            Err(_) => Err(LinkError::Silent {
                address: self.address.clone(),
            }),
        }
    }

    /// Says goodbye. A link that is cut already is as good.
    pub async fn close(&mut self) {
        if let Ok(Err(error)) = tokio::time::timeout(SEND_TIMEOUT, self.sink.close()).await {
            tracing::debug!(%error, "the link was cut before it was closed");
        }
    }
}

impl LinkReceiver {
    /// The next message; none if the manager closed the link.
    ///
    /// # Errors
    /// If the link is cut, silent for too long, or says what cannot be read. Nothing follows but the end.
    pub async fn next(&mut self) -> Result<Option<ToWorker>, LinkError> {
        loop {
            let heard = tokio::time::timeout(LINK_SILENCE, self.stream.next()).await;
            let unreadable = |source| LinkError::Message {
                address: self.address.clone(),
                source,
            };
            match heard {
                Err(_) => {
                    return Err(LinkError::Silent {
                        address: self.address.clone(),
                    });
                }
                Ok(None | Some(Ok(Message::Close(_)))) => return Ok(None),
                Ok(Some(Err(
                    tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed,
                ))) => return Ok(None),
                Ok(Some(Err(source))) => {
                    return Err(LinkError::Cut {
                        address: self.address.clone(),
                        source,
                    });
                }
                Ok(Some(Ok(Message::Text(text)))) => {
                    return serde_json::from_str(&text)
                        .map(Some)
                        .map_err(|error| unreadable(Box::new(error)));
                }
                Ok(Some(Ok(Message::Binary(_)))) => {
                    return Err(unreadable("it is not text".into()));
                }
                // Pings are answered by the library; hearing them is what counts.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
            }
        }
    }
}
