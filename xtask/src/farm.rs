//! A farm of real processes: the shipped binary as manager, worker and client, each talking to the others as on any network.
//!
//! Every [`Home`] is a user on a machine: settings, identities and data lie in its folder and nowhere else. A
//! [`Process`] is ended with all its children when it is dropped, so that a failing run leaves nothing behind.
//! Waiting is waiting for a JSON line that the program prints, never for time to pass.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tessera_client::{Api, Folders, Wanted, choose_farm};
use tessera_model::{FrameResult, JobId};
use tessera_wire::api::{Journal, PAGE_MAX, Pairing};
use tessera_wire::line::{Line, LineKind};

/// Longest wait for a line: far beyond anything that works, so that what does not work ends.
const LINE_WAIT: Duration = Duration::from_secs(300);

/// Lines of standard error kept to explain a failure.
const ERROR_LINES_MAX: usize = 200;

/// A user on a machine.
#[derive(Debug, Clone)]
pub struct Home {
    program: PathBuf,
    folder: PathBuf,
    /// Put before every command: `ip netns exec NAME` for a machine of its own.
    prefix: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Home {
    /// The user whose settings and data lie in `folder`, running `program`.
    #[must_use]
    pub fn new(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            prefix: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The same, run by another program: `["ip", "netns", "exec", "a"]`.
    #[must_use]
    pub fn under(mut self, prefix: &[&str]) -> Self {
        self.prefix = prefix.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command of the program, nothing of the surrounding user's settings in it.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.prefix.iter().map(String::as_str);
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TESSERA_") {
                command.env_remove(name);
            }
        }
        command.env("TESSERA_HOME", &self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments);
        command
    }

    /// Starts a command that prints JSON lines. It leads a process group of its own.
    ///
    /// # Errors
    /// If it can not be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.command(arguments);
        command.arg("--json");
        Process::start(command, arguments.first().copied().unwrap_or_default())
    }

    /// Runs a command to its end and gives its lines.
    ///
    /// # Errors
    /// If it can not be started, or fails: with its last words.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<LineKind>> {
        self.start(arguments)?.finish()
    }

    /// Starts a manager on a free port of the loopback address and waits until it is up.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn manager(&self, more: &[&str]) -> Result<Manager> {
        let mut arguments = vec!["manager", "--listen", "127.0.0.1:0", "--no-discovery"];
        arguments.extend(more);
        self.manager_with(&arguments)
    }

    /// Starts a manager with exactly these arguments and waits until it is up.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn manager_with(&self, arguments: &[&str]) -> Result<Manager> {
        let mut process = self.start(arguments)?;
        let (urls, pairing) = process.wait(|line| match line {
            LineKind::Manager { urls, pairing, .. } => Some((urls.clone(), pairing.clone())),
            _ => None,
        })?;
        Ok(Manager {
            process,
            urls,
            pairing,
        })
    }

    /// Starts a worker and waits until its link is open.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn worker(&self, arguments: &[&str]) -> Result<Process> {
        let mut all = vec!["worker"];
        all.extend(arguments);
        let mut process = self.start(&all)?;
        process.wait(|line| match line {
            LineKind::WorkerState { linked: true, .. } => Some(()),
            _ => None,
        })?;
        Ok(process)
    }

    /// Asks the manager of this user on this machine for a job's results, over the same API that everything uses.
    ///
    /// # Errors
    /// If no manager of this user runs, or it does not answer.
    pub fn results(&self, job: JobId) -> Result<Vec<FrameResult>> {
        let api = self.api()?;
        tokio::runtime::Runtime::new()?.block_on(async {
            let mut results = Vec::new();
            let mut from = Some(0);
            while let Some(start) = from {
                let page = api.results(job, start, PAGE_MAX).await?;
                results.extend(page.items);
                from = page.next;
            }
            Ok(results)
        })
    }

    /// What the record says of a job's deliveries.
    ///
    /// # Errors
    /// As [`results`](Self::results).
    pub fn journal(&self, job: JobId) -> Result<Journal> {
        let api = self.api()?;
        tokio::runtime::Runtime::new()?.block_on(async { Ok(api.journal(job).await?) })
    }

    /// The API of this user's farm, as every command of the user finds it.
    ///
    /// # Errors
    /// If there is none.
    pub fn api(&self) -> Result<Api> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folders = Folders::at(&self.folder);
        let (farm, _) =
            choose_farm(&folders, &Wanted::default())?.context("no manager of this user runs")?;
        Ok(Api::new(farm.access())?)
    }
}

