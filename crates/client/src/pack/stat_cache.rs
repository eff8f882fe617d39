//! What files were when they were read last, so that those that stand as they did need not be read again.
//!
//! A project of 10,000 files is hashed once; afterwards a look at each file's size and times tells that it is what it was. The
//! record is only ever a shortcut: what is sent is compared with what it says, so a wrong one costs time and nothing else. It
//! lies in one file, written anew as a whole:
//!
//! ```text
//! "TESFILES"  version u32  version of cutting u32  turn u64  number of files u32
//! per file    size u64  modified i64  changed i64  inode u64  device u64  turn u64
//!             digest [32]  plain size u64  depth u8  content u8  encoding u8  original size u64  path length u16  path
//! end         BLAKE3 of all that [32]
//! ```
//!
//! Numbers are big-endian. A file that is damaged, cut off or of another version counts as none. The *turn* goes up whenever the
//! record is written; of too many files those go whose turn is the longest past.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tessera_blobs::{BlobRef, CUT_VERSION, Content, CutFile, Digest, FileEncoding};

use super::state::State;
use crate::private_file::write_private;

/// Files that are remembered: twenty large projects. Bounds the record to some 40 MB and the time to read it to a fraction of a second.
const FILES_MAX: usize = 200_000;

/// Largest record that is read: [`FILES_MAX`] with paths of 400 bytes.
const RECORD_MAX_BYTES: u64 = 128 << 20;

const MAGIC: &[u8; 8] = b"TESFILES";
const VERSION: u32 = 1;

/// The record of one user.
#[derive(Debug, Default)]
pub(super) struct StatCache {
    /// Where it lies; nowhere if nothing is to be remembered.
    path: Option<PathBuf>,
    turn: u64,
    files: HashMap<String, Remembered>,
    /// What is to be written, besides those that were found as they were.
    noted: HashMap<String, Remembered>,
    forgotten: HashSet<String>,
    /// Whether writing it would change anything.
    stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Remembered {
    state: State,
    cut: CutFile,
    turn: u64,
    /// Found as it was.
    found: bool,
}

impl StatCache {
    /// Reads the record at `path`. Blocking.
    pub(super) fn open(path: Option<&Path>) -> Self {
        let (turn, files) = path.map(read).unwrap_or_default();
        Self {
            path: path.map(Path::to_owned),
            turn,
            files,
            ..Self::default()
        }
    }

    /// What the file was when it stood like this.
    pub(super) fn look(&mut self, path: &Path, state: &State) -> Option<CutFile> {
        let name = path.to_str()?;
        if self.forgotten.contains(name) {
            return None;
        }
        if let Some(noted) = self.noted.get(name) {
            return (noted.state == *state).then_some(noted.cut);
        }
        let known = self.files.get_mut(name)?;
        if known.state != *state {
            return None;
        }
        // Whoever is used in every turn is not written for that alone.
        self.stale |= known.turn < self.turn;
        known.found = true;
        Some(known.cut)
    }

    /// Remembers what a file is that stood like this before it was read, and after.
    pub(super) fn note(&mut self, path: &Path, state: State, cut: CutFile) {
        // A path that is no text is not packed, and no system opens one that is longer than its length can be written here.
        if let Some(name) = path
            .to_str()
            .filter(|name| u16::try_from(name.len()).is_ok())
        {
            let turn = self.turn;
            self.forgotten.remove(name);
            let remembered = Remembered {
                state,
                cut,
                turn,
                found: false,
            };
            self.noted.insert(name.to_owned(), remembered);
            self.stale = true;
        }
    }

    /// Forgets a file that turned out to be another.
    pub(super) fn forget(&mut self, path: &Path) {
        if let Some(name) = path.to_str() {
            self.noted.remove(name);
            self.forgotten.insert(name.to_owned());
            self.stale = true;
        }
    }

    /// Writes the record if there is news, together with what others have written meanwhile. Blocking.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_deref().filter(|_| self.stale) else {
            return Ok(());
        };
        let (turn, mut files) = read(path);
        let turn = turn.max(self.turn) + 1;
        let found = std::mem::take(&mut self.files).into_iter();
        let found = found.filter(|(_, known)| known.found);
        for (name, noted) in found.chain(self.noted.drain()) {
            let found = false;
            files.insert(
                name,
                Remembered {
                    turn,
                    found,
                    ..noted
                },
            );
        }
        files.retain(|name, _| !self.forgotten.contains(name));
        write_private(path, &serialise(turn, &files, FILES_MAX))?;
        self.forgotten.clear();
        (self.turn, self.files, self.stale) = (turn, files, false);
        Ok(())
    }
}

type Files = HashMap<String, Remembered>;

