//! Pictures of parts of a frame, and of a frame as far as there are parts of it.
//!
//! Whoever renders parts makes one picture of them: each as large as it is in the picture of the whole frame, one below the other. Who
//! knows the parts finds them in it, and a [`Mosaic`] puts them where they belong. So the frame can be watched while it is made, by those
//! who have none of its light. Ranges of samples are weighed as they are shown and not as light: where they are noisy beside
//! white, the mosaic is a little darker than the frame will be.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::imageops::{self, FilterType};
use image::{ImageFormat, ImageReader, Limits, Rgb, RgbImage};

use super::light::{self, Crop};
use super::{Display, PREVIEW_SIDE, PreviewError, Previews, THUMBNAIL_SIDE, caught, jpeg, within};
use crate::{Slice, Window};

/// What is shown where nothing is yet: no black that a frame could have, and no colour.
const NOTHING: Rgb<u8> = Rgb([36; 3]);

/// Where a window of the frame lies in the frame's picture, in its pixels; at least one each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Spot {
    fn of(window: &Window, frame: (u32, u32), picture: (u32, u32)) -> Self {
        let side = |begin: i32, len: usize, whole: u32, shown: u32| {
            let edge = |at: i64| {
                let at = at.clamp(0, i64::from(whole)) as u64;
                let whole = u64::from(whole.max(1));
                ((at * u64::from(shown) + whole / 2) / whole) as u32
            };
            let begin_at = edge(i64::from(begin)).min(shown.saturating_sub(1));
            let end = edge(i64::from(begin).saturating_add(i64::try_from(len).unwrap_or(i64::MAX)));
            (begin_at, end.max(begin_at + 1) - begin_at)
        };
        let (x, width) = side(window.x, window.width, frame.0, picture.0);
        let (y, height) = side(window.y, window.height, frame.1, picture.1);
        Self {
            x,
            y,
            width,
            height,
        }
    }
}

/// Makes the pictures of parts of a frame of `frame` pixels each way, which have to say where they lie.
///
/// # Errors
/// If one of them cannot be shown.
pub fn part_previews(
    parts: &[Slice],
    frame: (u32, u32),
    display: Option<&Display>,
) -> Result<Previews, PreviewError> {
    let subject = parts
        .first()
        .map_or_else(String::new, |part| part.path.display().to_string());
    caught(&subject, || {
        let display = display.ok_or_else(|| PreviewError::NoDisplay {
            subject: subject.clone(),
        })?;
        let sizes = [within(frame, PREVIEW_SIDE), within(frame, THUMBNAIL_SIDE)];
        let (mut large, mut small) = (Vec::new(), Vec::new());
        for part in parts {
            let unplaced = || PreviewError::Unplaced {
                subject: part.path.display().to_string(),
            };
            let rendered = part.rendered.ok_or_else(unplaced)?;
            let kept = part.kept.unwrap_or(rendered);
            if !rendered.holds(&kept) || kept.width == 0 || kept.height == 0 {
                return Err(unplaced());
            }
            let [spot, thumb] = sizes.map(|size| Spot::of(&kept, frame, size));
            let crop = Crop {
                x: (kept.x - rendered.x) as usize,
                y: (kept.y - rendered.y) as usize,
                width: kept.width,
                height: kept.height,
                shown: (spot.width, spot.height),
            };
            let shown = light::of_part(&part.path, display, &crop)?;
            small.push(imageops::resize(
                &shown,
                thumb.width,
                thumb.height,
                FilterType::Triangle,
            ));
            large.push(shown);
        }
        Ok(Previews {
            thumbnail: jpeg(&stacked(&small))?,
            preview: jpeg(&stacked(&large))?,
        })
    })
}

/// One below the other.
fn stacked(pictures: &[RgbImage]) -> RgbImage {
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(1);
    let height = pictures.iter().map(RgbImage::height).sum();
    let mut all = RgbImage::from_pixel(width, height, NOTHING);
    let mut top = 0;
    for picture in pictures {
        imageops::replace(&mut all, picture, 0, i64::from(top));
        top += picture.height();
    }
    all
}

/// A frame's picture in the making.
#[derive(Debug, Clone)]
pub struct Mosaic {
    frame: (u32, u32),
    size: (u32, u32),
    /// Of each pixel, what is shown and for how many samples that stands, and their number.
    sums: Vec<([f32; 3], f32)>,
}

impl Mosaic {
    /// Of a frame of so many pixels each way, with no side longer than `side`: that of the pictures that are put in,
    /// [`PREVIEW_SIDE`] or [`THUMBNAIL_SIDE`].
    #[must_use]
    pub fn new(frame: (u32, u32), side: u32) -> Self {
        let size = within((frame.0.max(1), frame.1.max(1)), side);
        Self {
            frame,
            size,
            sums: vec![([0.0; 3], 0.0); size.0 as usize * size.1 as usize],
        }
    }

    /// Puts in the picture of these parts ([`part_previews`]), each a window of the frame and how many samples it has.
    ///
    /// # Errors
    /// If it is no picture of them.
    pub fn add(&mut self, parts: &[(Window, u32)], picture: &[u8]) -> Result<(), PreviewError> {
        let spots: Vec<(Spot, u32)> = parts
            .iter()
            .map(|(window, samples)| (Spot::of(window, self.frame, self.size), *samples))
            .collect();
        let width = spots.iter().map(|(spot, _)| spot.width).max();
        let height: u64 = spots.iter().map(|(spot, _)| u64::from(spot.height)).sum();
        let strip = decoded(picture)?;
        if Some(strip.width()) != width || u64::from(strip.height()) != height {
            return Err(PreviewError::OtherParts);
        }
        let mut top = 0;
        for (spot, samples) in &spots {
            for y in 0..spot.height {
                for x in 0..spot.width {
                    let at = (spot.y + y) as usize * self.size.0 as usize + (spot.x + x) as usize;
                    let (sum, weight) = &mut self.sums[at];
                    let levels = strip.get_pixel(x, top + y).0;
                    let samples = *samples as f32;
                    for (sum, level) in sum.iter_mut().zip(levels) {
                        *sum += f32::from(level) * samples;
                    }
                    *weight += samples;
                }
            }
            top += spot.height;
        }
        Ok(())
    }

