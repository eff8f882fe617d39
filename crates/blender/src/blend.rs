//! The structure of a .blend, as far as the libraries that it links and the engines of its scenes go.
//!
//! Blender resolves a library's path while it loads the file that links it, and what it does not find then is lost in part: an
//! object keeps only as many materials as its missing mesh has, none. Hence absolute library paths are made to fit *before*
//! Blender sees the file. Everything else that a file names is re-pointed by the driver once it is loaded.
//!
//! A .blend is a header (see `header.rs`) and blocks, each with a head (code, length, …). Block `DNA1` describes the structs in the
//! other blocks; blocks `LI` hold a struct `Library` with a path in a field of fixed size, which can be overwritten in place.

mod blocks;
mod dna;
mod engine;
mod remap;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use crate::message::Remap;
use dna::Field;
pub(crate) use engine::stored_engines;

/// Why a file could not be looked into. Blender then says more than this could.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlendError {
    #[error("cannot read or write {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the structure of {path} is not understood: {what}", path = path.display())]
    Structure { path: PathBuf, what: &'static str },
}

/// Makes the libraries of `blend`, theirs, and so on, point to where `rules` say, by paths relative to the linking file. Only
/// files below the rules' targets are changed: those are the caller's copies. Returns how many paths were.
pub(crate) fn relocate_libraries(blend: &Path, rules: &[Remap]) -> Result<u32, BlendError> {
    let mut changed = 0;
    let mut seen = BTreeSet::new();
    let mut pending = vec![normalised(blend)];
    while let Some(path) = pending.pop() {
        let ours = rules
            .iter()
            .any(|rule| path.starts_with(normalised(&rule.to)));
        if !ours || !path.is_file() || !seen.insert(path.clone()) {
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let (patched, libraries) =
            relocate_one(&path, folder, rules).map_err(|error| error.of(&path))?;
        changed += patched;
        pending.extend(libraries);
    }
    Ok(changed)
}

/// Why one file could not be.
#[derive(Debug)]
enum Unreadable {
    Io(io::Error),
    Structure(&'static str),
}

impl Unreadable {
    fn of(self, path: &Path) -> BlendError {
        let path = path.to_path_buf();
        match self {
            Self::Io(source) => BlendError::Io { path, source },
            Self::Structure(what) => BlendError::Structure { path, what },
        }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Also returns where the file's libraries are.
fn relocate_one(
    path: &Path,
    folder: &Path,
    rules: &[Remap],
) -> Result<(u32, Vec<PathBuf>), Unreadable> {
    let blocks = blocks::read(path)?;
    if blocks.libraries.is_empty() {
        return Ok((0, Vec::new()));
    }
    // The path as stored is `name` in files of all versions; in memory it is called otherwise today.
    let field = blocks.field("Library", &["name", "filepath"])?;
    let mut found = Vec::new();
    let mut patches = Vec::new();
    for library in &blocks.libraries {
        // No path that is not UTF-8 can be in a manifest.
        let Some(stored) = library.text(field)? else {
            continue;
        };
        let (target, fitting) = place(stored, folder, rules);
        if let Some(fitting) = fitting.filter(|fitting| fitting != stored) {
            patches.push((library.offset, fitting));
        }
        found.push(target);
    }
    if !patches.is_empty() {
        patch(path, &patches, field)?;
    }
    Ok((u32::try_from(patches.len()).unwrap_or(u32::MAX), found))
}

/// Where a library is, and how it must be stored; `None`: as it is.
fn place(stored: &str, folder: &Path, rules: &[Remap]) -> (PathBuf, Option<String>) {
    if let Some(relative) = stored.strip_prefix("//") {
        // Written on Windows. Blender for other systems takes `\` for part of a name.
        let slashed = if cfg!(windows) {
            relative.to_owned()
        } else {
            relative.replace('\\', "/")
        };
        return (
            normalised(&folder.join(&slashed)),
            Some(format!("//{slashed}")),
        );
    }
    match remap::mapped(stored, rules) {
        Some(target) => {
            let target = normalised(&target);
            let relative = relative(folder, &target);
            (target, Some(format!("//{relative}")))
        }
        None => (normalised(Path::new(stored)), None),
    }
}

/// Without `.` and `..`, which stand in stored paths; links are not followed.
fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The way from a folder to a file, with slashes.
fn relative(folder: &Path, target: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) =
        (folder.components().collect(), target.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    let down = to[common..]
        .iter()
        .map(|component| component.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Writes paths into a field of blocks. A compressed file is replaced by its decompressed self.
fn patch(path: &Path, patches: &[(u64, String)], field: Field) -> Result<(), Unreadable> {
    let copy = match blocks::unpacked(path)? {
        None => None,
        Some(mut content) => {
            let mut copy =
                tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
            io::copy(&mut content, &mut copy)?;
            Some(copy)
        }
    };
    let mut file = match &copy {
        Some(copy) => copy.reopen()?,
        None => File::options().write(true).open(path)?,
    };
    for (offset, stored) in patches {
        let mut bytes = stored.clone().into_bytes();
        // One byte for the end of the text.
        if bytes.len() >= field.size {
            return Err(Unreadable::Structure("a library's path is too long"));
        }
        bytes.resize(field.size, 0);
        file.seek(SeekFrom::Start(offset + field.offset as u64))?;
        file.write_all(&bytes)?;
    }
    if let Some(copy) = copy {
        copy.persist(path).map_err(|error| error.error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_between_files() {
        let check = |from: &str, to: &str, way: &str| {
            assert_eq!(relative(Path::new(from), Path::new(to)), way)
        };
        check("/root/proj", "/root/proj/a.blend", "a.blend");
        check(
            "/root/proj/deep",
            "/root/libs/a.blend",
            "../../libs/a.blend",
        );
        check("/", "/a.blend", "a.blend");
        assert_eq!(normalised(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
