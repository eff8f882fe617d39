//! Which Blender saved a .blend, read out of its first bytes without Blender.
//!
//! A .blend begins with `BLENDER`, or is that compressed whole by gzip (until 2.9) or zstd (since 3.0). Then follows, until
//! 4.5, `-` or `_` (pointer size), `v` or `V` (byte order) and three digits (`BLENDER-v304`: 3.4); since 5.0 the header's own
//! length in two digits, `-`, the format's version in two digits, `v`, and four digits (`BLENDER17-01v0500`: 5.0).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tessera_model::Series;

/// Long enough for either header.
const HEADER_MAX_BYTES: u64 = 17;

/// Why the version that saved a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("cannot read {path}: {source}; check that it exists and that you may read it", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a .blend file: it does not begin as one", path = path.display())]
    NotBlend { path: PathBuf },
    #[error("{path} is damaged: it ends or breaks within its first bytes; copy or save it again", path = path.display())]
    Cut { path: PathBuf },
    #[error("{path} has a header that this program does not know ({header:?}); it may come from a newer Blender", path = path.display())]
    Unknown { path: PathBuf, header: String },
}

/// The series of Blender that saved the file. Reads a few bytes, blocking.
pub fn saved_by(path: &Path) -> Result<Series, HeaderError> {
    let at = || path.to_path_buf();
    let read = |source| HeaderError::Read { path: at(), source };
    let mut magic = Vec::new();
    File::open(path)
        .map_err(read)?
        .take(4)
        .read_to_end(&mut magic)
        .map_err(read)?;
    let file = File::open(path).map_err(read)?;
    let mut header = Vec::new();
    let unpacked = match magic.as_slice() {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(file)
            .take(HEADER_MAX_BYTES)
            .read_to_end(&mut header),
        [0x28, 0xb5, 0x2f, 0xfd] => zstd::stream::read::Decoder::new(file)
            .and_then(|decoder| decoder.take(HEADER_MAX_BYTES).read_to_end(&mut header)),
        _ => file.take(HEADER_MAX_BYTES).read_to_end(&mut header),
    };
    match unpacked {
        Ok(_) => {}
        // A decoder that stumbles: the compressed stream is cut or damaged.
        Err(_) if matches!(magic.first(), Some(0x1f | 0x28)) => {
            return Err(HeaderError::Cut { path: at() });
        }
        Err(source) => return Err(read(source)),
    }
    parse(&header).map_err(|wrong| match wrong {
        Wrong::NotBlend => HeaderError::NotBlend { path: at() },
        Wrong::Cut => HeaderError::Cut { path: at() },
        Wrong::Unknown => HeaderError::Unknown {
            path: at(),
            header: String::from_utf8_lossy(&header).into_owned(),
        },
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    NotBlend,
    Cut,
    Unknown,
}

fn parse(header: &[u8]) -> Result<Series, Wrong> {
    const MAGIC: &[u8] = b"BLENDER";
    let Some(rest) = header.strip_prefix(MAGIC) else {
        return Err(if !header.is_empty() && MAGIC.starts_with(header) {
            Wrong::Cut
        } else {
            Wrong::NotBlend
        });
    };
    match rest {
        [b'-' | b'_', b'v' | b'V', digits @ ..] => series(digits.get(..3).ok_or(Wrong::Cut)?, 1),
        [b'1', b'7', b'-', b'0', b'1', b'v', digits @ ..] => {
            series(digits.get(..4).ok_or(Wrong::Cut)?, 2)
        }
        _ if rest.len() < 5 => Err(Wrong::Cut),
        _ => Err(Wrong::Unknown),
    }
}

/// The last two digits are the minor version.
fn series(digits: &[u8], major_digits: usize) -> Result<Series, Wrong> {
    let number = |text: &[u8]| {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Wrong::Unknown)
    };
    let (major, minor) = digits.split_at(major_digits);
    Ok(Series {
        major: number(major)?,
        minor: number(minor)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn headers() {
        let check = |header: &[u8], expected| {
            assert_eq!(
                parse(header),
                expected,
                "{:?}",
                header.escape_ascii().to_string()
            )
        };
        check(b"BLENDER-v304REND", Ok(Series::new(3, 4)));
        check(b"BLENDER_V279", Ok(Series::new(2, 79)));
        check(b"BLENDER-v293RENDxxxx", Ok(Series::new(2, 93)));
        check(b"BLENDER17-01v0500", Ok(Series::new(5, 0)));
        check(b"BLENDER17-01v1203", Ok(Series::new(12, 3)));
        check(b"", Err(Wrong::NotBlend));
        check(b"BLEN", Err(Wrong::Cut));
        check(b"BLENDER", Err(Wrong::Cut));
        check(b"BLENDER-v3", Err(Wrong::Cut));
        check(b"BLENDER17-01v05", Err(Wrong::Cut));
        check(b"BLENDER-vabc", Err(Wrong::Unknown));
        check(b"BLENDER18-02v0600", Err(Wrong::Unknown));
        check(b"\x89PNG\r\n\x1a\n", Err(Wrong::NotBlend));
    }

    #[test]
    fn compressed_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.blend");
        let content = [b"BLENDER17-01v0500".as_slice(), &[7; 100_000]].concat();

        std::fs::write(&path, zstd::encode_all(content.as_slice(), 3).unwrap()).unwrap();
        assert_eq!(saved_by(&path).unwrap(), Series::new(5, 0));
        std::fs::write(
            &path,
            &zstd::encode_all(content.as_slice(), 3).unwrap()[..6],
        )
        .unwrap();
        assert!(matches!(saved_by(&path), Err(HeaderError::Cut { .. })));

        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"BLENDER-v279REND").unwrap();
        std::fs::write(&path, gzip.finish().unwrap()).unwrap();
        assert_eq!(saved_by(&path).unwrap(), Series::new(2, 79));
    }

    #[test]
    fn absent_files_are_named() {
        let error = saved_by(Path::new("/nowhere/scene.blend")).unwrap_err();
        assert!(
            matches!(&error, HeaderError::Read { .. })
                && error.to_string().contains("/nowhere/scene.blend")
        );
    }
}
