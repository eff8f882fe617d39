//! What a file is, told by its first bytes, and the plain form in which it is cut.
//!
//! A saved `.blend` is compressed by default, and compression spreads a small change over the whole file: cut as it lies, moving
//! the camera changes 0.3 % of a 60 MB file; cut decompressed, 0.008 %. So a `.blend` is cut as what it decompresses to, whatever
//! it is called, and anything else as it lies. Blender writes zstd in seekable frames (since 3.0), gzip (before), or plain.
//!
//! Decompression streams, so memory is bounded by the decoder's window; the size of the result is bounded here.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// Largest decompressed `.blend`: Blender holds the whole of it in memory to open it, and no worker has more.
pub const MAX_DECODED_BYTES: u64 = 64 << 30;

/// Up to here any ratio of compression is taken: an empty scene with a fresh black 16k image is a small file.
const ANY_RATIO_BYTES: u64 = 1 << 30;
/// Beyond [`ANY_RATIO_BYTES`] a file that grows more than this is no scene: real ones grow 2 to 20 times, a bomb 10 000 times.
const MAX_RATIO: u64 = 500;

/// Part of a compressed file read to see the first bytes of what it holds: two of zstd's largest blocks, so that a whole one is in it.
const HEAD_BYTES: u64 = 256 << 10;

const BLEND_MAGIC: &[u8; 7] = b"BLENDER";
const ZSTD_MAGIC: &[u8; 4] = b"\x28\xB5\x2F\xFD";
/// With the third byte, deflate: the only method there is, and one chance less to take some other file for gzip.
const GZIP_MAGIC: &[u8; 3] = b"\x1F\x8B\x08";

/// What a file holds, as far as cutting cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// A Blender file: many small edits, cut at 16 KiB on average.
    Blend,
    /// Textures, caches, videos, frames: replaced as a whole or not at all, cut at 1 MiB on average.
    Other,
}

/// How a file lay on disk. Only a `.blend` is ever decompressed, so anything else is `Raw`, compressed by its own format or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum FileEncoding {
    /// As it was cut.
    Raw = 0,
    /// zstd, Blender 3.0 and later.
    Zstd = 1,
    /// gzip, Blender before 3.0.
    Gzip = 2,
}

impl FileEncoding {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            2 => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Why the plain form of a file cannot be read.
#[derive(Debug)]
pub(crate) enum PlainError {
    /// The file itself cannot be read.
    Read(io::Error),
    /// The compressed stream ends before its end.
    Truncated(FileEncoding),
    /// The compressed stream is broken.
    Damaged(FileEncoding, io::Error),
    /// It decompresses to more than the bounds allow.
    Bomb {
        encoded_bytes: u64,
        decoded_bytes: u64,
    },
}

/// The plain form of a file, and how to read it.
pub(crate) struct Plain<'r> {
    pub(crate) content: Content,
    pub(crate) encoding: FileEncoding,
    source: Rc<Source>,
    reader: Box<dyn Read + 'r>,
    decoded_bytes: u64,
    failure: Option<PlainError>,
}

/// What became of the file below the decoder, which passes on errors without saying whose they are.
#[derive(Default)]
struct Source {
    bytes: Cell<u64>,
    failed: Cell<bool>,
}

struct Watched<R> {
    reader: R,
    source: Rc<Source>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf);
        match &read {
            Ok(len) => self.source.bytes.set(self.source.bytes.get() + *len as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.source.failed.set(true),
        }
        read
    }
}

impl<'r> Plain<'r> {
    /// Looks at the beginning of `reader` and prepares to read its plain form.
    pub(crate) fn open(reader: impl Read + 'r) -> Result<Self, PlainError> {
        let source = Rc::new(Source::default());
        let mut reader = Watched {
            reader,
            source: Rc::clone(&source),
        };
        let mut head = Vec::new();
        read_head(&mut reader, BLEND_MAGIC.len() as u64, &mut head)?;
        let compressed = if head.starts_with(ZSTD_MAGIC) {
            Some(FileEncoding::Zstd)
        } else if head.starts_with(GZIP_MAGIC) {
            Some(FileEncoding::Gzip)
        } else {
            None
        };
        let (content, encoding) = match compressed {
            None if head == BLEND_MAGIC => (Content::Blend, FileEncoding::Raw),
            None => (Content::Other, FileEncoding::Raw),
            Some(encoding) => {
                read_head(
                    &mut reader,
                    HEAD_BYTES - BLEND_MAGIC.len() as u64,
                    &mut head,
                )?;
                if holds_blend(&head, encoding)? {
                    (Content::Blend, encoding)
                } else {
                    (Content::Other, FileEncoding::Raw)
                }
            }
        };
        let whole = io::Cursor::new(head).chain(reader);
        let reader =
            decoder(whole, encoding).map_err(|error| PlainError::Damaged(encoding, error))?;
        Ok(Self {
            content,
            encoding,
            source,
            reader,
            decoded_bytes: 0,
            failure: None,
        })
    }

