//! What a frame's failure is called, and the sentence its user reads.

use std::io;

use tessera_blender::{Error as BlenderError, RefusalCode};
use tessera_blobs::{MaterialiseError, StoreError};
use tessera_model::FrameErrorKind;

/// A frame failed: which sort, and one sentence of what happened, to what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: FrameErrorKind,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FrameErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Of reading or writing in the worker's folder.
    pub(crate) fn of_io(doing: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::new(
                FrameErrorKind::Disk,
                format!("cannot {doing}: the worker's disk is full; free space on it"),
            ),
            _ => Self::new(
                FrameErrorKind::Worker,
                format!("cannot {doing}: {error}; see the worker's log"),
            ),
        }
    }
}

impl From<BlenderError> for Failure {
    fn from(error: BlenderError) -> Self {
        let kind = match &error {
            BlenderError::Crashed { .. } => FrameErrorKind::Crash,
            BlenderError::Hung { .. } => FrameErrorKind::Hang,
            BlenderError::OutOfMemory { .. } => FrameErrorKind::Memory,
            BlenderError::Refused { refusal, .. } | BlenderError::Failed { refusal, .. } => {
                match refusal.code {
                    RefusalCode::Write => FrameErrorKind::Disk,
                    RefusalCode::Request | RefusalCode::NothingOpen => FrameErrorKind::Worker,
                    _ => FrameErrorKind::Scene,
                }
            }
            BlenderError::Log { source, .. } if is_full(source) => FrameErrorKind::Disk,
            _ => FrameErrorKind::Worker,
        };
        Self::new(kind, in_full(&error))
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

impl From<MaterialiseError> for Failure {
    fn from(error: MaterialiseError) -> Self {
        let kind = match &error {
            MaterialiseError::Full { .. } => FrameErrorKind::Disk,
            MaterialiseError::Io { source, .. } if is_full(source) => FrameErrorKind::Disk,
            _ => FrameErrorKind::Files,
        };
        let message = format!("cannot lay out the job's files: {}", in_full(&error));
        Self::new(kind, message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Full { .. } => FrameErrorKind::Disk,
            StoreError::Io { source, .. } if is_full(source) => FrameErrorKind::Disk,
            _ => FrameErrorKind::Worker,
        };
        let message = format!("cannot keep the job's files: {}", in_full(&error));
        Self::new(kind, message)
    }
}

/// An error and what caused it, in one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors say their cause themselves.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
