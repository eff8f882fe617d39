//! What others have of a piece, and who of them may yet get it.

use std::collections::HashMap;
use std::time::Duration;

use tessera_blobs::Digest;
use tessera_client::ApiError;
use tessera_model::WorkerId;
use tessera_wire::peer::{Have, Held};
use tessera_wire::problem::ProblemKind;

use super::rank;
use crate::peers::{Crowd, Peer, Trouble};

/// Longest that an answer may take, a new connection included: others are in the same network, and all wait for the slowest. One that
/// cannot be reached costs this much, once in a while.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// See the module.
pub(super) struct Survey {
    /// By block, the places of those that have it.
    holders: HashMap<Digest, Vec<usize>>,
    /// Those that are just bringing the tree.
    bringing: Vec<WorkerId>,
}

impl Survey {
    pub(super) fn holders(&self, digest: &Digest) -> impl Iterator<Item = usize> {
        self.holders.get(digest).into_iter().flatten().copied()
    }

    /// Whether a block that nobody has is this worker's to bring.
    pub(super) fn is_bringer(&self, me: WorkerId, digest: &Digest) -> bool {
        let mine = rank(me, digest);
        self.bringing
            .iter()
            .all(|other| (rank(*other, digest), *other) < (mine, me))
    }
}

/// Asks all of them at once. Who does not answer is left aside, and counts as one that has nothing and will not.
pub(super) async fn ask(crowd: &Crowd, peers: &[Peer], digests: &[Digest]) -> Survey {
    let question = Have {
        tree: crowd.tree(),
        digests: digests.to_vec(),
    };
    let asking = peers.iter().map(|peer| one(crowd, peer, &question));
    let answers = futures_util::future::join_all(asking).await;
    let mut survey = Survey {
        holders: HashMap::new(),
        bringing: Vec::new(),
    };
    for (at, held) in answers.into_iter().enumerate() {
        let Some(held) = held else {
            continue;
        };
        if held.coming {
            survey.bringing.push(peers[at].worker);
        }
        for digest in held.digests {
            survey.holders.entry(digest).or_default().push(at);
        }
    }
    survey
}

async fn one(crowd: &Crowd, peer: &Peer, question: &Have) -> Option<Held> {
    match tokio::time::timeout(ANSWER_WITHIN, peer.api.have(question)).await {
        Ok(Ok(held)) => return Some(held),
        Ok(Err(error)) if is_for_now(&error) => {
            tracing::debug!(worker = %peer.worker, "a worker does not answer now: {error}");
        }
        Ok(Err(error)) => {
            tracing::info!(worker = %peer.worker, "a worker cannot be asked for files: {error}");
            crowd.put_aside(peer, Trouble::Away);
        }
        Err(_) => {
            tracing::info!(worker = %peer.worker, "a worker does not answer when it is asked for files");
            crowd.put_aside(peer, Trouble::Away);
        }
    }
    None
}

/// Whether it is well and may answer soon: its own link to the manager is open no more, or not yet.
pub(super) fn is_for_now(error: &ApiError) -> bool {
    error.kind() == Some(ProblemKind::NotActive)
}
