//! A command as a person runs it: what it printed, how it ended, and that it ended at all.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Longest that any command of these tests takes, and then as much again and again: what is still there then hangs.
const HANG: Duration = Duration::from_secs(240);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; 128 and the signal if a signal ended it, as shells say it.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    shown: String,
}

/// Runs a command to its end. One that does not end is killed, and the test fails.
pub fn run(command: &mut Command) -> Ended {
    let shown = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let group = format!("-{}", child.id());
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (tell, told) = channel();
    let read_stdout = std::thread::spawn(move || read(&mut stdout));
    let read_stderr = std::thread::spawn(move || read(&mut stderr));
    std::thread::spawn(move || tell.send(child.wait()));
    let Ok(status) = told.recv_timeout(HANG) else {
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        panic!(
            "{shown} hung and said\n{}\n{}",
            String::from_utf8_lossy(&read_stdout.join().unwrap()),
            String::from_utf8_lossy(&read_stderr.join().unwrap()),
        );
    };
    let status = status.unwrap();
    Ended {
        status: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: read_stdout.join().unwrap(),
        stderr: read_stderr.join().unwrap(),
        shown,
    }
}

fn read(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

impl Ended {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// It did what it was told.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.status, 0, "{self}");
        self
    }

    /// It did what it could and failed with this status, and its last line says why, with all these words in it.
    #[track_caller]
    pub fn failed(&self, status: i32, words: &[&str]) {
        let errors = self.errors();
        let last = errors.lines().last().unwrap_or_default();
        assert_eq!(self.status, status, "{self}");
        assert!(last.starts_with("tessera: "), "{self}");
        for word in words {
            assert!(last.contains(word), "{word:?} is not said: {self}");
        }
    }

    /// It refused with this status, saying why in exactly one line that has all these words in it, and printed nothing else.
    #[track_caller]
    pub fn refused(&self, status: i32, words: &[&str]) {
        let errors = self.errors();
        let said: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with("tessera: ") && !line.starts_with("tessera: warning: "))
            .collect();
        assert_eq!(self.status, status, "{self}");
        assert_eq!(said.len(), 1, "one line says why: {self}");
        assert_eq!(
            errors.lines().last(),
            Some(said[0]),
            "it is the last thing said: {self}"
        );
        assert!(
            self.stdout.is_empty(),
            "nothing is printed as if it were a result: {self}"
        );
        for word in words {
            assert!(said[0].contains(word), "{word:?} is not said: {self}");
        }
        for noise in [
            "panicked",
            "RUST_BACKTRACE",
            "os error",
            "Os {",
            "Some(",
            "Err(",
        ] {
            assert!(
                !errors.contains(noise),
                "{noise:?} is for programmers: {self}"
            );
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nended with {}\n--- standard output:\n{}\n--- standard error:\n{}",
            self.shown,
            self.status,
            self.text(),
            self.errors()
        )
    }
}
