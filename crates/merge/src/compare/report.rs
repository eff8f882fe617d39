//! What a comparison found, for people ([`std::fmt::Display`]) and for programs (serde).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The result of comparing two files or two folders.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The first path given.
    pub a: PathBuf,
    /// The second path given.
    pub b: PathBuf,
    /// One entry per file that is on either side, sorted by name.
    pub files: Vec<FileReport>,
}

/// What was found about one file.
#[derive(Debug, Clone, Serialize)]
pub struct FileReport {
    /// The name of the file in its folder, with `/` between the folders.
    pub name: String,
    /// The passes of which pixels were compared; none if the file was compared byte by byte.
    pub passes: Vec<PassReport>,
    /// All differences that are not pixels.
    pub differences: Vec<Difference>,
    /// What differs but does not count.
    pub notes: Vec<String>,
    /// Whether the file was compared byte by byte, because nobody here can decode it.
    pub by_bytes: bool,
}

/// What was found in the pixels of one pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassReport {
    /// Name of the pass.
    pub pass: String,
    /// How many pixels were compared.
    pub pixels: u64,
    /// In how many of them at least one channel has other bits.
    pub differing_pixels: u64,
    /// The largest difference of two finite samples.
    pub max_abs: f64,
    /// The same in steps of the sample type; −0 and +0 are one step apart.
    pub max_ulps: u64,
    /// How many differing samples are infinite or NaN on at least one side, for which there is no distance.
    pub not_finite: u64,
    /// The first differing sample in reading order.
    pub first: Option<FirstDifference>,
}

/// Where samples first differ, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FirstDifference {
    /// Column in the plane of the display window, from its left.
    pub x: i32,
    /// Row in the plane of the display window, from its top.
    pub y: i32,
    /// The channel.
    pub channel: String,
    /// The sample in the first file; NaN with its bits.
    pub a: String,
    /// The sample in the second file.
    pub b: String,
}

/// A difference other than that of two samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// A file is on one side only.
    FileMissing {
        /// Where it is missing.
        missing: Side,
    },
    /// A file cannot be read.
    Unreadable {
        /// Which of the two.
        side: Side,
        /// Why.
        error: String,
    },
    /// The files are of two formats or depths.
    Format {
        /// The first.
        a: String,
        /// The second.
        b: String,
    },
    /// The frame has another size or place.
    DisplayWindow {
        /// The first.
        a: String,
        /// The second.
        b: String,
    },
    /// A pass is on one side only.
    PassMissing {
        /// The pass.
        pass: String,
        /// Where it is missing.
        missing: Side,
    },
    /// A channel of a pass is on one side only.
    ChannelMissing {
        /// The channel.
        channel: String,
        /// Where it is missing.
        missing: Side,
    },
    /// The channels of a pass lie elsewhere or have another size.
    DataWindow {
        /// The pass.
        pass: String,
        /// The first.
        a: String,
        /// The second.
        b: String,
    },
    /// A channel has another type of samples.
    SampleType {
        /// The channel.
        channel: String,
        /// The first.
        a: String,
        /// The second.
        b: String,
    },
    /// Metadata that should be the same is not.
    Metadata {
        /// The attribute.
        name: String,
        /// The first, if it is there.
        a: Option<String>,
        /// The second, if it is there.
        b: Option<String>,
    },
    /// Files that are compared byte by byte differ.
    Bytes {
        /// How many bytes from the start are equal.
        equal_bytes: u64,
        /// Length of the first.
        a_bytes: u64,
        /// Length of the second.
        b_bytes: u64,
    },
}

/// One of the two things compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// A report in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files on either side.
    pub files: u64,
    /// Files in which anything counts as a difference.
    pub differing_files: u64,
    /// Files that were compared byte by byte.
    pub files_by_bytes: u64,
    /// Passes compared, over all files.
    pub passes: u64,
    /// Pixels that differ, over all passes of all files.
    pub differing_pixels: u64,
}

impl Report {
    /// Whether something was compared and no difference was found.
    pub fn identical(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(FileReport::identical)
    }

    /// The numbers of all files together.
    pub fn summary(&self) -> Summary {
        let passes = || self.files.iter().flat_map(|file| &file.passes);
        Summary {
            files: self.files.len() as u64,
            differing_files: self.files.iter().filter(|file| !file.identical()).count() as u64,
            files_by_bytes: self.files.iter().filter(|file| file.by_bytes).count() as u64,
            passes: passes().count() as u64,
            differing_pixels: passes().map(|pass| pass.differing_pixels).sum(),
        }
    }

    fn path_of(&self, side: Side) -> std::path::Display<'_> {
        match side {
            Side::A => self.a.display(),
            Side::B => self.b.display(),
        }
    }
}

