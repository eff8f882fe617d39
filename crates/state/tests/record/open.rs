//! Opening: what is made, what is refused, and in which words.

use std::path::Path;

use sqlx::{ConnectOptions, Connection};
use tessera_model::{Change, JobId, Term, WorkerId};
use tessera_state::{OpenError, Snapshot, State};

use crate::backend::{Backend, Record, on_every_backend};
use crate::facts::JOB;

pub async fn sql(folder: &Path, text: &'static str) {
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("record.sqlite3"))
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Rows of a table. For what the record's own views rightly do not show.
pub async fn rows(folder: &Path, table: &'static str) -> i64 {
    let mut conn = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("record.sqlite3"))
        .connect()
        .await
        .unwrap();
    let text = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(text))
        .fetch_one(&mut conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn its_folder_is_made() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b");
    State::open(&folder).await.unwrap();
    assert!(folder.join("record.sqlite3").exists());
}

async fn a_new_record_is_empty(backend: Backend) {
    let record = Record::open(backend).await;
    let empty = Snapshot {
        term: Term(0),
        next_job: JobId(1),
        next_worker: WorkerId(1),
        farm: None,
        jobs: vec![],
        leases: vec![],
        failed: Vec::new(),
        attempts: vec![],
        workers: vec![],
        tokens: vec![],
        pairings: vec![],
        certificates: vec![],
        receivers: vec![],
    };
    assert_eq!(record.state.load().await.unwrap(), empty);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).await.unwrap();
    state.begin_term().await.unwrap();
    for name in ["record.sqlite3", "record.sqlite3-wal"] {
        let meta = std::fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_manager_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = State::open(folder.path()).await.unwrap();
    let error = State::open(folder.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, OpenError::InUse { process: Some(id), .. } if id == std::process::id()),
        "{text}"
    );
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    assert!(text.contains("--data"), "{text}");
    first.close().await;
    State::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_record_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    State::open(folder.path()).await.unwrap().close().await;
    sql(folder.path(), "PRAGMA user_version = 99").await;
    let before = std::fs::read(folder.path().join("record.sqlite3")).unwrap();
    let error = State::open(folder.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{text}"
    );
    assert!(
        text.contains("version 99") && text.contains("up to 9"),
        "{text}"
    );
    assert!(text.contains("record.sqlite3"), "{text}");
    let after = std::fs::read(folder.path().join("record.sqlite3")).unwrap();
    assert!(before == after);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    sql(folder.path(), "CREATE TABLE photos (id INTEGER)").await;
    let before = std::fs::read(folder.path().join("record.sqlite3")).unwrap();
    let error = State::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let after = std::fs::read(folder.path().join("record.sqlite3")).unwrap();
    assert!(before == after);
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    std::fs::write(&path, "x").unwrap();
    let error = State::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

async fn started_again_it_is_the_same(backend: Backend) {
    let (record, term) = Record::farm(backend, &["1..9"], &[]).await;
    let before = record.state.load().await.unwrap();
    let record = record.restart().await;
    assert_eq!(record.state.load().await.unwrap(), before);
    let next = record.state.begin_term().await.unwrap();
    assert_eq!(next, Term(term.0 + 1));
    // The one before it is heard no more, also by a record that was never closed.
    let late = [Change::JobRemoved(JOB)];
    assert!(record.state.commit(term, &late).await.is_err());
    record.state.commit(next, &late).await.unwrap();
    assert!(
        record
            .restart()
            .await
            .state
            .load()
            .await
            .unwrap()
            .jobs
            .is_empty()
    );
}

async fn a_closed_record_takes_nothing_more(backend: Backend) {
    let Record { state, .. } = &Record::open(backend).await;
    state.close().await;
    assert!(state.begin_term().await.is_err());
    assert!(state.load().await.is_err());
    state.close().await;
}

/// Nothing that is in one is in another.
#[tokio::test]
async fn records_in_memory_are_apart() {
    let (one, _) = Record::farm(Backend::Memory, &["1..9"], &[]).await;
    let two = Record::open(Backend::Memory).await;
    assert_eq!(one.state.load().await.unwrap().jobs.len(), 1);
    assert_eq!(two.state.load().await.unwrap().jobs.len(), 0);
}

on_every_backend!(
    a_new_record_is_empty,
    started_again_it_is_the_same,
    a_closed_record_takes_nothing_more,
);
