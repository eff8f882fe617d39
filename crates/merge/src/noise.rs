//! How much noise is left in a frame, tile by tile, as far as its samples show.
//!
//! Of two halves of the samples of a pixel each is a picture of it, and what these differ by is noise. It is measured as Cycles does to
//! decide by itself (`film/adaptive_sampling.h`, after Dammertz et al., *A Hierarchical Automatic Stopping Condition for Monte
//! Carlo Global Illumination*, 2010), for I the mean of all samples and A that of one half: ∑|I − A| over the three colours, divided by the
//! root of the sum of I where that is below one, and else by the sum. A tile has the root mean square of its pixels.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::rows::{Buffers, Place, Rows};
use crate::slices::{Placed, Slice, placed};
use crate::{MergeError, ReadError, Samples, Window};

/// Rows looked at together: whole chunks of what Blender writes.
const ROWS: usize = 32;

/// Most threads: each reads every slice's rows of its own.
const THREADS_MAX: usize = 8;

/// What most passes are made for, and what Cycles looks at.
const COMBINED: &str = "Combined";

/// Keeps what is black from counting without bound, as Cycles does.
const DARK: f64 = 1e-4;

/// The noise of each tile of a frame that has so many samples; a slice holds some of the first half of them or some of the second. Tiles that have
/// only the first half have none: they had too little before. Where there are several view layers or views, it is that of the noisiest.
///
/// # Errors
/// If a slice cannot be read, lies outside of the frame or has no colours.
pub fn noise(
    slices: &[Slice],
    size: (usize, usize),
    tiles: &[Window],
    samples: u32,
) -> Result<Vec<f32>, MergeError> {
    let frame = Window {
        x: 0,
        y: 0,
        width: size.0,
        height: size.1,
    };
    let files: Vec<Rows> = slices
        .iter()
        .map(|slice| Rows::open(&slice.path))
        .collect::<Result<_, ReadError>>()?;
    let sizes: Vec<(usize, usize)> = files.iter().map(Rows::size).collect();
    let slices_at = placed(slices, &sizes, frame, samples)?;
    let mut sources = Vec::new();
    for (at, file) in slices_at.into_iter().zip(&files) {
        let pictures = pictures(file.places());
        if pictures.is_empty() {
            return Err(MergeError::NoPass {
                pass: COMBINED.to_owned(),
                path: slices[at.index].path.clone(),
            });
        }
        sources.push(Source { at, file, pictures });
    }
    let count = sources.iter().map(|source| source.pictures.len()).min();
    let frame = Noise {
        sources,
        pictures: count.unwrap_or(0),
        frame,
        tiles,
        middle: samples / 2,
    };
    frame.measure()
}

/// A slice and where its colours are.
struct Source<'a> {
    at: Placed,
    file: &'a Rows,
    /// Of each view layer and view the three channels.
    pictures: Vec<[usize; 3]>,
}

struct Noise<'a> {
    sources: Vec<Source<'a>>,
    pictures: usize,
    frame: Window,
    tiles: &'a [Window],
    middle: u32,
}

/// Sums of squares, of each picture those of all tiles.
type Squares = Vec<Vec<f64>>;

/// The sums of one half of the samples of some pixels, and how many these are.
#[derive(Debug, Clone, Copy, Default)]
struct Half {
    colour: [f64; 3],
    samples: f64,
}

