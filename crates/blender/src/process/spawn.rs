//! Starts a Blender: its own process group, its end of the socket, and an end that comes with ours.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Launch;
use crate::build::Build;
use crate::driver::{DriverFile, FD_VARIABLE, THREADS_VARIABLE};

pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) socket: UnixStream,
    pub(super) driver: DriverFile,
}

/// Must be called on a thread that lives as long as the process.
pub(super) fn spawn(build: &Build, launch: &Launch) -> io::Result<Spawned> {
    let driver = DriverFile::write()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&build.path);
    command
        .args(driver.arguments(build.kind, launch.threads))
        // Set for some other Python, they would break Blender's.
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONSTARTUP")
        // What a killed Blender leaves in its temporary folder goes with the driver's.
        .env("TMPDIR", driver.dir())
        .env(FD_VARIABLE, theirs.as_raw_fd().to_string())
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(driver.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(threads) = launch.threads {
        command.env(THREADS_VARIABLE, threads.to_string());
    }
    prepare(&mut command, theirs, i32::from(launch.nice));
    let child = start(&mut command)?;
    // Our copy of Blender's end goes, or its closing would never be seen.
    drop(command);
    if let Some(pipe) = &child.stdout {
        set_nonblocking(pipe)?;
    }
    if let Some(pipe) = &child.stderr {
        set_nonblocking(pipe)?;
    }
    prefer_as_victim(child.id());
    Ok(Spawned {
        child,
        socket: ours,
        driver,
    })
}

/// A program that was just written may look as if it still were: a process forked meanwhile by another thread
/// holds the descriptor until it executes something else.
fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
    command.spawn()
}

/// Together as long as the slowest start of a process on a loaded machine.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

fn set_nonblocking(pipe: &impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(pipe)?;
    Ok(rustix::fs::fcntl_setfl(
        pipe,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// If the system runs out of memory, it shall end Blender, which is expendable, and not this program.
fn prefer_as_victim(pid: u32) {
    if cfg!(target_os = "linux") {
        // Without it the system chooses by size, which is Blender in most cases anyway.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
    }
}

#[expect(
    unsafe_code,
    reason = "what a child must do between fork and exec has no safe interface"
)]
fn prepare(command: &mut Command, socket: UnixStream, nice: i32) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes system calls (fcntl, nice,
    // setrlimit, prctl, getppid) through rustix, which neither allocates nor locks, and `socket` outlives it in `command`.
    unsafe {
        command.pre_exec(move || {
            // Inherited by this child only: the flag is cleared after fork, so no other child of ours gets the socket.
            rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())?;
            rustix::process::nice(nice)?;
            // A crash is reported with the log; gigabytes of core files help nobody.
            let none = rustix::process::Rlimit {
                current: Some(0),
                maximum: Some(0),
            };
            rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
            #[cfg(target_os = "linux")]
            {
                rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::KILL,
                ))?;
                // It could have died before that.
                if rustix::process::getppid() != Some(parent) {
                    return Err(io::Error::from_raw_os_error(libc::EOWNERDEAD));
                }
            }
            Ok(())
        });
    }
}