impl FileReport {
    /// Whether the file was compared and no difference was found.
    pub fn identical(&self) -> bool {
        let compared = self.by_bytes || !self.passes.is_empty();
        compared
            && self.differences.is_empty()
            && self.passes.iter().all(|pass| pass.differing_pixels == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in self.files.iter().filter(|file| !file.identical()) {
            writeln!(out, "{}", file.name)?;
            for difference in &file.differences {
                write!(out, "  ")?;
                self.say_difference(out, difference)?;
                writeln!(out)?;
            }
            for pass in file.passes.iter().filter(|pass| pass.differing_pixels > 0) {
                writeln!(out, "  {pass}")?;
            }
        }
        let mut notes = BTreeMap::<&str, u64>::new();
        for note in self.files.iter().flat_map(|file| &file.notes) {
            *notes.entry(note).or_default() += 1;
        }
        for (note, files) in notes {
            writeln!(out, "note: {note} ({})", counted(files, "file"))?;
        }
        self.say_summary(out)
    }
}

impl Report {
    fn say_summary(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.summary();
        let files = counted(summary.files, "file");
        let passes = counted_with(summary.passes, "pass", "passes");
        if self.files.is_empty() {
            return write!(
                out,
                "nothing was compared: {} and {} hold no files",
                self.a.display(),
                self.b.display()
            );
        }
        if self.identical() {
            write!(out, "0 differing pixels in every pass: {files}, {passes}")?;
            return match summary.files_by_bytes {
                0 => Ok(()),
                files => write!(out, " ({} compared byte by byte)", counted(files, "file")),
            };
        }
        let pixels = counted(summary.differing_pixels, "differing pixel");
        write!(
            out,
            "DIFFERENT: {} of {files}; {pixels} in {passes} compared",
            summary.differing_files
        )
    }

    fn say_difference(&self, out: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
        match difference {
            Difference::FileMissing { missing } => {
                write!(out, "file missing in {}", self.path_of(*missing))
            }
            Difference::Unreadable { side, error } => {
                write!(out, "unreadable in {}: {error}", self.path_of(*side))
            }
            Difference::Format { a, b } => write!(out, "format differs: {a}, {b}"),
            Difference::DisplayWindow { a, b } => write!(out, "display window differs: {a}, {b}"),
            Difference::PassMissing { pass, missing } => {
                write!(out, "{pass}: pass missing in {}", self.path_of(*missing))
            }
            Difference::ChannelMissing { channel, missing } => {
                write!(
                    out,
                    "{channel}: channel missing in {}",
                    self.path_of(*missing)
                )
            }
            Difference::DataWindow { pass, a, b } => {
                write!(out, "{pass}: data window differs: {a}, {b}")
            }
            Difference::SampleType { channel, a, b } => {
                write!(out, "{channel}: sample type differs: {a}, {b}")
            }
            Difference::Metadata { name, a, b } => {
                let said = |value: &Option<String>| {
                    value.as_deref().map_or("nothing".to_owned(), shortened)
                };
                write!(out, "metadata {name} differs: {}, {}", said(a), said(b))
            }
            Difference::Bytes {
                equal_bytes,
                a_bytes,
                b_bytes,
            } => {
                write!(
                    out,
                    "bytes differ after the first {equal_bytes} ({a_bytes} bytes, {b_bytes} bytes)"
                )
            }
        }
    }
}

impl fmt::Display for PassReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pass,
            pixels,
            differing_pixels,
            max_abs,
            max_ulps,
            not_finite,
            first,
        } = self;
        write!(
            out,
            "{pass}: {} of {pixels}",
            counted(*differing_pixels, "differing pixel")
        )?;
        if *max_ulps > 0 {
            let steps = counted(*max_ulps, "ulp");
            write!(out, ", at most {} ({steps})", short_number(*max_abs))?;
        }
        if *not_finite > 0 {
            write!(out, ", {} infinite or NaN", counted(*not_finite, "sample"))?;
        }
        if let Some(FirstDifference {
            x,
            y,
            channel,
            a,
            b,
        }) = first
        {
            write!(out, ", first at ({x}, {y}) {channel}: {a}, {b}")?;
        }
        Ok(())
    }
}

/// A manifest can be a megabyte of JSON: the line shows its beginning.
fn shortened(value: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &value[..end], value.len()),
        None => format!("{value:?}"),
    }
}

/// Levels as they are, tiny distances with four digits; the exact value is in the report itself.
fn short_number(value: f64) -> String {
    match value {
        0.0 | 0.001..1e6 => value.to_string(),
        _ => format!("{value:.3e}"),
    }
}

fn counted(count: u64, what: &str) -> String {
    counted_with(count, what, &format!("{what}s"))
}

fn counted_with(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}
