//! A part of a frame as the farm says it, for what merges and shows it.

use std::path::PathBuf;

use tessera_merge::{SampleRange, Slice, Window};

/// The part that a file holds, which was rendered with what lies around it.
#[must_use]
pub fn slice(path: PathBuf, part: &tessera_model::Slice, rendered: tessera_model::Window) -> Slice {
    Slice {
        path,
        rendered: Some(window(rendered)),
        kept: Some(window(part.window)),
        samples: part.samples.as_ref().map(|samples| SampleRange {
            offset: samples.start,
            count: samples.end - samples.start,
        }),
    }
}

/// The same rectangle.
#[must_use]
pub fn window(window: tessera_model::Window) -> Window {
    // A frame has at most 65,536 pixels on each side.
    Window {
        x: window.x as i32,
        y: window.y as i32,
        width: window.width as usize,
        height: window.height as usize,
    }
}
