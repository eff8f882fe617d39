//! The manager: decides, records, and serves bytes by digest; it never decodes a pixel.
//!
//! [`run`] opens a data folder and serves a farm from it until it is told to stop; the command line is a thin face
//! of it, and a private farm is the same call in the process of the command.
//!
//! - `config`, `run`, `running`, `error`: what goes in, what it does in which order, what is known once it runs.
//! - `data_dir`, `local_file`: files of the farm that are not the record or blobs.
//! - `identity`: who is who. The farm's certificate authority, the server's certificate, tokens, pairing codes.
//! - `engine`: the one task that owns the scheduler; it commits before anything leaves.
//! - `keeper`: what the block store keeps; gives back the rest.
//! - `links`, `events`, `views`: what leaves: orders to workers, news to watchers, answers to questions.
//! - `notify`: tells people who do not look on, by webhook, mail and chat.
//! - `server`: sockets, TLS, connections. `http`: routes, access, handlers.
//! - `discovery`, `addresses`: how the farm is found.

mod addresses;
mod clock;
mod config;
mod data_dir;
mod discovery;
mod engine;
mod error;
mod events;
mod guests;
mod http;
mod identity;
mod keeper;
mod links;
mod local_file;
mod metrics;
mod notify;
mod run;
mod running;
mod server;
mod views;

pub use config::{ManagerConfig, OwnCertificate};
pub use error::ManagerError;
pub use local_file::LocalFile;
pub use run::run;
pub use running::Running;
