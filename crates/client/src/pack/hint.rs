//! What may have become of a file that is missing.

use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

use super::PathMap;

/// What to do about a file that a scene names so and that should be at `path`, or where one of `maps` says.
pub(super) fn hint(stored: &str, path: &Path, maps: &[PathMap]) -> Option<String> {
    if let Some((map, target)) = maps.iter().find_map(|map| Some((map, map.target(stored)?))) {
        return Some(format!(
            "stored as '{stored}', which --map-path '{map}' takes for {}: that is not there either",
            target.display()
        ));
    }
    let windows = stored.starts_with(r"\\")
        || matches!(stored.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if windows && cfg!(not(windows)) {
        return Some(format!(
            "stored as '{stored}', as Windows has it: say where it is here with --map-path 'FROM=TO'"
        ));
    }
    if !path.is_absolute() {
        return Some("a path that is relative to no file: in Blender, let it begin with //".into());
    }
    near(path).map(|near| format!("did you mean {}?", near.display()))
}

/// A file whose path is the same but for capital letters, or for how its letters with accents are composed: what Windows and macOS
/// take for the same name.
fn near(path: &Path) -> Option<PathBuf> {
    let mut at = PathBuf::new();
    for component in path.components() {
        let Component::Normal(name) = component else {
            at.push(component);
            continue;
        };
        let exact = at.join(name);
        at = if exact.exists() {
            exact
        } else {
            let wanted = folded(name.to_str()?);
            let mut entries = std::fs::read_dir(&at).ok()?.flatten();
            let same =
                |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| folded(name) == wanted);
            entries.find(|entry| same(&entry.file_name()))?.path()
        };
    }
    at.is_file().then_some(at)
}

fn folded(name: &str) -> String {
    name.to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("Büro/Tex");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("Wood.PNG"), "").unwrap();
        for name in ["Büro/Tex/wood.png", "Bu\u{308}ro/tex/Wood.PNG"] {
            let hint = hint("//x", &dir.path().join(name), &[]).unwrap();
            assert!(
                hint.contains("did you mean") && hint.contains("Büro/Tex/Wood.PNG"),
                "{hint}"
            );
        }
        for name in ["Büro/Tex/oak.png", "nowhere/Wood.PNG", "Büro/tex"] {
            assert_eq!(hint("//x", &dir.path().join(name), &[]), None);
        }
    }

    #[test]
    fn foreign_paths_are_explained() {
        for stored in [r"C:/tex/a.png", r"\\server/share/a.png"] {
            assert!(
                hint(stored, Path::new("/c/tex/a.png"), &[])
                    .unwrap()
                    .contains("--map-path")
            );
        }
        assert!(
            hint("tex/a.png", Path::new("tex/a.png"), &[])
                .unwrap()
                .contains("//")
        );
    }

    #[test]
    fn both_paths_of_a_mapped_file_are_named() {
        let maps = [r"C:\tex=/mnt/nowhere".parse().unwrap()];
        let hint = hint(r"C:\tex\a.png", Path::new("/c/tex/a.png"), &maps).unwrap();
        assert!(hint.contains(r"'C:\tex\a.png'"), "{hint}");
        assert!(hint.contains("/mnt/nowhere/a.png"), "{hint}");
    }
}
