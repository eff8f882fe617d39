//! What is known once a manager runs.

use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use tessera_model::PairingGrant;
use tessera_wire::api::Pairing;
use tessera_wire::pairing::{Fingerprint, NameCheck};
use tessera_wire::problem::{Problem, ProblemKind};

use crate::http::App;

/// A running manager, as the process that started it sees it. Keeping it does not keep the manager running.
#[derive(Clone)]
pub struct Running {
    /// The farm's name.
    pub farm: String,
    /// Where it listens, with the real ports.
    pub addresses: Vec<SocketAddr>,
    /// `https://host:port` for others, best first.
    pub urls: Vec<String>,
    /// The same for this machine, if it listens there.
    pub loopback_url: Option<String>,
    /// Of the certificate that its chain ends in.
    pub fingerprint: Fingerprint,
    /// How joining sides check names.
    pub name_check: NameCheck,
    /// The certificate that its chain ends in.
    pub anchor_pem: String,
    /// A token with the role of an administrator, void when the manager ends.
    pub admin_token: String,
    pub(crate) app: Weak<App>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("farm", &self.farm)
            .field("addresses", &self.addresses)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Makes a pairing code.
    ///
    /// # Errors
    /// As the API's route for it; also once the manager has ended.
    pub async fn mint_pairing(
        &self,
        grant: PairingGrant,
        lifetime: Duration,
        once: bool,
    ) -> Result<Pairing, Problem> {
        let Some(app) = self.app.upgrade() else {
            return Err(Problem::new(
                ProblemKind::NotActive,
                "the manager has ended",
                "",
            ));
        };
        app.mint_pairing(grant, lifetime, once)
            .await
            .map_err(|failure| failure.0)
    }
}
