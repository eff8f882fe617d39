//! What did not hold.

/// A property that was violated, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("violated: {property}: {how}")]
pub struct Violation {
    /// What must hold, in words.
    pub property: &'static str,
    /// How it did not.
    pub how: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, how: impl Into<String>) -> Self {
        Self {
            property,
            how: how.into(),
        }
    }
}
