//! All of a frame in tiles, in falling sizes: what a viewer reads parts of, without having the frame and without knowing EXR.
//!
//! Level 0 has the samples of the file to the bit, in the type that they have there; each further level has half the columns and rows of the
//! one before, up to one that fits into a tile. A pixel is the mean of the up to four that it stands for, or the first of them where a mean would be
//! a lie: ids (Cryptomatte, indexes) and what is taken of the first sample (depth, position), see `stack`.
//!
//! ```text
//! tiles      of all passes, as they were made
//! tables     for each pass where its tiles lie: of each level, row by row, offset (u64) and length (u32)
//! head       a JSON document: `head::Head`
//! tail       24 bytes: offset (u64) and length (u32) of the head, its length once inflated (u32), `tsrpyr01`
//! ```
//!
//! Numbers are little-endian. Tiles, tables and head are zlib streams (`DecompressionStream("deflate")` of a browser). In a tile the channels of the pass
//! follow each other; of each first the lowest bytes of all samples, then the next higher and so on, and each byte is said as the
//! difference to the one before it. So the head can be written last, in one pass over a file of any size, and a reader finds it from the end.

mod head;
mod stack;
mod tile;

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use crate::rows::{Buffers, Place, Rows};
use crate::{Attributes, Class, ReadError, SampleType, Samples, class_of};
use head::{CryptomatteHead, Head, PassHead};
use stack::{Packed, Stack};

/// Ends the file.
const MAGIC: [u8; 8] = *b"tsrpyr01";

/// Columns of a tile, and most of its rows: of a pass of four halves it is 512 KiB before it is packed, and a screen has some tens.
const TILE_SIDE: usize = 256;

/// Most bytes of a band of the file, which is as high as a tile: of frames with so many passes that a band of [`TILE_SIDE`] rows has more, tiles
/// are lower. About four bands are in memory at once.
const BAND_BYTES_MAX: usize = 128 << 20;

/// Fewest rows of a tile: whole chunks of most compressions.
const TILE_ROWS_MIN: usize = 32;

/// Most bytes of samples: 8K with a hundred passes of halves have so many, and take a processor minutes.
const SAMPLE_BYTES_MAX: u64 = 32 << 30;

/// Most threads: more of them would wait for the one that reads.
const THREADS_MAX: usize = 4;

