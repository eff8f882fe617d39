//! Where a frame needs more samples: the tiles with more noise than may be, so that few rectangles hold them.

use std::ops::Range;

use tessera_merge::{MergeError, Slice, noise};
use tessera_model::Split;

use crate::part::window;

/// A tile is left with so many times the noise that a pixel may have by itself. Cycles stops at a pixel the first time that it happens to
/// be below, which is soon by chance; so at one threshold its frames are noisier than that. Measured with 5.0, frames of both
/// against 4,096 samples: at 2.25 they are as near to it (0.93 to 1.05 times as far), with 1.2 to 1.4 times the samples.
const FACTOR: f32 = 2.25;

/// Most runs of tiles that are rendered at once: each is some calls of Blender and files.
const RUNS_MAX: usize = 256;

/// Blocks of tiles of which so many (in quarters) are noisy get samples as a whole: they are one rectangle.
const FULL_QUARTERS: usize = 3;

/// The tiles of the frame that are to have more samples, in order; none if it has what it needs or all that it can have. Blocking.
pub(super) fn noisy(split: &Split, slices: &[Slice]) -> Result<Vec<u16>, MergeError> {
    let Some(threshold) = split.noise.filter(|_| split.next(&[]).is_some()) else {
        return Ok(Vec::new());
    };
    let most = FACTOR * threshold as f32 / 1e6;
    let size = (split.width as usize, split.height as usize);
    let tiles: Vec<_> = split.tiles().into_iter().map(window).collect();
    let left = noise(slices, size, &tiles, split.samples)?;
    let is_noisy: Vec<bool> = left.iter().map(|&noise| noise > most).collect();
    Ok(rounded(&is_noisy))
}

/// These tiles, with what lies between them where that makes few rectangles of many.
fn rounded(is_noisy: &[bool]) -> Vec<u16> {
    for quarters in (1..=FULL_QUARTERS).rev() {
        let mut taken = is_noisy.to_vec();
        fill(is_noisy, 0..is_noisy.len(), quarters, &mut taken);
        let ends = taken.windows(2).filter(|pair| pair[0] && !pair[1]).count();
        if ends < RUNS_MAX || quarters == 1 {
            let tiles = taken.iter().zip(0..).filter(|(taken, _)| **taken);
            return tiles.map(|(_, tile)| tile).collect();
        }
    }
    Vec::new()
}

/// Takes all of a block of tiles, or of the halves of it, where enough are noisy.
fn fill(is_noisy: &[bool], block: Range<usize>, quarters: usize, taken: &mut [bool]) {
    let noisy = is_noisy[block.clone()].iter().filter(|noisy| **noisy);
    if 4 * noisy.count() >= quarters * block.len() {
        taken[block].fill(true);
    } else if block.len() > 1 {
        let middle = block.start + block.len() / 2;
        fill(is_noisy, block.start..middle, quarters, taken);
        fill(is_noisy, middle..block.end, quarters, taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_are_nearly_full_are_taken_whole() {
        let tiles =
            |noisy: &[u16]| -> Vec<bool> { (0..16).map(|tile| noisy.contains(&tile)).collect() };
        assert_eq!(rounded(&tiles(&[])), [0_u16; 0]);
        assert_eq!(rounded(&tiles(&[5])), [5]);
        assert_eq!(rounded(&tiles(&[0, 1, 3])), [0, 1, 2, 3]);
        assert_eq!(rounded(&tiles(&[0, 3, 8])), [0, 3, 8]);
        let twelve: Vec<u16> = (0..12).collect();
        assert_eq!(rounded(&tiles(&twelve)).len(), 16);
    }

    #[test]
    fn there_are_never_too_many_rectangles() {
        let every_other: Vec<bool> = (0..1024).map(|tile| tile % 2 == 0).collect();
        assert_eq!(rounded(&every_other).len(), 1024);
        let every_fourth: Vec<bool> = (0..1024).map(|tile| tile % 4 == 0).collect();
        assert_eq!(rounded(&every_fourth).len(), 1024);
        let every_eighth: Vec<bool> = (0..1024).map(|tile| tile % 8 == 0).collect();
        assert_eq!(rounded(&every_eighth).len(), 128);
    }
}
