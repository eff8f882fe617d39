//! One manager a folder: a lock on a file of its own.
//!
//! SQLite's own locks would let two managers write in turns. The term would fence one of them, but only after both
//! have talked to workers; a lock held for as long as the record is open says no at once. The system lets go of it when the
//! process ends, however it ends. (A stand-by on another host is a matter of the term, not of this lock.)

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::OpenError;

/// Held while it lives.
#[derive(Debug)]
pub(super) struct FolderLock {
    file: File,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing alone would not do: a child process that is just being started shares the open file for a moment.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "letting go of the record's folder");
        }
    }
}

/// Takes the lock `path`, or says who has it. Blocks for the time of a few file operations.
pub(super) fn take(folder: &Path, path: &Path) -> Result<FolderLock, OpenError> {
    let failed = |source| OpenError::Folder {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only for the message: where a locked file cannot be read (Windows), it names no process.
            let _ = file.read_to_string(&mut text);
            return Err(OpenError::InUse {
                folder: folder.to_owned(),
                process: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Only for the message of the next one: a full disk must not keep the manager from its record.
    let _ = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()));
    Ok(FolderLock { file })
}
