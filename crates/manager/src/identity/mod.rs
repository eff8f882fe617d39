//! Who is who.
//!
//! - `secret`: random secrets and their hashes.
//! - `authority`: the farm's certificate authority; it signs what workers and the server show.
//! - `server_certificate`: what the server shows: its own certificate or the owner's, kept fresh.
//! - `peer`: what a verified client certificate says.
//! - `index`: the recorded credentials in memory, for verifying.
//! - `tries`: how often someone may guess a pairing code.

mod authority;
mod index;
mod peer;
pub(crate) mod secret;
mod server_certificate;
mod tries;

pub(crate) use authority::{Authority, IssuedCertificate, WorkerRequest};
pub(crate) use index::{Index, SharedIndex};
pub(crate) use peer::PeerCertificate;
pub(crate) use server_certificate::ServedCertificate;
pub(crate) use tries::{Guess, Tries};
