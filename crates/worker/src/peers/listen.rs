//! Where others ask this worker for blocks.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::error::WorkerError;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeerListen {
    /// Nowhere: it gives nothing to other workers, and still takes from them.
    Off,
    /// At every address of this machine, on a port that the system chooses.
    #[default]
    Anywhere,
    /// At this one. Port 0: one that the system chooses.
    At(SocketAddr),
}

impl FromStr for PeerListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "off" => return Ok(Self::Off),
            "auto" => return Ok(Self::Anywhere),
            _ => {}
        }
        if let Ok(port) = text.parse() {
            return Ok(Self::At((Ipv4Addr::UNSPECIFIED, port).into()));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!(
                "'{text}' is no place to listen at: write ADDRESS:PORT, a port, auto (any free port) or off"
            )
        })
    }
}

impl fmt::Display for PeerListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Anywhere => f.write_str("auto"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// Listens there, and says where that is.
///
/// # Errors
/// If the address that was asked for cannot be had. Without any, the worker goes on alone.
pub(crate) async fn listen(
    place: PeerListen,
) -> Result<Option<(TcpListener, SocketAddr)>, WorkerError> {
    let bound = match place {
        PeerListen::Off => return Ok(None),
        PeerListen::At(address) => bind(address)
            .await
            .map_err(|source| WorkerError::Listen { address, source })?,
        PeerListen::Anywhere => {
            // The first takes IPv4 too; a system may have no IPv6.
            let all = match bind((Ipv6Addr::UNSPECIFIED, 0).into()).await {
                Ok(all) => Ok(all),
                Err(_) => bind((Ipv4Addr::UNSPECIFIED, 0).into()).await,
            };
            match all {
                Ok(all) => all,
                Err(error) => {
                    tracing::warn!("cannot listen for other workers: {error}");
                    return Ok(None);
                }
            }
        }
    };
    Ok(Some(bound))
}

async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["off", "auto", "10.0.0.1:7400", "[::1]:0"] {
            assert_eq!(text.parse::<PeerListen>().unwrap().to_string(), text);
        }
        assert_eq!(
            "7400".parse::<PeerListen>().unwrap().to_string(),
            "0.0.0.0:7400"
        );
        let error = "here".parse::<PeerListen>().unwrap_err();
        assert!(error.contains("'here'") && error.contains("off"), "{error}");
    }

    #[tokio::test]
    async fn a_place_that_is_taken_is_named_with_what_to_do() {
        let (_held, taken) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = listen(PeerListen::At(taken)).await.unwrap_err().to_string();
        assert!(
            error.contains(&taken.to_string()) && error.contains("--peer-listen"),
            "{error}"
        );
        assert!(listen(PeerListen::Off).await.unwrap().is_none());
        assert!(listen(PeerListen::Anywhere).await.unwrap().is_some());
    }
}
