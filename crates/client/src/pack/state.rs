//! How a file stands at one moment: enough to see that it was written since.

use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::PackError;

/// Two writes may get one time if they are no further apart than a tick of the system's clock, at most 10 ms.
const TICK: Duration = Duration::from_millis(20);

/// Where times are whole seconds (older network file systems; FAT has only even ones), they may be this far apart.
const COARSE_TICK: Duration = Duration::from_secs(2);

const SECOND_NS: i64 = 1_000_000_000;

/// How a file stands. Whoever puts other bytes into it, or another file in its place, changes something of this; setting back
/// the time of the last write does not help, since that itself is a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) bytes: u64,
    /// Last write, in nanoseconds since 1970.
    pub(super) modified_ns: i64,
    /// Last change of contents or description, likewise; 0 where the system has none.
    pub(super) changed_ns: i64,
    pub(super) inode: u64,
    pub(super) device: u64,
}

/// What the system says of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) state: State,
    pub(super) is_folder: bool,
    is_file: bool,
}

impl State {
    /// Of a file; folders and the like are refused.
    pub(super) fn of(path: &Path) -> Result<Self, PackError> {
        let unreadable = |source| PackError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let facts = Looker::default().look(path).map_err(unreadable)?;
        if !facts.is_file {
            return Err(unreadable(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            )));
        }
        Ok(facts.state)
    }

    /// Whether the file stands as it did.
    pub(super) fn still_holds(&self, path: &Path) -> bool {
        self.still_holds_to(path, &mut Looker::default())
    }

    /// The same of one of many files.
    pub(super) fn still_holds_to(&self, path: &Path, looker: &mut Looker) -> bool {
        looker.look(path).is_ok_and(|facts| facts.state == *self)
    }

    /// Whether the file was left alone for so long before `moment` that every write after it gets another time. Until then a
    /// file that looks the same may be another.
    pub(super) fn settled_before(&self, moment: SystemTime) -> bool {
        let stamp = match self.changed_ns {
            0 => self.modified_ns,
            changed => changed,
        };
        let tick = match stamp % SECOND_NS {
            0 => COARSE_TICK,
            _ => TICK,
        };
        since_1970(moment)
            .checked_sub(nanoseconds(tick))
            .is_some_and(|latest| stamp < latest)
    }
}

/// Looks at many files. Those of one folder are asked for by their names in it, since walking down to a folder takes longer than a look at
/// a file.
#[cfg(unix)]
#[derive(Debug, Default)]
pub(super) struct Looker {
    folder: Option<(PathBuf, OwnedFd)>,
}

#[cfg(unix)]
impl Looker {
    pub(super) fn look(&mut self, path: &Path) -> io::Result<Facts> {
        use rustix::fs::{AtFlags, Mode, OFlags, open, stat, statat};
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Facts::from(&stat(path)?));
        };
        if !matches!(&self.folder, Some((there, _)) if there.as_os_str() == folder.as_os_str()) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.folder = open(folder, flags, Mode::empty())
                .ok()
                .map(|opened| (folder.to_owned(), opened));
        }
        let found = match &self.folder {
            Some((_, folder)) => statat(folder, name, AtFlags::empty()),
            // A folder may let its files be opened and not itself be read.
            None => stat(path),
        };
        Ok(Facts::from(&found?))
    }
}

#[cfg(unix)]
impl From<&rustix::fs::Stat> for Facts {
    // Systems differ in the widths of these numbers.
    #[expect(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "needed on other systems"
    )]
    fn from(found: &rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;
        let moment =
            |seconds: i64, rest: i64| seconds.saturating_mul(SECOND_NS).saturating_add(rest);
        let kind = FileType::from_raw_mode(found.st_mode);
        Self {
            state: State {
                bytes: found.st_size as u64,
                modified_ns: moment(found.st_mtime as i64, found.st_mtime_nsec as i64),
                changed_ns: moment(found.st_ctime as i64, found.st_ctime_nsec as i64),
                inode: found.st_ino as u64,
                device: found.st_dev as u64,
            },
            is_folder: kind == FileType::Directory,
            is_file: kind == FileType::RegularFile,
        }
    }
}

/// Looks at many files.
#[cfg(not(unix))]
#[derive(Debug, Default)]
pub(super) struct Looker;

#[cfg(not(unix))]
impl Looker {
    pub(super) fn look(&mut self, path: &Path) -> io::Result<Facts> {
        let found = std::fs::metadata(path)?;
        Ok(Facts {
            state: State {
                bytes: found.len(),
                modified_ns: found.modified().map_or(0, since_1970),
                changed_ns: 0,
                inode: 0,
                device: 0,
            },
            is_folder: found.is_dir(),
            is_file: found.is_file(),
        })
    }
}

fn since_1970(moment: SystemTime) -> i64 {
    match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(before) => -nanoseconds(before.duration()),
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_written_a_moment_ago_is_not_settled() {
        let check = |changed: Duration, before: Duration, settled: bool| {
            let state = State {
                bytes: 1,
                modified_ns: 0,
                changed_ns: nanoseconds(changed),
                inode: 1,
                device: 1,
            };
            let moment = UNIX_EPOCH + before;
            assert_eq!(
                state.settled_before(moment),
                settled,
                "{changed:?} {before:?}"
            );
        };
        let (seconds, ms) = (Duration::from_secs, Duration::from_millis);
        check(ms(5_001), ms(5_001), false);
        check(ms(5_001), ms(5_011), false);
        check(ms(5_001), ms(5_031), true);
        // From the future: the clock of a file server is ahead.
        check(ms(9_001), ms(5_001), false);
        // A time of whole seconds is one of a coarse clock.
        check(seconds(5), ms(6_999), false);
        check(seconds(5), ms(7_001), true);
    }

    #[cfg(unix)]
    #[test]
    fn every_change_shows() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("grown", |path| {
                fs::write(path, "123456").unwrap();
            }),
            ("truncated", |path| {
                fs::write(path, "1234").unwrap();
            }),
            ("replaced", |path| {
                let other = path.with_extension("new");
                fs::write(&other, "54321").unwrap();
                fs::rename(other, path).unwrap();
            }),
            ("other bytes with the old time", |path| {
                let time = fs::metadata(path).unwrap().modified().unwrap();
                fs::write(path, "54321").unwrap();
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_modified(time).unwrap();
            }),
            ("gone", |path| fs::remove_file(path).unwrap()),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.png");
            fs::write(&path, "12345").unwrap();
            let state = State::of(&path).unwrap();
            assert!(state.still_holds(&path));
            // The clock of the system ticks on; changes within one tick are what `settled_before` is for.
            while !state.settled_before(SystemTime::now()) {
                std::thread::yield_now();
            }
            change(&path);
            assert!(!state.still_holds(&path), "{what}");
        }
    }
}
