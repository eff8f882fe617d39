//! Where a file of any system lies in a tree: absolute paths of all systems, side by side below one root.
//!
//! | on the machine that packs | in the tree |
//! |---|---|
//! | `/home/u/a.png` | `home/u/a.png` |
//! | `C:\tex\a.png`, `c:/tex/a.png` | `C/tex/a.png` |
//! | `\\server\share\a.png` | `UNC/server/share/a.png` |
//!
//! So equal names in different folders stay apart, and `//relative` paths lead to the right file by themselves. Whoever lays a tree
//! out finds by [`origins`] which absolute paths in a loaded scene mean a file of it.

use std::path::{Path, PathBuf};

use crate::tree_path::{TreePath, TreePathError};

/// Where shares of Windows' network lie.
const SHARES: &str = "UNC";

/// The place of a file by its absolute path, which may be one of another system.
///
/// # Errors
/// If the path is relative, or names something that not every system can have.
pub fn place_of(absolute: &str) -> Result<TreePath, TreePathError> {
    match windows(absolute) {
        Some(place) => TreePath::new(&place),
        None => match absolute.strip_prefix('/') {
            Some(below) => TreePath::new(below.trim_start_matches('/')),
            None => Err(TreePathError {
                path: absolute.to_owned(),
                reason: "it is not absolute",
            }),
        },
    }
}

/// The place of a path with a drive or a share.
fn windows(path: &str) -> Option<String> {
    // `\\?\` only says that the rest is to be taken by the letter.
    let path = match path.strip_prefix(r"\\?\") {
        Some(rest) => match rest.strip_prefix(r"UNC\") {
            Some(share) => return Some(format!("{SHARES}/{}", share.replace('\\', "/"))),
            None => rest,
        },
        None => path,
    };
    if let Some(share) = path.strip_prefix(r"\\") {
        return Some(format!("{SHARES}/{}", share.replace('\\', "/")));
    }
    let [letter, b':', b'/' | b'\\', ..] = path.as_bytes() else {
        return None;
    };
    letter.is_ascii_alphabetic().then(|| {
        let letter = char::from(letter.to_ascii_uppercase());
        format!("{letter}/{}", path[3..].replace('\\', "/"))
    })
}

/// Beginnings of absolute paths, and where what begins so lies in the tree at `root`: those of Windows that the tree has,
/// then `/`.
#[must_use]
pub fn origins(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for letter in 'A'..='Z' {
        // Blender itself, where there are no drives, looks for `C:\` in `/c`: packed there, it lies in `c`.
        for folder in [letter, letter.to_ascii_lowercase()] {
            let place = root.join(folder.to_string());
            if place.is_dir() {
                found.push((format!("{letter}:\\"), place));
            }
        }
    }
    for server in folders(&root.join(SHARES)) {
        for share in folders(&server) {
            let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
            if let (Some(server), Some(of)) = (name(&server), name(&share)) {
                found.push((format!(r"\\{server}\{of}"), share));
            }
        }
    }
    found.push(("/".to_owned(), root.to_owned()));
    found
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_all_systems_stay_apart() {
        let check = |path: &str, place: &str| {
            assert_eq!(place_of(path).unwrap().as_str(), place, "{path}");
        };
        check("/home/u/a.png", "home/u/a.png");
        check("//home/u/a.png", "home/u/a.png");
        check(r"C:\tex\a.png", "C/tex/a.png");
        check(r"c:/tex\sub/a.png", "C/tex/sub/a.png");
        check(r"\\server\share\tex\b.png", "UNC/server/share/tex/b.png");
        check(r"\\server/share/tex\b.png", "UNC/server/share/tex/b.png");
        check(r"\\?\D:\very\long.png", "D/very/long.png");
        check(r"\\?\UNC\server\share\b.png", "UNC/server/share/b.png");
        check("/Büro/日本/e\u{301}.png", "Büro/日本/e\u{301}.png");
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for path in [
            "",
            "a.png",
            r"tex\a.png",
            "C:a.png",
            "1:/a.png",
            "/",
            r"C:\",
            r"C:\..\a.png",
            r"\\server\..\..\a.png",
            "/a/../b",
            r"C:\aux.png",
            r"/home/a\b.png",
        ] {
            assert!(place_of(path).is_err(), "{path:?}");
        }
    }

    /// A tree from a Windows machine, laid out here: every path that its scene stores is found again.
    #[test]
    fn a_tree_tells_which_paths_it_has() {
        let root = tempfile::tempdir().unwrap();
        let paths = [
            r"C:\proj\tex\a.png",
            r"D:\proj\tex\a.png",
            r"\\nas\films\a.png",
        ];
        for path in paths {
            let file = place_of(path).unwrap().under(root.path());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, path).unwrap();
        }
        let origins = origins(root.path());
        assert_eq!(origins.len(), 4, "{origins:?}");
        for path in paths {
            let found = origins.iter().find_map(|(begin, place)| {
                let rest = path.strip_prefix(begin.as_str())?.trim_start_matches('\\');
                std::fs::read_to_string(place.join(rest.replace('\\', "/"))).ok()
            });
            assert_eq!(found.as_deref(), Some(path), "{origins:?}");
        }
    }
}
