//! How many samples a frame can come to when more are added later.
//!
//! Which samples a render takes follows from how many it is told that there are. Where a render of more begins with the same ones, some
//! can be added; where it does not, a render can be told of more than it takes (room), and its frame is then that of the first of those.

use tessera_blender::{SamplePattern, SceneInfo};

use super::PackError;

/// Blender's own most.
const SAMPLES_MAX: u32 = 1 << 24;

/// Cycles' table of samples is no shorter.
const TABLE_MIN: u32 = 256;

/// Most samples that frames of the scene, divided by their samples, can have; none if these are all.
pub(super) fn grows_to(
    scene: &SceneInfo,
    samples: u32,
    room: Option<u32>,
) -> Result<Option<u32>, PackError> {
    let split = &scene.split;
    let most = |samples: u32| {
        let most = match split.pattern {
            SamplePattern::Number => samples,
            SamplePattern::Table => samples.next_power_of_two().max(TABLE_MIN),
            SamplePattern::Any => SAMPLES_MAX,
        };
        let bound = split.samples_max.unwrap_or(SAMPLES_MAX);
        most.min(bound).min(SAMPLES_MAX)
    };
    let grows_to = match room {
        Some(room) if room > most(samples) && room <= SAMPLES_MAX && split.room => most(room),
        Some(room) if room > most(samples) => {
            return Err(PackError::Room {
                scene: scene.name.clone(),
                because: format!(
                    "with this Blender and its sampling pattern, frames of {samples} samples can come to {} at most",
                    most(samples)
                ),
            });
        }
        _ => most(samples),
    };
    Ok((grows_to > samples).then_some(grows_to))
}
