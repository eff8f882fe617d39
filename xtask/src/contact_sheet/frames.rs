//! Finds the frames of a folder and makes a small picture of each.

use std::path::Path;

use anyhow::{Context, bail};
use image::imageops::FilterType;
use image::{DynamicImage, Rgb, Rgb32FImage, RgbImage};
use tessera_merge::{Frame, Samples};
use walkdir::WalkDir;

/// A frame, small.
#[derive(Debug)]
pub(crate) struct SmallFrame {
    /// What to write below it: the number in its name, or the name.
    pub label: String,
    pub picture: RgbImage,
}

/// The frames right in a folder, sorted by name.
pub(crate) fn in_folder(folder: &Path, width: u32) -> anyhow::Result<Vec<SmallFrame>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).max_depth(1).sort_by_file_name() {
        let path = entry?.into_path();
        if path
            .extension()
            .is_some_and(|extension| extension == "png" || extension == "exr")
        {
            files.push(path);
        }
    }
    files.iter().map(|file| small_frame(file, width)).collect()
}

fn small_frame(file: &Path, width: u32) -> anyhow::Result<SmallFrame> {
    let linear = match file.extension() {
        Some(extension) if extension == "exr" => linear_of_exr(file)?,
        _ => linear_of_png(file)?,
    };
    let height = (linear.height() * width / linear.width()).max(1);
    // Light adds up in linear values only.
    let small = DynamicImage::from(linear)
        .resize_exact(width, height, FilterType::Triangle)
        .into_rgb32f();
    let display = |channel: f32| (to_srgb(channel) * 255.0).round() as u8;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        Rgb(small.get_pixel(x, y).0.map(display))
    });
    Ok(SmallFrame {
        label: label_of(file),
        picture,
    })
}

/// The digits that end the name, as Blender numbers frames, without leading zeros.
fn label_of(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let digits = name.len()
        - name
            .trim_end_matches(|letter: char| letter.is_ascii_digit())
            .len();
    let number = name[name.len() - digits..].trim_start_matches('0');
    match (digits, number) {
        (0, _) => String::new(),
        (_, "") => "0".to_owned(),
        (_, number) => number.to_owned(),
    }
}

fn linear_of_png(file: &Path) -> anyhow::Result<Rgb32FImage> {
    let image = image::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut image = image.into_rgb32f();
    image
        .pixels_mut()
        .for_each(|pixel| pixel.0 = pixel.0.map(from_srgb));
    Ok(image)
}

fn linear_of_exr(file: &Path) -> anyhow::Result<Rgb32FImage> {
    let frame = tessera_merge::read(file)?;
    let Some(planes) = combined(&frame) else {
        bail!(
            "{} has no pass with the channels R, G and B",
            file.display()
        );
    };
    let window = frame.display_window;
    let size = (u32::try_from(window.width)?, u32::try_from(window.height)?);
    let mut image = Rgb32FImage::new(size.0, size.1);
    for (channel, plane) in planes.into_iter().enumerate() {
        for (index, sample) in plane.values.iter().enumerate() {
            let x = i64::from(plane.x) - i64::from(window.x) + (index % plane.width) as i64;
            let y = i64::from(plane.y) - i64::from(window.y) + (index / plane.width) as i64;
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && x < size.0
                && y < size.1
            {
                // Averaging must not spread what a display cannot show.
                image.get_pixel_mut(x, y).0[channel] = if sample.is_nan() {
                    0.0
                } else {
                    sample.clamp(0.0, 1.0)
                };
            }
        }
    }
    Ok(image)
}

struct Plane {
    x: i32,
    y: i32,
    width: usize,
    values: Vec<f32>,
}

/// Red, green and blue of the first Combined pass, or of the unnamed pass of a plain image.
fn combined(frame: &Frame) -> Option<[Plane; 3]> {
    let colour = |name: &str| name == "Combined" || name.is_empty();
    let pass = frame.passes().find(|pass| colour(&pass.name.pass))?;
    let plane = |name: &str| {
        let channel = pass
            .channels
            .iter()
            .find(|channel| channel.name.channel == name)?;
        let values = match &channel.samples {
            Samples::Half(samples) => samples.iter().map(|sample| sample.to_f32()).collect(),
            Samples::Float(samples) => samples.clone(),
            Samples::Uint(_) => return None,
        };
        Some(Plane {
            x: channel.window.x,
            y: channel.window.y,
            width: channel.window.width,
            values,
        })
    };
    Some([plane("R")?, plane("G")?, plane("B")?])
}

/// IEC 61966-2-1, both ways.
fn to_srgb(linear: f32) -> f32 {
    let linear = linear.clamp(0.0, 1.0);
    if linear <= 0.003_130_8 {
        linear * 12.92
    } else {
        1.055 * linear.powf(1.0 / 2.4) - 0.055
    }
}

fn from_srgb(level: f32) -> f32 {
    if level <= 0.040_45 {
        level / 12.92
    } else {
        ((level + 0.055) / 1.055).powf(2.4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_labelled_by_their_numbers() {
        for (file, label) in [
            ("0001.exr", "1"),
            ("shot_0120.png", "120"),
            ("a0000.png", "0"),
            ("still.png", ""),
        ] {
            assert_eq!(label_of(Path::new(file)), label, "{file}");
        }
    }

    #[test]
    fn every_level_survives_the_way_to_linear_and_back() {
        for level in 0..=255_u8 {
            let back = to_srgb(from_srgb(f32::from(level) / 255.0)) * 255.0;
            assert_eq!(back.round() as u8, level);
        }
    }
}
