//! The crate held against others: OpenEXR's own library, and what real Blenders write.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it must be"
)]

mod blender;
mod faults;
mod hostile;
mod openexr;
mod other_formats;
mod pyramid;
mod slices;
mod tools;
