//! Which Blender renders a file: one of the series that saved it, else of the next higher one, never of a lower one.
//!
//! A lower one may drop what it does not know without a word; a higher one reads the file as its user's next Blender
//! would. Within a series the newest patch release has the fewest errors.

use crate::build::{Build, Kind};
use crate::version::Series;

/// The build to render a file with that `saved_by` wrote; `None` if all are older than the file.
pub fn choose<'a>(
    saved_by: Series,
    builds: impl IntoIterator<Item = &'a Build>,
) -> Option<&'a Build> {
    builds
        .into_iter()
        .filter(|build| build.version.series() >= saved_by)
        .min_by_key(|build| {
            let series = build.version.series();
            // The paths make the choice the same in every run where all else is equal.
            (
                series,
                std::cmp::Reverse(build.version.patch),
                build.kind != Kind::Executable,
                &build.path,
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn build(major: u16, minor: u16, patch: u16, kind: Kind) -> Build {
        Build {
            path: format!("/opt/{major}.{minor}.{patch}").into(),
            kind,
            version: Version::new(major, minor, patch),
            hash: "h".into(),
            date: "d".into(),
            platform: "Linux".into(),
            engines: vec![],
            devices: vec![],
        }
    }

    fn check(saved_by: (u16, u16), expected: Option<(u16, u16, u16, Kind)>) {
        use Kind::{Executable, Module};
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
        check((3, 4), Some((3, 4, 1, Kind::Executable)));
        check((2, 79), Some((3, 4, 1, Kind::Executable)));
        check((3, 5), Some((3, 6, 4, Kind::Module)));
        check((3, 6), Some((3, 6, 4, Kind::Module)));
        check((4, 0), Some((4, 2, 3, Kind::Executable)));
        check((4, 3), Some((5, 0, 1, Kind::Module)));
        check((5, 1), None);
    }
}
