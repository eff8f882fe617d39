//! Bands of rows, made by some threads and written in their order.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use exr::block::chunk::Chunk;
use exr::block::writer::{ChunkWriter, ChunksWriter};
use exr::block::{BlockIndex, UncompressedBlock};
use exr::error::Error as ExrError;
use exr::math::Vec2;
use exr::meta::header::Header;
use exr::meta::{Headers, MetaData};

use crate::recipe::Recipe;
use crate::rows::{Buffers, Rows};
use crate::slices::{Placed, Tile};
use crate::sums::Sums;
use crate::{ReadError, Samples, Window};

/// Most threads: each holds a band in memory, and more of them only wait for the disk.
const THREADS_MAX: usize = 8;

/// Most bytes of pixels in all bands that are made at once, or in one of them; what they are made of takes a few times as much. 65,536 columns of 256
/// channels are 1 GiB in 16 rows.
pub(crate) const BYTES_MAX: usize = 1 << 30;

/// Fewest rows of a band: a band in which tiles of other rows lie is read with chunks that are needed for the next band too.
const ROWS_MIN: usize = 16;

/// What a frame is made of.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub rows: &'a [Rows],
    pub tiles: &'a [Tile],
    pub recipe: &'a Recipe,
    pub frame: Window,
}

#[derive(Debug)]
pub(crate) enum BandError {
    Read(ReadError),
    Write(ExrError),
}

/// The chunks of a band, each with its place among those of its part.
type Band = Vec<(usize, Chunk)>;

impl Job<'_> {
    /// Writes the frame.
    pub(crate) fn write(&self, headers: Headers, file: impl Write + Seek) -> Result<(), BandError> {
        let mut unread = None;
        let written = exr::block::write(file, headers, false, |meta, writer| {
            match self.write_bands(&meta, writer) {
                Ok(()) => Ok(()),
                Err(BandError::Write(error)) => Err(error),
                Err(BandError::Read(error)) => {
                    unread = Some(error);
                    Err(ExrError::Aborted)
                }
            }
        });
        match unread {
            Some(error) => Err(BandError::Read(error)),
            None => written.map_err(BandError::Write),
        }
    }

    fn write_bands<W: Write + Seek>(
        &self,
        meta: &MetaData,
        writer: &mut ChunkWriter<W>,
    ) -> Result<(), BandError> {
        let (rows, bytes) = band_of(&meta.headers, self.frame.width);
        let count = self.frame.height.div_ceil(rows);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(THREADS_MAX).min(BYTES_MAX / bytes.max(1));
        let threads = threads.clamp(1, count.max(1));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        // As many wait to be written as are being made.
        let (give, take) = mpsc::sync_channel(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                let give = give.clone();
                let (next, stop) = (&next, &stop);
                scope.spawn(move || {
                    let mut buffers = Buffers::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let from = index * rows;
                        let to = (from + rows).min(self.frame.height);
                        let band = self.band(meta, from, to, &mut buffers);
                        if give.send((index, band)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(give);
            let written = in_order(&take, writer);
            // Who still makes a band finds nobody to give it to.
            stop.store(true, Ordering::Relaxed);
            drop(take);
            written
        })
    }

    fn band(
        &self,
        meta: &MetaData,
        from: usize,
        to: usize,
        buffers: &mut Buffers,
    ) -> Result<Band, BandError> {
        let planes = self.planes(from, to, buffers).map_err(BandError::Read)?;
        let mut band = Vec::new();
        for (part, header) in meta.headers.iter().enumerate() {
            let lines = header.compression.scan_lines_per_block();
            // The same channels in the order of this part.
            let mut of_part: Vec<usize> = vec![0; header.channels.list.len()];
            for (index, place) in self.rows[0].places().iter().enumerate() {
                if place.part == part {
                    of_part[place.channel] = index;
                }
            }
            for index in from / lines..to.div_ceil(lines) {
                let top = index * lines;
                let block_index = BlockIndex {
                    layer: part,
                    pixel_position: Vec2(0, top),
                    pixel_size: Vec2(self.frame.width, lines.min(self.frame.height - top)),
                    level: Vec2(0, 0),
                };
                let block = UncompressedBlock::from_lines(&header.channels, block_index, |line| {
                    let row = line.location.position.y() - from;
                    let start = row * self.frame.width;
                    let plane = &planes[of_part[line.location.channel]];
                    plane.copy_to(start, line.value);
                });
                let chunk = buffers.codec.packed(block, &meta.headers);
                band.push((index, chunk.map_err(BandError::Write)?));
            }
        }
        Ok(band)
    }

    /// The rows `from..to` of the frame, of each channel.
    fn planes(
        &self,
        from: usize,
        to: usize,
        buffers: &mut Buffers,
    ) -> Result<Vec<Samples>, ReadError> {
        let area = self.frame.width * (to - from);
        let mut planes = Vec::with_capacity(self.rows[0].places().len());
        for place in self.rows[0].places() {
            let plane = Samples::zeroed(place.sample_type, area);
            planes.push(plane.ok_or_else(|| ReadError::NoMemory {
                subject: "the frame".into(),
                pixel_bytes: (area * place.sample_type.bytes()) as u64,
            })?);
        }
        for tile in self.tiles {
            let Some(window) = rows_of(tile.kept, from, to) else {
                continue;
            };
            let summed;
            let made = match &tile.slices[..] {
                [all] => {
                    self.read(all, window, buffers)?;
                    &buffers.planes
                }
                slices => {
                    let mut sums = Sums::new(self.recipe, window);
                    for slice in slices {
                        self.read(slice, window, buffers)?;
                        sums.add(&buffers.planes, slice.samples.count);
                    }
                    let types = self.rows[0].places().iter().map(|place| place.sample_type);
                    summed = sums.finish(types);
                    &summed
                }
            };
            for (plane, made) in planes.iter_mut().zip(made) {
                for row in 0..window.height {
                    let to_row = usize::try_from(window.y).unwrap_or(0) + row - from;
                    let start = to_row * self.frame.width + usize::try_from(window.x).unwrap_or(0);
                    plane.put(start, made, row * window.width, window.width);
                }
            }
        }
        Ok(planes)
    }

    /// Reads the pixels of a window out of a slice.
    fn read(&self, slice: &Placed, window: Window, buffers: &mut Buffers) -> Result<(), ReadError> {
        let offset = |at: i32, from: i32| {
            usize::try_from(i64::from(at) - i64::from(from)).expect("what is kept was rendered")
        };
        let top = offset(window.y, slice.rendered.y);
        let left = offset(window.x, slice.rendered.x);
        let rows = &self.rows[slice.index];
        let all: Vec<usize> = (0..rows.places().len()).collect();
        rows.read(
            &all,
            left..left + window.width,
            top..top + window.height,
            buffers,
        )
    }
}

/// How many rows a band of a file with these headers has, and how many bytes of pixels are in it.
pub(crate) fn band_of(headers: &[Header], width: usize) -> (usize, usize) {
    let lines = headers
        .iter()
        .map(|it| it.compression.scan_lines_per_block());
    let rows = lines.fold(ROWS_MIN, usize::max);
    let of_pixel = headers.iter().map(|it| it.channels.bytes_per_pixel);
    (rows, (width * rows).saturating_mul(of_pixel.sum()))
}

/// Writes bands as they come, each after the one above it.
fn in_order<W: Write + Seek>(
    take: &Receiver<(usize, Result<Band, BandError>)>,
    writer: &mut ChunkWriter<W>,
) -> Result<(), BandError> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    while let Ok((index, band)) = take.recv() {
        early.insert(index, band?);
        while let Some(band) = early.remove(&next) {
            for (place, chunk) in band {
                writer.write_chunk(place, chunk).map_err(BandError::Write)?;
            }
            next += 1;
        }
    }
    Ok(())
}

