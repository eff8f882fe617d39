//! The record in an SQLite file.

use std::ops::Range;
use std::path::Path;

use tessera_model::{Change, FrameResult, JobId, StepIndex, Term};

use crate::view::{Accepts, BlobRoot, ErrorEntry, ErrorSeq};
use crate::{OpenError, ReadError, Snapshot, WriteError};

/// In work.
#[derive(Debug)]
pub struct Sqlite {}

#[derive(Debug, Default)]
pub(crate) struct RootCursor {}

#[expect(unused, clippy::todo, clippy::unused_async)]
impl Sqlite {
    pub(crate) async fn open(folder: &Path) -> Result<Self, OpenError> {
        todo!()
    }
    pub(crate) async fn begin_term(&self) -> Result<Term, WriteError> {
        todo!()
    }
    pub(crate) async fn commit(&self, term: Term, changes: &[Change]) -> Result<(), WriteError> {
        todo!()
    }
    pub(crate) async fn load(&self) -> Result<Snapshot, ReadError> {
        todo!()
    }
    pub(crate) async fn results(
        &self,
        job: JobId,
        step: StepIndex,
        positions: Range<u32>,
    ) -> Result<Vec<FrameResult>, ReadError> {
        todo!()
    }
    pub(crate) async fn result(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Option<FrameResult>, ReadError> {
        todo!()
    }
    pub(crate) async fn errors(
        &self,
        job: JobId,
        before: Option<ErrorSeq>,
        limit: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        todo!()
    }
    pub(crate) async fn frame_errors(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Vec<ErrorEntry>, ReadError> {
        todo!()
    }
    pub(crate) async fn accepts(&self, job: JobId) -> Result<Option<Accepts>, ReadError> {
        todo!()
    }
    pub(crate) async fn next_roots(
        &self,
        cursor: &mut RootCursor,
    ) -> Result<Option<Vec<BlobRoot>>, ReadError> {
        todo!()
    }
    pub(crate) async fn close(&self) {
        todo!()
    }
}
