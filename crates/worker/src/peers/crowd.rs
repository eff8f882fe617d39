//! The workers that can be asked for one tree, while it is being brought.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tessera_blobs::Digest;
use tessera_client::{PeerApi, WorkerFarm};
use tessera_model::WorkerId;
use tokio::sync::watch;

use super::book::{PeerBook, Trouble};

/// Another worker.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub worker: WorkerId,
    pub api: PeerApi,
}

/// See the module. Who asks meanwhile is told that the tree is coming.
#[derive(Debug)]
pub(crate) struct Crowd {
    book: Arc<PeerBook>,
    farm: watch::Receiver<WorkerFarm>,
    tree: Digest,
    known: Mutex<HashMap<WorkerId, (Vec<String>, Peer)>>,
}

impl Crowd {
    pub(crate) fn new(
        book: Arc<PeerBook>,
        farm: watch::Receiver<WorkerFarm>,
        tree: Digest,
    ) -> Self {
        book.begin(tree);
        Self {
            book,
            farm,
            tree,
            known: Mutex::default(),
        }
    }

    /// Who this worker is.
    pub(crate) fn me(&self) -> WorkerId {
        self.farm.borrow().worker
    }

    pub(crate) fn tree(&self) -> Digest {
        self.tree
    }

    /// Those to ask now.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let mut known = self.known.lock().expect("nothing panics under the lock");
        let mut peers = Vec::new();
        for (worker, addresses) in self.book.to_ask(&self.tree) {
            if let Some((at, peer)) = known.get(&worker)
                && *at == addresses
            {
                peers.push(peer.clone());
                continue;
            }
            let identity = self.farm.borrow().identity.clone();
            match PeerApi::new(addresses.clone(), worker, &identity) {
                Ok(api) => {
                    let api = api.limited(self.book.bandwidth().clone());
                    let peer = Peer { worker, api };
                    peers.push(peer.clone());
                    known.insert(worker, (addresses, peer));
                }
                Err(error) => tracing::warn!("no worker can be asked for files: {error}"),
            }
        }
        peers
    }

    /// Whether this worker itself holds up what comes.
    pub(crate) fn is_limited(&self) -> bool {
        self.book.bandwidth().is_limited()
    }

    pub(crate) fn put_aside(&self, peer: &Peer, trouble: Trouble) {
        self.book.put_aside(peer.worker, trouble);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.book.end(&self.tree);
    }
}
