//! What an EXR shows: the finished picture in it, some rows at a time.

use std::path::Path;

use image::RgbImage;

use super::shrink::Shrink;
use super::{Display, PREVIEW_SIDE, PreviewError, within};
use crate::rows::{Buffers, Place, Rows};
use crate::{PassName, Samples};

/// Rows read at once: whole chunks of every compression that Blender writes (DWAA and PIZ have 32 rows in each).
const ROWS: usize = 32;

/// What Blender calls the layer that its compositor made.
const COMPOSITE: &str = "Composite";

/// The pass that all others are made for.
const COMBINED: &str = "Combined";

/// What is shown of a file, and in how many pixels each way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crop {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) shown: (u32, u32),
}

pub(super) fn of_exr(path: &Path, display: &Display) -> Result<RgbImage, PreviewError> {
    let rows = Rows::open(path)?;
    let (width, height) = rows.size();
    let crop = Crop {
        x: 0,
        y: 0,
        width,
        height,
        shown: within((side(width), side(height)), PREVIEW_SIDE),
    };
    shown(path, &rows, display, &crop)
}

/// Of a part of a frame what is kept of it.
pub(super) fn of_part(
    path: &Path,
    display: &Display,
    crop: &Crop,
) -> Result<RgbImage, PreviewError> {
    let rows = Rows::open(path)?;
    let (width, height) = rows.size();
    if crop.x + crop.width > width || crop.y + crop.height > height {
        return Err(PreviewError::Unplaced {
            subject: path.display().to_string(),
        });
    }
    shown(path, &rows, display, crop)
}

fn side(pixels: usize) -> u32 {
    u32::try_from(pixels).unwrap_or(u32::MAX)
}

fn shown(
    path: &Path,
    rows: &Rows,
    display: &Display,
    crop: &Crop,
) -> Result<RgbImage, PreviewError> {
    let subject = || path.display().to_string();
    let colours =
        colours(rows.places()).ok_or_else(|| PreviewError::Colourless { subject: subject() })?;
    let mut buffers = Buffers::new();
    let whole = (side(crop.width), side(crop.height));
    let mut small = Shrink::new(subject, whole, crop.shown)?;
    let end = crop.y + crop.height;
    for from in (crop.y..end).step_by(ROWS) {
        let to = (from + ROWS).min(end);
        rows.read(
            &colours,
            crop.x..crop.x + crop.width,
            from..to,
            &mut buffers,
        )?;
        let planes = &buffers.planes;
        // Grey has one channel for all three.
        let [red, green, blue] = [0, planes.len() / 2, planes.len() - 1].map(|at| &planes[at]);
        for row in 0..to - from {
            let pixels = row * crop.width..(row + 1) * crop.width;
            small.add_row(
                pixels.map(|at| display.show([light(red, at), light(green, at), light(blue, at)])),
            );
        }
    }
    Ok(small.finish())
}

/// The channels of the picture that a file is about, red to blue, or the one of grey: places in the list.
fn colours(places: &[Place]) -> Option<Vec<usize>> {
    let passes = places.chunk_by(|a, b| a.name.pass == b.name.pass);
    let mut begin = 0;
    let mut found: Vec<(&PassName, Vec<usize>)> = Vec::new();
    for pass in passes {
        let channel = |name: &str| {
            let at = pass.iter().position(|place| place.name.channel == name)?;
            Some(begin + at)
        };
        let rgb: Option<Vec<usize>> = ["R", "G", "B"].map(channel).into_iter().collect();
        let grey = || ["Y", "V"].into_iter().find_map(channel).map(|at| vec![at]);
        if let Some(channels) = rgb.or_else(grey) {
            found.push((&pass[0].name.pass, channels));
        }
        begin += pass.len();
    }
    // Of equals the last is taken, hence backwards: the first layer's, the first view's.
    let best = found.into_iter().rev().max_by_key(|(pass, _)| {
        let is_finished = pass.layer == COMPOSITE || pass.pass.is_empty();
        (is_finished, pass.pass == COMBINED)
    });
    best.map(|(_, channels)| channels)
}

fn light(plane: &Samples, at: usize) -> f32 {
    match plane {
        Samples::Half(samples) => samples[at].to_f32(),
        Samples::Float(samples) => samples[at],
        Samples::Uint(samples) => samples[at] as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelName, SampleType};

    /// The channels that are shown of a file with these.
    fn check(names: &[&str], expected: &[&str]) {
        let place = |name: &&str| {
            let mut words: Vec<&str> = name.split('.').collect();
            let channel = words.pop().unwrap().to_owned();
            words.resize(3, "");
            let [layer, pass, view] = [0, 1, 2].map(|at| words[at].to_owned());
            Place {
                name: ChannelName {
                    pass: PassName { layer, pass, view },
                    channel,
                },
                sample_type: SampleType::Half,
                part: 0,
                channel: 0,
            }
        };
        let mut places: Vec<Place> = names.iter().map(place).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        let name = |at: usize| places[at].name.to_string().replace("image.", "");
        let found: Vec<String> = colours(&places)
            .unwrap_or_default()
            .into_iter()
            .map(name)
            .collect();
        assert_eq!(found, expected, "{names:?}");
    }

    #[test]
    fn the_finished_picture_is_shown() {
        check(&["R", "G", "B", "A"], &["R", "G", "B"]);
        check(&["Y"], &["Y"]);
        check(&["Z"], &[]);
        let layer = |layer: &'static str| {
            ["R", "G", "B", "A"].map(|channel| format!("{layer}.Combined.{channel}"))
        };
        let all = |layers: &[&'static str]| -> Vec<String> {
            layers
                .iter()
                .copied()
                .flat_map(layer)
                .chain(["a.Albedo.R", "a.Albedo.G", "a.Albedo.B"].map(String::from))
                .collect()
        };
        for (layers, shown) in [(vec!["b", "a"], "a"), (vec!["a", "Composite"], "Composite")] {
            let names = all(&layers);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let shown = ["R", "G", "B"].map(|channel| format!("{shown}.Combined.{channel}"));
            check(&names, &shown.each_ref().map(String::as_str));
        }
        check(
            &[
                "a.Combined.right.R",
                "a.Combined.right.G",
                "a.Combined.right.B",
                "a.Combined.left.R",
                "a.Combined.left.G",
                "a.Combined.left.B",
            ],
            &[
                "a.Combined.left.R",
                "a.Combined.left.G",
                "a.Combined.left.B",
            ],
        );
    }
}
