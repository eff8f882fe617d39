//! Which Blender of this machine renders a file: the rule is the model's, the tie-break is a path of this machine.

use tessera_model::{Series, suits};

use crate::build::Build;

/// The build to render a file with that `saved_by` wrote; `None` if all are older than the file.
pub fn choose<'a>(
    saved_by: Series,
    builds: impl IntoIterator<Item = &'a Build>,
) -> Option<&'a Build> {
    builds
        .into_iter()
        .filter_map(|build| {
            Some((
                suits(build.version, build.kind, saved_by)?,
                &build.path,
                build,
            ))
        })
        // The paths make the choice the same in every run where all else is equal.
        .min_by(|(a, here, _), (b, there, _)| (a, here).cmp(&(b, there)))
        .map(|(_, _, build)| build)
}

#[cfg(test)]
mod tests {
    use tessera_model::{BlenderVersion, BuildKind};

    use super::*;

    fn build(major: u16, minor: u16, patch: u16, kind: BuildKind) -> Build {
        Build {
            path: format!("/opt/{major}.{minor}.{patch}").into(),
            kind,
            version: BlenderVersion::new(major, minor, patch),
            hash: "h".into(),
            date: "d".into(),
            platform: "Linux".into(),
            engines: vec![],
            devices: vec![],
        }
    }

    fn check(saved_by: (u16, u16), expected: Option<(u16, u16, u16, BuildKind)>) {
        use BuildKind::{Executable, Module};
        let builds = [
            build(3, 4, 1, Executable),
            build(3, 6, 1, Module),
            build(3, 6, 4, Module),
            build(4, 2, 3, Module),
            build(4, 2, 3, Executable),
            build(5, 0, 1, Module),
        ];
        let chosen = choose(Series::new(saved_by.0, saved_by.1), &builds);
        let got = chosen.map(|b| (b.version.major, b.version.minor, b.version.patch, b.kind));
        assert_eq!(got, expected, "saved by {saved_by:?}");
    }

    #[test]
    fn same_series_else_next_higher_never_lower() {
        check((3, 4), Some((3, 4, 1, BuildKind::Executable)));
        check((2, 79), Some((3, 4, 1, BuildKind::Executable)));
        check((3, 5), Some((3, 6, 4, BuildKind::Module)));
        check((3, 6), Some((3, 6, 4, BuildKind::Module)));
        check((4, 0), Some((4, 2, 3, BuildKind::Executable)));
        check((4, 3), Some((5, 0, 1, BuildKind::Module)));
        check((5, 1), None);
    }
}
