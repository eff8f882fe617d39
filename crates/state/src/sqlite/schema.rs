//! The tables, by numbered versions.
//!
//! `application_id` says that a file is ours, `user_version` which version it has; both stand in the file's first page and
//! change in the transaction that changes the tables.

use sqlx::{Connection, Row, SqliteConnection};

use super::fault::Fault;

/// "tess" in ASCII: marks the file as ours.
pub(super) const APPLICATION_ID: i32 = 0x7465_7373;

/// Step `i` makes version `i + 1` of version `i`.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// The version this program writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// What a file is, found without changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A record of this version; 0 is an empty file.
    Version(u32),
    /// A database of something else.
    Foreign,
}

/// Looks at what the file is.
pub(super) async fn find(conn: &mut SqliteConnection) -> Result<Found, Fault> {
    let application: i32 = sqlx::query("PRAGMA application_id")
        .fetch_one(&mut *conn)
        .await?
        .try_get(0)?;
    let version: i32 = sqlx::query("PRAGMA user_version")
        .fetch_one(&mut *conn)
        .await?
        .try_get(0)?;
    let tables: i64 = sqlx::query("SELECT count(*) FROM sqlite_schema")
        .fetch_one(conn)
        .await?
        .try_get(0)?;
    if application == APPLICATION_ID {
        // A negative version is none we ever wrote: as newer as can be.
        return Ok(Found::Version(u32::try_from(version).unwrap_or(u32::MAX)));
    }
    Ok(if application == 0 && version == 0 && tables == 0 {
        Found::Version(0)
    } else {
        Found::Foreign
    })
}

/// Brings the tables from version `from` to [`VERSION`], each version in a transaction of its own.
pub(super) async fn migrate(conn: &mut SqliteConnection, from: u32) -> Result<(), Fault> {
    for (version, sql) in (1..).zip(MIGRATIONS).skip(from as usize) {
        let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(sql).execute(&mut *tx).await?;
        let marks =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};");
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        tracing::info!(version, "the record's tables have a new version");
    }
    Ok(())
}
