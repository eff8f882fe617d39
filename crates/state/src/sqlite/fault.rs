//! What goes wrong inside, and what it means for the one who asked.

use std::path::{Path, PathBuf};

use crate::encoding::Unreadable;
use crate::{OpenError, ReadError, WriteError};

/// Why something inside did not work.
#[derive(Debug)]
pub(super) enum Fault {
    /// The change contradicts the record.
    Refused(WriteError),
    /// The file's content makes no sense.
    Damaged(String),
    /// The disk is full.
    DiskFull,
    /// Anything else the database says.
    Database(sqlx::Error),
}

// Result codes of SQLite (https://www.sqlite.org/rescode.html); of extended ones the low byte is the primary code.
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;
/// No room for the index of the write-ahead log.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether what a row refers to is not there.
pub(super) fn is_missing_reference(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_foreign_key_violation())
}

/// Whether a value that may stand once stands twice.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Io(io) = &error
            && io.kind() == std::io::ErrorKind::StorageFull
        {
            return Self::DiskFull;
        }
        // A value of a type or size that was never written.
        if let sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) = error {
            return Self::Damaged(error.to_string());
        }
        match sqlite_code(&error) {
            Some(SQLITE_FULL | SQLITE_IOERR_SHMSIZE) => Self::DiskFull,
            Some(code) if matches!(code & 0xff, SQLITE_CORRUPT | SQLITE_NOTADB) => {
                let text = error.as_database_error().map(|error| error.message());
                Self::Damaged(text.unwrap_or("no database").to_owned())
            }
            _ => Self::Database(error),
        }
    }
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        Self::Damaged(unreadable.to_string())
    }
}

impl From<WriteError> for Fault {
    fn from(refused: WriteError) -> Self {
        Self::Refused(refused)
    }
}

/// Where the record lies, for errors that name it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// None in memory.
    folder: Option<PathBuf>,
    file: PathBuf,
}

/// SQLite's own name of a database in memory.
const MEMORY: &str = ":memory:";

impl Place {
    pub(super) fn file(folder: PathBuf, file: PathBuf) -> Self {
        Self {
            folder: Some(folder),
            file,
        }
    }

    pub(super) fn memory() -> Self {
        Self {
            folder: None,
            file: MEMORY.into(),
        }
    }

    /// The database, as SQLite is told it.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    pub(super) fn is_file(&self) -> bool {
        self.folder.is_some()
    }

    /// What has no room left.
    fn full(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| MEMORY.into())
    }

    pub(super) fn open_error(&self, fault: Fault) -> OpenError {
        let file = self.file.clone();
        match fault {
            Fault::Damaged(what) => OpenError::Damaged { file, what },
            Fault::DiskFull => OpenError::DiskFull {
                folder: self.full(),
            },
            Fault::Database(source) => OpenError::Database { file, source },
            Fault::Refused(refused) => OpenError::Damaged {
                file,
                what: refused.to_string(),
            },
        }
    }

    pub(super) fn write_error(&self, fault: Fault) -> WriteError {
        let file = self.file.clone();
        match fault {
            Fault::Refused(refused) => refused,
            Fault::Damaged(what) => WriteError::Damaged { file, what },
            Fault::DiskFull => WriteError::DiskFull {
                folder: self.full(),
            },
            Fault::Database(source) => WriteError::Database { file, source },
        }
    }

    pub(super) fn read_error(&self, fault: Fault) -> ReadError {
        let file = self.file.clone();
        match fault {
            Fault::Damaged(what) => ReadError::Damaged { file, what },
            // A read writes at most the shared index of the log.
            Fault::DiskFull => ReadError::DiskFull {
                folder: self.full(),
            },
            Fault::Database(source) => ReadError::Database { file, source },
            Fault::Refused(refused) => ReadError::Damaged {
                file,
                what: refused.to_string(),
            },
        }
    }
}
