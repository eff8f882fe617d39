//! One frame out of its slices.
//!
//! The frame is made in bands of rows, by a few threads: each reads the rows of a band from every slice, sums them, and
//! compresses the band; they are written from top to bottom. So the memory that it takes depends on the width of the frame and
//! on the threads, and not on how many slices there are. A slice that holds all samples of its tile is copied to the bit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::attributes::text_of;
use crate::class::Class;
use crate::recipe::{Recipe, Step, recipe};
use crate::rows::Rows;
use crate::slices::{self, Missing, Slice, Tile};
use crate::{
    AttributeValue, Attributes, Cryptomatte, PassName, ReadError, SampleRange, Window, bands, head,
};

/// Most pixels that Blender renders each way (`RE_MAX_RESOLUTION`).
const SIDE_MAX: usize = 65_536;

/// What to make.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Columns and rows of the frame; those of the first slice if none.
    pub size: Option<(usize, usize)>,
    /// Samples of a whole frame; if none, where the last range ends, or what Cycles wrote into the first slice.
    pub samples: Option<u32>,
    /// What passes are that no table knows, by name without layer and view.
    pub passes: BTreeMap<String, Class>,
    /// What all passes are that neither a table nor `passes` knows; none: that is an error. Cryptomattes without their metadata never are it.
    pub others: Option<Class>,
    /// Whether something may be missing.
    pub missing: Missing,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The frame.
    pub frame: Window,
    /// Tiles that it was made of.
    pub tiles: usize,
    /// Channels in it.
    pub channels: usize,
    /// Samples that a pixel has, the fewest and the most; 0 where a tile is missing.
    pub samples: (u64, u64),
}

/// Merging failed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("there is nothing to merge: name the files that hold parts of the frame")]
    Nothing,
    /// A slice cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The frame would take the place of a slice.
    #[error("{} is one of the files with parts of the frame: choose another name for the frame", path.display())]
    Own {
        /// The slice.
        path: PathBuf,
    },
    /// A frame larger than any.
    #[error(
        "a frame of {width}×{height} pixels is larger than Blender can render ({SIDE_MAX} each way)"
    )]
    TooLarge {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// More channels than anybody renders.
    #[error(
        "{rows} rows of the frame hold {bytes} bytes in all its channels, and no more than {} are worked on at once: render it with fewer passes",
        bands::BYTES_MAX
    )]
    TooManyChannels {
        /// Rows that lie in the file together.
        rows: usize,
        /// Bytes of their pixels.
        bytes: usize,
    },
    /// Something was said of a pass that is not there.
    #[error("there is no pass '{pass}' in {}", path.display())]
    NoPass {
        /// Its name.
        pass: String,
        /// A slice.
        path: PathBuf,
    },
    /// A slice was rendered with other samples than it is taken for.
    #[error("{} was rendered with {has} samples and not with {expected}: it is no part of this frame, or say which of its samples it has", path.display())]
    Stamped {
        /// The slice.
        path: PathBuf,
        /// What Cycles wrote into it.
        has: u32,
        /// What it is to have.
        expected: u32,
    },
    /// A slice has other channels than the first.
    #[error("{} and {} hold different channels ({channel} is in one of them only): they are no parts of one frame", a.display(), b.display())]
    Channels {
        /// The first slice.
        a: PathBuf,
        /// The other.
        b: PathBuf,
        /// One that differs.
        channel: String,
    },
    /// A slice has another size than it should.
    #[error("{} has {width}×{height} pixels, and neither those of the frame nor of its place, {expected}: say where in the frame it lies", path.display())]
    Size {
        /// The slice.
        path: PathBuf,
        /// Its columns.
        width: usize,
        /// Its rows.
        height: usize,
        /// Where it should lie.
        expected: Window,
    },
    /// A slice is to give what it has not.
    #[error("{} is to give the pixels {kept}, which are not in it or not in the frame, {frame}", path.display())]
    Outside {
        /// The slice.
        path: PathBuf,
        /// What is to be taken of it.
        kept: Window,
        /// The frame.
        frame: Window,
    },
    /// A slice has samples that there are not.
    #[error("{} has the samples {samples}, which is no range of the {total} samples of the frame", path.display())]
    Samples {
        /// The slice.
        path: PathBuf,
        /// What it has.
        samples: SampleRange,
        /// Of how many.
        total: u32,
    },
    /// Two slices of a tile have the same samples.
    #[error("{} and {} have some of the same samples, {samples}: take one of them, or say which samples they have", a.display(), b.display())]
    SamplesTwice {
        /// One of them.
        a: PathBuf,
        /// The other.
        b: PathBuf,
        /// Those of the other.
        samples: SampleRange,
    },
    /// Tiles overlap.
    #[error("{} and {} hold some of the same pixels: say what is to be kept of each", a.display(), b.display())]
    TilesOverlap {
        /// One of them.
        a: PathBuf,
        /// The other.
        b: PathBuf,
    },
    /// Some samples are in no slice.
    #[error(
        "the tile {tile} has {there} of {total} samples: add the files with the others, or allow them to be missing"
    )]
    SamplesMissing {
        /// The tile.
        tile: Window,
        /// What there is.
        there: u64,
        /// What there should be.
        total: u32,
    },
    /// Some pixels are in no slice.
    #[error("the tiles hold {there} of {} pixels of the frame: add the files with the others, or allow them to be missing", frame.area())]
    TilesMissing {
        /// What there is.
        there: usize,
        /// The frame.
        frame: Window,
    },
    /// A pass that cannot be merged from ranges of samples.
    #[error(
        "the pass {pass} cannot be merged from ranges of samples, because {reason}: render it by tiles, or without that pass"
    )]
    Whole {
        /// The pass.
        pass: Box<PassName>,
        /// Why.
        reason: &'static str,
    },
    /// The pass that a light was divided by is not there.
    #[error(
        "the pass {pass} can be merged only together with {colour}, which the files do not hold: render with both"
    )]
    NoColour {
        /// The light.
        pass: Box<PassName>,
        /// Its colour.
        colour: Box<PassName>,
    },
    /// Nobody knows how to merge some passes.
    #[error(
        "it is not known how the samples of these passes are merged: {passes}; say for each whether it is an average (as the outputs of shaders are) or taken from the first sample"
    )]
    Unknown {
        /// Their names.
        passes: String,
    },
    /// A decoder gave up in its own way.
    #[error("{} and the other parts of the frame cannot be merged: a decoder failed", path.display())]
    Decoder {
        /// One of the slices.
        path: PathBuf,
    },
    /// The frame cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The frame's file.
        path: PathBuf,
        /// Why.
        source: exr::error::Error,
    },
}