    /// Bytes of the file read so far: at the end, its size as it lay on disk.
    pub(crate) fn original_size(&self) -> u64 {
        self.source.bytes.get()
    }

    /// Why the last read failed, in full. `error` is what the read returned.
    pub(crate) fn failure(&mut self, error: io::Error) -> PlainError {
        self.failure.take().unwrap_or(PlainError::Read(error))
    }

    fn classify(&self, error: &io::Error) -> Option<PlainError> {
        if self.encoding == FileEncoding::Raw || self.source.failed.get() {
            return None;
        }
        Some(match error.kind() {
            io::ErrorKind::UnexpectedEof => PlainError::Truncated(self.encoding),
            kind => PlainError::Damaged(self.encoding, io::Error::new(kind, error.to_string())),
        })
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.reader.read(buf) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failure = self.classify(&error);
                return Err(error);
            }
        };
        self.decoded_bytes += read as u64;
        let (encoded_bytes, decoded_bytes) = (self.source.bytes.get(), self.decoded_bytes);
        if self.encoding != FileEncoding::Raw && is_bomb(encoded_bytes, decoded_bytes) {
            self.failure = Some(PlainError::Bomb {
                encoded_bytes,
                decoded_bytes,
            });
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(read)
    }
}

fn is_bomb(encoded_bytes: u64, decoded_bytes: u64) -> bool {
    decoded_bytes > MAX_DECODED_BYTES
        || (decoded_bytes > ANY_RATIO_BYTES && decoded_bytes / MAX_RATIO > encoded_bytes)
}

fn read_head(reader: &mut impl Read, len_bytes: u64, head: &mut Vec<u8>) -> Result<(), PlainError> {
    reader
        .take(len_bytes)
        .read_to_end(head)
        .map(drop)
        .map_err(PlainError::Read)
}

fn decoder<'r>(reader: impl Read + 'r, encoding: FileEncoding) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match encoding {
        FileEncoding::Raw => Box::new(reader),
        // The decoder refuses windows above 128 MiB by itself, which bounds its memory.
        FileEncoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(
            BufReader::with_capacity(128 << 10, reader),
        )?),
        FileEncoding::Gzip => Box::new(MultiGzDecoder::new(reader)),
    })
}

/// Whether the compressed `head` of a file holds the beginning of a Blender file.
///
/// A stream that ends before it shows even that much was cut off, whatever it was; one that is broken otherwise only happens to
/// begin like a compressed file, and is left as it lies.
fn holds_blend(head: &[u8], encoding: FileEncoding) -> Result<bool, PlainError> {
    let mut magic = [0; BLEND_MAGIC.len()];
    let mut reader =
        decoder(head, encoding).map_err(|error| PlainError::Damaged(encoding, error))?;
    let mut seen = 0;
    while seen < magic.len() {
        match reader.read(&mut magic[seen..]) {
            Ok(0) => return Ok(false),
            Ok(len) => seen += len,
            Err(error)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && (head.len() as u64) < HEAD_BYTES =>
            {
                return Err(PlainError::Truncated(encoding));
            }
            Err(_) => return Ok(false),
        }
    }
    Ok(&magic == BLEND_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_known_by_size_or_by_ratio() {
        for (encoded, decoded, bomb) in [
            (100, ANY_RATIO_BYTES, false),
            (100, ANY_RATIO_BYTES + 1, true),
            (10 << 20, 4 << 30, false),
            (1 << 20, 4 << 30, true),
            (60 << 30, MAX_DECODED_BYTES, false),
            (60 << 30, MAX_DECODED_BYTES + 1, true),
        ] {
            assert_eq!(is_bomb(encoded, decoded), bomb, "{encoded} -> {decoded}");
        }
    }
}
