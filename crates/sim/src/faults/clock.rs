//! The manager's wall clock is set, forwards or back.

use crate::fault::Fault;
use crate::trace::note;
use crate::world::World;

/// A day and a half, in milliseconds: an office whose clock was wrong by a zone, or by a typing error.
const FARTHEST_MS: u64 = 36 * 3_600_000;

pub(super) fn strike(world: &mut World) {
    let dice = world.dice(Fault::Clock);
    let wrong_ms = dice.below(2 * FARTHEST_MS) as i64 - FARTHEST_MS as i64;
    note!(
        world,
        "manager",
        "its wall clock is off by {} s",
        wrong_ms / 1000
    );
    world.manager.wall_wrong_ms = wrong_ms;
}
