//! Finds the library paths in a raw .blend.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::Unreadable;
use super::dna::{self, Field};

/// The largest table of structs taken into memory; those of today's Blenders have 0.2 MB.
const DNA_MAX_BYTES: u64 = 64 << 20;

/// A library's path, and the field of the file that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LibraryPath {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) capacity: usize,
}

/// The forms of block heads, by the file's header.
#[derive(Clone, Copy, Debug)]
enum Heads {
    /// Code, length (32 bits), old address (4 or 8 bytes), struct, count.
    Small { pointer_size: usize },
    /// Since 5.0: code, struct, old address, length (64 bits), count.
    Large,
}

/// All of them. Paths that are not UTF-8 are left out: nothing here could have stored them.
pub(super) fn paths(file: &mut (impl Read + Seek)) -> Result<Vec<LibraryPath>, Unreadable> {
    let mut file = BufReader::new(file);
    let (heads, mut at) = header(&mut file)?;
    let pointer_size = match heads {
        Heads::Small { pointer_size } => pointer_size,
        Heads::Large => 8,
    };
    let mut libraries = Vec::new();
    let mut table = None;
    loop {
        let (code, length, head_size) = head(&mut file, heads)?;
        let data = at + head_size;
        match &code {
            b"ENDB" => break,
            b"LI\0\0" => libraries.push((data, length)),
            b"DNA1" if length <= DNA_MAX_BYTES => {
                let mut dna = Vec::new();
                (&mut file).take(length).read_to_end(&mut dna)?;
                table = Some(dna);
                file.seek(SeekFrom::Start(data))?;
            }
            _ => {}
        }
        let step = i64::try_from(length)
            .map_err(|_| Unreadable::Structure("a block has no sensible length"))?;
        file.seek_relative(step)?;
        at = data + length;
    }
    if libraries.is_empty() {
        return Ok(Vec::new());
    }
    let table = table.ok_or(Unreadable::Structure("it has no table of structs"))?;
    // The path as stored is `name` in files of all versions; in memory it is called otherwise today.
    let field = dna::field(&table, "Library", &["name", "filepath"], pointer_size)?;
    let mut found = Vec::new();
    for (data, length) in libraries {
        found.extend(path_in(&mut file, data, length, field)?);
    }
    Ok(found)
}

fn path_in(
    file: &mut (impl Read + Seek),
    data: u64,
    length: u64,
    field: Field,
) -> Result<Option<LibraryPath>, Unreadable> {
    if length < (field.offset + field.size) as u64 {
        return Err(Unreadable::Structure("a library's block is too short"));
    }
    let offset = data + field.offset as u64;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; field.size];
    file.read_exact(&mut bytes)?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = std::str::from_utf8(text).ok().map(str::to_owned);
    Ok(path.map(|path| LibraryPath {
        path,
        offset,
        capacity: field.size,
    }))
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
    let mut rest = [0; 28];
    let rest = match heads {
        Heads::Small { pointer_size } => &mut rest[..12 + pointer_size],
        Heads::Large => &mut rest[..],
    };
    if &code == b"ENDB" {
        // A file's last head may be cut short.
        return Ok((code, 0, 0));
    }
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
