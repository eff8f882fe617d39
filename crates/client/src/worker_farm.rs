//! Who a worker is in its farm, as its data folder keeps it (`farm.json`, 0600).

use std::path::Path;

use serde::{Deserialize, Serialize};
use tessera_model::{Timestamp, WorkerId};

use crate::api::{Access, Credentials};
use crate::farm::{FarmFileError, read_json, write_json};
use crate::trust::{Identity, Trust};

/// A worker's place in a farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerFarm {
    /// The farm's name.
    pub farm: String,
    /// The worker's number.
    pub worker: WorkerId,
    /// The worker's name.
    pub name: String,
    /// Addresses of the farm's managers.
    pub addresses: Vec<String>,
    /// Whom to believe.
    #[serde(flatten)]
    pub trust: Trust,
    /// What the worker proves itself with. The key was made here and has never left.
    #[serde(flatten)]
    pub identity: Identity,
    /// When the certificate came, by this machine's clock.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl WorkerFarm {
    /// How to speak to the farm.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            credentials: Credentials::Certificate(self.identity.clone()),
        }
    }

    /// When to ask for the next certificate: after two thirds of this one's life, so that a month away does no harm.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = (self.expires_at.0 - self.issued_at.0).max(0);
        Timestamp(self.issued_at.0 + life / 3 * 2)
    }

    /// Reads it; none if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn load(path: &Path) -> Result<Option<Self>, FarmFileError> {
        read_json(path)
    }

    /// Writes it, readable by its owner alone.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), FarmFileError> {
        write_json(path, self)
    }
}
