//! Puts small frames side by side on a dark sheet.

use image::{Rgb, RgbImage, imageops};

use super::digits;
use super::frames::SmallFrame;

const BACKGROUND: Rgb<u8> = Rgb([22, 23, 27]);
const EDGE: Rgb<u8> = Rgb([52, 54, 61]);
const NUMBER: Rgb<u8> = Rgb([150, 154, 166]);
/// Around the sheet.
const MARGIN: u32 = 40;
/// Between frames.
const GAP: u32 = 16;
/// Between a frame and its number.
const PADDING: u32 = 8;
/// Pixels per dot of a digit.
const SCALE: u32 = 2;
/// A sheet is about as wide as a picture on a screen.
const ASPECT: f64 = 16.0 / 9.0;

/// The sheet, with as many columns as given, or as many as make it as wide as a screen.
pub(crate) fn laid_out(frames: &[SmallFrame], columns: Option<u32>) -> RgbImage {
    let cell_width = frames
        .iter()
        .map(|frame| frame.picture.width())
        .max()
        .unwrap_or(1);
    let picture_height = frames
        .iter()
        .map(|frame| frame.picture.height())
        .max()
        .unwrap_or(1);
    let cell_height = picture_height + PADDING + digits::HEIGHT * SCALE;
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let columns = columns
        .unwrap_or_else(|| best_columns(count, cell_width, cell_height))
        .clamp(1, count.max(1));
    let rows = count.div_ceil(columns);

    let width = 2 * MARGIN + columns * (cell_width + GAP) - GAP;
    let height = 2 * MARGIN + rows * (cell_height + GAP) - GAP;
    let mut sheet = RgbImage::from_pixel(width, height, BACKGROUND);
    for (index, frame) in (0_u32..).zip(frames) {
        let left = MARGIN + index % columns * (cell_width + GAP);
        let top = MARGIN + index / columns * (cell_height + GAP);
        let (frame_width, frame_height) = frame.picture.dimensions();
        let edge = RgbImage::from_pixel(frame_width + 2, frame_height + 2, EDGE);
        imageops::replace(&mut sheet, &edge, i64::from(left) - 1, i64::from(top) - 1);
        imageops::replace(&mut sheet, &frame.picture, left.into(), top.into());
        let number_left =
            left + frame_width.saturating_sub(digits::width_of(&frame.label, SCALE)) / 2;
        let number_top = top + frame_height + PADDING;
        digits::draw(
            &mut sheet,
            &frame.label,
            (number_left, number_top),
            SCALE,
            NUMBER,
        );
    }
    sheet
}

/// The number of columns whose sheet comes closest to a screen, fuller rows first among equals.
fn best_columns(count: u32, cell_width: u32, cell_height: u32) -> u32 {
    let off = |columns: u32| {
        let rows = count.div_ceil(columns);
        let aspect =
            f64::from(columns * (cell_width + GAP)) / f64::from(rows * (cell_height + GAP));
        let empty = f64::from(columns * rows - count) / f64::from(columns * rows);
        (aspect / ASPECT).ln().abs() + empty
    };
    (1..=count.max(1))
        .min_by(|a, b| off(*a).total_cmp(&off(*b)))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_holds_every_frame_and_its_number() {
        let frame = |label: &str| SmallFrame {
            label: label.to_owned(),
            picture: RgbImage::from_pixel(320, 180, Rgb([200, 0, 0])),
        };
        let frames: Vec<_> = (1..=24).map(|number| frame(&number.to_string())).collect();
        let sheet = laid_out(&frames, None);
        let red = sheet
            .pixels()
            .filter(|pixel| **pixel == Rgb([200, 0, 0]))
            .count();
        assert_eq!(red, 24 * 320 * 180);
        assert!(sheet.pixels().any(|pixel| *pixel == NUMBER));
        // 24 frames of 16:9 fill 4 rows of 6 or 5 columns evenly enough; a column or a row of them all would not.
        assert!((1.2..2.4).contains(&(f64::from(sheet.width()) / f64::from(sheet.height()))));

        let single = laid_out(&frames[..1], Some(7));
        assert_eq!(single.width(), 2 * MARGIN + 320);
    }
}
