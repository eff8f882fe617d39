//! Opening a store: taking its lock, reading what its packs hold, mending what a crash left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use super::catalogue::Catalogue;
use super::error::StoreError;
use super::files::{index_path, pack_number, pack_path, sync_folder, write_all_at};
use super::index_file::{self, IndexOf};
use super::scan::{Entry, scan};
use super::writer::{ActivePack, MAX_PACK_BYTES, PACK_MAGIC, Writer};

/// Takes the folder for this process, for as long as the file lives.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let io = |action| {
        let path = path.clone();
        move |source| StoreError::io(dir, &path, action, source)
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io("open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io("lock")(source)),
    }
}

/// Reads all packs. The last, unless it is full, is written on.
pub(super) fn load(
    dir: &Path,
    packs: &Path,
    pack_max_bytes: usize,
) -> Result<(Catalogue, Writer), StoreError> {
    let mut numbers = Vec::new();
    let list = |source| StoreError::io(dir, packs, "list", source);
    for file in fs::read_dir(packs).map_err(list)? {
        numbers.extend(pack_number(&file.map_err(list)?.path()));
    }
    numbers.sort_unstable();
    let mut catalogue = Catalogue::default();
    let mut active = None;
    for number in &numbers {
        let last = Some(number) == numbers.last();
        let path = pack_path(packs, *number);
        let pack_len = fs::metadata(&path)
            .map_err(|source| StoreError::io(dir, &path, "read", source))?
            .len();
        let index = index_path(packs, *number);
        let of = IndexOf {
            number: *number,
            pack_len,
        };
        let (entries, end) = match index_file::load(&index, of) {
            Some(entries) => (entries, pack_len as usize),
            None if last => {
                let pack = open_active(dir, &path, *number)?;
                let found = (pack.entries.clone(), pack.end);
                active = Some(pack);
                found
            }
            None => {
                let (_, found) = read_pack(dir, &path)?;
                // The process before this one may have written it and never synced it; an index says that it is on disk.
                File::open(&path)
                    .and_then(|pack| pack.sync_all())
                    .map_err(|source| StoreError::io(dir, &path, "sync", source))?;
                if let Err(error) = index_file::save(&index, of, &found) {
                    tracing::warn!(pack = %path.display(), %error, "the index of a pack could not be made; opening will be slow again");
                }
                (found, pack_len as usize)
            }
        };
        for entry in &entries {
            catalogue.apply(*number, entry);
        }
        catalogue.set_pack_len(*number, end);
    }
    let next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
    let writer = Writer::new(dir, packs, active, next_number, pack_max_bytes);
    Ok((catalogue, writer))
}

/// The records of a pack that is not being written.
pub(super) fn entries_of(dir: &Path, packs: &Path, number: u32) -> Result<Vec<Entry>, StoreError> {
    let path = pack_path(packs, number);
    let pack_len = fs::metadata(&path)
        .map_err(|source| StoreError::io(dir, &path, "read", source))?
        .len();
    match index_file::load(&index_path(packs, number), IndexOf { number, pack_len }) {
        Some(entries) => Ok(entries),
        None => Ok(read_pack(dir, &path)?.1),
    }
}

/// The end of the last whole record, and the records, of a pack without a good index.
fn read_pack(dir: &Path, path: &Path) -> Result<(usize, Vec<Entry>), StoreError> {
    let io = |source| StoreError::io(dir, path, "read", source);
    let len_bytes = fs::metadata(path).map_err(io)?.len();
    if len_bytes > MAX_PACK_BYTES as u64 {
        return Err(io(std::io::Error::other("it is longer than any pack")));
    }
    let bytes = fs::read(path).map_err(io)?;
    let (magic, version) = PACK_MAGIC.split_at(PACK_MAGIC.len() - 1);
    // A zero is a version that never was, but what a lost page reads as.
    if let Some(found) = bytes
        .strip_prefix(magic)
        .and_then(|rest| rest.first())
        .filter(|found| **found > version[0])
    {
        return Err(StoreError::Version {
            path: path.to_owned(),
            found: *found,
        });
    }
    let found = scan(&bytes, PACK_MAGIC.len());
    if found.damaged > 0 {
        tracing::warn!(pack = %path.display(), places = found.damaged, "a pack is damaged; the blocks lost will be fetched again when they are needed");
    }
    Ok((found.end, found.entries))
}

/// Opens the pack that was being written, cutting off what a crash left torn.
fn open_active(dir: &Path, path: &Path, number: u32) -> Result<ActivePack, StoreError> {
    let (end, entries) = read_pack(dir, path)?;
    let io = |source| StoreError::io(dir, path, "mend", source);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io)?;
    let len_bytes = file.metadata().map_err(io)?.len();
    // A crash can fall between making the file and writing its first bytes, too.
    let end = end.max(PACK_MAGIC.len());
    if len_bytes != end as u64 || entries.is_empty() {
        tracing::info!(pack = %path.display(), torn_bytes = len_bytes.saturating_sub(end as u64), "cutting off what an interrupted write left");
        write_all_at(&file, PACK_MAGIC, 0).map_err(io)?;
        file.set_len(end as u64).map_err(io)?;
        file.sync_all().map_err(io)?;
        sync_folder(path.parent().unwrap_or(dir)).map_err(io)?;
    }
    // Nothing in it is known to be on disk: it may have been written, and never synced, by the process before this one.
    Ok(ActivePack {
        number,
        file: Arc::new(file),
        end,
        entries,
        synced_end: 0,
    })
}