impl Noise<'_> {
    fn measure(&self) -> Result<Vec<f32>, MergeError> {
        let bands = self.frame.height.div_ceil(ROWS);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let all: Mutex<Squares> = Mutex::new(vec![vec![0.0; self.tiles.len()]; self.pictures]);
        let work = || -> Result<(), ReadError> {
            let mut buffers = Buffers::new();
            loop {
                let from = next.fetch_add(1, Ordering::Relaxed) * ROWS;
                if from >= self.frame.height {
                    return Ok(());
                }
                let squares =
                    self.band(from, (from + ROWS).min(self.frame.height), &mut buffers)?;
                let mut all = all.lock().expect("nobody panics with it");
                for (sums, more) in all.iter_mut().zip(squares) {
                    for (tile, square) in more {
                        sums[tile] += square;
                    }
                }
            }
        };
        thread::scope(|scope| {
            let workers = threads.clamp(1, THREADS_MAX).min(bands.max(1));
            let working: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            working
                .into_iter()
                .try_for_each(|one| one.join().expect("measuring does not panic"))
        })?;
        let all = all.into_inner().expect("nobody panics with it");
        let of_tile = |(at, tile): (usize, &Window)| {
            let most = all.iter().map(|sums| sums[at]).fold(0.0, f64::max);
            (most / tile.area().max(1) as f64).sqrt() as f32
        };
        Ok(self.tiles.iter().enumerate().map(of_tile).collect())
    }

    /// What the rows `from..to` add to the sums of squares of tiles, for each picture.
    fn band(
        &self,
        from: usize,
        to: usize,
        buffers: &mut Buffers,
    ) -> Result<Vec<Vec<(usize, f64)>>, ReadError> {
        let width = self.frame.width;
        let mut halves = vec![[Half::default(); 2]; self.pictures * width * (to - from)];
        for source in &self.sources {
            self.add(source, (from, to), &mut halves, buffers)?;
        }
        let row = |tile: &Window| {
            let top = tile.y as usize;
            (top.max(from), (top + tile.height).min(to))
        };
        let inside = self.tiles.iter().enumerate().filter_map(|(index, tile)| {
            let (top, bottom) = row(tile);
            (top < bottom).then_some((index, tile, top, bottom))
        });
        let inside: Vec<_> = inside.collect();
        let of_picture = |picture: &[[Half; 2]]| {
            let of_tile = |&(index, tile, top, bottom): &(usize, &Window, usize, usize)| {
                let left = tile.x as usize;
                let squares = (top..bottom).map(|y| {
                    let begin = (y - from) * width + left;
                    let pixels = &picture[begin..begin + tile.width];
                    pixels.iter().map(|pixel| error(pixel).powi(2)).sum::<f64>()
                });
                (index, squares.sum())
            };
            inside.iter().map(of_tile).collect()
        };
        let pixels = width * (to - from);
        Ok(halves.chunks(pixels).map(of_picture).collect())
    }

    fn add(
        &self,
        source: &Source<'_>,
        (from, to): (usize, usize),
        halves: &mut [[Half; 2]],
        buffers: &mut Buffers,
    ) -> Result<(), ReadError> {
        let Placed {
            rendered,
            kept,
            samples,
            ..
        } = source.at;
        let (top, left) = (kept.y as usize, kept.x as usize);
        let (top, bottom) = (top.max(from), (top + kept.height).min(to));
        if top >= bottom {
            return Ok(());
        }
        let above = rendered.y as usize;
        let wanted: Vec<usize> = source.pictures.iter().flatten().copied().collect();
        let beside = left - rendered.x as usize;
        source.file.read(
            &wanted,
            beside..beside + kept.width,
            top - above..bottom - above,
            buffers,
        )?;
        let planes = &buffers.planes;
        let half = usize::from(samples.offset >= self.middle);
        let weight = f64::from(samples.count);
        let pixels = self.frame.width * (to - from);
        for (picture, colours) in planes.chunks(3).take(self.pictures).enumerate() {
            for y in top..bottom {
                let to = picture * pixels + (y - from) * self.frame.width + left;
                let at = (y - top) * kept.width;
                for (x, pixel) in halves[to..to + kept.width].iter_mut().enumerate() {
                    let sum = &mut pixel[half];
                    sum.samples += weight;
                    for (sum, plane) in sum.colour.iter_mut().zip(colours) {
                        *sum += weight * value(plane, at + x);
                    }
                }
            }
        }
        Ok(())
    }
}

/// That of one pixel. None where there is only one half, nor where the light is no number, which more samples do not change.
fn error([one, other]: &[Half; 2]) -> f64 {
    if one.samples == 0.0 || other.samples == 0.0 {
        return 0.0;
    }
    let all = one.samples + other.samples;
    let mean = |colour: usize| (one.colour[colour] + other.colour[colour]) / all;
    let apart: f64 = (0..3)
        .map(|colour| (mean(colour) - one.colour[colour] / one.samples).abs())
        .sum();
    let light: f64 = (0..3).map(|colour| mean(colour).max(0.0)).sum();
    let scale = if light < 1.0 { light.sqrt() } else { light };
    let error = apart / (DARK + scale);
    if error.is_finite() { error } else { 0.0 }
}

/// The three colours of each view layer and view that Cycles rendered.
fn pictures(places: &[Place]) -> Vec<[usize; 3]> {
    let mut begin = 0;
    let mut found = Vec::new();
    for pass in places.chunk_by(|a, b| a.name.pass == b.name.pass) {
        let channel = |name: &str| {
            let at = pass.iter().position(|place| place.name.channel == name)?;
            Some(begin + at)
        };
        if pass[0].name.pass.pass == COMBINED
            && let (Some(red), Some(green), Some(blue)) = (channel("R"), channel("G"), channel("B"))
        {
            found.push([red, green, blue]);
        }
        begin += pass.len();
    }
    found
}

fn value(plane: &Samples, at: usize) -> f64 {
    match plane {
        Samples::Half(values) => values[at].to_f64(),
        Samples::Float(values) => values[at].into(),
        Samples::Uint(values) => values[at].into(),
    }
}
