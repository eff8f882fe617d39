//! The connections of one record: the one that writes, and those that read beside it.

use std::ops::{Deref, DerefMut};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    ConnectOptions, Connection, Sqlite as Database, SqliteConnection, SqlitePool, Transaction,
};
use tokio::sync::{Mutex, MutexGuard};

use super::fault::Fault;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    /// None once it is closed, or given up.
    connection: Option<SqliteConnection>,
    /// Whether the last transaction ended in good order. After an error of the disk, or when a commit is dropped
    /// half-way, nobody can tell in what state the connection is.
    sound: bool,
    closed: bool,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self {
            connection: Some(connection),
            sound: true,
            closed: false,
        }
    }

    pub(super) async fn close(&mut self) {
        self.closed = true;
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the record's write connection");
        }
    }

    /// Closes the connection, which rolls back whatever it was at; the next write opens a new one.
    pub(super) fn give_up(&mut self) {
        self.connection = None;
    }

    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, Fault> {
        self.connection
            .as_mut()
            .ok_or(Fault::Database(sqlx::Error::PoolClosed))
    }

    /// Runs `work` in one transaction: all of it is recorded, or nothing.
    ///
    /// A connection that is not sound is given up for one made by `again`. Without that (in memory, where no disk can
    /// fail) it is kept: what was dropped half-way is rolled back on it before anything else.
    pub(super) async fn write<T>(
        &mut self,
        again: Option<SqliteConnectOptions>,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Some(again) = again
            && !self.closed
        {
            if !self.sound {
                self.give_up();
            }
            if self.connection.is_none() {
                self.connection = Some(again.connect().await?);
            }
        }
        self.sound = false;
        let mut tx = self.connection()?.begin_with("BEGIN IMMEDIATE").await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                self.sound = true;
                Ok(value)
            }
            Err(fault) => {
                if matches!(fault, Fault::Refused(_)) && tx.rollback().await.is_ok() {
                    self.sound = true;
                }
                Err(fault)
            }
        }
    }
}

/// Who reads.
#[derive(Debug)]
pub(super) enum Readers {
    /// Connections of their own, beside each other and beside the write.
    Pool(SqlitePool),
    /// The connection that writes, in turns with it: a database in memory has no other.
    Writer,
}

impl Readers {
    /// A view of the record as of one moment.
    pub(super) async fn begin<'a>(&self, writer: &'a Mutex<Writer>) -> Result<Reading<'a>, Fault> {
        match self {
            Self::Pool(pool) => Ok(Reading::Beside(pool.begin().await?)),
            Self::Writer => {
                let mut writer = writer.lock().await;
                writer.connection()?;
                Ok(Reading::InTurn(writer))
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Pool(pool) => pool.close().await,
            Self::Writer => {}
        }
    }
}

/// A connection that sees the record as of one moment.
#[derive(Debug)]
pub(super) enum Reading<'a> {
    Beside(Transaction<'static, Database>),
    /// Nobody writes as long as this is held.
    InTurn(MutexGuard<'a, Writer>),
}

const IN_TURN: &str = "a reading begins with a connection, and nobody else can close it";

impl Deref for Reading<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Beside(tx) => tx,
            Self::InTurn(writer) => writer.connection.as_ref().expect(IN_TURN),
        }
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Beside(tx) => tx,
            Self::InTurn(writer) => writer.connection.as_mut().expect(IN_TURN),
        }
    }
}
