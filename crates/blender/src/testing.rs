//! A Blender of a few kilobytes for fast tests of whoever drives one.
//!
//! It speaks the driver's protocol and does what a JSON in the place of the .blend says: take time, crash on a frame, hang,
//! burn, eat memory, make noise. What it renders are real, small PNG files. It needs `python3` and nothing else.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The script; its docstring describes the JSON.
pub const FAKE_BLENDER: &str = include_str!("../testing/fake_blender.py");

/// A file for it with the header of a .blend saved by 3.4, so that [`saved_by`](crate::saved_by) reads it too.
#[must_use]
pub fn fake_blend(content: &serde_json::Value) -> Vec<u8> {
    [b"BLENDER-v304".as_slice(), content.to_string().as_bytes()].concat()
}

/// Writes it as the executable `blender` into a folder; finding, probing and launching take it for Blender 3.4.1.
pub fn install_fake_blender(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("blender");
    std::fs::write(&path, FAKE_BLENDER)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
