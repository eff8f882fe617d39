//! How a frame is divided that gets samples as long as there is noise in it: how many at first, at most, and how much noise may be left.

use tessera_blender::SceneInfo;
use tessera_model::{Split, SplitBy};

/// Most times that such a frame is halved, and least pixels of a tile: noise is in edges and corners, so the finer the fewer samples are
/// wasted, and of fewer pixels it is not known well.
const HALVINGS_MAX: u32 = 10;
const TILE_PIXELS_MIN: u64 = 8 * 8;

/// Samples are compared by halves.
const FIRST_MIN: u32 = 2;

/// As the scene's own adaptive sampling is set, with so many samples at most; why not, if it cannot be.
pub(super) fn elastic(scene: &SceneInfo, samples: u32) -> Result<Split, String> {
    let info = &scene.split;
    if !info.no_added.is_empty() {
        return Err(info.no_added.join("; "));
    }
    if let Some(max) = info.samples_max.filter(|&max| samples > max) {
        return Err(format!(
            "in this Blender, the pattern of more than {max} samples depends on how many of them are rendered"
        ));
    }
    // Both as Cycles chooses them where the scene says 0 (`Integrator::get_adaptive_sampling`).
    let threshold = match scene.sampling.adaptive_threshold {
        0.0 => (1.0 / f64::from(samples.max(1))).max(0.001),
        threshold => threshold,
    };
    let least = match scene.sampling.adaptive_min_samples {
        0 => (16.0 / threshold.powf(0.3)).ceil() as u32,
        least => least,
    };
    let first = least.max(FIRST_MIN);
    if first >= samples {
        return Err(format!(
            "every pixel gets {first} samples, and there are {samples} in all"
        ));
    }
    let [width, height] = scene.resolution;
    let tiles = u64::from(width) * u64::from(height) / TILE_PIXELS_MIN;
    let halvings = tiles.checked_ilog2().unwrap_or(0).min(HALVINGS_MAX);
    let split = Split {
        width,
        height,
        samples: first,
        first: 0,
        grows_to: Some(samples),
        noise: Some((threshold * 1e6).round().clamp(1.0, f64::from(u32::MAX)) as u32),
        by: SplitBy::Halvings(halvings as u8),
    };
    split.check().map(|()| split)
}
