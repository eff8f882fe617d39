//! The thread that owns a Blender process: it starts it, empties its output into the log, and buries it.
//!
//! It is a thread of its own, and lives as long as the process, because Linux's parent-death signal follows the thread that
//! started the child: from a pool's thread Blender would die with that thread's idle time-out.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

use super::log::{LogFiles, Sink, Tail, empty};
use super::watch::Fate;
use super::{Error, Launch, spawn, tree};
use crate::build::Build;
use crate::driver::DriverFile;

/// How long a process whose socket has closed may take to end by itself: Blender frees its scene first.
const EXIT_GRACE: Duration = Duration::from_secs(5);
/// How often that end is looked for.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// How a process ended.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    pub(super) status: Option<ExitStatus>,
    /// Last lines of its output.
    pub(super) tail: String,
}

/// Whether a process may end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mercy {
    /// It is about to: give it the time.
    Exit,
    None,
}

enum Command {
    Begin(Box<[Sink; 2]>),
    Drain(oneshot::Sender<Result<(), Error>>),
    Bury(Mercy, oneshot::Sender<End>),
}

/// The thread, seen from outside. Dropped, it buries the process without waiting.
#[derive(Debug)]
pub(super) struct Keeper {
    pid: u32,
    commands: Sender<Command>,
    wake: File,
}

impl Keeper {
    /// Starts the process and its thread; also returns the socket to the driver.
    pub(super) async fn start(
        build: &Build,
        launch: &Launch,
        log: &LogFiles,
        fate: Arc<Fate>,
    ) -> Result<(Self, UnixStream), Error> {
        let failed = |source| Error::Launch {
            path: build.path.clone(),
            source,
        };
        let sinks = [Sink::create(&log.stdout)?, Sink::create(&log.stderr)?];
        let (wake_read, wake_write) = rustix::pipe::pipe_with(
            rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
        )
        .map_err(|errno| failed(errno.into()))?;
        let (commands, inbox) = mpsc::channel();
        let (started, start) = oneshot::channel();
        let (build, launch) = (build.clone(), launch.clone());
        let path = build.path.clone();
        let thread = move || match spawn::spawn(&build, &launch) {
            Err(error) => drop(started.send(Err(error))),
            Ok(spawn::Spawned {
                child,
                socket,
                driver,
            }) => {
                let pid = child.id();
                if started.send(Ok((pid, socket))).is_ok() {
                    Undertaker::new(child, sinks, fate, driver).keep(&inbox, &wake_read);
                } else {
                    Undertaker::new(child, sinks, fate, driver).bury(Mercy::None);
                }
            }
        };
        std::thread::Builder::new()
            .name("blender-keeper".to_owned())
            .spawn(thread)
            .map_err(failed)?;
        match start.await {
            Ok(Ok((pid, socket))) => Ok((
                Self {
                    pid,
                    commands,
                    wake: File::from(wake_write),
                },
                socket,
            )),
            Ok(Err(source)) => Err(Error::Launch { path, source }),
            Err(_) => Err(Error::Launch {
                path,
                source: io::Error::other("its keeper thread ended"),
            }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// From now on output goes to these files.
    pub(super) fn begin_log(&self, log: &LogFiles) -> Result<(), Error> {
        self.command(Command::Begin(Box::new([
            Sink::create(&log.stdout)?,
            Sink::create(&log.stderr)?,
        ])));
        Ok(())
    }

    /// Brings the log up to this moment, and closes it.
    pub(super) async fn drain_log(&self) -> Result<(), Error> {
        let (done, drained) = oneshot::channel();
        self.command(Command::Drain(done));
        // A thread that has gone has drained everything before.
        drained.await.unwrap_or(Ok(()))
    }

    /// Ends the process with its whole tree, reaps it, completes the log.
    pub(super) async fn bury(&self, mercy: Mercy) -> End {
        let (done, buried) = oneshot::channel();
        self.command(Command::Bury(mercy, done));
        buried.await.unwrap_or_default()
    }

    fn command(&self, command: Command) {
        // If the thread has gone the answer's channel is closed with the command, which the asker sees.
        if self.commands.send(command).is_ok() {
            // A full pipe wakes as well.
            let _ = (&self.wake).write(&[1]);
        }
    }
}

/// The thread's own state.
struct Undertaker {
    child: Child,
    pipes: [Option<File>; 2],
    /// Where output goes; none between two requests.
    sinks: Option<[Sink; 2]>,
    tail: Tail,
    fate: Arc<Fate>,
    /// Deleted after the process is gone.
    _driver: DriverFile,
}

impl Undertaker {
    fn new(mut child: Child, sinks: [Sink; 2], fate: Arc<Fate>, driver: DriverFile) -> Self {
        let stdout = child
            .stdout
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        Self {
            child,
            pipes: [stdout, stderr],
            sinks: Some(sinks),
            tail: Tail::default(),
            fate,
            _driver: driver,
        }
    }

    fn keep(mut self, inbox: &Receiver<Command>, wake: &OwnedFd) {
        loop {
            self.wait(wake);
            loop {
                match inbox.try_recv() {
                    Ok(Command::Begin(sinks)) => {
                        self.tail.clear();
                        self.sinks = Some(*sinks);
                    }
                    Ok(Command::Drain(done)) => {
                        self.read_pipes();
                        drop(done.send(self.close_log()));
                    }
                    Ok(Command::Bury(mercy, done)) => {
                        drop(done.send(self.bury(mercy)));
                        return;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        self.bury(Mercy::None);
                        return;
                    }
                }
            }
            if self.sinks.is_some() {
                self.read_pipes();
            }
        }
    }

    /// Until there is a command, or output that may be read.
    fn wait(&self, wake: &OwnedFd) {
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        if self.sinks.is_some() {
            fds.extend(
                self.pipes
                    .iter()
                    .flatten()
                    .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)),
            );
        }
        // Interrupted or not: whoever called looks at everything.
        let _ = poll(&mut fds, None);
        let mut bytes = [0; 64];
        while matches!(rustix::io::read(wake, &mut bytes), Ok(count) if count == bytes.len()) {}
    }

    fn read_pipes(&mut self) {
        for (index, slot) in self.pipes.iter_mut().enumerate() {
            let Some(pipe) = slot else { continue };
            let sink = self.sinks.as_mut().map(|sinks| &mut sinks[index]);
            if empty(pipe, sink, &mut self.tail) {
                *slot = None;
            }
        }
    }

    fn close_log(&mut self) -> Result<(), Error> {
        let Some([stdout, stderr]) = self.sinks.take() else {
            return Ok(());
        };
        stdout.close().and(stderr.close())
    }

    fn bury(&mut self, mercy: Mercy) -> End {
        if mercy == Mercy::Exit {
            self.wait_for_exit();
        }
        let pid = self.child.id();
        // The group may hold children that outlive Blender; until it is reaped, its id is safe to use.
        tree::kill(pid);
        self.fate.bury();
        let status = self.child.wait().ok();
        self.read_pipes();
        drop(self.close_log());
        End {
            status,
            tail: self.tail.lines(),
        }
    }

    /// Waits without reaping, reading on, so that a process that still has much to print can end.
    fn wait_for_exit(&mut self) {
        let begin = Instant::now();
        while begin.elapsed() < EXIT_GRACE && !has_exited(&self.child) {
            self.read_pipes();
            let mut fds: Vec<_> = self
                .pipes
                .iter()
                .flatten()
                .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN))
                .collect();
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(EXIT_POLL.subsec_nanos()),
            };
            let _ = poll(&mut fds, Some(&timeout));
        }
    }
}

fn has_exited(child: &Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return true;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}
