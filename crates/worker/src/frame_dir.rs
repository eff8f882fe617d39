//! The folder of one frame: what Blender writes while it renders it, until the manager has it.
//!
//! ```text
//! frames/17/out/           the rendered files
//! frames/17/parts/         parts of the frame, if it is put together
//! frames/17/merged.exr     what was merged of these; delivered with the frame if samples can be added to it
//! frames/17/preview.jpg    its previews, with thumbnail.jpg
//! frames/17/launch.stdout  output of Blender's start, if it was started for this frame
//! frames/17/open.stdout    output of opening the scene, if it was opened for this frame
//! frames/17/frame.stdout   output of the render
//! frames/17/report.json    what is to be reported; written last, so a folder without it is worth nothing
//! ```
//! and the same with `.stderr`. The three parts in this order are the frame's log, byte for byte.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tessera_blender::LogFiles;
use tessera_wire::link::LogStream;

/// Parts of a frame's log, in the order they were written.
const PARTS: [&str; 3] = ["launch", "open", "frame"];

/// Where frames' folders are made.
#[derive(Debug)]
pub(crate) struct Frames {
    root: PathBuf,
    next: AtomicU64,
}

/// One frame's folder. Dropping it leaves it on disk: the next start sees to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameDir {
    path: PathBuf,
}

impl Frames {
    /// Takes over the folder of a former run. The folders found in it are given back, oldest first. Blocking.
    pub(crate) fn open(root: &Path) -> io::Result<(Self, Vec<FrameDir>)> {
        std::fs::create_dir_all(root)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            match entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                Some(number) => found.push((number, FrameDir { path: entry.path() })),
                None => tracing::debug!(path = %entry.path().display(), "not a frame's folder"),
            }
        }
        found.sort_by_key(|(number, _)| *number);
        let next = found.last().map_or(0, |(number, _): &(u64, _)| number + 1);
        let frames = Self {
            root: root.to_owned(),
            next: AtomicU64::new(next),
        };
        Ok((frames, found.into_iter().map(|(_, dir)| dir).collect()))
    }

    /// A fresh folder. Blocking.
    pub(crate) fn make(&self) -> io::Result<FrameDir> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let dir = FrameDir {
            path: self.root.join(number.to_string()),
        };
        std::fs::create_dir_all(dir.out())?;
        Ok(dir)
    }
}

impl FrameDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path.join("out")
    }

    /// Where the parts of a frame lie until they are merged.
    pub(crate) fn parts(&self) -> PathBuf {
        self.path.join("parts")
    }

    /// The frame, merged of its parts and not finished.
    pub(crate) fn merged(&self) -> PathBuf {
        self.path.join("merged.exr")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.path.join("report.json")
    }

    pub(crate) fn launch_log(&self) -> LogFiles {
        LogFiles::in_dir(&self.path, PARTS[0])
    }

    pub(crate) fn open_log(&self) -> LogFiles {
        LogFiles::in_dir(&self.path, PARTS[1])
    }

    pub(crate) fn frame_log(&self) -> LogFiles {
        LogFiles::in_dir(&self.path, PARTS[2])
    }

    fn log_parts(&self, stream: LogStream) -> impl Iterator<Item = PathBuf> {
        PARTS.into_iter().map(move |part| {
            let files = LogFiles::in_dir(&self.path, part);
            match stream {
                LogStream::Stdout => files.stdout,
                LogStream::Stderr => files.stderr,
            }
        })
    }

    /// Bytes of the log as it is now, from `from` on, at most `max`. Blocking.
    pub(crate) fn read_log(&self, stream: LogStream, from: u64, max: u64) -> io::Result<Vec<u8>> {
        let mut skip = from;
        let mut bytes = Vec::new();
        for path in self.log_parts(stream) {
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let size = file.metadata()?.len();
            let skipped = skip.min(size);
            skip -= skipped;
            file.seek(SeekFrom::Start(skipped))?;
            file.take(max - bytes.len() as u64)
                .read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// The whole log as one file, made if it has several parts. Blocking.
    pub(crate) fn join_log(&self, stream: LogStream) -> io::Result<PathBuf> {
        let parts: Vec<PathBuf> = self
            .log_parts(stream)
            .filter(|path| path.exists())
            .collect();
        if let [only] = parts.as_slice() {
            return Ok(only.clone());
        }
        let name = match stream {
            LogStream::Stdout => "all.stdout",
            LogStream::Stderr => "all.stderr",
        };
        let joined = self.path.join(name);
        let mut out = File::create(&joined)?;
        for part in parts {
            io::copy(&mut File::open(part)?, &mut out)?;
        }
        Ok(joined)
    }

    /// Blocking.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}
