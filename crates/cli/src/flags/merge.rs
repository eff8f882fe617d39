//! Options of `merge`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use tessera_merge::{SampleRange, Slice, Window};

/// `tessera merge PART... -o OUT`.
#[derive(Debug, Args)]
#[command(after_help = "\
A part is a file, and behind @ what it holds, as far as it is not the whole frame and all samples:
  left.exr@0,0,960x1080                                the pixels from column 0, row 0 (of the top) on
  left.exr@0,0,968x1080@0,0,960x1080                   the same with 8 columns more, which are cut away
  a.exr@0+256                                          256 samples from number 0 on
  a.exr@0+256@0,0,960x1080                             both

Examples:
  tessera merge a.exr@0+256 b.exr@256+256 -o frame.exr
  tessera merge left.exr@0,0,960x1080 right.exr@960,0,960x1080 --size 1920x1080 -o frame.exr

Tiles are put together to the bit. Ranges of samples are merged pass by pass, as Cycles would have summed them; all parts
have to be rendered with the same total of samples (Blender 4.4 and later: Sample Subset).")]
pub(crate) struct MergeFlags {
    /// Multilayer EXR files with parts of one frame, as FILE[@FIRST+COUNT][@X,Y,WxH][@X,Y,WxH]
    #[arg(value_name = "PART", required = true)]
    pub(crate) parts: Vec<Part>,
    /// The frame's file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Pixels of the frame; those of the first part without
    #[arg(long, value_name = "WxH")]
    pub(crate) size: Option<Size>,
    /// Samples of the whole frame; where the last range ends without
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<u32>,
    /// A pass of the user's own (an AOV) that is the mean of its samples; repeatable
    #[arg(long, value_name = "PASS")]
    pub(crate) average: Vec<String>,
    /// A pass of the user's own that is taken from the first sample; repeatable
    #[arg(long, value_name = "PASS")]
    pub(crate) first: Vec<String>,
    /// Make a frame of what there is: missing tiles stay black, missing samples leave noise
    #[arg(long)]
    pub(crate) partial: bool,
}

/// A part as typed.
#[derive(Debug, Clone)]
pub(crate) struct Part(pub(crate) Slice);

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize, pub(crate) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once('x');
        let sides =
            sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        match sides {
            Some((width, height)) if width > 0 && height > 0 => Ok(Self(width, height)),
            _ => Err(format!("'{text}' is no size: write it as 1920x1080")),
        }
    }
}

fn window(text: &str) -> Option<Window> {
    let mut words = text.splitn(3, ',');
    let (x, y, size) = (words.next()?, words.next()?, words.next()?);
    let Size(width, height) = size.parse().ok()?;
    Some(Window {
        x: x.parse().ok()?,
        y: y.parse().ok()?,
        width,
        height,
    })
}

fn samples(text: &str) -> Option<SampleRange> {
    let (offset, count) = text.split_once('+')?;
    Some(SampleRange {
        offset: offset.parse().ok()?,
        count: count.parse().ok()?,
    })
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // From the end, so that a path may hold an @ of its own.
        let mut path = text;
        let mut slice = Slice {
            path: PathBuf::new(),
            rendered: None,
            kept: None,
            samples: None,
        };
        while let Some((before, word)) = path.rsplit_once('@') {
            if let (Some(range), None) = (samples(word), slice.samples) {
                slice.samples = Some(range);
            } else if let (Some(place), None) = (window(word), slice.kept) {
                // Of two the last says what is kept.
                slice.kept = slice.rendered.replace(place);
            } else {
                break;
            }
            path = before;
        }
        if path.is_empty() {
            return Err(format!("'{text}' names no file"));
        }
        slice.path = path.into();
        Ok(Self(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        text: &str,
        path: &str,
        samples: Option<&str>,
        rendered: Option<&str>,
        kept: Option<&str>,
    ) {
        let Part(slice) = text.parse().unwrap();
        assert_eq!(slice.path, PathBuf::from(path), "{text}");
        let shown = |window: Option<Window>| {
            window.map(|it| format!("{},{},{}x{}", it.x, it.y, it.width, it.height))
        };
        assert_eq!(
            slice.samples.map(|range| range.to_string()).as_deref(),
            samples,
            "{text}"
        );
        assert_eq!(shown(slice.rendered).as_deref(), rendered, "{text}");
        assert_eq!(shown(slice.kept).as_deref(), kept, "{text}");
    }

    #[test]
    fn a_part_says_what_it_holds() {
        check("a.exr", "a.exr", None, None, None);
        check("a@b/c.exr@0+16", "a@b/c.exr", Some("0+16"), None, None);
        check("a.exr@3,4,5x6", "a.exr", None, Some("3,4,5x6"), None);
        check(
            "a.exr@0,0,9x9@1,1,7x7",
            "a.exr",
            None,
            Some("0,0,9x9"),
            Some("1,1,7x7"),
        );
        check(
            "a.exr@16+48@0,0,9x9@1,1,7x7",
            "a.exr",
            Some("16+48"),
            Some("0,0,9x9"),
            Some("1,1,7x7"),
        );
        check(
            "a.exr@0,0,9x9@1,1,7x7@16+48",
            "a.exr",
            Some("16+48"),
            Some("0,0,9x9"),
            Some("1,1,7x7"),
        );
        check("a.exr@16", "a.exr@16", None, None, None);
        assert!("@0+16".parse::<Part>().is_err());
        assert!("0x9".parse::<Size>().is_err() && "9".parse::<Size>().is_err());
    }
}
