//! A tree of files, by content.
//!
//! What a job needs is paths, and for each the file that lies there. The serialisation is canonical (sorted, one form for
//! everything), so equal trees have equal names, and it is itself cut into blocks: a manifest of a million files of which one
//! changed sends a few of its blocks.
//!
//! Version 1: `"TM"  version u8`, then per file, in the order of path bytes:
//!
//! ```text
//! path length LEB128  path  kind u8 (0 file)  flags u8 (1 executable)  encoding u8 (0 raw, 1 zstd, 2 gzip)
//! original size LEB128  digest [32]  size LEB128  depth u8
//! ```

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ops::Bound;

use crate::blob_ref::BlobRef;
use crate::content::{Content, FileEncoding};
use crate::cut::{Block, CutFile, write_bytes};
use crate::digest::Digest;
use crate::error::BoxError;
use crate::list::{read_leb128, write_leb128};
use crate::read::{ReadError, check_ref, read_bytes};
use crate::tree_path::{TreePath, TreePathError};

/// Most files in a tree: a simulation cache of some 40 000 frames in 25 files each. Bounds the memory that a manifest from
/// elsewhere can take (about 200 MB).
pub const MAX_ENTRIES: usize = 1_000_000;

/// Longest serialisation that is read: [`MAX_ENTRIES`] files with paths of 200 bytes.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

const MAGIC: &[u8; 2] = b"TM";
const VERSION: u8 = 1;
const EXECUTABLE: u8 = 1;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A regular file; there is no other kind yet.
    File = 0,
}

/// A file of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its content, in plain form.
    pub blob: BlobRef,
    /// Bytes it had where it came from, compressed if it was.
    pub original_size: u64,
    /// How it was compressed there.
    pub encoding: FileEncoding,
    /// Whether it may be executed.
    pub executable: bool,
}

impl Entry {
    /// The entry of a file that was cut, not executable.
    #[must_use]
    pub fn file(cut: &CutFile) -> Self {
        Self {
            kind: EntryKind::File,
            blob: cut.blob,
            original_size: cut.original_size,
            encoding: cut.encoding,
            executable: false,
        }
    }
}

/// A tree of files, at most [`MAX_ENTRIES`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: BTreeMap<TreePath, Entry>,
}

/// A tree that is refused, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The path is taken.
    #[error("{path} is in the file tree already")]
    Duplicate {
        /// The path.
        path: TreePath,
    },
    /// A path is a file and a folder at once.
    #[error(
        "{path} cannot be in a file tree together with {other}: one would be a file and a folder at once"
    )]
    FileAsFolder {
        /// The path refused.
        path: TreePath,
        /// The path that was there.
        other: TreePath,
    },
    /// Too many files.
    #[error("a file tree holds at most {MAX_ENTRIES} files")]
    TooMany,
    /// Not a manifest.
    #[error("this is not a file tree: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A manifest of another version.
    #[error(
        "the file tree has version {found}, this program reads {VERSION}; update the older side"
    )]
    Version {
        /// The version found.
        found: u8,
    },
    /// A path that no tree may hold.
    #[error(transparent)]
    Path(#[from] TreePathError),
    /// A file that cannot be right, or the manifest's own blocks cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Manifest {
    /// The tree without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file at `path`.
    ///
    /// # Errors
    /// Refuses a path that is taken or lies in or above a file, and the file after the last that fits.
    pub fn insert(&mut self, path: TreePath, entry: Entry) -> Result<(), ManifestError> {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(ManifestError::TooMany);
        }
        let last = self.entries.last_key_value();
        let last = last.map_or("", |(last, _)| last.as_str());
        // Trees are read and made in order, and what comes last is no other's folder.
        let is_last = last < path.as_str();
        if !is_last && self.entries.contains_key(&path) {
            return Err(ManifestError::Duplicate { path });
        }
        let file_above = folders_beyond(last, path.as_str())
            .find_map(|folder| self.entries.get_key_value(folder))
            .map(|(other, _)| other.clone());
        let file_below = || match is_last {
            true => None,
            false => self.first_in_folder(path.as_str()),
        };
        if let Some(other) = file_above.or_else(file_below) {
            return Err(ManifestError::FileAsFolder { path, other });
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    fn first_in_folder(&self, folder: &str) -> Option<TreePath> {
        let prefix = format!("{folder}/");
        let (first, _) = self
            .entries
            .range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded))
            .next()?;
        first.as_str().starts_with(&prefix).then(|| first.clone())
    }

    /// The file at `path`.
    #[must_use]
    pub fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All files, in the order of their paths' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter()
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all files as they will lie on disk.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.blobs()
            .fold(0, |total, blob| total.saturating_add(blob.size))
    }

    /// The content of all files.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        self.entries.values().map(|entry| &entry.blob)
    }

    /// Pairs of paths that differ, or whose folders differ, only in upper and lower case: on Windows and macOS they are one, so
    /// of two such files only one can be put on disk there. Each pair of names is reported once, with the first paths that have it.
    #[must_use]
    pub fn case_collisions(&self) -> Vec<(TreePath, TreePath)> {
        let mut names: HashMap<String, (&str, &TreePath)> = HashMap::new();
        let mut collisions = Vec::new();
        for path in self.entries.keys() {
            let ends = path
                .as_str()
                .match_indices('/')
                .map(|(end, _)| end)
                .chain([path.as_str().len()]);
            for end in ends {
                let name = &path.as_str()[..end];
                let (first_name, first_path) =
                    *names.entry(name.to_lowercase()).or_insert((name, path));
                if first_name != name {
                    collisions.push((first_path.clone(), path.clone()));
                    break;
                }
            }
        }
        collisions
    }

    /// The canonical serialisation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        for (path, entry) in &self.entries {
            write_leb128(&mut bytes, path.as_str().len() as u64);
            bytes.extend_from_slice(path.as_str().as_bytes());
            bytes.extend_from_slice(&[
                entry.kind as u8,
                if entry.executable { EXECUTABLE } else { 0 },
                entry.encoding.code(),
            ]);
            write_leb128(&mut bytes, entry.original_size);
            bytes.extend_from_slice(entry.blob.digest.as_bytes());
            write_leb128(&mut bytes, entry.blob.size);
            bytes.push(entry.blob.depth);
        }
        bytes
    }

    /// Reads a serialisation, from wherever it comes: everything in it is checked as [`Manifest::insert`] would.
    ///
    /// # Errors
    /// See [`ManifestError`]; also if it is not in canonical form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Some(([m, n, version], mut rest)) = bytes.split_first_chunk::<3>() else {
            return Err(ManifestError::Malformed {
                reason: "it is too short",
            });
        };
        if [*m, *n] != *MAGIC {
            return Err(ManifestError::Malformed {
                reason: "it begins otherwise",
            });
        }
        if *version != VERSION {
            return Err(ManifestError::Version { found: *version });
        }
        let mut manifest = Self::new();
        while !rest.is_empty() {
            let (path, entry) = read_entry(&mut rest)?;
            let last = manifest.entries.last_key_value();
            if last.is_some_and(|(last, _)| *last > path) {
                return Err(ManifestError::Malformed {
                    reason: "its files are not in order",
                });
            }
            manifest.insert(path, entry)?;
        }
        Ok(manifest)
    }

    /// Its name, without storing anything: equal trees, equal names.
    #[must_use]
    pub fn blob_ref(&self) -> BlobRef {
        let Ok(blob) = self.write(|_| Ok::<_, Infallible>(()));
        blob
    }

    /// Cuts it into blocks for `sink`, as [`crate::write_file`] does a file.
    ///
    /// # Errors
    /// Only the sink's own.
    pub fn write<E>(&self, sink: impl FnMut(Block<'_>) -> Result<(), E>) -> Result<BlobRef, E> {
        // Many small entries of which few change: what the fine cut is for.
        write_bytes(&self.to_bytes(), Content::Blend, sink)
    }

    /// Reads it from its blocks.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read<E: Into<BoxError>>(
        blob: &BlobRef,
        source: impl FnMut(&Digest) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, ManifestError> {
        Self::from_bytes(&read_bytes(blob, MAX_MANIFEST_BYTES, source)?)
    }
}

