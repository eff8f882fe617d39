//! Blender's versions: the full one of a build, and the series that decides which files it reads.
//!
//! A .blend names only the series that saved it (3.4, 5.0): files are exchangeable within one, and never safely
//! readable by an older one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `major.minor.patch` of a Blender build. Written and serialised as that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlenderVersion {
    /// 3 in 3.4.1.
    pub major: u16,
    /// 4 in 3.4.1.
    pub minor: u16,
    /// 1 in 3.4.1.
    pub patch: u16,
}

/// `major.minor` of Blender: what a .blend says of the Blender that saved it. Written and serialised as "3.4".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Series {
    /// 3 in 3.4.
    pub major: u16,
    /// 4 in 3.4.
    pub minor: u16,
}

impl BlenderVersion {
    /// Of its parts.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The series, which fixes the file format: 3.4 of 3.4.1.
    #[must_use]
    pub const fn series(self) -> Series {
        Series {
            major: self.major,
            minor: self.minor,
        }
    }
}

impl Series {
    /// Of its parts.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for BlenderVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not a version or series of Blender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version of Blender: write it as 4.2 (a series) or 4.2.3 (a build)")]
pub struct ParseVersionError(pub String);

fn numbers(text: &str) -> Result<Vec<u16>, ParseVersionError> {
    let parts: Result<_, _> = text.split('.').map(str::parse).collect();
    parts.map_err(|_| ParseVersionError(text.to_owned()))
}

impl FromStr for BlenderVersion {
    type Err = ParseVersionError;
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        match numbers(text)?[..] {
            [major, minor, patch] => Ok(Self::new(major, minor, patch)),
            _ => Err(ParseVersionError(text.to_owned())),
        }
    }
}

impl FromStr for Series {
    type Err = ParseVersionError;
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        match numbers(text)?[..] {
            [major, minor] => Ok(Self::new(major, minor)),
            _ => Err(ParseVersionError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for BlenderVersion {
    type Error = ParseVersionError;
    fn try_from(text: String) -> Result<Self, ParseVersionError> {
        text.parse()
    }
}

impl TryFrom<String> for Series {
    type Error = ParseVersionError;
    fn try_from(text: String) -> Result<Self, ParseVersionError> {
        text.parse()
    }
}

impl From<BlenderVersion> for String {
    fn from(version: BlenderVersion) -> String {
        version.to_string()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> String {
        series.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_texts_of_numbers() {
        assert_eq!("3.4.1".parse(), Ok(BlenderVersion::new(3, 4, 1)));
        assert_eq!("5.0".parse(), Ok(Series::new(5, 0)));
        assert_eq!(BlenderVersion::new(4, 2, 23).to_string(), "4.2.23");
        for wrong in ["", "3.4", "3.4.1.2", "3.4.x", "-1.0.0", "3..1"] {
            assert!(wrong.parse::<BlenderVersion>().is_err(), "{wrong}");
        }
        for wrong in ["", "3", "3.4.1", "3.x"] {
            assert!(wrong.parse::<Series>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn series_are_ordered_as_numbers() {
        assert!(Series::new(2, 93) < Series::new(3, 0));
        assert!(Series::new(4, 10) > Series::new(4, 2));
    }
}
