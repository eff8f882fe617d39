//! Blender versions and builds, and the rule that pins a job to one of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `major.minor.patch` of a Blender.
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

impl BlenderVersion {
    /// The series, which fixes the file format: 3.4 of 3.4.1.
    #[must_use]
    pub fn series(self) -> (u16, u16) {
        (self.major, self.minor)
    }
}

impl fmt::Display for BlenderVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is not a Blender version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a Blender version: write it as 4.2 or 4.2.3")]
pub struct ParseVersionError(pub String);

impl FromStr for BlenderVersion {
    type Err = ParseVersionError;
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let bad = || ParseVersionError(text.to_owned());
        let mut parts = text
            .split('.')
            .map(|part| part.parse::<u16>().map_err(|_| bad()));
        let major = parts.next().ok_or_else(bad)??;
        let minor = parts.next().ok_or_else(bad)??;
        let patch = parts.next().transpose()?.unwrap_or(0);
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self {
            major,
            minor,
            patch,
        })
    }
}

impl TryFrom<String> for BlenderVersion {
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

/// How a build is driven; the two forms of one version are different builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildKind {
    /// A Blender executable.
    Executable,
    /// A Python interpreter that can `import bpy`.
    Module,
}

/// One Blender build: what "the same Blender" means when a result is the same as a local one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Build {
    /// Its version.
    pub version: BlenderVersion,
    /// `bpy.app.build_hash`, "unknown" where the builder left it out.
    pub hash: String,
    /// Its form.
    pub kind: BuildKind,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            BuildKind::Executable => "",
            BuildKind::Module => " (bpy)",
        };
        write!(f, "Blender {}{kind}", self.version)
    }
}

/// The build a file of series `file` is pinned to: the same major.minor if there is one, else the next higher, never lower.
///
/// Among equals the highest patch, then an executable, then the smallest hash, so that the choice never depends on order.
#[must_use]
pub fn choose_build<'a>(
    file: BlenderVersion,
    builds: impl IntoIterator<Item = &'a Build>,
) -> Option<&'a Build> {
    builds
        .into_iter()
        .filter(|build| build.version.series() >= file.series())
        .min_by(|a, b| {
            let key = |build: &Build| {
                (
                    build.version.series(),
                    std::cmp::Reverse(build.version.patch),
                    build.kind,
                )
            };
            key(a).cmp(&key(b)).then_with(|| a.hash.cmp(&b.hash))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, have: &[&str], chosen: Option<&str>) {
        let builds: Vec<Build> = have
            .iter()
            .map(|version| Build {
                version: version.parse().unwrap(),
                hash: "h".into(),
                kind: BuildKind::Executable,
            })
            .collect();
        let got = choose_build(file.parse().unwrap(), &builds).map(|b| b.version.to_string());
        assert_eq!(got.as_deref(), chosen, "{file} of {have:?}");
    }

    #[test]
    fn same_series_else_next_higher_never_lower() {
        check("3.4", &["3.4.1", "5.0.1"], Some("3.4.1"));
        check("3.4.1", &["3.4.0", "5.0.1"], Some("3.4.0"));
        check("3.6", &["3.4.1", "4.2.0", "5.0.1"], Some("4.2.0"));
        check("5.1", &["3.4.1", "5.0.1"], None);
        check("4.2", &["4.2.1", "4.2.3"], Some("4.2.3"));
        check("4.2", &[], None);
    }
}
