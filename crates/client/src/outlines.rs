//! Of which blocks the .blend files were made that were sent last, so that an edit of one of them can be told from the rest of it.
//!
//! One small file for each in the cache folder (34 bytes for each 16 KiB), named by the digest of its path. What one says is never believed:
//! a manager takes an edit only if what it makes has the right digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tessera_blobs::{Digest, Outline};

use crate::private_file::write_private;

/// Files that are remembered: some 9 MB for scenes of 60 MB.
const FILES_MAX: usize = 64;

/// Largest that is read: of a scene of 4 GB.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// What a user has sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlines {
    /// Nothing is remembered without one.
    folder: Option<PathBuf>,
}

impl Outlines {
    /// In this cache folder.
    pub(crate) fn at(cache: Option<&Path>) -> Self {
        Self {
            folder: cache.map(|cache| cache.join("outlines")),
        }
    }

    fn place(folder: &Path, path: &Path) -> PathBuf {
        let name = Digest::of(path.as_os_str().as_encoded_bytes());
        folder.join(name.to_string())
    }

    /// Of which blocks this file was made when it was sent last. Blocking.
    pub(crate) fn look(&self, path: &Path) -> Option<Outline> {
        let place = Self::place(self.folder.as_deref()?, path);
        let small = fs::metadata(&place).ok()?.len() <= FILE_MAX_BYTES;
        Outline::decode(&small.then(|| fs::read(&place).ok())??)
    }

    /// Remembers files that were sent, and forgets those that were sent the longest ago. Blocking.
    pub(crate) fn note(&self, sent: &[(PathBuf, Outline)]) -> io::Result<()> {
        let Some(folder) = self.folder.as_deref().filter(|_| !sent.is_empty()) else {
            return Ok(());
        };
        for (path, outline) in sent {
            write_private(&Self::place(folder, path), &outline.encode())?;
        }
        let mut kept = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // One that another process has just taken away is none too many.
            if let Ok(facts) = entry.metadata() {
                let written = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                kept.push((written, entry.path()));
            }
        }
        kept.sort_unstable();
        let many = kept.len().saturating_sub(FILES_MAX);
        for (_, path) in &kept[..many] {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tessera_blobs::Origin;

    use super::*;

    #[test]
    fn the_last_sent_are_remembered_and_damaged_ones_are_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let blend = home.path().join("a.blend");
        let content: Vec<u8> = b"BLENDER-v304"
            .iter()
            .copied()
            .chain((0..200_000).map(|n| (n / 7) as u8))
            .collect();
        fs::write(&blend, content).unwrap();
        let mut origin = Origin::new();
        origin.add_file(&blend).unwrap();
        let sent = origin.outlines();
        let outlines = Outlines::at(Some(home.path()));
        assert_eq!(outlines.look(&blend), None);
        outlines.note(&sent).unwrap();
        assert_eq!(outlines.look(&blend).as_ref(), Some(&sent[0].1));
        let folder = home.path().join("outlines");
        let place = Outlines::place(&folder, &blend);
        let whole = fs::read(&place).unwrap();
        fs::write(&place, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(outlines.look(&blend), None);
        let many: Vec<_> = (0..FILES_MAX + 6)
            .map(|number| (home.path().join(number.to_string()), sent[0].1.clone()))
            .collect();
        outlines.note(&many).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), FILES_MAX);
        assert!(Outlines::at(None).look(&blend).is_none());
        Outlines::at(None).note(&sent).unwrap();
    }
}
