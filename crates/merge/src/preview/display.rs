//! How light is shown on a screen, by a table that Blender wrote (`display.py` of the driver says what it is).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Begins the file.
const MAGIC: [u8; 8] = *b"tsrdisp1";

/// Most places of a curve and of a cube's side: 16 times, and twice, what is written.
const CURVE_MAX: u32 = 1 << 16;
const SIDE_MAX: u32 = 128;

/// A display transform.
#[derive(Debug, Clone, PartialEq)]
pub struct Display {
    /// Where light lies along the cube's sides, from 0 to 1: none, then evenly spaced in stops.
    curve: Vec<f32>,
    /// The light of the curve's second and last places, as powers of two.
    first_stop: f32,
    last_stop: f32,
    /// Places along each side of the cube.
    side: usize,
    /// What is shown, from 0 to 1; red runs fastest.
    cube: Vec<[f32; 3]>,
}

/// A table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    /// The file cannot be read.
    #[error("cannot read how the scene shows its colours")]
    Io(#[from] io::Error),
    /// It holds something else.
    #[error("what says how the scene shows its colours makes no sense")]
    Broken,
}

impl Display {
    /// Reads a table. Blocking.
    ///
    /// # Errors
    /// If there is none in the file.
    pub fn read(path: &Path) -> Result<Self, DisplayError> {
        let mut file = File::open(path)?;
        let mut head = [0; 24];
        file.read_exact(&mut head)?;
        let (magic, numbers) = head.split_first_chunk().expect("it is longer");
        let (words, _) = numbers.as_chunks::<4>();
        let (places, side) = (u32::from_le_bytes(words[0]), u32::from_le_bytes(words[1]));
        let (first_stop, last_stop) = (f32::from_le_bytes(words[2]), f32::from_le_bytes(words[3]));
        let sound = *magic == MAGIC
            && (3..=CURVE_MAX).contains(&places)
            && (2..=SIDE_MAX).contains(&side)
            && first_stop < last_stop;
        if !sound {
            return Err(DisplayError::Broken);
        }
        let (places, side) = (places as usize, side as usize);
        let mut rest = vec![0; 4 * (places + 3 * side.pow(3))];
        file.read_exact(&mut rest)?;
        let (words, _) = rest.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let (curve, cube) = values.split_at(places);
        if values.iter().any(|value| !(0.0..=1.0).contains(value)) {
            return Err(DisplayError::Broken);
        }
        Ok(Self {
            curve: curve.to_vec(),
            first_stop,
            last_stop,
            side,
            cube: cube.as_chunks::<3>().0.to_vec(),
        })
    }

    /// What is shown of light in the scene's own colours: red, green and blue from 0 to 1.
    #[must_use]
    pub fn show(&self, light: [f32; 3]) -> [f32; 3] {
        let mut begin = [0; 3];
        let mut beyond = [0.0; 3];
        for channel in 0..3 {
            let place = self.place(light[channel]) * (self.side - 1) as f32;
            begin[channel] = (place as usize).min(self.side - 2);
            beyond[channel] = place - begin[channel] as f32;
        }
        // Of the six tetrahedra of a cell the one that the colour lies in: unlike between all eight corners, greys stay on the line
        // between two.
        let steps = [1, self.side, self.side * self.side];
        let mut order = [0, 1, 2];
        order.sort_unstable_by(|a, b| beyond[*b].total_cmp(&beyond[*a]));
        let mut corner: usize = (0..3).map(|channel| begin[channel] * steps[channel]).sum();
        let mut weight = 1.0 - beyond[order[0]];
        let mut shown = self.cube[corner].map(|value| value * weight);
        for (rank, &channel) in order.iter().enumerate() {
            corner += steps[channel];
            let next = order.get(rank + 1).map_or(0.0, |next| beyond[*next]);
            weight = beyond[channel] - next;
            for (sum, value) in shown.iter_mut().zip(self.cube[corner]) {
                *sum += value * weight;
            }
        }
        shown
    }

    /// Where along the cube's side a light lies, from 0 to 1. What is no number is dark.
    fn place(&self, light: f32) -> f32 {
        let last = self.curve.len() - 1;
        if light.is_nan() || light <= 0.0 {
            return self.curve[0];
        }
        let first_light = self.first_stop.exp2();
        let place = if light < first_light {
            light / first_light
        } else {
            let stops = (light.log2() - self.first_stop) / (self.last_stop - self.first_stop);
            1.0 + stops * (last - 1) as f32
        };
        if place >= last as f32 {
            return self.curve[last];
        }
        let at = place as usize;
        let (begin, end) = (self.curve[at], self.curve[at + 1]);
        begin + (end - begin) * (place - at as f32)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A display that shows the square root of light up to 1, and swaps red and blue.
    fn file() -> Vec<u8> {
        let (places, side): (u32, u32) = (1001, 5);
        let (first, last): (f32, f32) = (-10.0, 0.0);
        let mut bytes = MAGIC.to_vec();
        bytes.extend([places, side].map(u32::to_le_bytes).concat());
        bytes.extend([first, last].map(f32::to_le_bytes).concat());
        let light = |place: u32| (first + (last - first) * (place - 1) as f32 / 999.0).exp2();
        let mut put = |value: f32| bytes.extend(value.min(1.0).to_le_bytes());
        put(0.0);
        (1..places).for_each(|place| put(light(place).sqrt()));
        for blue in 0..side {
            for green in 0..side {
                for red in 0..side {
                    [blue, green, red]
                        .into_iter()
                        .for_each(|at| put(at as f32 / 4.0));
                }
            }
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Display, DisplayError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Display::read(file.path())
    }

    #[test]
    fn light_is_shown() {
        let display = read(&file()).unwrap();
        for (light, shown) in [
            ([0.0, 0.25, 1.0], [1.0, 0.5, 0.0]),
            ([0.09, 0.49, 0.16], [0.4, 0.7, 0.3]),
            ([-1.0, f32::NAN, f32::INFINITY], [1.0, 0.0, 0.0]),
            ([1e-30, 9.0, 1.0], [1.0, 1.0, 0.0]),
        ] {
            let found = display.show(light);
            let far = found.iter().zip(shown).any(|(a, b)| (a - b).abs() > 1e-4);
            assert!(!far, "{light:?} is shown as {found:?}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let good = file();
        assert!(matches!(
            read(&good[..good.len() - 1]),
            Err(DisplayError::Io(_))
        ));
        for (at, byte) in [
            (0, b'x'),
            (10, 0xff),
            (11, 0xff),
            (12, 1),
            (15, 0xff),
            (27, 0x7f),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(read(&bad).is_err(), "{at}");
        }
    }
}
