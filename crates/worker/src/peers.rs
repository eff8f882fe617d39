//! Blocks from worker to worker, so that a farm's files leave the manager about once.
//!
//! - `book`: what this worker knows of others: who is to be asked for which tree, who is left aside for a while, whose certificates
//!   are void.
//! - `crowd`: those that can be asked for one tree, while it is being brought.
//! - `listen`: where others ask this worker; `serve`: their connections; `answer`: the two questions they can ask.
//!
//! Both ends show the certificates that the farm gave them as workers, and each block is verified by its digest before it enters the
//! cache, so another worker can withhold bytes and not falsify them. What can be asked for is blocks by digest, of the cache of
//! blocks: no path, no list, no name leads to anything else. Any worker of the farm could have them from the manager as well.
//!
//! Who may ask is known while this worker is linked to its manager: by the greeting and by each certificate that becomes void after
//! it. Without a link nobody is answered.

mod answer;
mod book;
mod crowd;
mod listen;
mod serve;

pub(crate) use book::{PeerBook, Trouble};
pub(crate) use crowd::{Crowd, Peer};
pub use listen::PeerListen;
pub(crate) use listen::listen;
pub(crate) use serve::PeerServer;
