//! The tables, by numbered versions.
//!
//! `application_id` says that a file is ours, `user_version` which version it has; both stand in the file's first page and
//! change in the transaction that changes the tables.

use sqlx::{Connection, Row, SqliteConnection};

use super::fault::Fault;

/// "tess" in ASCII: marks the file as ours.
pub(super) const APPLICATION_ID: i32 = 0x7465_7373;

/// Step `i` makes version `i + 1` of version `i`.
const MIGRATIONS: [&str; 9] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
];

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

/// Brings the tables from version `from` to [`VERSION`].
pub(super) async fn migrate(conn: &mut SqliteConnection, from: u32) -> Result<(), Fault> {
    run(conn, from, &MIGRATIONS).await
}

/// Each version is a transaction of its own: a failure leaves the last version that worked.
async fn run(
    conn: &mut SqliteConnection,
    from: u32,
    migrations: &[&'static str],
) -> Result<(), Fault> {
    for (version, &sql) in (1..).zip(migrations).skip(from as usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_version_is_taken_once_and_whole() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let first = "CREATE TABLE a (n INTEGER); INSERT INTO a VALUES (1);";
        let broken = "INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (1);";
        let second = "INSERT INTO a VALUES (3);";
        assert_eq!(find(&mut conn).await.unwrap(), Found::Version(0));
        assert!(run(&mut conn, 0, &[first, broken]).await.is_err());
        assert_eq!(find(&mut conn).await.unwrap(), Found::Version(1));
        run(&mut conn, 1, &[first, second]).await.unwrap();
        run(&mut conn, 2, &[first, second]).await.unwrap();
        assert_eq!(find(&mut conn).await.unwrap(), Found::Version(2));
        let rows: Vec<i64> = sqlx::query_scalar("SELECT n FROM a ORDER BY n")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        assert_eq!(rows, [1, 3]);
    }
}
