//! The client of another worker: which blocks it has, and those blocks. See `tessera_wire::peer`.

use tessera_blobs::Digest;
use tessera_model::WorkerId;
use tessera_wire::api::Digests;
use tessera_wire::peer::{self, Have, Held};

use crate::Bandwidth;
use crate::api::{Api, ApiError, BlockStream, Call, Credentials, Repeat};
use crate::trust::{Identity, TrustError, peer_client_config};

/// One worker, asked in the name of another. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PeerApi {
    api: Api,
}

impl PeerApi {
    /// Has not connected yet. Whoever answers at these addresses must be `worker`.
    ///
    /// # Errors
    /// If the identity cannot be used.
    pub fn new(
        addresses: Vec<String>,
        worker: WorkerId,
        identity: &Identity,
    ) -> Result<Self, TrustError> {
        let tls = peer_client_config(identity, worker)?;
        Ok(Self {
            api: Api::with_tls(addresses, &Credentials::None, tls),
        })
    }

    /// The same with a limit on how fast blocks travel.
    #[must_use]
    pub fn limited(&self, bandwidth: Bandwidth) -> Self {
        Self {
            api: self.api.limited(bandwidth),
        }
    }

    /// Which blocks it has.
    ///
    /// # Errors
    /// As any request. That errors speak of a manager is all that is wrong with them.
    pub async fn have(&self, question: &Have) -> Result<Held, ApiError> {
        let call = Call::new(peer::HAVE, peer::HAVE.path).json(question);
        self.api.json(call.repeat(Repeat::Safe)).await
    }

    /// Blocks as they arrive, at most [`ASKED_MAX`](peer::ASKED_MAX). What the stream leaves out, it lacks.
    ///
    /// # Errors
    /// As [`PeerApi::have`].
    pub async fn fetch(&self, digests: &[Digest]) -> Result<BlockStream, ApiError> {
        let call = Call::new(peer::FETCH, peer::FETCH.path).json(&Digests {
            digests: digests.to_vec(),
        });
        self.api.blocks(call.repeat(Repeat::Safe)).await
    }
}
