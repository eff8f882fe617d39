//! What a command prints: text for people, or one JSON object per line for programs.
//!
//! Results go to standard output, everything said along the way to standard error, so that either can
//! be piped away. A reader that went away (`tessera jobs | head -1`) is no error: nothing more is
//! printed, and whoever prints for long asks [`Output::is_closed`].

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::MultiProgress;
use tessera_wire::line::{Line, LineKind};

/// Where a command prints. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    bars: MultiProgress,
    closed: Arc<AtomicBool>,
}

impl Output {
    /// As `--json` says.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            bars: MultiProgress::new(),
            closed: Arc::default(),
        }
    }

    /// Whether a program reads.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at standard error, so that a line may be redrawn.
    pub(crate) fn live(&self) -> bool {
        !self.json && std::io::stderr().is_terminal() && std::env::var_os("NO_PROGRESS").is_none()
    }

    /// Progress bars that text goes around.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Whether the reader of standard output went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A result: the text for people, the line for programs.
    pub(crate) fn result(&self, text: impl AsRef<str>, line: impl FnOnce() -> LineKind) {
        if self.json {
            self.line(line());
        } else {
            self.text(text.as_ref());
        }
    }

    /// A line for programs; nothing for people.
    pub(crate) fn line(&self, what: LineKind) {
        if self.json {
            let text = serde_json::to_string(&Line::new(what))
                .expect("lines are made of strings, numbers and maps with text keys");
            self.write(text.as_bytes(), true);
        }
    }

    /// A result for people; nothing for programs.
    pub(crate) fn text(&self, text: &str) {
        if !self.json {
            self.write(text.as_bytes(), true);
        }
    }

    /// Something said along the way, for people.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.json {
            // A standard error that is gone has nobody to tell.
            self.bars.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
            });
        }
    }

    /// Something the user should know and that does not stop the work.
    pub(crate) fn warn(&self, message: impl Into<String>) {
        // What others said, Blender too, may have lines; a warning is one.
        let message: String = message.into();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.note(format!("tessera: warning: {message}"));
        self.line(LineKind::Warning { message });
    }

    /// Bytes as they are, to standard output.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        self.write(bytes, false);
    }

    /// Bytes as they are, to standard error.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            let mut stream = std::io::stderr().lock();
            let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        });
    }

    fn write(&self, bytes: &[u8], end_line: bool) {
        if self.is_closed() {
            return;
        }
        let end: &[u8] = if end_line { b"\n" } else { b"" };
        let written = self.bars.suspend(|| {
            let mut stream = std::io::stdout().lock();
            stream
                .write_all(bytes)
                .and_then(|()| stream.write_all(end))
                .and_then(|()| stream.flush())
        });
        if written.is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}
