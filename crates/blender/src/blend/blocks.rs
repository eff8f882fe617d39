//! Walks the blocks of a .blend and keeps the few that are asked for.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::Unreadable;
use super::dna::{self, Field};

/// The largest block taken into memory; the table of structs of today's Blenders has 0.2 MB, a library's block 3 KB.
const BLOCK_MAX_BYTES: u64 = 64 << 20;

/// Blocks of libraries, of scenes, and the table of structs.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) libraries: Vec<Block>,
    pub(super) scenes: Vec<Block>,
    table: Vec<u8>,
    pointer_size: usize,
}

/// A block's data, and where in the (decompressed) file it is.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) offset: u64,
    data: Vec<u8>,
}

impl Blocks {
    /// Where a field is in a struct; the first of several names that the struct has.
    pub(super) fn field(&self, structure: &str, names: &[&str]) -> Result<Field, Unreadable> {
        dna::field(&self.table, structure, names, self.pointer_size)
    }
}

impl Block {
    /// The text in a field of fixed size, up to its end; `None` if it is not UTF-8.
    pub(super) fn text(&self, field: Field) -> Result<Option<&str>, Unreadable> {
        let end = field.offset.saturating_add(field.size);
        let bytes = self
            .data
            .get(field.offset..end)
            .ok_or(Unreadable::Structure("a block is too short"))?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(std::str::from_utf8(text).ok())
    }
}

/// Reads them. A compressed file is decompressed on the way.
pub(super) fn read(path: &Path) -> Result<Blocks, Unreadable> {
    let mut source = Source::open(path)?;
    let (heads, mut at) = header(&mut source)?;
    let pointer_size = match heads {
        Heads::Small { pointer_size } => pointer_size,
        Heads::Large => 8,
    };
    let mut blocks = Blocks {
        pointer_size,
        ..Blocks::default()
    };
    loop {
        let (code, length, head_length) = head(&mut source, heads)?;
        at += head_length;
        match &code {
            b"ENDB" => break,
            b"LI\0\0" => blocks.libraries.push(Block {
                offset: at,
                data: source.keep(length)?,
            }),
            b"SC\0\0" => blocks.scenes.push(Block {
                offset: at,
                data: source.keep(length)?,
            }),
            b"DNA1" => blocks.table = source.keep(length)?,
            _ => source.skip(length)?,
        }
        at += length;
    }
    Ok(blocks)
}

/// A raw file can be skipped through, a compressed one must be read through.
enum Source {
    Raw(BufReader<File>),
    Packed(Box<dyn Read>),
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        let mut magic = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut magic)?;
        let file = File::open(path)?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => {
                Self::Packed(Box::new(flate2::read::GzDecoder::new(BufReader::new(file))))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                Self::Packed(Box::new(zstd::stream::read::Decoder::new(file)?))
            }
            _ => Self::Raw(BufReader::new(file)),
        })
    }

    fn keep(&mut self, length: u64) -> Result<Vec<u8>, Unreadable> {
        if length > BLOCK_MAX_BYTES {
            return Err(Unreadable::Structure("a block has no sensible length"));
        }
        let mut data = Vec::new();
        self.take(length).read_to_end(&mut data)?;
        if data.len() as u64 == length {
            Ok(data)
        } else {
            Err(Unreadable::Structure("it is cut"))
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), Unreadable> {
        match self {
            Self::Raw(file) => {
                let step = i64::try_from(length)
                    .map_err(|_| Unreadable::Structure("a block has no sensible length"))?;
                file.seek_relative(step)?;
            }
            Self::Packed(stream) => {
                io::copy(&mut stream.take(length), &mut io::sink())?;
            }
        }
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Raw(file) => file.read(buffer),
            Self::Packed(stream) => stream.read(buffer),
        }
    }
}

/// The whole content, decompressed if it was compressed.
pub(super) fn unpacked(path: &Path) -> io::Result<Option<impl Read + use<>>> {
    Ok(match Source::open(path)? {
        Source::Raw(_) => None,
        Source::Packed(stream) => Some(stream),
    })
}

/// The forms of block heads, by the file's header.
#[derive(Clone, Copy, Debug)]
enum Heads {
    /// Code, length (32 bits), old address (4 or 8 bytes), struct, count.
    Small { pointer_size: usize },
    /// Since 5.0: code, struct, old address, length (64 bits), count.
    Large,
}

/// The form of the heads, and how long the header is.
fn header(file: &mut impl Read) -> Result<(Heads, u64), Unreadable> {
    let mut start = [0; 12];
    file.read_exact(&mut start)?;
    match &start {
        [
            b'B',
            b'L',
            b'E',
            b'N',
            b'D',
            b'E',
            b'R',
            pointer @ (b'-' | b'_'),
            b'v',
            ..,
        ] => {
            let pointer_size = if *pointer == b'-' { 8 } else { 4 };
            Ok((Heads::Small { pointer_size }, 12))
        }
        b"BLENDER17-01" => {
            file.read_exact(&mut [0; 5])?;
            Ok((Heads::Large, 17))
        }
        [b'B', b'L', b'E', b'N', b'D', b'E', b'R', _, b'V', ..] => {
            Err(Unreadable::Structure("it comes from a big-endian machine"))
        }
        _ => Err(Unreadable::Structure("its header is unknown")),
    }
}

/// Code, length of the data, and length of the head itself.
fn head(file: &mut impl Read, heads: Heads) -> Result<([u8; 4], u64, u64), Unreadable> {
    let mut code = [0; 4];
    file.read_exact(&mut code)?;
    if &code == b"ENDB" {
        // A file's last head may be cut short.
        return Ok((code, 0, 0));
    }
    let mut rest = [0; 28];
    let rest = match heads {
        Heads::Small { pointer_size } => &mut rest[..12 + pointer_size],
        Heads::Large => &mut rest[..],
    };
    file.read_exact(rest)?;
    let length = match heads {
        Heads::Small { .. } => rest
            .first_chunk()
            .map(|bytes| u64::from(u32::from_le_bytes(*bytes))),
        Heads::Large => rest[12..]
            .first_chunk()
            .map(|bytes| u64::from_le_bytes(*bytes)),
    };
    Ok((code, length.unwrap_or(0), 4 + rest.len() as u64))
}
