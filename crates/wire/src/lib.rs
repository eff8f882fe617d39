//! What crosses the network, and nothing that moves it.
//!
//! Requests and answers of the HTTP API ([`api`]), the literal list of its routes, who may use them and what each
//! takes and answers ([`routes`], [`query`]), all of it as an OpenAPI document ([`openapi`]), the settings of a running farm by name ([`farm_settings`]), why nothing happens ([`why`]), what a manager announces on the local network ([`discovery`]), the messages of a worker's link ([`link`]), what the farm tells those who
//! watch ([`event`]), what uses the space ([`store`]), who is told of what ([`notify`]), who may come from where ([`subnet`]), the lines a program reads from the command line ([`line`]), pairing codes
//! ([`pairing`]), what workers ask each other ([`peer`]) and the problem document every error travels as ([`problem`]).
//!
//! Everything here is versioned by [`PROTOCOL`]: a manager accepts workers of its own number and
//! of the one before. Fields may be added where serde defaults them; anything else is a new number.

pub mod api;
pub mod blob;
pub mod discovery;
pub mod event;
pub mod farm_settings;
pub mod line;
pub mod link;
pub mod notify;
pub mod openapi;
pub mod pairing;
pub mod peer;
pub mod problem;
pub mod query;
pub mod routes;
pub mod store;
pub mod subnet;
pub mod why;

/// Version of the protocol between the parts of a farm. 2: workers give each other blocks, and are told of each other. 3: they render
/// parts of frames and put them together.
pub const PROTOCOL: u32 = 3;

/// The oldest version a manager of this build still works with.
pub const PROTOCOL_OLDEST: u32 = 2;

/// DNS name every manager's own certificate carries, so that it can be checked whatever address it was reached by.
pub const MANAGER_NAME: &str = "manager.tessera.internal";

/// mDNS service type a manager announces.
pub const MDNS_SERVICE: &str = "_tessera._tcp.local.";

/// TCP port a manager listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7373;