/// The record as it lies there; empty if it is none that can be used.
fn read(path: &Path) -> (u64, Files) {
    let bytes = match fs::metadata(path) {
        Ok(facts) if facts.is_file() && facts.len() <= RECORD_MAX_BYTES => fs::read(path),
        Ok(_) => Err(io::Error::from(io::ErrorKind::InvalidData)),
        Err(error) => Err(error),
    };
    let parsed = bytes.map(|bytes| parse(&bytes));
    match parsed {
        Ok(Some(found)) => found,
        Ok(None) => {
            tracing::debug!(
                "{} is damaged or of another version: every file is read",
                path.display()
            );
            Default::default()
        }
        Err(error) => {
            tracing::debug!(%error, "no record of files read before at {}", path.display());
            Default::default()
        }
    }
}

fn serialise(turn: u64, files: &Files, files_max: usize) -> Vec<u8> {
    let mut kept: Vec<_> = files.iter().collect();
    // The latest first, and in a definite order, so that equal records are equal files.
    kept.sort_unstable_by_key(|(name, file)| (std::cmp::Reverse(file.turn), name.as_str()));
    kept.truncate(files_max);
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_be_bytes());
    out.extend(CUT_VERSION.to_be_bytes());
    out.extend(turn.to_be_bytes());
    let count = u32::try_from(kept.len()).expect("FILES_MAX is less");
    out.extend(count.to_be_bytes());
    for (name, file) in kept {
        let Remembered {
            state, cut, turn, ..
        } = file;
        let path_len = u16::try_from(name.len()).expect("a longer path is not noted");
        out.extend(state.bytes.to_be_bytes());
        out.extend(state.modified_ns.to_be_bytes());
        out.extend(state.changed_ns.to_be_bytes());
        out.extend(state.inode.to_be_bytes());
        out.extend(state.device.to_be_bytes());
        out.extend(turn.to_be_bytes());
        out.extend(cut.blob.digest.as_bytes());
        out.extend(cut.blob.size.to_be_bytes());
        out.extend([
            cut.blob.depth,
            content_code(cut.content),
            encoding_code(cut.encoding),
        ]);
        out.extend(cut.original_size.to_be_bytes());
        out.extend(path_len.to_be_bytes());
        out.extend(name.as_bytes());
    }
    let sum = Digest::of(&out);
    out.extend(sum.as_bytes());
    out
}

fn parse(bytes: &[u8]) -> Option<(u64, Files)> {
    let (body, sum) = bytes.split_last_chunk::<{ Digest::LEN }>()?;
    let mut body = Reader(body);
    if body.take()? != *MAGIC || body.u32()? != VERSION || body.u32()? != CUT_VERSION {
        return None;
    }
    if Digest::of(&bytes[..bytes.len() - Digest::LEN]) != Digest::from_bytes(*sum) {
        return None;
    }
    let turn = body.u64()?;
    let count = body.u32()? as usize;
    let mut files = HashMap::with_capacity(count.min(FILES_MAX));
    for _ in 0..count {
        let (name, file) = body.file()?;
        files.insert(name, file);
    }
    body.0.is_empty().then_some((turn, files))
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn file(&mut self) -> Option<(String, Remembered)> {
        let state = State {
            bytes: self.u64()?,
            modified_ns: self.i64()?,
            changed_ns: self.i64()?,
            inode: self.u64()?,
            device: self.u64()?,
        };
        let turn = self.u64()?;
        let blob = BlobRef {
            digest: Digest::from_bytes(self.take()?),
            size: self.u64()?,
            depth: self.u8()?,
        };
        let cut = CutFile {
            blob,
            content: content(self.u8()?)?,
            encoding: encoding(self.u8()?)?,
            original_size: self.u64()?,
        };
        let path_len = usize::from(u16::from_be_bytes(self.take()?));
        let (name, rest) = self.0.split_at_checked(path_len)?;
        self.0 = rest;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let remembered = Remembered {
            state,
            cut,
            turn,
            found: false,
        };
        Some((name, remembered))
    }
}

fn content_code(content: Content) -> u8 {
    match content {
        Content::Other => 0,
        Content::Blend => 1,
    }
}

fn content(code: u8) -> Option<Content> {
    [Content::Other, Content::Blend]
        .into_iter()
        .find(|content| content_code(*content) == code)
}

fn encoding_code(encoding: FileEncoding) -> u8 {
    match encoding {
        FileEncoding::Raw => 0,
        FileEncoding::Zstd => 1,
        FileEncoding::Gzip => 2,
    }
}

fn encoding(code: u8) -> Option<FileEncoding> {
    let all = [FileEncoding::Raw, FileEncoding::Zstd, FileEncoding::Gzip];
    all.into_iter()
        .find(|encoding| encoding_code(*encoding) == code)
}

#[cfg(test)]
mod tests;
