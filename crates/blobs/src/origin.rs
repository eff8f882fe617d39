//! The sender's side: where each block of the files it cut can be read again.
//!
//! A scene of 50 GB is not copied into a store to be sent. Cutting leaves, per block, its place in its file (some 60 bytes for
//! each MiB of textures); what the receiver asks for is read from there again and verified, since a file may change while it is
//! being sent. Lists and what has no file are held in memory.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::blob_ref::BlobRef;
use crate::content::{Content, FileEncoding, Plain};
use crate::cut::{
    Block, BlockRole, CutError, CutFile, open_file, plain_error, write_bytes, write_file,
};
use crate::digest::Digest;
use crate::error::BoxError;
use crate::manifest::Manifest;

/// Where blocks of a set of files lie.
#[derive(Debug, Default)]
pub struct Origin {
    files: Vec<OriginFile>,
    places: HashMap<Digest, Place>,
}

#[derive(Debug)]
struct OriginFile {
    path: PathBuf,
    encoding: FileEncoding,
}

#[derive(Debug, Clone)]
enum Place {
    Held(Box<[u8]>),
    File(Span),
}

/// Part of the plain form of a file.
#[derive(Debug, Clone, Copy)]
struct Span {
    file: usize,
    offset_bytes: u64,
    len_bytes: usize,
}

/// Blocks that could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It never was in the files.
    #[error("block {digest} is not part of what is being sent")]
    Unknown {
        /// The block.
        digest: Digest,
    },
    /// The file changed after it was cut.
    #[error("{} changed while it was being sent; send it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read any more.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The sink refused a block.
    #[error("block {digest} could not be passed on")]
    Sink {
        /// The block.
        digest: Digest,
        /// The sink's reason.
        source: BoxError,
    },
}

impl Origin {
    /// Of no files yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the file at `path` and remembers its blocks.
    ///
    /// # Errors
    /// See [`CutError`]; nothing of the file is remembered then.
    pub fn add_file(&mut self, path: &Path) -> Result<CutFile, CutError> {
        let file = self.files.len();
        let mut places = Vec::new();
        let cut = write_file(path, |block| {
            places.push((block.digest(), place_of(file, &block)));
            Ok::<_, Infallible>(())
        })?;
        self.files.push(OriginFile {
            path: path.to_owned(),
            encoding: cut.encoding,
        });
        for (digest, place) in places {
            self.places.entry(digest).or_insert(place);
        }
        Ok(cut)
    }

    /// Cuts `bytes` as they stand and holds them.
    pub fn add_bytes(&mut self, bytes: &[u8], content: Content) -> BlobRef {
        let Ok(blob) = write_bytes(bytes, content, |block| self.hold(&block));
        blob
    }

    /// Cuts a manifest and holds it.
    pub fn add_manifest(&mut self, manifest: &Manifest) -> BlobRef {
        let Ok(blob) = manifest.write(|block| self.hold(&block));
        blob
    }

    fn hold(&mut self, block: &Block<'_>) -> Result<(), Infallible> {
        self.places
            .entry(block.digest())
            .or_insert_with(|| Place::Held(block.bytes().into()));
        Ok(())
    }

    /// Whether a block is among them.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    /// Bytes of a block, known without reading it.
    #[must_use]
    pub fn block_len(&self, digest: &Digest) -> Option<usize> {
        self.places.get(digest).map(|place| match place {
            Place::Held(bytes) => bytes.len(),
            Place::File(span) => span.len_bytes,
        })
    }

    /// Reads the `wanted` blocks and hands each once to `sink`: first those held, then file by file, front to back, so that a
    /// compressed file is decompressed once.
    ///
    /// # Errors
    /// See [`OriginError`].
    pub fn read<E: Into<BoxError>>(
        &self,
        wanted: &[Digest],
        mut sink: impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), OriginError> {
        let mut give = |digest: Digest, bytes: &[u8]| {
            sink(digest, bytes).map_err(|error| OriginError::Sink {
                digest,
                source: error.into(),
            })
        };
        let mut spans = BTreeMap::new();
        let mut held = BTreeMap::new();
        for digest in wanted {
            match self.places.get(digest) {
                Some(Place::Held(bytes)) => {
                    held.insert(*digest, bytes);
                }
                Some(Place::File(span)) => {
                    spans.insert((span.file, span.offset_bytes), (*digest, *span));
                }
                None => return Err(OriginError::Unknown { digest: *digest }),
            }
        }
        for (digest, bytes) in held {
            give(digest, bytes)?;
        }
        let mut open: Option<(usize, OpenFile)> = None;
        for (digest, span) in spans.into_values() {
            let file = match &mut open {
                Some((number, file)) if *number == span.file => file,
                _ => {
                    &mut open
                        .insert((span.file, OpenFile::open(&self.files[span.file])?))
                        .1
                }
            };
            let bytes = file.read(&span)?;
            if Digest::of(&bytes) != digest {
                return Err(OriginError::Changed {
                    path: file.path.clone(),
                });
            }
            give(digest, &bytes)?;
        }
        Ok(())
    }
}

fn place_of(file: usize, block: &Block<'_>) -> Place {
    match block.role() {
        BlockRole::List => Place::Held(block.bytes().into()),
        BlockRole::Data { offset_bytes } => Place::File(Span {
            file,
            offset_bytes,
            len_bytes: block.bytes().len(),
        }),
    }
}

/// A file being read front to back.
struct OpenFile {
    path: PathBuf,
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
    fn open(file: &OriginFile) -> Result<Self, OriginError> {
        let path = file.path.clone();
        let opened = open_file(&path)?;
        let reader = if file.encoding == FileEncoding::Raw {
            SpanReader::Raw(opened)
        } else {
            let plain = Plain::open(opened).map_err(|error| plain_error(&path, error))?;
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
    fn read(&mut self, span: &Span) -> Result<Vec<u8>, CutError> {
        let mut bytes = Vec::with_capacity(span.len_bytes);
        let len_bytes = span.len_bytes as u64;
        match &mut self.reader {
            SpanReader::Raw(file) => file
                .seek(SeekFrom::Start(span.offset_bytes))
                .and_then(|_| file.take(len_bytes).read_to_end(&mut bytes))
                .map_err(|source| CutError::Read {
                    path: self.path.clone(),
                    source,
                })?,
            SpanReader::Decoded {
                plain,
                position_bytes,
            } => {
                let skip_bytes = span.offset_bytes - *position_bytes;
                let read = io::copy(&mut plain.by_ref().take(skip_bytes), &mut io::sink())
                    .and_then(|_| plain.by_ref().take(len_bytes).read_to_end(&mut bytes));
                *position_bytes = span.offset_bytes + len_bytes;
                match read {
                    Ok(read) => read,
                    Err(error) => return Err(plain_error(&self.path, plain.failure(error))),
                }
            }
        };
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
