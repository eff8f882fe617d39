//! A damaged file is a clear error, wherever the damage shows first; never a panic.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use tessera_state::{OpenError, ReadError, State};

use crate::facts::{self, JOB, STEP, done, failed};
use crate::open::sql;

async fn filled(folder: &Path) {
    let state = State::open(folder).await.unwrap();
    let term = state.begin_term().await.unwrap();
    let mut batch = facts::farm(&["1..2000"]);
    batch.extend((0..1500).map(|at| done(JOB, STEP, at)));
    // Packed at once, but for the last.
    batch.push(done(JOB, STEP, 1900));
    batch.extend((0..200).map(|at| failed(JOB, STEP, at, 1)));
    state.commit(term, &batch).await.unwrap();
    state.close().await;
}

fn overwrite(folder: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.join("record.sqlite3"))
        .unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn no_database_at_all() {
    let folder = tempfile::tempdir().unwrap();
    // SQLite itself would take the first two for an empty database and begin anew.
    for content in [
        "S".to_owned(),
        "SQLite format 3\0".to_owned(),
        "not a database ".repeat(100),
    ] {
        std::fs::write(folder.path().join("record.sqlite3"), &content).unwrap();
        let error = State::open(folder.path()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
        assert!(
            text.contains("record.sqlite3") && text.contains("put back a copy"),
            "{text}"
        );
    }
}

/// Reads everything there is.
async fn read_all(folder: &Path) -> Result<(), String> {
    let state = State::open(folder)
        .await
        .map_err(|error| error.to_string())?;
    let text = |error: ReadError| error.to_string();
    state.load().await.map_err(text)?;
    state.accepts(JOB).await.map_err(text)?;
    state.results(JOB, STEP, 0..2000).await.map_err(text)?;
    state.errors(JOB, None, 1000).await.map_err(text)?;
    let mut roots = state.blob_roots();
    while roots.next_batch().await.map_err(text)?.is_some() {}
    state.close().await;
    Ok(())
}

#[tokio::test]
async fn pages_of_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    // Without the pages that packing set free, damage to which is none.
    sql(folder.path(), "VACUUM").await;
    let file = folder.path().join("record.sqlite3");
    let sound = std::fs::read(&file).unwrap();
    let mut missed = Vec::new();
    for page in (0..sound.len()).step_by(4096) {
        std::fs::write(&file, &sound).unwrap();
        overwrite(folder.path(), page as u64, &[0xa5; 4096]);
        match read_all(folder.path()).await {
            Err(text) => assert!(
                text.contains("is damaged") && text.contains("record.sqlite3"),
                "{page}: {text}"
            ),
            Ok(()) => missed.push(page / 4096),
        }
    }
    // Indexes that only single frames are looked up in.
    assert!(missed.len() <= 12, "{missed:?} of {}", sound.len() / 4096);
}

#[tokio::test]
async fn a_truncated_file() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let file = folder.path().join("record.sqlite3");
    let sound = std::fs::read(&file).unwrap();
    for kept in [50, 4096, 5000, 4096 * 20] {
        std::fs::write(&file, &sound[..kept]).unwrap();
        let text = read_all(folder.path()).await.unwrap_err();
        assert!(text.contains("is damaged"), "{kept}: {text}");
    }
}

#[tokio::test]
async fn content_without_meaning_is_named() {
    let check = async |change: &'static str, part: &str| {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        sql(folder.path(), change).await;
        let text = read_all(folder.path()).await.unwrap_err();
        assert!(text.contains("is damaged") && text.contains(part), "{text}");
    };
    check("UPDATE job SET added = '{}'", "job 1").await;
    check(
        r#"UPDATE job SET settings = '{"v":9,"is":{}}'"#,
        "the settings of job 1: its encoding has the unknown version 9",
    )
    .await;
    check("UPDATE farm SET settings = 'x'", "the farm's settings").await;
    check(
        "UPDATE step SET chunking = '[]'",
        "the layout of job 1, step 0",
    )
    .await;
    check("UPDATE worker SET body = 'x'", "worker 1").await;
    check("UPDATE frame_page SET failures = '[]'", "failure counts").await;
    check("UPDATE frame_error SET body = 'x'", "error ").await;
    check(
        "UPDATE result_page SET body = x'0200'",
        "results of job 1, step 0",
    )
    .await;
    check(
        "UPDATE result_page SET body = substr(body, 1, 50)",
        "results of job 1",
    )
    .await;
    check(
        "UPDATE result_page SET body = zeroblob(9)",
        "unknown version 0",
    )
    .await;
    check(
        "UPDATE result_page SET positions = zeroblob(32) WHERE page = 2",
        "results of job 1, step 0, page 2: they are not of the frames",
    )
    .await;
    check(
        "UPDATE accept SET position = 1990 WHERE position = 1900",
        "the result of job 1, step 0, position 1990",
    )
    .await;
    check(
        "UPDATE frame_page SET page = 4294967295 WHERE page = 5",
        "page 4294967295",
    )
    .await;
}
