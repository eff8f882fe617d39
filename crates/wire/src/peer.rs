//! What one worker asks another: which blocks it has, and those blocks. Nothing else can be asked there.
//!
//! Both ends show the certificates that the farm gave them as workers, and each is known by the name in it.

use serde::{Deserialize, Serialize};
use tessera_blobs::Digest;
use tessera_model::WorkerId;

use crate::routes::{Access, Method, Route};

/// [`Have`] → [`Held`].
pub const HAVE: Route = Route {
    method: Method::Post,
    path: "/peer/v1/have",
    access: Access::Worker,
};

/// [`Digests`](crate::api::Digests), at most [`ASKED_MAX`] → framed blocks, without those that are not there.
pub const FETCH: Route = Route {
    method: Method::Post,
    path: "/peer/v1/blocks",
    access: Access::Worker,
};

/// Most blocks that are asked about or for at once: some MB of a .blend, some hundred of a texture.
pub const ASKED_MAX: usize = 256;

/// What the name in a worker's certificate begins with.
const NAME_PREFIX: &str = "worker-";

/// The name in a worker's certificate.
#[must_use]
pub fn worker_identity(worker: WorkerId) -> String {
    format!("{NAME_PREFIX}{worker}")
}

/// Whose that name is; none if it is no worker's.
#[must_use]
pub fn worker_of(identity: &str) -> Option<WorkerId> {
    identity.strip_prefix(NAME_PREFIX)?.parse().ok()
}

/// Which of these blocks are there?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The tree that they are asked for.
    pub tree: Digest,
    /// At most [`ASKED_MAX`].
    pub digests: Vec<Digest>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Those that are there.
    pub digests: Vec<Digest>,
    /// Whether the other ones may yet come: the tree is just being brought there too.
    pub coming: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_name_is_read_as_it_is_written() {
        let worker = WorkerId(7);
        assert_eq!(worker_of(&worker_identity(worker)), Some(worker));
        for other in ["manager", "worker-", "worker-x", "7"] {
            assert_eq!(worker_of(other), None, "{other}");
        }
    }
}
