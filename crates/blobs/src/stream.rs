//! Many blocks in one body, as bytes and nothing else.
//!
//! A request per block would cost a round trip per 16 KiB. So blocks travel one after another in one HTTP body:
//!
//! ```text
//! header  "TESBLK" version u16
//! block   digest [32]  encoding u8  length u32  bytes [length]      (any number)
//! end     zeros [32]   0xFF         number of blocks u32
//! ```
//!
//! Numbers are big-endian. The end record tells a whole body from one cut off between two blocks, which a proxy may do without a
//! word. Encoder and decoder are functions over buffers, without IO: both the asynchronous client and server use them, and leave
//! the decoding and verifying of blocks ([`EncodedBlock::decode`]) to a blocking thread.

use bytes::{BufMut, Bytes, BytesMut};

use crate::block::{BlockEncoding, EncodedBlock, MAX_BLOCK_BYTES};
use crate::digest::Digest;

/// `Content-Type` of such a body.
pub const STREAM_MEDIA_TYPE: &str = "application/vnd.tessera.blocks";

const MAGIC: &[u8; 6] = b"TESBLK";
const VERSION: u16 = 1;
const HEADER_LEN: usize = MAGIC.len() + 2;
const RECORD_LEN: usize = Digest::LEN + 1 + 4;
const END: u8 = 0xFF;

/// A body that is not a whole stream of blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Something else was sent.
    #[error("the body is not a stream of blocks")]
    NotAStream,
    /// A stream of another version.
    #[error(
        "the stream of blocks has version {found}, this side speaks {VERSION}; update the older side"
    )]
    Version {
        /// The version found.
        found: u16,
    },
    /// A packing that this version does not know.
    #[error("block {digest} has encoding {encoding}, which this side does not know")]
    UnknownEncoding {
        /// The block.
        digest: Digest,
        /// The encoding's number.
        encoding: u8,
    },
    /// A block larger than a block may be.
    #[error(
        "block {digest} claims {len_bytes} bytes, more than a block may have ({MAX_BLOCK_BYTES})"
    )]
    TooLarge {
        /// The block.
        digest: Digest,
        /// The claimed length.
        len_bytes: u32,
    },
    /// The body ended early.
    #[error("the stream of blocks was cut off after {blocks} blocks; ask for the rest again")]
    Truncated {
        /// Whole blocks that arrived.
        blocks: u32,
    },
    /// The sender counted otherwise.
    #[error("the stream of blocks holds {found} blocks where its sender counted {expected}")]
    Count {
        /// The sender's number.
        expected: u32,
        /// The number that arrived.
        found: u32,
    },
    /// Bytes after the end record.
    #[error("bytes follow the end of the stream of blocks")]
    Trailing,
}

/// Writes a stream: `header`, then `block` for each, then `end`.
#[derive(Debug, Default)]
pub struct StreamEncoder {
    blocks: u32,
}

impl StreamEncoder {
    /// A stream of no blocks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the body begins with.
    #[must_use]
    pub fn header(&self) -> Bytes {
        let mut header = BytesMut::with_capacity(HEADER_LEN);
        header.put_slice(MAGIC);
        header.put_u16(VERSION);
        header.freeze()
    }

    /// The next block: its record and its bytes, the latter shared, not copied.
    pub fn block(&mut self, block: &EncodedBlock) -> [Bytes; 2] {
        self.blocks += 1;
        let len_bytes =
            u32::try_from(block.bytes.len()).expect("a block is at most MAX_BLOCK_BYTES");
        [
            record(block.digest.as_bytes(), block.encoding.code(), len_bytes),
            block.bytes.clone(),
        ]
    }

    /// What the body ends with.
    #[must_use]
    pub fn end(self) -> Bytes {
        record(&[0; Digest::LEN], END, self.blocks)
    }
}

fn record(digest: &[u8; Digest::LEN], code: u8, number: u32) -> Bytes {
    let mut record = BytesMut::with_capacity(RECORD_LEN);
    record.put_slice(digest);
    record.put_u8(code);
    record.put_u32(number);
    record.freeze()
}

