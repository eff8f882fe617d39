//! A block as it rests and travels: its bytes, or their zstd frame where that is smaller.
//!
//! The digest always names the plain bytes, so a block may be stored one way and sent another, and a receiver checks what it
//! got without trusting how it was packed. Decoding is bounded before it starts: a frame that claims or yields more than
//! [`MAX_BLOCK_BYTES`] is refused, whoever sent it.

use std::borrow::Cow;

use bytes::Bytes;
use zstd::zstd_safe;

use crate::digest::Digest;

/// Largest block: four times the average of the coarse cut. It bounds what one message can make a receiver hold in memory, and
/// fits several times into a pack.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;

/// Blocks of a .blend are no larger.
const SMALL_MAX_BYTES: usize = 64 << 10;

/// zstd's own default for blocks of a scene: beyond it they shrink by little and packing becomes slower than a gigabit link. For
/// larger ones, which are textures and caches, its fastest: their few per cent more are sooner sent than found.
fn level(bytes: &[u8]) -> i32 {
    if bytes.len() <= SMALL_MAX_BYTES { 3 } else { 1 }
}

/// A compressed form must save this part of the block (1/32) to be kept; less is not worth decoding again at every read.
const MIN_GAIN_DIVISOR: usize = 32;

/// A piece of a block that tells whether all of it shrinks.
const SAMPLE_BYTES: usize = 8 << 10;

/// How a block's bytes are packed. The numbers are on disk and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlockEncoding {
    /// As they are.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl BlockEncoding {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

/// A block as it rests and travels. `digest` is a claim until [`EncodedBlock::decode`] has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBlock {
    /// Name of the plain bytes.
    pub digest: Digest,
    /// How `bytes` are packed.
    pub encoding: BlockEncoding,
    /// The packed bytes.
    pub bytes: Bytes,
}

/// A block that is not what it says.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// More bytes than a block may have, plain or packed.
    #[error(
        "block {digest} is larger than a block may be ({MAX_BLOCK_BYTES} bytes); it is refused"
    )]
    TooLarge {
        /// The block.
        digest: Digest,
    },
    /// Not a zstd frame, or a broken one.
    #[error("block {digest} cannot be decompressed; send it again")]
    Undecodable {
        /// The block.
        digest: Digest,
        /// zstd's own reason.
        source: std::io::Error,
    },
    /// The bytes have another name.
    #[error("block {digest} was damaged on its way: its bytes are those of {found}; send it again")]
    Mismatch {
        /// The name it came with.
        digest: Digest,
        /// The name its bytes have.
        found: Digest,
    },
}

impl EncodedBlock {
    /// Names and packs `bytes`. The caller has kept them within [`MAX_BLOCK_BYTES`], or the receiver will refuse them.
    #[must_use]
    pub fn encode(bytes: &[u8]) -> Self {
        Self::encode_named(Digest::of(bytes), bytes)
    }

    /// Packs `bytes` whose name is known to be `digest`.
    pub(crate) fn encode_named(digest: Digest, bytes: &[u8]) -> Self {
        Self::of_parts(digest, compressed(bytes), || Bytes::copy_from_slice(bytes))
    }

    /// Packs `bytes` whose name is known to be `digest`; those that do not shrink are taken as they are.
    #[must_use]
    pub fn encode_owned(digest: Digest, bytes: Vec<u8>) -> Self {
        Self::of_parts(digest, compressed(&bytes), || bytes.into())
    }

    fn of_parts(digest: Digest, packed: Option<Bytes>, plain: impl FnOnce() -> Bytes) -> Self {
        match packed {
            Some(bytes) => Self {
                digest,
                encoding: BlockEncoding::Zstd,
                bytes,
            },
            None => Self {
                digest,
                encoding: BlockEncoding::Raw,
                bytes: plain(),
            },
        }
    }

    /// The plain bytes, at most [`MAX_BLOCK_BYTES`], verified against the digest.
    ///
    /// # Errors
    /// Says which of the three ways the block is not what it claims.
    pub fn decode(&self) -> Result<Vec<u8>, BlockError> {
        Ok(self.plain()?.into_owned())
    }

