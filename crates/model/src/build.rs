//! Blender builds, and the rule that pins a job to one of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BlenderVersion, Series};

/// How a build is driven; the two forms of one version are different builds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BuildKind {
    /// A Blender executable.
    Executable,
    /// A Python interpreter that can `import bpy`.
    Module,
}

/// One Blender build: what "the same Blender" means when a result is the same as a local one.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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

/// How well a build suits a file of series `file`: the smallest suits best, none if it is older than the file.
///
/// A lower series may drop what it does not know without a word; a higher one reads the file as its user's next
/// Blender would. Within a series the newest patch release has the fewest errors; an executable goes before a module.
#[must_use]
pub fn suits(
    version: BlenderVersion,
    kind: BuildKind,
    file: Series,
) -> Option<(Series, std::cmp::Reverse<u16>, BuildKind)> {
    let series = version.series();
    (series >= file).then_some((series, std::cmp::Reverse(version.patch), kind))
}

/// The build a file of series `file` is pinned to: the same series if there is one, else the next higher, never lower.
/// Among equals the smallest hash, so that the choice never depends on order.
#[must_use]
pub fn choose_build<'a>(
    file: Series,
    builds: impl IntoIterator<Item = &'a Build>,
) -> Option<&'a Build> {
    builds
        .into_iter()
        .filter_map(|build| Some((suits(build.version, build.kind, file)?, build)))
        .min_by(|(a, one), (b, two)| a.cmp(b).then_with(|| one.hash.cmp(&two.hash)))
        .map(|(_, build)| build)
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
        check("3.4", &["3.4.0", "5.0.1"], Some("3.4.0"));
        check("3.6", &["3.4.1", "4.2.0", "5.0.1"], Some("4.2.0"));
        check("5.1", &["3.4.1", "5.0.1"], None);
        check("4.2", &["4.2.1", "4.2.3"], Some("4.2.3"));
        check("4.2", &[], None);
    }
}