    /// The frame as far as it is there.
    #[must_use]
    pub fn picture(&self) -> RgbImage {
        RgbImage::from_fn(self.size.0, self.size.1, |x, y| {
            let (sum, weight) = &self.sums[y as usize * self.size.0 as usize + x as usize];
            match *weight > 0.0 {
                true => Rgb(sum.map(|value| (value / weight).round() as u8)),
                false => NOTHING,
            }
        })
    }

    /// The same as JPEG.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn jpeg(&self) -> Result<Vec<u8>, PreviewError> {
        jpeg(&self.picture())
    }
}

/// A picture that somebody else made: no larger than one can be, whatever it says.
fn decoded(picture: &[u8]) -> Result<RgbImage, PreviewError> {
    /// Of a stack of parts: their widest, and together no more than a few times the frame.
    const HEIGHT_MAX: u32 = 16 * PREVIEW_SIDE;
    let decoding = AssertUnwindSafe(|| {
        let mut reader = ImageReader::new(Cursor::new(picture));
        reader.set_format(ImageFormat::Jpeg);
        let mut limits = Limits::default();
        limits.max_image_width = Some(PREVIEW_SIDE);
        limits.max_image_height = Some(HEIGHT_MAX);
        reader.limits(limits);
        reader.decode().map(image::DynamicImage::into_rgb8)
    });
    catch_unwind(decoding)
        .map_err(|_| PreviewError::OtherParts)?
        .map_err(|_| PreviewError::OtherParts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(x: i32, y: i32, width: usize, height: usize) -> Window {
        Window {
            x,
            y,
            width,
            height,
        }
    }

    /// A strip of plain parts, as a worker would make it.
    fn strip(mosaic: &Mosaic, parts: &[(Window, u8)]) -> Vec<u8> {
        let plain: Vec<RgbImage> = parts
            .iter()
            .map(|(window, level)| {
                let spot = Spot::of(window, mosaic.frame, mosaic.size);
                RgbImage::from_pixel(spot.width, spot.height, Rgb([*level; 3]))
            })
            .collect();
        jpeg(&stacked(&plain)).unwrap()
    }

    fn near(pixel: &Rgb<u8>, level: u8) -> bool {
        pixel.0.iter().all(|value| value.abs_diff(level) <= 3)
    }

    #[test]
    fn tiles_lie_beside_each_other_in_every_scale() {
        for (frame, side, columns) in [
            ((640, 360), 1920, 4),
            ((7680, 4320), 256, 7),
            ((37, 5), 256, 3),
        ] {
            let mosaic = Mosaic::new(frame, side);
            let edge = |at: u32| (at * frame.0 / columns) as i32;
            let mut next = 0;
            for column in 0..columns {
                let (left, right) = (edge(column), edge(column + 1));
                let tile = window(left, 0, (right - left) as usize, frame.1 as usize);
                let spot = Spot::of(&tile, frame, mosaic.size);
                assert_eq!((spot.x, spot.y, spot.height), (next, 0, mosaic.size.1));
                next += spot.width;
            }
            assert_eq!(next, mosaic.size.0, "{frame:?}");
        }
    }

    #[test]
    fn a_frame_grows_by_its_parts() {
        let mut mosaic = Mosaic::new((64, 32), PREVIEW_SIDE);
        assert!(mosaic.picture().pixels().all(|pixel| *pixel == NOTHING));
        let (left, right) = (window(0, 0, 32, 32), window(32, 16, 32, 16));
        let picture = strip(&mosaic, &[(left, 200), (right, 90)]);
        mosaic.add(&[(left, 8), (right, 8)], &picture).unwrap();
        let shown = mosaic.picture();
        assert!(near(shown.get_pixel(10, 10), 200));
        assert!(near(shown.get_pixel(50, 24), 90));
        assert_eq!(*shown.get_pixel(50, 4), NOTHING);
        assert!(image::load_from_memory(&mosaic.jpeg().unwrap()).is_ok());
    }

    #[test]
    fn ranges_of_samples_are_weighed() {
        let mut mosaic = Mosaic::new((16, 16), PREVIEW_SIDE);
        let all = window(0, 0, 16, 16);
        for (level, samples) in [(40, 3), (200, 1)] {
            let picture = strip(&mosaic, &[(all, level)]);
            mosaic.add(&[(all, samples)], &picture).unwrap();
        }
        assert!(mosaic.picture().pixels().all(|pixel| near(pixel, 80)));
    }

    #[test]
    fn what_is_no_picture_of_the_parts_changes_nothing() {
        let mut mosaic = Mosaic::new((64, 32), PREVIEW_SIDE);
        let left = window(0, 0, 32, 32);
        let picture = strip(&mosaic, &[(left, 200)]);
        for (parts, bytes) in [
            (vec![(left, 1)], &b"no picture"[..]),
            (vec![(window(0, 0, 64, 32), 1)], &picture),
            (vec![(left, 1), (left, 1)], &picture),
            (vec![], &picture),
        ] {
            assert!(mosaic.add(&parts, bytes).is_err());
        }
        assert!(mosaic.picture().pixels().all(|pixel| *pixel == NOTHING));
    }
}
