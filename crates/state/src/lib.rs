//! The durable record: one write call, one read call, and views that are read page by page.
//!
//! The manager commits a batch of [`Change`](tessera_model::Change)s before any of their effects leaves
//! ([`State::commit`], one transaction, fenced by the term), and after a restart feeds the scheduler with what
//! [`State::load`] returns. What a person wants to see of a job that is not needed for scheduling (results, errors)
//! stays on disk and is read in pages.
//!
//! The record knows shapes, not rules: it never decides that a job is done. It does refuse what can not be true of any
//! history: a frame accepted twice, an attempt handed out twice, an id used again, a write of an older term.
//!
//! Frames are kept by the page of [`FRAMES_PER_PAGE`] positions: done and given-up bits and failure counts are one small
//! row a page; results are rows while a page fills and are then packed into one row. A million frames are about four
//! thousand rows, which [`State::load`] reads in some ten milliseconds.
//!
//! A record can be in memory too ([`State::open_in_memory`]): the same database and the same code without a file, so that
//! a simulated farm commits to what a real one does. The suite in `tests/record` runs on every place a record can be.

mod encoding;
mod error;
mod snapshot;
mod sqlite;
mod state;
mod view;

pub use error::{OpenError, ReadError, WriteError};
pub use snapshot::{JobSnapshot, Snapshot, StepSnapshot};
pub use state::State;
pub use view::{
    Accepts, BlobRoot, BlobRoots, ErrorEntry, ErrorSeq, MAX_ERRORS_PER_READ, MAX_RESULTS_PER_READ,
    RootKind, StepAccepts,
};

/// Positions of one page of a step: a page of bits and counts is a few hundred bytes, a page of packed results about 40 kB.
pub const FRAMES_PER_PAGE: u32 = 256;

/// Most recorded errors of one job; the oldest go first. Nobody reads so many, and a job that fails on every one of a
/// million frames must not fill the disk.
pub const MAX_ERRORS_PER_JOB: u32 = 100_000;
