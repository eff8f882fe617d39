//! Blender's versions: the full one of a build, and the series that decides which files it reads.
//!
//! A .blend names only the series that saved it (3.4, 5.0): files are exchangeable within one, and never safely
//! readable by an older one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a Blender build, e.g. 3.4.1. Written and serialised as that text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Version {
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    #[must_use]
    pub const fn series(self) -> Series {
        Series {
            major: self.major,
            minor: self.minor,
        }
    }
}

/// `major.minor` of Blender: what a .blend says of the Blender that saved it. Written and serialised as "3.4".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Series {
    pub major: u16,
    pub minor: u16,
}

impl Series {
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a version of Blender; expected numbers like 3.4.1")]
pub struct ParseVersionError {
    text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match numbers(text).as_deref() {
            Some(&[major, minor, patch]) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(ParseVersionError {
                text: text.to_owned(),
            }),
        }
    }
}

impl FromStr for Series {
    type Err = ParseVersionError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match numbers(text).as_deref() {
            Some(&[major, minor]) => Ok(Self { major, minor }),
            _ => Err(ParseVersionError {
                text: text.to_owned(),
            }),
        }
    }
}

fn numbers(text: &str) -> Option<Vec<u16>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = ParseVersionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> Self {
        series.to_string()
    }
}

impl TryFrom<String> for Series {
    type Error = ParseVersionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_texts_of_numbers() {
        assert_eq!("3.4.1".parse::<Version>().unwrap(), Version::new(3, 4, 1));
        assert_eq!("5.0".parse::<Series>().unwrap(), Series::new(5, 0));
        assert_eq!(
            serde_json::to_string(&Version::new(4, 2, 23)).unwrap(),
            "\"4.2.23\""
        );
        for wrong in ["", "3.4", "3.4.1.2", "3.4.x", "-1.0.0", "3..1"] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn series_are_ordered_as_numbers() {
        assert!(Series::new(2, 93) < Series::new(3, 0));
        assert!(Series::new(4, 10) > Series::new(4, 2));
    }
}