/// Why there is no pyramid.
#[derive(Debug, thiserror::Error)]
pub enum PyramidError {
    /// The frame cannot be read.
    #[error(transparent)]
    Exr(#[from] ReadError),
    /// More than is looked at.
    #[error("{subject} holds {bytes} bytes of pixels, and at most {SAMPLE_BYTES_MAX} are shown")]
    TooLarge {
        /// The file.
        subject: String,
        /// What it holds.
        bytes: u64,
    },
    /// It cannot be written.
    #[error("cannot write the tiles of {subject}")]
    Write {
        /// The file.
        subject: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the pyramid of an EXR. Memory is bounded by bands of rows. Blocking, on up to [`THREADS_MAX`] processors.
///
/// # Errors
/// If the file cannot be read as rows, holds too much, or `to` fails.
pub fn pyramid(path: &Path, to: impl Write) -> Result<(), PyramidError> {
    let subject = || path.display().to_string();
    let rows = Rows::open(path)?;
    let (width, height) = rows.size();
    let row_bytes = row_bytes(&rows);
    let bytes = row_bytes as u64 * height as u64;
    if bytes > SAMPLE_BYTES_MAX {
        return Err(PyramidError::TooLarge {
            subject: subject(),
            bytes,
        });
    }
    let tile_rows = tile_rows(row_bytes);
    let cryptomattes = cryptomattes(&rows);
    let mut stacks = stacks(&rows, (width, height), tile_rows, &cryptomattes);
    let mut writer = Writer { to, at: 0 };
    let written = |source| PyramidError::Write {
        subject: subject(),
        source,
    };

    // One band is read while the one before is packed and a third waits.
    let (give, take) = mpsc::sync_channel::<Result<Vec<Samples>, ReadError>>(1);
    thread::scope(|scope| {
        let rows = &rows;
        scope.spawn(move || {
            let all: Vec<usize> = (0..rows.places().len()).collect();
            let mut buffers = Buffers::new();
            for from in (0..height).step_by(tile_rows) {
                let some = from..(from + tile_rows).min(height);
                let band = rows.read(&all, 0..width, some, &mut buffers);
                // They are given away: the band before is not packed yet.
                let band = band.map(|()| std::mem::take(&mut buffers.planes));
                let is_last = band.is_err();
                if give.send(band).is_err() || is_last {
                    break;
                }
            }
        });
        // By value: where this ends early, nobody reads on.
        for band in take {
            add_band(&mut stacks, band?, &mut writer).map_err(written)?;
        }
        Ok::<_, PyramidError>(())
    })?;
    let head = Head::of(&rows, (TILE_SIDE, tile_rows), cryptomattes);
    finish(head, &stacks, writer).map_err(written)
}

fn row_bytes(rows: &Rows) -> usize {
    let samples = rows.places().iter().map(|place| place.sample_type.bytes());
    samples.sum::<usize>() * rows.size().0
}

/// As many rows as fit into a band, an even number at every level.
fn tile_rows(row_bytes: usize) -> usize {
    let mut rows = TILE_SIDE;
    while rows > TILE_ROWS_MIN && rows * row_bytes > BAND_BYTES_MAX {
        rows /= 2;
    }
    rows
}

/// Those of all parts: Blender writes them into the first, others elsewhere.
fn cryptomattes(rows: &Rows) -> Vec<CryptomatteHead> {
    let mut found: Vec<CryptomatteHead> = Vec::new();
    for header in rows.headers() {
        for one in Attributes::of(header).cryptomattes() {
            if found.iter().all(|other| other.key != one.key) {
                found.push(one.into());
            }
        }
    }
    found
}

fn stacks(
    rows: &Rows,
    size: (usize, usize),
    tile_rows: usize,
    cryptomattes: &[CryptomatteHead],
) -> Vec<Stack> {
    rows.places()
        .chunk_by(|a, b| a.name.pass == b.name.pass)
        .map(|places| {
            let is_first = takes_the_first(places, cryptomattes);
            let types = places.iter().map(|place| place.sample_type).collect();
            let head = PassHead::of(places, is_first);
            Stack::new(head, types, size, (TILE_SIDE, tile_rows), is_first)
        })
        .collect()
}

/// Whether a mean of pixels of this pass means nothing.
fn takes_the_first(places: &[Place], cryptomattes: &[CryptomatteHead]) -> bool {
    let pass = &places[0].name.pass;
    matches!(class_of(pass), Some(Class::First))
        || cryptomattes.iter().any(|one| one.is_of(pass))
        || places
            .iter()
            .any(|place| place.sample_type == SampleType::Uint)
}

/// Shares a band out among the passes, packs what is full of it, and writes that in the order of the passes.
fn add_band(
    stacks: &mut [Stack],
    band: Vec<Samples>,
    writer: &mut Writer<impl Write>,
) -> io::Result<()> {
    let mut planes = band.into_iter();
    let mut work: Vec<(&mut Stack, Vec<Samples>)> = Vec::with_capacity(stacks.len());
    for stack in stacks.iter_mut() {
        let own = planes.by_ref().take(stack.channels()).collect();
        work.push((stack, own));
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = work.len().div_ceil(threads.clamp(1, THREADS_MAX)).max(1);
    let packed: Vec<Vec<Packed>> = thread::scope(|scope| {
        let mut hands = Vec::new();
        while !work.is_empty() {
            let own: Vec<_> = work.drain(..share.min(work.len())).collect();
            hands.push(scope.spawn(move || {
                let add = |(stack, planes): (&mut Stack, Vec<Samples>)| stack.add(planes);
                own.into_iter().map(add).collect::<Vec<_>>()
            }));
        }
        let done = hands.into_iter().flat_map(|hand| match hand.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect()
    });
    for (stack, packed) in stacks.iter_mut().zip(packed) {
        for tile in packed {
            let place = writer.put(&tile.bytes)?;
            stack.placed(&tile, place);
        }
    }
    Ok(())
}

/// Tables, head and tail.
fn finish(mut head: Head, stacks: &[Stack], mut writer: Writer<impl Write>) -> io::Result<()> {
    for stack in stacks {
        let table: Vec<u8> = stack
            .places()
            .flat_map(|(offset, len)| {
                let (offset, len) = (offset.to_le_bytes(), len.to_le_bytes());
                offset.into_iter().chain(len)
            })
            .collect();
        let table = writer.put(&tile::deflated(&table))?;
        head.passes.push(stack.head().clone().with_table(table));
    }
    let text = serde_json::to_vec(&head).map_err(io::Error::other)?;
    let (offset, len) = writer.put(&tile::deflated(&text))?;
    let inflated = u32::try_from(text.len()).map_err(io::Error::other)?;
    let Writer { mut to, .. } = writer;
    to.write_all(&offset.to_le_bytes())?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&inflated.to_le_bytes())?;
    to.write_all(&MAGIC)?;
    to.flush()
}

/// Knows where it is.
struct Writer<W> {
    to: W,
    at: u64,
}

impl<W: Write> Writer<W> {
    /// Where the bytes lie.
    fn put(&mut self, bytes: &[u8]) -> io::Result<(u64, u32)> {
        self.to.write_all(bytes)?;
        let place = (
            self.at,
            u32::try_from(bytes.len()).map_err(io::Error::other)?,
        );
        self.at += bytes.len() as u64;
        Ok(place)
    }
}
