//! Disks that are full when a test wants them to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ended::run;

/// A disk of its own, so many kilobytes large.
pub struct SmallDisk {
    pub place: PathBuf,
}

impl SmallDisk {
    /// Mounts it, with more options of mount.
    pub fn new(place: &Path, kilobytes: u32, more: &str) -> Self {
        fs::create_dir_all(place).unwrap();
        let options = format!("size={kilobytes}k{more}");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(place))
        .done();
        Self {
            place: place.to_owned(),
        }
    }

    /// Gives it another size; what is on it stays.
    pub fn resize(&self, kilobytes: u32) {
        let options = format!("remount,size={kilobytes}k");
        run(Command::new("mount")
            .args(["-o", &options])
            .arg(&self.place))
        .done();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