/// Makes the frame of `slices` and leaves it as `output` once it is whole and on disk.
pub fn merge(
    slices: &[Slice],
    output: &Path,
    options: &MergeOptions,
) -> Result<Merged, MergeError> {
    let Some(first) = slices.first() else {
        return Err(MergeError::Nothing);
    };
    let hidden = hidden(output);
    // The files are those of others: whatever they do, it ends here.
    let made = catch_unwind(AssertUnwindSafe(|| make(slices, output, &hidden, options)));
    let made = made.unwrap_or_else(|_| {
        Err(MergeError::Decoder {
            path: first.path.clone(),
        })
    });
    if made.is_err() {
        // It is hidden, if it is there, and the error that led here says more.
        let _ = fs::remove_file(&hidden);
    }
    made
}

fn make(
    slices: &[Slice],
    output: &Path,
    hidden: &Path,
    options: &MergeOptions,
) -> Result<Merged, MergeError> {
    let rows: Vec<Rows> = slices
        .iter()
        .map(|slice| Rows::open(&slice.path))
        .collect::<Result<_, _>>()?;
    not_its_own(slices, output)?;
    same_channels(slices, &rows)?;
    passes_there(&rows[0], slices, options)?;
    let sizes: Vec<_> = rows.iter().map(Rows::size).collect();
    let (width, height) = options.size.unwrap_or(sizes[0]);
    if width.max(height) > SIDE_MAX {
        return Err(MergeError::TooLarge { width, height });
    }
    let frame = Window {
        x: 0,
        y: 0,
        width,
        height,
    };
    let (rows_at_once, bytes) = bands::band_of(rows[0].headers(), width);
    if bytes > bands::BYTES_MAX {
        return Err(MergeError::TooManyChannels {
            rows: rows_at_once,
            bytes,
        });
    }
    let total = options.samples.or_else(|| last_sample(slices));
    let total = total.or_else(|| stamped(&rows[0])).unwrap_or(1);
    held_to_stamps(slices, &rows, total)?;
    let tiles = slices::tiles(slices, &sizes, frame, total, options.missing)?;
    let recipe = recipe_of(&rows[0], &tiles, options)?;
    let merged = Merged {
        frame,
        tiles: tiles.len(),
        channels: rows[0].places().len(),
        samples: samples_of(&tiles, frame),
    };
    let of_ranges = tiles.iter().any(|tile| tile.slices.len() > 1);
    let samples = of_ranges.then_some(merged.samples.1);
    let headers = head::headers(rows[0].headers(), frame, samples, slices.len() > 1);
    let failed = |source| MergeError::Write {
        path: output.to_owned(),
        source,
    };
    File::create(hidden)
        .map_err(|error| failed(error.into()))
        .and_then(|file| {
            let job = bands::Job {
                rows: &rows,
                tiles: &tiles,
                recipe: &recipe,
                frame,
            };
            let mut file = BufWriter::new(file);
            job.write(headers, &mut file).map_err(|error| match error {
                bands::BandError::Read(error) => error.into(),
                bands::BandError::Write(source) => failed(source),
            })?;
            let synced = file.flush().and_then(|()| file.get_ref().sync_all());
            synced.map_err(|error| failed(error.into()))
        })
        .and_then(|()| fs::rename(hidden, output).map_err(|error| failed(error.into())))?;
    Ok(merged)
}

