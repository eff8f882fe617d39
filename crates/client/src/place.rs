//! Putting a file in place so that nobody ever sees half of it, and never outside of its folder.
//!
//! Names come from other machines. They are relative, checked like the paths of a manifest, and no folder on the way may be a
//! symbolic link below the folder that the user chose. The file is written under a hidden name beside its place, synced, and renamed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tessera_blobs::TreePath;

/// How hidden files of unfinished frames begin.
const PREFIX: &str = ".tessera-";

/// Unfinished files older than this were left by a process that was killed.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Names tried before giving up; each is new in this process, so only another one's leftovers can be in the way.
const NAME_TRIES: u32 = 100;

/// A file that cannot be put where it belongs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The name is none that may be used.
    #[error("the name '{name}' is refused ({reason})")]
    Name { name: String, reason: String },
    /// A link leads elsewhere.
    #[error("{} is a symbolic link: nothing is written through it", path.display())]
    Link { path: PathBuf },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Where a received name belongs below `folder`; the folders above it are made.
pub(crate) fn destination(folder: &Path, name: &str) -> Result<PathBuf, PlaceError> {
    let parts = TreePath::new(name).map_err(|error| PlaceError::Name {
        name: name.escape_debug().to_string(),
        reason: error.to_string(),
    })?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PlaceError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut at = folder.to_owned();
    let mut parts = parts.parts().peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        if parts.peek().is_none() {
            break;
        }
        match fs::create_dir(&at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed(&at)(source)),
        }
        let facts = fs::symlink_metadata(&at).map_err(failed(&at))?;
        if facts.is_symlink() {
            return Err(PlaceError::Link { path: at });
        }
    }
    Ok(at)
}

/// A hidden file that disappears unless it is given its name.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: Option<PathBuf>,
}

impl Temporary {
    /// A new one in `folder`, open for writing.
    pub(crate) fn new(folder: &Path) -> io::Result<(File, Self)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        for _ in 0..NAME_TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{PREFIX}{}-{number}.part", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, Self { path: Some(path) })),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Gives it its name, in the place of what is there.
    pub(crate) fn rename(mut self, place: &Path) -> io::Result<()> {
        let path = self
            .path
            .take()
            .expect("taken only here and in discard, which consume it");
        fs::rename(&path, place).inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })
    }

    /// Removes it.
    pub(crate) fn discard(mut self) -> io::Result<()> {
        self.path.take().map_or(Ok(()), fs::remove_file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what a killed process left in `folder`. What cannot be removed is left alone.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(PREFIX) && name.ends_with(".part")) {
            continue;
        }
        let modified = entry.metadata().and_then(|facts| facts.modified());
        let old = modified.is_ok_and(|at| {
            SystemTime::now()
                .duration_since(at)
                .is_ok_and(|age| age > STALE_AFTER)
        });
        if old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/",
            "nul\0l",
            "a\nb",
            "C:\\x",
            "a\\..\\b",
            &"x".repeat(300),
        ] {
            assert!(
                matches!(destination(dir.path(), name), Err(PlaceError::Name { .. })),
                "{name:?}"
            );
        }
        assert_eq!(
            destination(dir.path(), "a/b c.png").unwrap(),
            dir.path().join("a/b c.png")
        );
        assert!(dir.path().join("a").is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        assert!(matches!(
            destination(dir.path(), "link/x.png"),
            Err(PlaceError::Link { .. })
        ));
        // A link in the place of the file itself is replaced, not followed.
        let target = outside.path().join("victim");
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("x.png")).unwrap();
        let place = destination(dir.path(), "x.png").unwrap();
        let (mut file, temporary) = Temporary::new(dir.path()).unwrap();
        io::Write::write_all(&mut file, b"new").unwrap();
        temporary.rename(&place).unwrap();
        assert_eq!(
            (
                fs::read_to_string(&target).unwrap().as_str(),
                fs::read_to_string(&place).unwrap().as_str()
            ),
            ("old", "new")
        );
    }

    #[test]
    fn unfinished_files_disappear() {
        let dir = tempfile::tempdir().unwrap();
        drop(Temporary::new(dir.path()).unwrap());
        let (_, temporary) = Temporary::new(dir.path()).unwrap();
        temporary.discard().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let stale = dir.path().join(".tessera-1-1.part");
        let file = File::create(&stale).unwrap();
        fs::write(dir.path().join(".tessera-1-2.part"), "").unwrap();
        file.set_modified(SystemTime::now() - STALE_AFTER * 2)
            .unwrap();
        sweep(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
