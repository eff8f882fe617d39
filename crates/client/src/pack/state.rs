//! How a file stands at one moment: enough to see that it was written since.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
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

impl State {
    /// Of a file; folders and the like are refused.
    pub(super) fn of(path: &Path) -> Result<Self, PackError> {
        let unreadable = |source| PackError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let facts = fs::metadata(path).map_err(unreadable)?;
        if !facts.is_file() {
            return Err(unreadable(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            )));
        }
        Ok(Self::from(&facts))
    }

    /// Whether the file stands as it did.
    pub(super) fn still_holds(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|facts| Self::from(&facts) == *self)
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

    #[cfg(unix)]
    pub(super) fn from(facts: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let moment = |seconds: i64, rest| seconds.saturating_mul(SECOND_NS).saturating_add(rest);
        Self {
            bytes: facts.len(),
            modified_ns: moment(facts.mtime(), facts.mtime_nsec()),
            changed_ns: moment(facts.ctime(), facts.ctime_nsec()),
            inode: facts.ino(),
            device: facts.dev(),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn from(facts: &Metadata) -> Self {
        Self {
            bytes: facts.len(),
            modified_ns: facts.modified().map_or(0, since_1970),
            changed_ns: 0,
            inode: 0,
            device: 0,
        }
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
