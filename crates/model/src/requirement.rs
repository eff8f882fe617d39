//! What a job needs of the machine that renders it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Series;

/// What a worker must have, beyond the job's tags, device and Blender. What is none is not asked for.
///
/// A worker that does not say how much it has of something does not have it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Physical memory of the host, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Logical processors of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Part of a GPU's name, whatever its case: "rtx 4090".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Memory of that GPU, of any if none is named, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory_bytes: Option<u64>,
    /// "linux", "macos" or "windows".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// The Blenders it may be rendered with. Narrows what the job is pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blender: Option<SeriesRange>,
    /// Only workers of these names; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<String>,
}

/// Blender series from one to another, both included. Written `4.2`, `4.2..5.0`, `4.2..` or `..4.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SeriesRange {
    /// The lowest; any if none.
    pub from: Option<Series>,
    /// The highest; any if none.
    pub to: Option<Series>,
}

/// A text that is not a range of series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a range of Blender versions: write it as 4.2, 4.2..5.0, 4.2.. or ..4.5")]
pub struct SeriesRangeError(pub String);

impl SeriesRange {
    /// Whether a series lies in it.
    #[must_use]
    pub fn contains(&self, series: Series) -> bool {
        self.from.is_none_or(|from| series >= from) && self.to.is_none_or(|to| series <= to)
    }
}

impl fmt::Display for SeriesRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => from.fmt(f),
            (from, to) => {
                from.map_or(Ok(()), |from| from.fmt(f))?;
                f.write_str("..")?;
                to.map_or(Ok(()), |to| to.fmt(f))
            }
        }
    }
}

impl FromStr for SeriesRange {
    type Err = SeriesRangeError;
    fn from_str(text: &str) -> Result<Self, SeriesRangeError> {
        let bad = || SeriesRangeError(text.to_owned());
        let end = |part: &str| -> Result<Option<Series>, SeriesRangeError> {
            match part.trim() {
                "" => Ok(None),
                part => part.parse().map(Some).map_err(|_| bad()),
            }
        };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (end(from)?, end(to)?),
            None => (end(text)?, end(text)?),
        };
        let reversed = matches!((from, to), (Some(from), Some(to)) if from > to);
        if reversed || (from.is_none() && to.is_none()) {
            return Err(bad());
        }
        Ok(Self { from, to })
    }
}

impl TryFrom<String> for SeriesRange {
    type Error = SeriesRangeError;
    fn try_from(text: String) -> Result<Self, SeriesRangeError> {
        text.parse()
    }
}

impl From<SeriesRange> for String {
    fn from(range: SeriesRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_back_and_hold_what_they_say() {
        for (text, inside, outside) in [
            ("4.2", "4.2", Some("4.3")),
            ("4.2..5.0", "4.5", Some("5.1")),
            ("4.2..", "9.0", Some("4.1")),
            ("..4.5", "2.8", Some("5.0")),
        ] {
            let range: SeriesRange = text.parse().unwrap();
            assert_eq!(range.to_string(), text);
            assert!(range.contains(inside.parse().unwrap()), "{text}");
            if let Some(outside) = outside {
                assert!(!range.contains(outside.parse().unwrap()), "{text}");
            }
        }
        for bad in ["", "..", "5.0..4.2", "four", "4.2...5"] {
            assert!(bad.parse::<SeriesRange>().is_err(), "{bad}");
        }
    }
}
