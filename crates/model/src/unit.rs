//! Units handed out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Attempt, UnitId, WorkerId};

/// Names one handing-out of one unit. Every message and every effect about it carries this key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct LeaseKey {
    /// The unit.
    pub unit: UnitId,
    /// Which handing-out of it.
    pub attempt: Attempt,
}

/// A unit in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which.
    pub key: LeaseKey,
    /// Whose.
    pub worker: WorkerId,
    /// Positions of the unit, where units are cut as they are handed out; where the step's layout says it, 1.
    pub span: u32,
}
