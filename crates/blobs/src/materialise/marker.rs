//! The file beside a tree: whose tree it is, and a lock on its making.
//!
//! The system lets go of the lock when its holder dies, so a killed worker never leaves a tree that nobody may touch.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{MaterialiseError, beside, io_error};
use crate::digest::Digest;

/// The file beside a tree that says which tree it is, locked.
pub(super) struct Marker {
    pub(super) path: PathBuf,
    file: File,
}

impl Marker {
    const HEAD: &str = "tessera tree 1 ";
    /// Longer than any marker; the rest of a longer file is of no interest.
    const MAX_BYTES: u64 = 256;

    pub(super) fn lock(root: &Path) -> Result<Self, MaterialiseError> {
        if root.file_name().is_none() {
            return Err(MaterialiseError::Occupied {
                root: root.to_owned(),
            });
        }
        let path = beside(root, ".complete");
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(io_error(parent, "create"))?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io_error(&path, "open"))?;
            file.lock().map_err(io_error(&path, "lock"))?;
            // Whoever held it may have removed it with the tree; then another file stands here now, or none.
            if is_still(&file, &path) {
                return Ok(Self { path, file });
            }
        }
    }

    pub(super) fn read(&mut self) -> Result<Option<Digest>, MaterialiseError> {
        let mut text = String::new();
        let read = self
            .file
            .rewind()
            .and_then(|()| (&self.file).take(Self::MAX_BYTES).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(text
                .strip_prefix(Self::HEAD)
                .and_then(|digest| digest.trim_end().parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(io_error(&self.path, "read")(error)),
        }
    }

    /// When it was written, which is after all files of the tree.
    pub(super) fn written(&self) -> Result<SystemTime, MaterialiseError> {
        let written = self.file.metadata().and_then(|found| found.modified());
        written.map_err(io_error(&self.path, "look at"))
    }

    pub(super) fn write(&mut self, digest: Digest) -> Result<(), MaterialiseError> {
        let line = format!("{}{digest}\n", Self::HEAD);
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(line.as_bytes()))
            .and_then(|()| self.file.sync_all());
        written.map_err(io_error(&self.path, "write"))
    }
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(held), Ok(found)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn is_still(_file: &File, path: &Path) -> bool {
    path.exists()
}
