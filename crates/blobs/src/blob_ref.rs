//! A whole file, named: the root of the tree of its blocks.
//!
//! A file of one block is named by that block (depth 0). A longer one is named by the block that lists its blocks; if that list
//! is itself too long it is cut into lists, and listed, until one block is left: `depth` counts the levels of lists. An empty
//! file has no block at all, so nothing of it is ever stored, sent or missing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Levels of lists that a reader follows. A list holds at least 16 entries but for the last of its level, so 8 levels reach
/// far past [`MAX_FILE_BYTES`]; more can only be an attack on the reader's stack and time.
pub const MAX_DEPTH: u8 = 8;

/// Largest file that is taken: 16 TiB, ext4's own limit. It keeps every sum of sizes far from overflow.
pub const MAX_FILE_BYTES: u64 = 16 << 40;

/// A file by its content: everything needed to read it from whoever holds the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// The root block.
    pub digest: Digest,
    /// Bytes of the file (of its decompressed form, if it was a compressed `.blend`).
    pub size: u64,
    /// Levels of lists above the data: 0 if `digest` names the data itself.
    pub depth: u8,
}

impl BlobRef {
    /// The file without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            digest: Digest::of(b""),
            size: 0,
            depth: 0,
        }
    }

    /// Whether it is the file without bytes, which needs no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.digest, self.size, self.depth)
    }
}

/// A text that is not a [`BlobRef`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a blob reference: it takes DIGEST:SIZE:DEPTH, as in {example}", example = BlobRef::empty())]
pub struct BlobRefParseError;

impl FromStr for BlobRef {
    type Err = BlobRefParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(BlobRefParseError);
        let blob = Self {
            digest: next()?.parse().map_err(|_| BlobRefParseError)?,
            size: next()?.parse().map_err(|_| BlobRefParseError)?,
            depth: next()?.parse().map_err(|_| BlobRefParseError)?,
        };
        // One reference, one text: `+5` and `05` parse as numbers but are not what Display writes.
        if blob.to_string() == text {
            Ok(blob)
        } else {
            Err(BlobRefParseError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_round_trip() {
        let blob = BlobRef {
            digest: Digest::of(b"a"),
            size: 60 << 20,
            depth: 2,
        };
        assert_eq!(blob.to_string().parse(), Ok(blob));
        let json = serde_json::to_string(&blob).unwrap();
        assert_eq!(
            json,
            format!(
                r#"{{"digest":"{}","size":62914560,"depth":2}}"#,
                blob.digest
            )
        );
        assert_eq!(serde_json::from_str::<BlobRef>(&json).unwrap(), blob);
    }

    #[test]
    fn other_texts_are_refused() {
        let hex = Digest::of(b"a").to_string();
        for bad in [
            hex.clone(),
            format!("{hex}:1"),
            format!("{hex}:1:0:"),
            format!("{hex}:+1:0"),
            format!("{hex}:01:0"),
            format!("{hex}:1:256"),
        ] {
            assert_eq!(bad.parse::<BlobRef>(), Err(BlobRefParseError), "{bad}");
        }
    }
}
