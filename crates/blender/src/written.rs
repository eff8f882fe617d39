//! Whether the files of a frame are whole.
//!
//! Blender says "Saved" of what it could not write to its end: on a full disk, PNG, EXR and TIFF files are cut, without an error
//! that would reach a caller (3.4.1 and 5.0.1). So files are looked at: formats whose end can be told by a few reads must have
//! theirs, and for all others the disk must have room left. A small frame that fits on a disk nearly full is a frame.

mod exr;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A disk with less room than this after a frame may have had none during it; a block of a file system is smaller. Only asked
/// of files whose end cannot be told.
const ROOM_MIN_BYTES: u64 = 1 << 20;

/// What is wrong with a frame's files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwhole {
    #[error("cannot look at {path}, which Blender wrote: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the disk that holds {path} is full, so what Blender wrote may be cut, of which it says nothing; free space on it",
        path = path.display()
    )]
    Full { path: PathBuf },
    #[error(
        "Blender wrote {path} in part and said nothing; the disk may be full, or a quota reached",
        path = path.display()
    )]
    Cut { path: PathBuf },
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    /// Of a format whose end cannot be told cheaply.
    Untold,
}

impl End {
    fn of(cut: bool) -> Self {
        if cut { Self::Cut } else { Self::Whole }
    }
}

/// Checks files below a folder. Blocking.
pub(crate) fn check(folder: &Path, files: &[PathBuf]) -> Result<(), Unwhole> {
    let mut untold = false;
    for path in files {
        match end_of(path) {
            Ok(End::Whole) => {}
            Ok(End::Untold) => untold = true,
            Ok(End::Cut) => return Err(Unwhole::Cut { path: path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Unwhole::Cut { path: path.clone() });
            }
            Err(source) => {
                return Err(Unwhole::Io {
                    path: path.clone(),
                    source,
                });
            }
        }
    }
    if untold && !has_room(folder) {
        let path = folder.to_path_buf();
        return Err(Unwhole::Full { path });
    }
    Ok(())
}

/// Where the system does not tell there is nothing to go by.
fn has_room(folder: &Path) -> bool {
    let disk = rustix::fs::statvfs(folder);
    disk.map_or(true, |disk| {
        disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_MIN_BYTES
    })
}

fn end_of(path: &Path) -> io::Result<End> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut magic = [0; 4];
    if length < 4 {
        return Ok(End::Cut);
    }
    file.read_exact(&mut magic)?;
    match magic {
        [0x89, b'P', b'N', b'G'] => {
            ends_with(&mut file, b"IEND\xae\x42\x60\x82").map(|ends| End::of(!ends))
        }
        [0xff, 0xd8, ..] => ends_with(&mut file, b"\xff\xd9").map(|ends| End::of(!ends)),
        // The header tells the length of the file.
        [b'B', b'M', ..] => {
            let mut size = [0; 4];
            file.seek(SeekFrom::Start(2))?;
            file.read_exact(&mut size)?;
            Ok(End::of(u64::from(u32::from_le_bytes(size)) > length))
        }
        [0x76, 0x2f, 0x31, 0x01] => exr::end_of(&mut file, length),
        _ => Ok(End::Untold),
    }
}

fn ends_with(file: &mut File, end: &[u8]) -> io::Result<bool> {
    let back = i64::try_from(end.len()).map_err(io::Error::other)?;
    file.seek(SeekFrom::End(-back))?;
    let mut last = vec![0; end.len()];
    file.read_exact(&mut last)?;
    Ok(last == end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole files are whole, and cut anywhere they are not.
    fn check_cuts(content: &[u8], what: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("frame");
        std::fs::write(&path, content).unwrap();
        check(dir.path(), std::slice::from_ref(&path))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        for length in [
            0,
            3,
            10,
            content.len() / 3,
            content.len() / 2,
            content.len() - 1,
        ] {
            std::fs::write(&path, &content[..length]).unwrap();
            let cut = check(dir.path(), std::slice::from_ref(&path));
            assert!(
                matches!(cut, Err(Unwhole::Cut { .. })),
                "{what} of {length} bytes: {cut:?}"
            );
        }
    }

    #[test]
    fn cut_files_are_told() {
        let mut encoded = Vec::new();
        let mut encoder = png::Encoder::new(&mut encoded, 16, 16);
        encoder.set_color(png::ColorType::Rgb);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&[7; 16 * 16 * 3])
            .unwrap();
        check_cuts(&encoded, "PNG");
        check_cuts(
            &[b"BM".as_slice(), &100_u32.to_le_bytes(), &[0; 94]].concat(),
            "BMP",
        );
        check_cuts(
            &[b"\xff\xd8\xff\xe0".as_slice(), &[3; 80], b"\xff\xd9"].concat(),
            "JPEG",
        );
    }

    #[test]
    fn cut_exr_files_are_told() {
        use ::exr::prelude::*;
        let dir = tempfile::tempdir().unwrap();
        let layer = |name: &str, encoding| {
            let size = Vec2(40, 300);
            let pixels = |at: Vec2<usize>| (at.0 as f32, at.1 as f32, 0.5_f32);
            Layer::new(
                size,
                LayerAttributes::named(name),
                encoding,
                SpecificChannels::rgb(pixels),
            )
        };
        for (name, encoding) in [
            ("none", Encoding::UNCOMPRESSED),
            ("rle", Encoding::FAST_LOSSLESS),
            (
                "zip",
                Encoding {
                    compression: Compression::ZIP16,
                    ..Encoding::FAST_LOSSLESS
                },
            ),
            (
                "piz",
                Encoding {
                    compression: Compression::PIZ,
                    ..Encoding::FAST_LOSSLESS
                },
            ),
        ] {
            let encoding = Encoding {
                blocks: Blocks::ScanLines,
                line_order: LineOrder::Increasing,
                ..encoding
            };
            let path = dir.path().join(name);
            Image::from_layer(layer("one", encoding))
                .write()
                .to_file(&path)
                .unwrap();
            check_cuts(&std::fs::read(&path).unwrap(), name);
        }
        let encoding = Encoding {
            blocks: Blocks::ScanLines,
            line_order: LineOrder::Increasing,
            ..Encoding::FAST_LOSSLESS
        };
        let layers = vec![layer("one", encoding), layer("two", encoding)];
        let path = dir.path().join("parts");
        let window = IntegerBounds::from_dimensions((40, 300));
        Image::from_layers(ImageAttributes::new(window), layers)
            .write()
            .to_file(&path)
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        check_cuts(&whole, "parts");
    }
}
