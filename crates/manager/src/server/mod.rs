//! Sockets, TLS and connections. The accept loop is our own, so that handlers see the certificate a worker showed.
//!
//! - `listen`: opens the sockets; a taken port is said so.
//! - `tls`: what is asked of and shown to the other end.
//! - `accept`: one task a connection, with bounds on how many and how slow.

mod accept;
mod listen;
mod tls;

pub(crate) use accept::{Server, serve};
pub(crate) use listen::listen;
pub(crate) use tls::server_config;
