//! The end of an OpenEXR file: the table of where its chunks are is written last, over zeros.
//!
//! Magic, a version whose flags tell of several parts; for each part attributes (name, type, size, value) up to an empty name,
//! the parts ended by an empty part; then for each part a 64-bit offset per chunk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::End;

/// In the version field.
const TILED: u32 = 0x200;
const DEEP: u32 = 0x800;
const MULTI_PART: u32 = 0x1000;
/// Longest name or type taken for one.
const TEXT_MAX_BYTES: u64 = 256;

/// What a part's header says of its chunks.
#[derive(Default)]
struct Part {
    chunks: Option<u64>,
    lines: u64,
    lines_per_chunk: u64,
}

/// Untold for kinds of files that Blender does not write.
pub(super) fn end_of(file: &mut File, length: u64) -> io::Result<End> {
    file.seek(SeekFrom::Start(4))?;
    let mut file = BufReader::new(file);
    let version = u32::from_le_bytes(bytes(&mut file)?);
    if version & (TILED | DEEP) != 0 {
        return Ok(End::Untold);
    }
    let mut chunks = 0;
    while let Some(part) = part(&mut file)? {
        let by_lines = || part.lines.div_ceil(part.lines_per_chunk.max(1));
        chunks += part.chunks.unwrap_or_else(by_lines);
        if version & MULTI_PART == 0 {
            break;
        }
    }
    let mut last = 0;
    for _ in 0..chunks {
        let offset = u64::from_le_bytes(bytes(&mut file)?);
        if offset == 0 || offset >= length {
            return Ok(End::Cut);
        }
        last = last.max(offset);
    }
    if chunks == 0 {
        return Ok(End::Untold);
    }
    // A chunk: its part if there are several, its first line, its size, its data.
    let head = if version & MULTI_PART == 0 { 4 } else { 8 };
    file.seek(SeekFrom::Start(last + head))?;
    let size = u64::from(u32::from_le_bytes(bytes(&mut file)?));
    Ok(End::of(last + head + 4 + size > length))
}

/// `None` at the end of the parts.
fn part(file: &mut BufReader<&mut File>) -> io::Result<Option<Part>> {
    let mut part = Part::default();
    let mut empty = true;
    loop {
        let name = text(file)?;
        if name.is_empty() {
            return Ok((!empty).then_some(part));
        }
        empty = false;
        text(file)?;
        let size = u32::from_le_bytes(bytes(file)?);
        match (name.as_slice(), size) {
            (b"chunkCount", 4) => part.chunks = Some(u64::from(u32::from_le_bytes(bytes(file)?))),
            (b"compression", 1) => part.lines_per_chunk = lines_per_chunk(bytes::<1>(file)?[0]),
            (b"dataWindow", 16) => {
                let _left = bytes::<4>(file)?;
                let top = i64::from(i32::from_le_bytes(bytes(file)?));
                let _right = bytes::<4>(file)?;
                let bottom = i64::from(i32::from_le_bytes(bytes(file)?));
                part.lines = u64::try_from(bottom - top + 1).unwrap_or(0);
            }
            _ => file.seek_relative(i64::from(size))?,
        }
    }
}

/// By the numbers of OpenEXR's compressions: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB.
fn lines_per_chunk(compression: u8) -> u64 {
    match compression {
        0..=2 => 1,
        3 | 5 => 16,
        4 | 6..=8 => 32,
        _ => 256,
    }
}

fn text(file: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(TEXT_MAX_BYTES).read_until(0, &mut text)?;
    match text.pop() {
        Some(0) => Ok(text),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn bytes<const COUNT: usize>(file: &mut impl Read) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
