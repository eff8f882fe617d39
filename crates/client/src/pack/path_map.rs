//! Files that a scene names as another machine does, and where they lie here.
//!
//! A scene from Windows that is submitted from Linux names `C:\proj\tex\a.png`. The user says once that `C:\proj` is `/mnt/proj`; Blender
//! then finds the file, and in the tree it lies where a Windows machine would have put it, besides its place here: so the worker
//! finds it by either name, and what it names itself by relative paths (a library's textures, say) lies beside it in both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tessera_blender::Remap;
use tessera_blobs::{TreePath, TreePathError, place_of};

/// One beginning of paths, and the folder here that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathMap {
    from: String,
    to: PathBuf,
}

impl FromStr for PathMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((from, to)) = text.split_once('=') else {
            return Err(format!(
                r"'{text}' is not FROM=TO, as in 'C:\proj=/mnt/proj'"
            ));
        };
        let from = from.trim_end_matches(['/', '\\']);
        if from.is_empty() || place_of(&format!("{from}/x")).is_err() {
            return Err(format!(
                r"'{from}' is not a path with a drive (C:\proj), of a share (\\server\share) or from the root (/proj)"
            ));
        }
        let to = PathBuf::from(to);
        if !to.is_absolute() {
            return Err(format!(
                "'{}' is not a path from the root of this computer",
                to.display()
            ));
        }
        Ok(Self {
            from: from.to_owned(),
            to,
        })
    }
}

impl fmt::Display for PathMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.from, self.to.display())
    }
}

impl PathMap {
    /// Where a file lies here that a scene names so; none if it does not begin so. As the driver has it (`paths.py`), but for whether
    /// anything is there.
    pub(super) fn target(&self, stored: &str) -> Option<PathBuf> {
        let plain = |text: &str| text.replace('\\', "/");
        let (from, stored) = (plain(&self.from), plain(stored));
        // Windows' paths have no case.
        let windows = from.starts_with("//") || from.as_bytes().get(1) == Some(&b':');
        let same = |begin: &str| match windows {
            true => begin.eq_ignore_ascii_case(&from),
            false => begin == from,
        };
        let (begin, rest) = stored.split_at_checked(from.len())?;
        let below = rest.trim_start_matches('/');
        (same(begin) && (rest.is_empty() || rest != below)).then(|| self.to.join(below))
    }
}

/// As Blender is told.
pub(super) fn rules(maps: &[PathMap]) -> Vec<Remap> {
    let rule = |map: &PathMap| Remap {
        from: map.from.clone(),
        to: map.to.clone(),
    };
    maps.iter().map(rule).collect()
}

/// Where a file of this machine lies in the tree: by its own path first, then by every other machine's.
pub(super) fn places(path: &str, maps: &[PathMap]) -> Result<Vec<TreePath>, TreePathError> {
    let mut places = vec![place_of(path)?];
    for map in maps {
        if let Some(below) = Path::new(path)
            .strip_prefix(&map.to)
            .ok()
            .and_then(Path::to_str)
        {
            let place = place_of(&format!("{}/{below}", map.from))?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_files_lie_in_both_places() {
        let check = |map: &str, path: &str, expected: &[&str]| {
            let maps = [map.parse().unwrap()];
            let places = places(path, &maps).unwrap();
            assert_eq!(
                places.iter().map(TreePath::as_str).collect::<Vec<_>>(),
                expected,
                "{map}"
            );
        };
        let here = "mnt/proj/tex/a.png";
        check(
            r"C:\work=/mnt/proj",
            "/mnt/proj/tex/a.png",
            &[here, "C/work/tex/a.png"],
        );
        check(
            r"c:\=/mnt/proj/",
            "/mnt/proj/tex/a.png",
            &[here, "C/tex/a.png"],
        );
        let share = "UNC/nas/films/tex/a.png";
        check(
            r"\\nas\films=/mnt/proj",
            "/mnt/proj/tex/a.png",
            &[here, share],
        );
        let mac = "Volumes/proj/tex/a.png";
        check(
            "/Volumes/proj=/mnt/proj",
            "/mnt/proj/tex/a.png",
            &[here, mac],
        );
        check("/mnt/proj=/mnt/proj", "/mnt/proj/tex/a.png", &[here]);
        check(r"C:\work=/mnt/project", "/mnt/proj/tex/a.png", &[here]);
    }

    #[test]
    fn what_begins_so_lies_there() {
        let check = |map: &str, stored: &str, expected: Option<&str>| {
            let map: PathMap = map.parse().unwrap();
            assert_eq!(map.target(stored), expected.map(PathBuf::from), "{map}");
        };
        check(
            r"C:\work=/mnt/a",
            r"c:/Work\tex\b.png",
            Some("/mnt/a/tex/b.png"),
        );
        check(r"C:\work=/mnt/a", r"C:\works\b.png", None);
        check(r"C:\=/mnt/a", r"C:\b.png", Some("/mnt/a/b.png"));
        check(r"\\nas\films=/mnt/a", r"\\NAS\films\b", Some("/mnt/a/b"));
        check("/Volumes/p=/mnt/a", "/volumes/p/b", None);
        check("/Volumes/p=/mnt/a", "/Volumes/p/b", Some("/mnt/a/b"));
        check("/Volumes/p=/mnt/a", "/V", None);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for text in [
            r"C:\proj",
            r"proj=/mnt/proj",
            r"C:\proj=mnt",
            "=/mnt",
            r"C:\proj=",
        ] {
            assert!(text.parse::<PathMap>().is_err(), "{text}");
        }
        let map: PathMap = r"C:\proj\=/mnt/a=b".parse().unwrap();
        assert_eq!(map.to_string(), r"C:\proj=/mnt/a=b");
    }
}