/// The folders of `path` that are not folders of `other` too, from the outermost.
fn folders_beyond<'a>(other: &str, path: &'a str) -> impl Iterator<Item = &'a str> {
    let same = path.bytes().zip(other.bytes());
    let same = same.take_while(|(one, other)| one == other).count();
    let rest = path.bytes().enumerate().skip(same);
    rest.filter(|(_, sign)| *sign == b'/')
        .map(|(end, _)| &path[..end])
}

fn read_entry(rest: &mut &[u8]) -> Result<(TreePath, Entry), ManifestError> {
    const CUT_OFF: ManifestError = ManifestError::Malformed {
        reason: "its last file is cut off",
    };
    let path_len = usize::try_from(take_number(rest)?).unwrap_or(usize::MAX);
    let path = std::str::from_utf8(rest.split_off(..path_len).ok_or(CUT_OFF)?).map_err(|_| {
        ManifestError::Malformed {
            reason: "a path is not UTF-8",
        }
    })?;
    let path = TreePath::new(path)?;
    let Some(&[kind, flags, encoding]) = rest.split_off(..3) else {
        return Err(CUT_OFF);
    };
    if kind != EntryKind::File as u8 {
        return Err(ManifestError::Malformed {
            reason: "an entry is of a kind that this program does not know; update it",
        });
    }
    if flags & !EXECUTABLE != 0 {
        return Err(ManifestError::Malformed {
            reason: "a file has a property that this program does not know; update it",
        });
    }
    let encoding = FileEncoding::from_code(encoding).ok_or(ManifestError::Malformed {
        reason: "a file was compressed in a way that this program does not know; update it",
    })?;
    let original_size = take_number(rest)?;
    let digest = rest
        .split_off(..Digest::LEN)
        .and_then(|digest| digest.try_into().ok())
        .map(Digest::from_bytes)
        .ok_or(CUT_OFF)?;
    let size = take_number(rest)?;
    let depth = *rest.split_off_first().ok_or(CUT_OFF)?;
    let blob = BlobRef {
        digest,
        size,
        depth,
    };
    check_ref(&blob)?;
    Ok((
        path,
        Entry {
            kind: EntryKind::File,
            blob,
            original_size,
            encoding,
            executable: flags & EXECUTABLE != 0,
        },
    ))
}

fn take_number(rest: &mut &[u8]) -> Result<u64, ManifestError> {
    let (number, after) = read_leb128(rest).ok_or(ManifestError::Malformed {
        reason: "a number in it is none",
    })?;
    *rest = after;
    Ok(number)
}

#[cfg(test)]
mod tests;
