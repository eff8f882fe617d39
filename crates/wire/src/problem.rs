//! Errors as RFC 9457 problem documents: what happened, to what, and what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Sort of a problem, stable for programs; the last part of the document's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// No or wrong credentials.
    Unauthorized,
    /// Credentials that do not allow this.
    Forbidden,
    /// Nothing there by that name.
    NotFound,
    /// The request itself is wrong.
    Invalid,
    /// It does not fit how things stand.
    Conflict,
    /// Blobs named by the request are not in the store: `missing` of the document lists digests.
    MissingBlobs,
    /// No worker has a Blender that can open the file.
    NoBuild,
    /// A protocol version neither side shares.
    Version,
    /// Larger than allowed.
    TooLarge,
    /// The manager's disk is full.
    DiskFull,
    /// What the farm may store is used up.
    Quota,
    /// The pairing code is wrong, used up or has ended.
    Code,
    /// Too many tries; wait.
    TooMany,
    /// This manager is not, or no longer, the active one.
    NotActive,
    /// The manager's own fault.
    Internal,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Sort.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// One line of what happened to what.
    pub title: String,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// What to do about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Hexadecimal digests, for [`ProblemKind::MissingBlobs`]; at most 100 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl ProblemKind {
    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden | Self::Code => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::MissingBlobs | Self::NoBuild => 409,
            Self::TooLarge => 413,
            Self::Invalid => 422,
            Self::Version => 426,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::NotActive => 503,
            Self::DiskFull | Self::Quota => 507,
        }
    }
}

impl Problem {
    /// A problem with its usual status.
    #[must_use]
    pub fn new(kind: ProblemKind, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: title.into(),
            status: kind.status(),
            detail: detail.into(),
            missing: Vec::new(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
