//! Typed client of a manager: pairing, packing, transfer, discovery.

mod address;
mod api;
mod connect;
mod events;
mod link_socket;
mod retry;
mod trust;

pub use address::{AddressError, normalise_address};
pub use api::{Access, Api, ApiError, BlockStream, Credentials, LogPart, Traffic};
pub use connect::ConnectError;
pub use events::{EventFilter, Events};
pub use link_socket::{Link, LinkError, LinkReceiver, LinkSender};
pub use retry::{Outage, Retry};
pub use trust::{Identity, Trust, TrustError, fingerprint_of};
