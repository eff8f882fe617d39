//! A manifest as files on disk.
//!
//! Blender opens files, so a worker needs the tree as one. It is written beside its place and put there by one rename: whoever
//! finds the tree finds all of it. A marker beside the tree (`ROOT.complete`, outside, so that no job's path can name it) says
//! whose tree it is; its lock keeps two threads or processes from making the same tree at once.
//!
//! Paths were checked when they became [`TreePath`]s, and the folder being filled was made empty here, so nothing in it can be a
//! link that leads out. Files are made read-only: a job that writes into its own sources by accident is stopped by the system.

mod marker;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::is_full;
use crate::manifest::{Entry, Manifest};
use crate::read::{ReadError, read_file};
use crate::store::Store;
use crate::tree_path::TreePath;
use marker::Marker;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files written.
    pub files_done: usize,
    /// Files of the tree.
    pub files: usize,
    /// Bytes written.
    pub bytes_done: u64,
    /// Bytes of the tree.
    pub bytes: u64,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Materialised {
    /// The tree was written.
    Written,
    /// It was there, whole.
    AlreadyThere,
}

/// A tree that could not be put on disk. Nothing of it is left, but for [`MaterialiseError::Occupied`].
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    /// A block is not in the store, or was damaged there and is now forgotten.
    #[error("{path} cannot be written: its block {digest} is not here; fetch it and try again")]
    Missing {
        /// The file.
        path: TreePath,
        /// The block.
        digest: Digest,
    },
    /// No room on the disk.
    #[error("no space left to write {path} under {}; free some, or choose another folder", root.display())]
    Full {
        /// The file.
        path: TreePath,
        /// The tree's place.
        root: PathBuf,
    },
    /// Two paths that are one here.
    #[error(
        "{path} cannot be written: this system takes another file of the tree for the same name; rename one of them"
    )]
    Collision {
        /// The second of them.
        path: TreePath,
    },
    /// Something else stands in the tree's place.
    #[error("{} exists and is not this file tree; move it away, or choose another folder", root.display())]
    Occupied {
        /// The tree's place.
        root: PathBuf,
    },
    /// The blocks of a file cannot be read, or do not fit together.
    #[error("{path} cannot be written")]
    Read {
        /// The file.
        path: TreePath,
        /// What is wrong with its blocks.
        source: ReadError,
    },
    /// The caller's progress function asked to stop.
    #[error("writing the file tree {} was cancelled", root.display())]
    Cancelled {
        /// The tree's place.
        root: PathBuf,
    },
    /// Anything else of the file system.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> MaterialiseError {
    move |source| MaterialiseError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

/// Writes the files of `manifest` under `root`, which must not exist (or be an empty folder) unless it already is this tree. A second
/// call finds it whole and does nothing; if files of it are gone, have another size or were written to since, it is written anew. Waits for another thread
/// or process that is at the same `root`. A `.blend` is written in its plain form.
///
/// `progress` is called after each block; [`ControlFlow::Break`] stops.
///
/// # Errors
/// See [`MaterialiseError`].
pub fn materialise(
    manifest: &Manifest,
    store: &Store,
    root: &Path,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Materialised, MaterialiseError> {
    let digest = manifest.blob_ref().digest;
    let mut marker = Marker::lock(root)?;
    let marked = marker.read()? == Some(digest);
    match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(root, "look at")(error)),
        Ok(found) if marked && found.is_dir() => {
            if is_whole(manifest, root, marker.written()?) {
                return Ok(Materialised::AlreadyThere);
            }
            fs::remove_dir_all(root).map_err(io_error(root, "remove the damaged tree"))?;
        }
        // Only an empty folder goes away like this: anything else is somebody's.
        Ok(_) => fs::remove_dir(root).map_err(|_| MaterialiseError::Occupied {
            root: root.to_owned(),
        })?,
    }
    let partial = beside(root, ".partial");
    remove_if_there(&partial)?;
    let written = write_tree(manifest, store, root, &partial, progress)
        // The marker first: without the tree it says nothing, while a tree without its marker would be a stranger's.
        .and_then(|()| marker.write(digest))
        .and_then(|()| {
            fs::rename(&partial, root).map_err(io_error(root, "put the finished tree at"))
        });
    if let Err(error) = written {
        // Best effort: what is left is removed by the next attempt.
        let _ = remove_if_there(&partial);
        return Err(error);
    }
    Ok(Materialised::Written)
}