/// Reads a stream as it arrives, in pieces of any size: `push` a piece, take `next_block` until `None`, at the body's end `finish`.
///
/// It holds at most one block and the piece pushed last, if blocks are taken after each push. After an error it stays failed.
#[derive(Debug)]
pub struct StreamDecoder {
    buffer: BytesMut,
    state: State,
    blocks: u32,
}

#[derive(Debug, Clone)]
enum State {
    Header,
    Record,
    Body {
        digest: Digest,
        encoding: BlockEncoding,
        len_bytes: usize,
    },
    Ended,
    Failed(StreamError),
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamDecoder {
    /// A decoder at the beginning of a body.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::Header,
            blocks: 0,
        }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next whole block, or `None` if more of the body is needed. Its digest is not verified yet.
    ///
    /// # Errors
    /// Says what is wrong with the stream; blocks given out before stay good.
    pub fn next_block(&mut self) -> Result<Option<EncodedBlock>, StreamError> {
        let step = self.step();
        if let Err(error) = &step {
            self.state = State::Failed(error.clone());
            self.buffer = BytesMut::new();
        }
        step
    }

    fn step(&mut self) -> Result<Option<EncodedBlock>, StreamError> {
        loop {
            match self.state.clone() {
                State::Header => {
                    let seen = self.buffer.len().min(MAGIC.len());
                    if self.buffer[..seen] != MAGIC[..seen] {
                        return Err(StreamError::NotAStream);
                    }
                    let Some(header) = self.take(HEADER_LEN) else {
                        return Ok(None);
                    };
                    let found = u16::from_be_bytes([header[6], header[7]]);
                    if found != VERSION {
                        return Err(StreamError::Version { found });
                    }
                    self.state = State::Record;
                }
                State::Record => {
                    let Some(record) = self.take(RECORD_LEN) else {
                        return Ok(None);
                    };
                    self.state = self.read_record(&record)?;
                }
                State::Body {
                    digest,
                    encoding,
                    len_bytes,
                } => {
                    let Some(bytes) = self.take(len_bytes) else {
                        return Ok(None);
                    };
                    self.state = State::Record;
                    self.blocks += 1;
                    return Ok(Some(EncodedBlock {
                        digest,
                        encoding,
                        bytes,
                    }));
                }
                State::Ended if self.buffer.is_empty() => return Ok(None),
                State::Ended => return Err(StreamError::Trailing),
                State::Failed(error) => return Err(error),
            }
        }
    }

    fn read_record(&self, record: &[u8]) -> Result<State, StreamError> {
        let (digest, rest) = record
            .split_first_chunk::<{ Digest::LEN }>()
            .expect("a record begins with a digest");
        let digest = Digest::from_bytes(*digest);
        let code = rest[0];
        let number = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]);
        if code == END {
            return if number == self.blocks {
                Ok(State::Ended)
            } else {
                Err(StreamError::Count {
                    expected: number,
                    found: self.blocks,
                })
            };
        }
        let encoding = BlockEncoding::from_code(code).ok_or(StreamError::UnknownEncoding {
            digest,
            encoding: code,
        })?;
        if number as usize > MAX_BLOCK_BYTES {
            return Err(StreamError::TooLarge {
                digest,
                len_bytes: number,
            });
        }
        Ok(State::Body {
            digest,
            encoding,
            len_bytes: number as usize,
        })
    }

    fn take(&mut self, len_bytes: usize) -> Option<Bytes> {
        (self.buffer.len() >= len_bytes).then(|| self.buffer.split_to(len_bytes).freeze())
    }

    /// At the end of the body, all blocks taken: whether it was whole. Returns the number of blocks.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] if blocks or the end are lacking, or the error that stopped the decoder.
    pub fn finish(self) -> Result<u32, StreamError> {
        match self.state {
            State::Ended => Ok(self.blocks),
            State::Failed(error) => Err(error),
            State::Header | State::Record | State::Body { .. } => Err(StreamError::Truncated {
                blocks: self.blocks,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