/// What of a tile lies in the rows `from..to` of the frame.
fn rows_of(tile: Window, from: usize, to: usize) -> Option<Window> {
    let top = usize::try_from(tile.y).ok()?;
    let (first, last) = (top.max(from), (top + tile.height).min(to));
    (first < last).then(|| Window {
        y: i32::try_from(first).expect("a row of a tile"),
        height: last - first,
        ..tile
    })
}

impl Samples {
    /// Takes `count` samples of another plane of the same type.
    fn put(&mut self, at: usize, other: &Self, from: usize, count: usize) {
        match (self, other) {
            (Self::Half(to), Self::Half(of)) => {
                to[at..at + count].copy_from_slice(&of[from..from + count])
            }
            (Self::Float(to), Self::Float(of)) => {
                to[at..at + count].copy_from_slice(&of[from..from + count])
            }
            (Self::Uint(to), Self::Uint(of)) => {
                to[at..at + count].copy_from_slice(&of[from..from + count])
            }
            _ => unreachable!("channels were held to be of one type"),
        }
    }

    /// Writes samples from `start` on as bytes in the machine's order.
    fn copy_to(&self, start: usize, bytes: &mut [u8]) {
        match self {
            Self::Half(samples) => {
                for (to, sample) in bytes.as_chunks_mut().0.iter_mut().zip(&samples[start..]) {
                    *to = sample.to_ne_bytes();
                }
            }
            Self::Float(samples) => {
                for (to, sample) in bytes.as_chunks_mut().0.iter_mut().zip(&samples[start..]) {
                    *to = sample.to_ne_bytes();
                }
            }
            Self::Uint(samples) => {
                for (to, sample) in bytes.as_chunks_mut().0.iter_mut().zip(&samples[start..]) {
                    *to = sample.to_ne_bytes();
                }
            }
        }
    }
}
