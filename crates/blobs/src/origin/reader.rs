//! A file that was cut, read again span by span, front to back.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{OriginError, OriginFile, Span};
use crate::content::{FileEncoding, Plain};
use crate::cut::{CutError, open_file, plain_error};

/// A file being read front to back.
pub(super) struct OpenFile {
    pub(super) path: PathBuf,
    reader: SpanReader,
}

enum SpanReader {
    Raw(std::fs::File),
    Decoded {
        plain: Plain<'static>,
        position_bytes: u64,
    },
}

impl OpenFile {
    pub(super) fn open(file: &OriginFile) -> Result<Self, OriginError> {
        let path = file.path.clone();
        let opened = open_file(&path).map_err(|error| not_as_it_was(&path, error))?;
        let reader = if file.encoding == FileEncoding::Raw {
            SpanReader::Raw(opened)
        } else {
            let plain = Plain::open(opened)
                .map_err(|error| not_as_it_was(&path, plain_error(&path, error)))?;
            if plain.encoding != file.encoding {
                return Err(OriginError::Changed { path });
            }
            SpanReader::Decoded {
                plain,
                position_bytes: 0,
            }
        };
        Ok(Self { path, reader })
    }

    /// The bytes of `span`, which begins where the last one ended or later; fewer if the file has become shorter.
    pub(super) fn read(&mut self, span: &Span) -> Result<Vec<u8>, OriginError> {
        let len_bytes = u64::from(span.len_bytes);
        let mut bytes = Vec::with_capacity(span.len_bytes as usize);
        let read = match &mut self.reader {
            SpanReader::Raw(file) => file
                .seek(SeekFrom::Start(span.offset_bytes))
                .and_then(|_| file.take(len_bytes).read_to_end(&mut bytes))
                .map_err(|source| CutError::Read {
                    path: self.path.clone(),
                    source,
                }),
            SpanReader::Decoded {
                plain,
                position_bytes,
            } => {
                let skip_bytes = span.offset_bytes - *position_bytes;
                let read = io::copy(&mut plain.by_ref().take(skip_bytes), &mut io::sink())
                    .and_then(|_| plain.by_ref().take(len_bytes).read_to_end(&mut bytes));
                *position_bytes = span.offset_bytes + len_bytes;
                read.map_err(|error| plain_error(&self.path, plain.failure(error)))
            }
        };
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(not_as_it_was(&self.path, error)),
        }
    }
}

/// A file was whole when it was cut, so one that is gone, cut off or broken now has changed. A disk that fails has not.
pub(super) fn not_as_it_was(path: &Path, error: CutError) -> OriginError {
    let changed = match &error {
        CutError::Open { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        ),
        CutError::NotAFile { .. }
        | CutError::Truncated { .. }
        | CutError::Damaged { .. }
        | CutError::Bomb { .. }
        | CutError::TooLarge { .. } => true,
        CutError::Read { .. } | CutError::Sink { .. } => false,
    };
    match changed {
        true => OriginError::Changed {
            path: path.to_owned(),
        },
        false => OriginError::Cut(error),
    }
}