/// Removes the tree at `root` and its marker, if [`materialise`] made it; without one it does nothing.
///
/// # Errors
/// [`MaterialiseError::Occupied`] if something stands there that [`materialise`] did not make.
pub fn remove_tree(root: &Path) -> Result<(), MaterialiseError> {
    let mut marker = Marker::lock(root)?;
    remove_if_there(&beside(root, ".partial"))?;
    if fs::symlink_metadata(root).is_ok() {
        if marker.read()?.is_none() {
            return Err(MaterialiseError::Occupied {
                root: root.to_owned(),
            });
        }
        fs::remove_dir_all(root).map_err(io_error(root, "remove"))?;
    }
    fs::remove_file(&marker.path).map_err(io_error(&marker.path, "remove"))
}

fn beside(root: &Path, suffix: &str) -> PathBuf {
    let mut path = root.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn remove_if_there(folder: &Path) -> Result<(), MaterialiseError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(folder, "remove")(error))
        }
        _ => Ok(()),
    }
}

/// Whether all files are there with their sizes, and none was written to after the tree was `finished`. Power loss after an unsynced write
/// leaves files short, and this is what notices.
fn is_whole(manifest: &Manifest, root: &Path, finished: SystemTime) -> bool {
    manifest.iter().all(|(path, entry)| {
        fs::symlink_metadata(path.under(root)).is_ok_and(|found| {
            let untouched = found.modified().is_ok_and(|written| written <= finished);
            found.is_file() && found.len() == entry.blob.size && untouched
        })
    })
}

fn write_tree(
    manifest: &Manifest,
    store: &Store,
    root: &Path,
    partial: &Path,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), MaterialiseError> {
    fs::create_dir(partial).map_err(io_error(partial, "create"))?;
    let mut state = Progress {
        files_done: 0,
        files: manifest.len(),
        bytes_done: 0,
        bytes: manifest.total_size(),
    };
    for (path, entry) in manifest.iter() {
        let full = path.under(partial);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| file_error(path, root, parent, "create", error))?;
        }
        let file = match OpenOptions::new().write(true).create_new(true).open(&full) {
            Ok(file) => file,
            // The folder was empty: only another name of this very tree can be in the way.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(MaterialiseError::Collision { path: path.clone() });
            }
            Err(error) => return Err(file_error(path, root, &full, "create", error)),
        };
        let mut out = Reporting {
            file: &file,
            state: &mut state,
            progress: &mut progress,
            stopped: false,
        };
        let read = read_file(&entry.blob, |digest| store.get_or_forget(digest), &mut out);
        if out.stopped {
            return Err(MaterialiseError::Cancelled {
                root: root.to_owned(),
            });
        }
        read.map_err(|error| read_error(path, root, &full, error))?;
        make_read_only(&file, entry)
            .map_err(|error| file_error(path, root, &full, "make read-only", error))?;
        state.files_done += 1;
        if progress(state).is_break() {
            return Err(MaterialiseError::Cancelled {
                root: root.to_owned(),
            });
        }
    }
    Ok(())
}

fn file_error(
    path: &TreePath,
    root: &Path,
    place: &Path,
    action: &'static str,
    error: io::Error,
) -> MaterialiseError {
    if is_full(&error) {
        MaterialiseError::Full {
            path: path.clone(),
            root: root.to_owned(),
        }
    } else {
        io_error(place, action)(error)
    }
}

fn read_error(path: &TreePath, root: &Path, place: &Path, error: ReadError) -> MaterialiseError {
    match error {
        ReadError::Missing { digest } => MaterialiseError::Missing {
            path: path.clone(),
            digest,
        },
        ReadError::Write { source } => file_error(path, root, place, "write to", source),
        source => MaterialiseError::Read {
            path: path.clone(),
            source,
        },
    }
}

#[cfg(unix)]
fn make_read_only(file: &File, entry: &Entry) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(if entry.executable {
        0o555
    } else {
        0o444
    }))
}

#[cfg(not(unix))]
fn make_read_only(file: &File, _entry: &Entry) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}

/// A file that tells how far it is, and stops if asked to.
struct Reporting<'a, P> {
    file: &'a File,
    state: &'a mut Progress,
    progress: &'a mut P,
    stopped: bool,
}

impl<P: FnMut(Progress) -> ControlFlow<()>> Write for Reporting<'_, P> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buf)?;
        self.state.bytes_done += written as u64;
        if (self.progress)(*self.state).is_break() {
            self.stopped = true;
            return Err(io::Error::other("stopped by the caller"));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