/// Tiles alone are copied whatever they hold; only ranges of samples ask what a pass is.
fn recipe_of(first: &Rows, tiles: &[Tile], options: &MergeOptions) -> Result<Recipe, MergeError> {
    let cryptomattes: Vec<Cryptomatte> = first
        .headers()
        .iter()
        .flat_map(|header| crate::Attributes::of(header).cryptomattes())
        .collect();
    match tiles.iter().all(|tile| tile.slices.len() == 1) {
        true => Ok(Recipe {
            steps: vec![Step::Average; first.places().len()],
            ..Recipe::default()
        }),
        false => recipe(
            first.places(),
            &cryptomattes,
            &options.passes,
            options.others,
        ),
    }
}

fn last_sample(slices: &[Slice]) -> Option<u32> {
    let ends = slices.iter().filter_map(|slice| slice.samples);
    ends.map(|range| range.offset.saturating_add(range.count))
        .max()
}

/// The samples that Cycles says it has rendered, if it says so and the same of all view layers.
fn stamped(rows: &Rows) -> Option<u32> {
    let mut found = None;
    for header in rows.headers() {
        for (name, value) in Attributes::of(header).iter() {
            let AttributeValue::Text(text) = value else {
                continue;
            };
            if name.starts_with("cycles.") && name.ends_with(".samples") {
                let samples = text_of(text).parse().ok()?;
                if found.is_some_and(|found| found != samples) {
                    return None;
                }
                found = Some(samples);
            }
        }
    }
    found
}

/// A slice that is taken for one with all samples has them.
fn held_to_stamps(slices: &[Slice], rows: &[Rows], total: u32) -> Result<(), MergeError> {
    for (slice, rows) in slices.iter().zip(rows) {
        match stamped(rows) {
            Some(has) if slice.samples.is_none() && has != total => {
                return Err(MergeError::Stamped {
                    path: slice.path.clone(),
                    has,
                    expected: total,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn not_its_own(slices: &[Slice], output: &Path) -> Result<(), MergeError> {
    let Ok(output) = output.canonicalize() else {
        return Ok(());
    };
    let is_own = |slice: &&Slice| slice.path.canonicalize().is_ok_and(|path| path == output);
    match slices.iter().find(is_own) {
        Some(slice) => Err(MergeError::Own {
            path: slice.path.clone(),
        }),
        None => Ok(()),
    }
}

fn passes_there(first: &Rows, slices: &[Slice], options: &MergeOptions) -> Result<(), MergeError> {
    let is_there = |pass: &str| {
        let mut places = first.places().iter();
        places.any(|place| place.name.pass.pass == pass)
    };
    match options.passes.keys().find(|pass| !is_there(pass)) {
        Some(pass) => Err(MergeError::NoPass {
            pass: pass.clone(),
            path: slices[0].path.clone(),
        }),
        None => Ok(()),
    }
}

fn samples_of(tiles: &[Tile], frame: Window) -> (u64, u64) {
    let area: usize = tiles.iter().map(|tile| tile.kept.area()).sum();
    let counts = || tiles.iter().map(|tile| tile.samples);
    let fewest = match area < frame.area() {
        true => 0,
        false => counts().min().unwrap_or(0),
    };
    (fewest, counts().max().unwrap_or(0))
}

fn same_channels(slices: &[Slice], rows: &[Rows]) -> Result<(), MergeError> {
    let places = rows[0].places();
    for (slice, other) in slices.iter().zip(rows).skip(1) {
        let other = other.places();
        let same = |index: usize| match (places.get(index), other.get(index)) {
            (Some(a), Some(b)) => a.name == b.name && a.sample_type == b.sample_type,
            _ => false,
        };
        if let Some(index) = (0..places.len().max(other.len())).find(|index| !same(*index)) {
            let channel = places.get(index).or(other.get(index));
            return Err(MergeError::Channels {
                a: slices[0].path.clone(),
                b: slice.path.clone(),
                channel: channel
                    .map(|place| place.name.to_string())
                    .unwrap_or_default(),
            });
        }
    }
    Ok(())
}

/// Where the frame is written until it is whole.
fn hidden(output: &Path) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
