//! The structure of a .blend, as far as the libraries that it links go.
//!
//! Blender resolves a library's path while it loads the file that links it, and what it does not find then is lost in part: an
//! object keeps only as many materials as its missing mesh has, none. Hence absolute library paths are made to fit *before*
//! Blender sees the file. Everything else that a file names is re-pointed by the driver once it is loaded.
//!
//! A .blend is a header (see `header.rs`) and blocks, each with a head (code, length, …). Block `DNA1` describes the structs in the
//! other blocks; blocks `LI` hold a struct `Library` with a path in a field of fixed size, which can be overwritten in place.

mod dna;
mod library;
mod remap;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use crate::message::Remap;
use library::LibraryPath;

/// Why a file's libraries could not be looked at. Blender then says more than this could.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelocateError {
    #[error("cannot read or write {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the structure of {path} is not understood: {what}", path = path.display())]
    Structure { path: PathBuf, what: &'static str },
}

/// Makes the libraries of `blend`, theirs, and so on, point to where `rules` say, by paths relative to the linking file. Only
/// files below the rules' targets are changed: those are the caller's copies. Returns how many paths were.
pub(crate) fn relocate_libraries(blend: &Path, rules: &[Remap]) -> Result<u32, RelocateError> {
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
        let fail = |error| match error {
            Unreadable::Io(source) => RelocateError::Io {
                path: path.clone(),
                source,
            },
            Unreadable::Structure(what) => RelocateError::Structure {
                path: path.clone(),
                what,
            },
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let (patched, libraries) = relocate_one(&path, folder, rules).map_err(fail)?;
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
    let mut raw = Raw::open(path)?;
    let libraries = library::paths(&mut raw.file)?;
    let mut found = Vec::new();
    let mut patches = Vec::new();
    for library in &libraries {
        let (target, stored) = place(&library.path, folder, rules);
        if let Some(stored) = stored.filter(|stored| *stored != library.path) {
            patches.push((library, stored));
        }
        found.push(target);
    }
    let count = u32::try_from(patches.len()).unwrap_or(u32::MAX);
    if count > 0 {
        raw.patch(path, &patches)?;
    }
    Ok((count, found))
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

/// A .blend, decompressed if it was compressed.
struct Raw {
    file: File,
    /// Where the decompressed copy is; it takes the file's place if it is changed.
    copy: Option<tempfile::TempPath>,
}

impl Raw {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic)?;
        file.rewind()?;
        let mut packed: Box<dyn Read> = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(file)?),
            _ => return Ok(Self { file, copy: None }),
        };
        let (mut copy, path) =
            tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?.into_parts();
        io::copy(&mut packed, &mut copy)?;
        copy.rewind()?;
        Ok(Self {
            file: copy,
            copy: Some(path),
        })
    }

    fn patch(self, path: &Path, patches: &[(&LibraryPath, String)]) -> Result<(), Unreadable> {
        let mut file = match &self.copy {
            Some(_) => self.file,
            None => File::options().write(true).open(path)?,
        };
        for (library, stored) in patches {
            let mut field = stored.clone().into_bytes();
            // One byte for the end of the text.
            if field.len() >= library.capacity {
                return Err(Unreadable::Structure("a library's path is too long"));
            }
            field.resize(library.capacity, 0);
            file.seek(SeekFrom::Start(library.offset))?;
            file.write_all(&field)?;
        }
        file.flush()?;
        if let Some(copy) = self.copy {
            copy.persist(path).map_err(|error| error.error)?;
        }
        Ok(())
    }
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
