//! Files of packs: their names, reading and writing at a place, and those kept open.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Packs kept open for reading. Readers of one file stay in few packs; opening one costs 10 µs, and a process may have 1024
/// files open by default, most of which belong to connections.
const MAX_OPEN_PACKS: usize = 32;

pub(super) fn pack_path(packs: &Path, number: u32) -> PathBuf {
    packs.join(format!("{number:08x}.pack"))
}

pub(super) fn index_path(packs: &Path, number: u32) -> PathBuf {
    packs.join(format!("{number:08x}.idx"))
}

/// The number of the pack that a file is, if it is one.
pub(super) fn pack_number(path: &Path) -> Option<u32> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".pack")?;
    (stem.len() == 8)
        .then(|| u32::from_str_radix(stem, 16).ok())
        .flatten()
}

#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, buf, offset)
}

#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buf = &mut buf[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, buf, offset)?;
        buf = &buf[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Makes the names in a folder durable. Windows keeps them with the files and cannot open a folder for this.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// Packs open for reading, the one used last at the back.
#[derive(Debug, Default)]
pub(super) struct OpenPacks {
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

impl OpenPacks {
    pub(super) fn get(&self, packs: &Path, number: u32) -> io::Result<Arc<File>> {
        let mut open = self
            .open
            .lock()
            .expect("nothing panics while it holds this");
        let known = open
            .iter()
            .position(|(open, _)| *open == number)
            .and_then(|at| open.remove(at));
        let pack = match known {
            Some(pack) => pack,
            None => (number, Arc::new(File::open(pack_path(packs, number))?)),
        };
        if open.len() >= MAX_OPEN_PACKS {
            open.pop_front();
        }
        let file = Arc::clone(&pack.1);
        open.push_back(pack);
        Ok(file)
    }

    /// Closes a pack whose file was removed *before*: whoever opened it in time is in the list, nobody can open it any more.
    pub(super) fn close(&self, number: u32) {
        self.open
            .lock()
            .expect("nothing panics while it holds this")
            .retain(|(open, _)| *open != number);
    }
}