    /// As [`EncodedBlock::decode`], without a copy of bytes that travel as they are.
    pub(crate) fn plain(&self) -> Result<Cow<'_, [u8]>, BlockError> {
        let plain = self.plain_unverified()?;
        let found = Digest::of(&plain);
        if found == self.digest {
            Ok(plain)
        } else {
            Err(BlockError::Mismatch {
                digest: self.digest,
                found,
            })
        }
    }

    fn plain_unverified(&self) -> Result<Cow<'_, [u8]>, BlockError> {
        let digest = self.digest;
        if self.bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::TooLarge { digest });
        }
        match self.encoding {
            BlockEncoding::Raw => Ok(Cow::Borrowed(&self.bytes)),
            BlockEncoding::Zstd => {
                // Our own frames say their size, which spares allocating the largest one; the claim is only ever a hint.
                let claimed = zstd_safe::get_frame_content_size(&self.bytes)
                    .ok()
                    .flatten();
                let capacity = match claimed {
                    Some(size) if size > MAX_BLOCK_BYTES as u64 => {
                        return Err(BlockError::TooLarge { digest });
                    }
                    Some(size) => size as usize,
                    None => MAX_BLOCK_BYTES,
                };
                zstd::bulk::decompress(&self.bytes, capacity)
                    .map(Cow::Owned)
                    .map_err(|source| BlockError::Undecodable { digest, source })
            }
        }
    }
}

/// The zstd frame of some bytes, if it saves enough.
fn compressed(bytes: &[u8]) -> Option<Bytes> {
    if seems_packed(bytes) {
        return None;
    }
    let packed = zstd::bulk::compress(bytes, level(bytes)).ok()?;
    gains(&packed, bytes).then(|| packed.into())
}

/// zstd fails only for want of memory, and the plain form is as right as the packed one.
fn gains(packed: &[u8], bytes: &[u8]) -> bool {
    packed.len() + bytes.len() / MIN_GAIN_DIVISOR < bytes.len()
}

/// Whether pieces from three places of a large block say that all of it is packed already, as PNG and JPEG are: trying it costs as much
/// as all the rest of sending it.
fn seems_packed(bytes: &[u8]) -> bool {
    if bytes.len() <= SMALL_MAX_BYTES {
        return false;
    }
    let last = bytes.len() - SAMPLE_BYTES;
    [0, last / 2, last].iter().all(|&at| {
        let sample = &bytes[at..at + SAMPLE_BYTES];
        zstd::bulk::compress(sample, level(bytes)).is_ok_and(|packed| !gains(&packed, sample))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn what_shrinks_is_packed_and_what_does_not_is_left() {
        // Packed at its beginning and end, and not between.
        let mut mixed = noise(1 << 20);
        mixed[100_000..900_000].fill(0);
        for (bytes, encoding) in [
            (mixed, BlockEncoding::Zstd),
            (vec![7; 1 << 20], BlockEncoding::Zstd),
            (noise(1 << 20), BlockEncoding::Raw),
            (vec![], BlockEncoding::Raw),
        ] {
            let block = EncodedBlock::encode(&bytes);
            assert_eq!(block.encoding, encoding);
            let owned = EncodedBlock::encode_owned(Digest::of(&bytes), bytes.clone());
            assert_eq!(owned, block);
            assert_eq!(block.decode().unwrap(), bytes);
        }
    }

    #[test]
    fn a_bomb_is_refused_whether_it_says_its_size_or_not() {
        let zeros = vec![0; MAX_BLOCK_BYTES + 1];
        let honest = zstd::bulk::compress(&zeros, 3).unwrap();
        let silent = zstd::stream::encode_all(&zeros[..], 3).unwrap();
        assert!(honest.len() < 1000 && silent.len() < 1000);
        for packed in [honest, silent] {
            let block = EncodedBlock {
                digest: Digest::of(&zeros),
                encoding: BlockEncoding::Zstd,
                bytes: packed.into(),
            };
            assert!(matches!(
                block.decode(),
                Err(BlockError::TooLarge { .. } | BlockError::Undecodable { .. })
            ));
        }
        let raw = EncodedBlock {
            digest: Digest::of(&zeros),
            encoding: BlockEncoding::Raw,
            bytes: zeros.into(),
        };
        assert!(matches!(raw.decode(), Err(BlockError::TooLarge { .. })));
    }

    #[test]
    fn the_largest_block_passes_and_a_changed_one_does_not() {
        let bytes = vec![1; MAX_BLOCK_BYTES];
        let mut block = EncodedBlock::encode(&bytes);
        assert_eq!(block.decode().unwrap(), bytes);
        block.digest = Digest::of(b"other");
        assert!(matches!(block.decode(), Err(BlockError::Mismatch { .. })));
        block.bytes = Bytes::from_static(b"no frame");
        assert!(matches!(
            block.decode(),
            Err(BlockError::Undecodable { .. })
        ));
    }
}
