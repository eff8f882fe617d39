//! The worker: keeps living Blenders and renders what the manager leases to it.
//!
//! [`join`] makes a machine a worker of a farm, [`run`] works for it. Inside, everything that happens is told to one
//! synchronous state, the desk, behind the hub's lock; it decides, and the tasks around it do:
//!
//! - `link` keeps the WebSocket to the manager, `uplink` says where the manager's HTTP API is while there is one,
//!   `renewal` keeps the certificate fresh;
//! - `trees` brings jobs' files and lays them out, while other frames render; `block_cache` keeps their blocks within a limit;
//! - `peers` gives blocks to other workers, and knows whom to ask;
//! - `slot` has one living Blender and renders a frame at a time, with nothing between two frames but a round trip;
//! - `deliver` hashes, sends and reports what was rendered, for as long as it takes, also after a restart;
//! - `hours` and `presence` let the worker rest when its owner wants the machine;
//! - `log_tail` answers who watches a frame's log while it renders.
//!
//! What is absent: no frame's fate depends on the link, no picture is looked at, and nothing is known of other workers.

mod backoff;
mod blenders;
mod block_cache;
mod config;
mod crew;
mod deliver;
mod desk;
mod error;
mod failure;
mod frame_dir;
mod gpu_load;
mod gpu_memory;
mod hours;
mod hub;
mod join;
mod link;
mod log_tail;
mod machine;
pub mod part;
mod peers;
mod presence;
mod pyramids;
mod renewal;
mod run;
mod slot;
mod status;
mod trees;
mod uplink;

pub use blenders::default_name;
pub use config::{CACHE_MAX_BYTES, WorkerConfig, identity_path};
pub use error::{JoinError, WorkerError};
pub use hours::{Hours, HoursError};
pub use join::join;
pub use peers::PeerListen;
pub use run::run;
pub use status::{LinkStatus, SlotStatus, Status};
pub use tessera_client::WorkerFarm;
