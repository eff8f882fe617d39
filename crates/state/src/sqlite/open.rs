//! Opening, and the connections.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqliteConnection};
use tessera_model::{JobId, Term};
use tokio::sync::Mutex as AsyncMutex;

use super::connections::{Readers, Reading, Writer};
use super::fault::{Fault, Place};
use super::lock::{self, FolderLock};
use super::pack;
use super::schema::{self, Found};
use crate::{OpenError, ReadError, WriteError};

const FILE: &str = "record.sqlite3";
const LOCK: &str = "record.lock";

/// Reads at one time. Pages are read in a millisecond; more connections would only hold more caches.
const READERS: u32 = 4;

/// How long a connection waits for another's lock. Only a connection that is being closed, or a person's own
/// SQLite shell, ever holds one against the writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The log is cut back to this after a checkpoint, so that one great job does not leave its size behind.
const LOG_LIMIT_BYTES: &str = "67108864";

/// A record in a folder of this machine, or in memory; see [`State`](crate::State).
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    writer: AsyncMutex<Writer>,
    readers: Readers,
    /// None in memory, and once it is closed.
    lock: Mutex<Option<FolderLock>>,
    /// Ended jobs of which results may still wait to be packed. Only a list of things to look at: one too many or too
    /// few does no harm.
    ended: Mutex<BTreeSet<JobId>>,
}

impl Sqlite {
    pub(crate) async fn open(folder: &Path) -> Result<Self, OpenError> {
        let given = folder.to_owned();
        let (place, lock) = tokio::task::spawn_blocking(move || prepare(given))
            .await
            .expect("preparing a folder does not panic")?;
        let connection = connect_writer(&place).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A connection to a file does not go stale.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options(&place).pragma("query_only", "ON"));
        Self::over(place, connection, Readers::Pool(readers), Some(lock)).await
    }

    /// The same tables and the same code on one connection, without a file: gone when it is closed or dropped.
    pub(crate) async fn open_in_memory() -> Result<Self, OpenError> {
        let place = Place::memory();
        let connection = connect_writer(&place).await?;
        Self::over(place, connection, Readers::Writer, None).await
    }

    async fn over(
        place: Place,
        mut connection: SqliteConnection,
        readers: Readers,
        lock: Option<FolderLock>,
    ) -> Result<Self, OpenError> {
        let ended = pack::left_over(&mut connection)
            .await
            .map_err(|fault| place.open_error(fault))?;
        Ok(Self {
            place,
            writer: AsyncMutex::new(Writer::new(connection)),
            readers,
            lock: Mutex::new(lock),
            ended: Mutex::new(ended),
        })
    }

    pub(crate) async fn close(&self) {
        let mut writer = self.writer.lock().await;
        self.readers.close().await;
        writer.close().await;
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    pub(super) fn ended(&self) -> BTreeSet<JobId> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone()
    }

    pub(super) fn set_ended(&self, jobs: BTreeSet<JobId>) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    /// A transaction that reads, from one moment.
    pub(super) async fn read(&self) -> Result<Reading<'_>, Fault> {
        self.readers.begin(&self.writer).await
    }

    pub(super) fn read_error(&self, fault: Fault) -> ReadError {
        self.place.read_error(fault)
    }

    /// Runs `work` in one write transaction: all of it is recorded, or nothing.
    pub(super) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, WriteError> {
        let mut writer = self.writer.lock().await;
        // What only lives in the connection has no other one.
        let again = self.place.is_file().then(|| options(&self.place));
        writer
            .write(again, work)
            .await
            .map_err(|fault| self.place.write_error(fault))
    }

    pub(crate) async fn begin_term(&self) -> Result<Term, WriteError> {
        self.write(async |conn| {
            let term: i64 = sqlx::query_scalar("UPDATE farm SET term = term + 1 RETURNING term")
                .fetch_one(conn)
                .await?;
            Ok(Term(term.cast_unsigned()))
        })
        .await
    }
}

/// Size of a database's header (SQLite file format, section 1.3).
const SQLITE_HEADER_BYTES: u64 = 100;

/// Makes the folder and takes its lock.
fn prepare(given: PathBuf) -> Result<(Place, FolderLock), OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::StorageFull => OpenError::DiskFull { folder: path },
            _ => OpenError::Folder { path, source },
        }
    };
    // Absolute, since SQLite would take a path that begins with "file:" for an address.
    let folder = std::path::absolute(&given).map_err(failed(&given))?;
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let file = folder.join(FILE);
    let lock = lock::take(&folder, &folder.join(LOCK))?;
    let mut create = std::fs::OpenOptions::new();
    create.write(true).create(true).truncate(false);
    // Hashes of credentials are nobody else's. SQLite gives its log the rights of this file.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut create, 0o600);
    let opened = create.open(&file).map_err(failed(&file))?;
    let bytes = opened.metadata().map_err(failed(&file))?.len();
    // SQLite takes a file shorter than its header for an empty one, and would begin anew without a word.
    if (1..SQLITE_HEADER_BYTES).contains(&bytes) {
        let what = format!("it is cut short to {bytes} bytes");
        return Err(OpenError::Damaged { file, what });
    }
    Ok((Place::file(folder, file), lock))
}

fn options(place: &Place) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(place.path())
        .foreign_keys(true)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", LOG_LIMIT_BYTES)
        // The triggers and checks of a damaged or planted file do nothing but what SQL itself can do.
        .pragma("trusted_schema", "OFF")
        // Statements come by the thousand; what matters is logged by those who ask for it.
        .disable_statement_logging()
}

/// Opens the write connection, and brings the file up to date. A file that is not ours is left as it is.
async fn connect_writer(place: &Place) -> Result<SqliteConnection, OpenError> {
    let fault = |fault| place.open_error(fault);
    let mut conn = options(place)
        .connect()
        .await
        .map_err(|error| fault(error.into()))?;
    let found = schema::find(&mut conn).await.map_err(fault)?;
    let version = match found {
        Found::Version(version) if version <= schema::VERSION => version,
        Found::Version(found) => {
            return Err(OpenError::Newer {
                file: place.path().to_owned(),
                found,
                known: schema::VERSION,
            });
        }
        Found::Foreign => {
            return Err(OpenError::Foreign {
                file: place.path().to_owned(),
            });
        }
    };
    // Stays with the file; asked for only now that the file is known to be ours.
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut conn)
        .await
        .map_err(|error| fault(error.into()))?;
    if mode != "wal" && place.is_file() {
        tracing::warn!(
            mode,
            "the file system does not allow a write-ahead log: writes and reads wait for each other"
        );
    }
    schema::migrate(&mut conn, version).await.map_err(fault)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promises of durability rest on these.
    #[tokio::test]
    async fn the_connection_that_writes_is_set_as_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let check = async |pragma: &'static str, expected: &str| {
            let mut writer = store.writer.lock().await;
            let conn = writer.connection().unwrap();
            let text = format!("SELECT CAST(\"{pragma}\" AS TEXT) FROM pragma_{pragma}");
            let value: String = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                .fetch_one(conn)
                .await
                .unwrap();
            assert_eq!(value, expected, "{pragma}");
        };
        for _ in 0..2 {
            check("synchronous", "2").await;
            check("journal_mode", "wal").await;
            check("foreign_keys", "1").await;
            // Also of the connection that takes the place of one that was given up.
            store.writer.lock().await.give_up();
            store.begin_term().await.unwrap();
        }
    }
}
