//! Credentials as recorded: never the secret itself, only its hash.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Role, Timestamp, UserName, WorkerId};

/// BLAKE3 of a random secret of at least 128 bits. Such a secret can not be guessed, so no slow hash is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHash(pub [u8; 32]);

/// A client's bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Public name of the token, for lists and revoking.
    pub id: String,
    /// What the secret hashes to.
    pub hash: SecretHash,
    /// Who acts with it.
    pub user: UserName,
    /// As what.
    pub role: Role,
    /// Free text: where it is used.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; never if none.
    pub expires_at: Option<Timestamp>,
}

/// What a pairing code lets its bearer become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingGrant {
    /// A worker.
    Worker,
    /// A client with this name and role.
    Client {
        /// The user.
        user: UserName,
        /// The role.
        role: Role,
    },
}

/// A pairing code that can still be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingRecord {
    /// What the code's secret hashes to.
    pub hash: SecretHash,
    /// What it grants.
    pub grant: PairingGrant,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether its first use ends it.
    pub once: bool,
}

/// A certificate issued to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// Whose identity it is.
    pub worker: WorkerId,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}
