//! The record in an SQLite file, or in SQLite's memory.
//!
//! One connection writes, behind a lock; a few others read beside it, each from one moment of the write-ahead log. The
//! log is synced at every commit (`synchronous = FULL`), so that a commit that returned is on disk.

mod accept;
mod commit;
mod connections;
mod errors;
mod fault;
mod jobs;
mod leases;
mod load;
mod lock;
mod members;
mod open;
mod outcome;
mod pack;
mod pages;
mod results;
mod roots;
mod rows;
mod schema;
mod touched;

use tessera_model::JobId;

pub use open::Sqlite;

/// A job's number as SQLite keeps it. Numbers count up from 1 and never reach the sign.
fn job_key(job: JobId) -> i64 {
    job.0.cast_signed()
}

/// A job's number from its column.
fn job_id(key: i64) -> JobId {
    JobId(key.cast_unsigned())
}
