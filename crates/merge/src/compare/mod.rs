//! Says exactly where two frames, or two folders of frames, differ.
//!
//! Everything this product promises about pictures ("identical to local") is checked by this module, in tests and in
//! developer commands, so it is strict: samples are compared by their bits (NaN equals NaN only bit by bit, and −0 is not
//! +0), whatever is there on one side only is a difference, and a comparison that found nothing to compare has failed.
//!
//! What is *not* a difference: the container (one part or many, the codec, the order of lines, a palette), which is
//! reported as a note, and metadata that two renders of the same frame cannot share (date, render time, host, path).
//!
//! - EXR: every channel of every pass, over any layout that [`crate::read`] reads.
//! - PNG: 8 and 16 bits, all colour types; palettes and packed grey levels are compared as the colours they stand for.
//! - JPEG, TIFF, WebP, BMP, TGA, Radiance HDR: decoded pixels; their metadata is not looked at, and a note says so.
//! - Everything else: byte by byte, and the report says so.

mod folders;
mod formats;
mod metadata;
mod picture;
mod pictures;
mod png;
mod report;
mod samples;

pub use folders::{CompareError, files, folders, paths};
pub use report::{Difference, FileReport, FirstDifference, PassReport, Report, Side, Summary};
