//! Folders: whether they can be written, and how much room they have.

use std::path::Path;

use sysinfo::Disks;

use super::Report;
use crate::context::Context;
use crate::units::Bytes;

/// Below this nothing works for long: a scene with its results is easily as large.
const BROKEN_BELOW: u64 = 500 << 20;

/// Below this a production's scene may not fit.
const SCARCE_BELOW: u64 = 10 << 30;

pub(super) fn check(context: &Context, report: &mut Report<'_>) {
    let disks = Disks::new_with_refreshed_list().ok();
    let folders = &context.folders;
    for (name, folder, bulky) in [
        ("settings folder", &folders.config, false),
        ("data folder", &folders.data, true),
        ("cache folder", &folders.cache, true),
    ] {
        if let Err(error) = writable(folder) {
            report.broken(
                name,
                format!("{} cannot be written: {error}", folder.display()),
                format!(
                    "make it yours (chown), or set {} to another place",
                    variable(name)
                ),
            );
            continue;
        }
        let Some(free) = disks.as_ref().and_then(|disks| free(disks, folder)) else {
            report.plain(name, format!("{}, room unknown", folder.display()), "");
            continue;
        };
        let found = format!("{}, {} free", folder.display(), Bytes(free));
        match free {
            free if bulky && free < BROKEN_BELOW => report.broken(
                name,
                found,
                "make room on this disk, or set TESSERA_HOME to a folder on another one",
            ),
            free if bulky && free < SCARCE_BELOW => {
                report.plain(name, found, "a large scene with its results may not fit");
            }
            _ => report.good(name, found),
        }
    }
}

fn variable(name: &str) -> &'static str {
    match name {
        "settings folder" => "XDG_CONFIG_HOME",
        "data folder" => "XDG_DATA_HOME",
        _ => "XDG_CACHE_HOME",
    }
}

/// Makes the folder if need be, and a file in it that is gone at once.
fn writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tempfile::tempfile_in(folder).map(drop)
}

/// Room on the disk that holds the folder: the one mounted nearest above it.
fn free(disks: &Disks, folder: &Path) -> Option<u64> {
    let folder = folder.canonicalize().ok()?;
    disks
        .iter()
        .filter(|disk| folder.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().components().count())
        .map(sysinfo::Disk::available_space)
}
