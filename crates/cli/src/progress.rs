//! How far a job is: as a bar that is redrawn for a person, as plain lines for a log, as objects for a program.

mod estimate;
mod show;

pub(crate) use show::{DoneFrame, Progress};
