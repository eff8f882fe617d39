//! Opens the sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tessera_wire::DEFAULT_PORT;
use tokio::net::TcpListener;

use crate::ManagerError;

/// Connections that the system keeps until they are accepted: a whole farm may come back in one moment.
const BACKLOG: i32 = 1024;

/// Listens at each of `addresses`; at every IPv4 and IPv6 address on the usual port if there are none.
///
/// # Errors
/// If one cannot be had. A system without IPv6 is no error unless it was asked for.
pub(crate) fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ManagerError> {
    if !addresses.is_empty() {
        return addresses.iter().map(|&address| open(address)).collect();
    }
    let v4 = open((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into())?;
    let mut listeners = vec![v4];
    match open((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT).into()) {
        Ok(v6) => listeners.push(v6),
        Err(error @ ManagerError::PortTaken { .. }) => return Err(error),
        Err(error) => tracing::info!("without IPv6: {error}"),
    }
    Ok(listeners)
}

fn open(address: SocketAddr) -> Result<TcpListener, ManagerError> {
    bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ManagerError::PortTaken { address },
        _ => ManagerError::Listen { address, source },
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // Its IPv4 half is a socket of its own, so that an IPv4 address is seen as one.
        socket.set_only_v6(true)?;
    }
    // A manager that was restarted must not wait for its old connections to be forgotten. Elsewhere it would mean to
    // share the port with another program.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = listen(&[any]).unwrap();
        let taken = first[0].local_addr().unwrap();
        let error = listen(&[taken]).unwrap_err();
        assert!(matches!(error, ManagerError::PortTaken { address } if address == taken));
        let text = error.to_string();
        assert!(
            text.contains(&taken.port().to_string()) && text.contains("--listen"),
            "{text}"
        );
        let nowhere = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(
            listen(&[nowhere]),
            Err(ManagerError::Listen { .. })
        ));
    }
}
