//! The simulator's own tests.

#![expect(clippy::unwrap_used, reason = "a test that can not go on shall panic")]

#[path = "sim/fairness.rs"]
mod fairness;
#[path = "sim/finishing.rs"]
mod finishing;
#[path = "sim/keeping.rs"]
mod keeping;
#[path = "sim/large.rs"]
mod large;
#[path = "sim/runs.rs"]
mod runs;
