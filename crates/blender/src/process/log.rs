//! Blender's stdout and stderr on disk: two files per request, every byte, readable while they grow.
//!
//! The pipes are read only between the beginning of a request and its end. At its end the driver has flushed everything before it
//! says so, hence reading until the pipes are empty gives exactly the request's bytes; what Blender might print between
//! two requests waits in the pipe for the next.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Error;

/// Most bytes kept on disk per stream and request: a scene that floods its log must not fill the worker's disk.
pub(super) const STREAM_MAX_BYTES: u64 = 256 << 20;
/// Bytes of output kept for error texts.
const TAIL_MAX_BYTES: usize = 4 << 10;
/// Lines of it that are shown.
const TAIL_MAX_LINES: usize = 12;

/// Where the output during one request goes. The files are created when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFiles {
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

impl LogFiles {
    /// `DIR/STEM.stdout` and `DIR/STEM.stderr`.
    #[must_use]
    pub fn in_dir(dir: &Path, stem: &str) -> Self {
        Self {
            stdout: dir.join(format!("{stem}.stdout")),
            stderr: dir.join(format!("{stem}.stderr")),
        }
    }
}

/// An open log file.
#[derive(Debug)]
pub(super) struct Sink {
    path: PathBuf,
    file: File,
    room_bytes: u64,
    lost_bytes: u64,
    failure: Option<io::Error>,
}

impl Sink {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::Log {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            room_bytes: STREAM_MAX_BYTES,
            lost_bytes: 0,
            failure: None,
        })
    }

    /// Keeps the first failure for [`Self::close`]: a full disk must not stop the pipe from being read.
    fn write(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let keep = usize::try_from(self.room_bytes)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.room_bytes -= keep as u64;
        self.lost_bytes += (bytes.len() - keep) as u64;
        self.failure = self.file.write_all(&bytes[..keep]).err();
    }

    /// What was not kept is told of in its place.
    pub(super) fn close(mut self) -> Result<(), Error> {
        if self.lost_bytes > 0 && self.failure.is_none() {
            let told = format!(
                "\nTessera: {} more bytes are not kept: of one frame's stream it keeps {} MiB\n",
                self.lost_bytes,
                STREAM_MAX_BYTES >> 20
            );
            self.failure = self.file.write_all(told.as_bytes()).err();
        }
        match self.failure {
            None => Ok(()),
            Some(source) => Err(Error::Log {
                path: self.path,
                source,
            }),
        }
    }
}

/// The last bytes of both streams.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes
            .extend(&bytes[bytes.len().saturating_sub(TAIL_MAX_BYTES)..]);
        let surplus = self.bytes.len().saturating_sub(TAIL_MAX_BYTES);
        self.bytes.drain(..surplus);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn lines(&mut self) -> String {
        let text = String::from_utf8_lossy(self.bytes.make_contiguous()).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(TAIL_MAX_LINES)..].join("\n")
    }
}

/// Reads a non-blocking pipe until it is empty. `true`: its other end is closed.
pub(super) fn empty(pipe: &mut impl Read, sink: Option<&mut Sink>, tail: &mut Tail) -> bool {
    let mut buffer = [0; 64 << 10];
    let mut sink = sink;
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => {
                tail.write(&buffer[..count]);
                if let Some(sink) = sink.as_deref_mut() {
                    sink.write(&buffer[..count]);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // No other error is documented for a pipe; as nothing more can be read, it is at its end.
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("frame.stdout");
        let mut sink = Sink::create(&path).unwrap();
        sink.room_bytes = 8;
        for piece in [b"01234", b"56789"] {
            sink.write(piece);
        }
        sink.close().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "01234567\nTessera: 2 more bytes are not kept: of one frame's stream it keeps 256 MiB\n"
        );
    }

    #[test]
    fn the_tail_is_bounded_and_shows_last_lines() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.write(format!("line {number}\n\n").as_bytes());
        }
        let lines = tail.lines();
        assert_eq!(lines.lines().count(), TAIL_MAX_LINES);
        assert!(lines.ends_with("line 9999"));
        tail.write(&vec![b'x'; TAIL_MAX_BYTES * 3]);
        assert_eq!(tail.lines().len(), TAIL_MAX_BYTES);
    }
}
