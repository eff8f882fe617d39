//! Overwrite and Placeholders, the two settings of a file by which several Blenders share an output folder.
//!
//! Without Overwrite, a frame whose files are there is not rendered. With Placeholders, an empty file marks a frame in work, so
//! that another renderer on the same folder leaves it alone. Both are kept as Blender has them; a mark that cannot be made or
//! removed stops no render and is only logged.

use std::fs::{self, OpenOptions};
use std::io;

use tessera_model::FrameSet;

use crate::output::OutputPlan;

/// Frames that are not to be rendered: the file says not to overwrite, and theirs are there.
#[must_use]
pub fn skipped(plan: &OutputPlan, frames: &FrameSet) -> Vec<i32> {
    if plan.overwrite || plan.names.is_empty() {
        return Vec::new();
    }
    frames
        .iter()
        .filter(|frame| plan.expected(*frame).iter().all(|path| path.exists()))
        .collect()
}

/// Marks a frame in work by empty files, if the file asks for that. A file that is there stays as it is.
pub fn put_placeholder(plan: &OutputPlan, frame: i32) {
    for path in plan.expected(frame).iter().filter(|_| plan.placeholder) {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => tracing::warn!(%error, "no placeholder at {}", path.display()),
        }
    }
}

/// Removes the marks of a frame that will not come. Files with contents stay.
pub fn clear_placeholder(plan: &OutputPlan, frame: i32) {
    for path in plan.expected(frame).iter().filter(|_| plan.placeholder) {
        let is_mark =
            fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == 0);
        if is_mark && let Err(error) = fs::remove_file(path) {
            tracing::warn!(%error, "the placeholder {} stays", path.display());
        }
    }
}