/// A manager that is up.
#[derive(Debug)]
pub struct Manager {
    /// Its process.
    pub process: Process,
    /// Its addresses.
    pub urls: Vec<String>,
    /// A code that machines can join by.
    pub pairing: Pairing,
}

impl Manager {
    /// `https://HOST:PORT/#CODE`.
    #[must_use]
    pub fn link(&self) -> &str {
        self.pairing
            .links
            .first()
            .map_or(self.pairing.code.as_str(), String::as_str)
    }
}

/// A process of the program with all its children.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    lines: Receiver<LineKind>,
    errors: Receiver<String>,
    last_errors: VecDeque<String>,
}

impl Process {
    fn start(mut command: Command, name: &str) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let (to_lines, lines) = channel();
        let (to_errors, errors) = channel();
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let unread = to_errors.clone();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Sends fail once nobody listens any more; the pipe is read all the same, or the program would stand still.
                let _ = match serde_json::from_str::<Line>(&text) {
                    Ok(line) => to_lines.send(line.what).map_err(|_| ()),
                    Err(error) => unread
                        .send(format!("not a line: {text}: {error}"))
                        .map_err(|_| ()),
                };
            }
        });
        std::thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = to_errors.send(text);
            }
        });
        let name = name.to_owned();
        Ok(Self {
            child,
            name,
            lines,
            errors,
            last_errors: VecDeque::new(),
        })
    }

    /// Its process id, which is its group's too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first line that `pick` takes.
    ///
    /// # Errors
    /// If the program ends before, or says nothing fitting for five minutes.
    pub fn wait<T>(&mut self, mut pick: impl FnMut(&LineKind) -> Option<T>) -> Result<T> {
        let until = Instant::now() + LINE_WAIT;
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    if let Some(picked) = pick(&line) {
                        return Ok(picked);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("what was waited for was not said; {}", self.last_words());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!("it ended early ({status}); {}", self.last_words());
                }
            }
        }
    }

    /// Takes the lines that are there by now, so that the next one waited for is of what happens from here on.
    pub fn lines_so_far(&mut self) -> Vec<LineKind> {
        self.lines.try_iter().collect()
    }

    /// Waits for its end and gives the lines not yet taken.
    ///
    /// # Errors
    /// If it fails: with its last words.
    pub fn finish(mut self) -> Result<Vec<LineKind>> {
        let (status, lines) = self.end()?;
        if status.success() {
            return Ok(lines);
        }
        Err(anyhow!("it failed ({status}); {}", self.last_words()))
    }

    /// Waits for its end, however it ends.
    ///
    /// # Errors
    /// If it can not be waited for.
    pub fn end(&mut self) -> Result<(ExitStatus, Vec<LineKind>)> {
        let lines = self.lines.iter().collect();
        Ok((self.child.wait()?, lines))
    }

    /// What it wrote to standard error so far, and not yet told.
    pub fn last_words(&mut self) -> String {
        let name = self.name.clone();
        for line in self.errors.try_iter() {
            if self.last_errors.len() == ERROR_LINES_MAX {
                self.last_errors.pop_front();
            }
            self.last_errors.push_back(line);
        }
        let lines: Vec<&str> = self.last_errors.iter().map(String::as_str).collect();
        format!("`tessera {name}` said: {}", lines.join("\n    "))
    }

    /// Sends a signal (`"INT"`, `"TERM"`, `"KILL"`, `"STOP"`, `"CONT"`) to the process alone.
    ///
    /// # Errors
    /// If `kill` can not be run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        send_signal(signal, &self.pid().to_string())
    }

    /// Sends a signal to the process and all its children.
    ///
    /// # Errors
    /// If `kill` can not be run.
    pub fn signal_all(&self, signal: &str) -> Result<()> {
        send_signal(signal, &format!("-{}", self.pid()))
    }

    /// Kills the process alone, as an out-of-memory killer would, and reaps it.
    ///
    /// # Errors
    /// If it can not be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

fn send_signal(signal: &str, target: &str) -> Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), "--", target])
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("cannot send SIG{signal} to {target}");
    }
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        // A worker's Blenders lead groups of their own; they end when their worker does.
        let _ = self.signal_all("KILL");
        let _ = self.child.wait();
    }
}
