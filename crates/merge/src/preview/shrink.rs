//! Makes a picture small while its rows come by, so that nothing large is held.

use image::RgbImage;

use super::{PIXELS_MAX, PreviewError, resized};

/// A picture in the making: first of squares of whole pixels, each the mean of what is shown in it, and then, from less than twice the
/// size, by a filter.
#[derive(Debug)]
pub(super) struct Shrink {
    whole: (u32, u32),
    shown: (u32, u32),
    /// Pixels of a square's side.
    by: usize,
    /// Of the row of squares that is being filled.
    sums: Vec<[f32; 3]>,
    rows: usize,
    /// Finished squares, row by row.
    squares: Vec<u8>,
}

impl Shrink {
    pub(super) fn new(
        subject: impl Fn() -> String,
        whole: (u32, u32),
        shown: (u32, u32),
    ) -> Result<Self, PreviewError> {
        let (width, height) = whole;
        if u64::from(width) * u64::from(height) > PIXELS_MAX {
            return Err(PreviewError::TooLarge { subject: subject() });
        }
        let times = |pixels: u32, shown: u32| pixels / shown.max(1);
        let by = times(width, shown.0).min(times(height, shown.1)).max(1) as usize;
        Ok(Self {
            whole,
            shown,
            by,
            sums: vec![[0.0; 3]; (width as usize).div_ceil(by)],
            rows: 0,
            squares: Vec::new(),
        })
    }

    /// The next row, as it is shown.
    pub(super) fn add_row(&mut self, colours: impl Iterator<Item = [f32; 3]>) {
        for (at, colour) in colours.enumerate() {
            for (sum, value) in self.sums[at / self.by].iter_mut().zip(colour) {
                *sum += value;
            }
        }
        self.rows += 1;
        if self.rows == self.by {
            self.end_row();
        }
    }

    fn end_row(&mut self) {
        let width = self.whole.0 as usize;
        for (index, sum) in self.sums.iter_mut().enumerate() {
            // The last squares may reach beyond the picture.
            let pixels = self.rows * self.by.min(width - index * self.by);
            let level = |value: f32| (value / pixels as f32 * 255.0).round() as u8;
            self.squares.extend(sum.map(level));
            *sum = [0.0; 3];
        }
        self.rows = 0;
    }

    /// The picture, once all rows were given.
    pub(super) fn finish(mut self) -> RgbImage {
        if self.rows > 0 {
            self.end_row();
        }
        let width = self.sums.len();
        let height = self.squares.len() / (3 * width.max(1));
        let squares = RgbImage::from_raw(width as u32, height as u32, self.squares)
            .expect("as many rows as there are");
        resized(&squares, self.shown).unwrap_or(squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that is white in its left half.
    fn check(width: u32, height: u32, expected: (u32, u32)) {
        let mut small = Shrink::new(String::new, (width, height), expected).unwrap();
        for _ in 0..height {
            let white = |at: u32| [if at * 2 < width { 1.0 } else { 0.0 }; 3];
            small.add_row((0..width).map(white));
        }
        let made = small.finish();
        assert_eq!(made.dimensions(), expected);
        let (middle, row) = (expected.0 / 2, expected.1 - 1);
        for (at, level) in [
            (0, 255),
            (middle - 3, 255),
            (middle + 3, 0),
            (expected.0 - 1, 0),
        ] {
            assert_eq!(
                made.get_pixel(at, row).0,
                [level; 3],
                "{width}×{height} at {at}"
            );
        }
    }

    #[test]
    fn pictures_become_small() {
        check(16, 9, (16, 9));
        check(1920, 3, (1920, 3));
        check(1921, 5, (1920, 5));
        check(5761, 31, (1920, 10));
        check(8000, 10, (1920, 2));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(Shrink::new(String::new, (65_536, 4_096), (16, 1)).is_ok());
        assert!(Shrink::new(String::new, (65_536, 4_097), (16, 1)).is_err());
    }
}
