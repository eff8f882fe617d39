//! One living Blender.
//!
//! Three parties: a *keeper* thread owns the child process and its stdout and stderr; a *link* task reads events off the socket;
//! a *watch* task samples what the process tree uses. Whatever ends the process, the end shows in one place: the socket
//! closes. The request in flight then asks why (killed by us, hung, too large, or its own doing), and the keeper buries the
//! process: kills the whole tree, reaps, and empties the pipes into the log.

mod error;
mod keeper;
mod link;
mod log;
mod lost_report;
mod spawn;
mod tree;
mod watch;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::blend::{relocate_libraries, stored_engines};
use crate::build::Build;
use crate::header::saved_by;
use crate::message::{
    Assemble, Copied, CopyFile, Event, Hello, Open, Opened, Pong, Refusal, RefusalCode, Render,
    RenderSlice, Rendered, RenderedSlice, Request, Scan, ScanRequest,
};
use crate::written;

pub use error::Error;
use keeper::Keeper;
use link::Link;
pub use log::LogFiles;
pub use tree::Usage;
use watch::Fate;

/// How a Blender is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// How many threads it may use; `None`: as many as there are cores.
    pub threads: Option<NonZeroU32>,
    /// Added to its nice level.
    pub nice: u8,
    /// Resident memory of the process tree above which it is killed.
    pub memory_max_bytes: Option<u64>,
    /// A request during which the process tree uses no CPU and no disk for this long has hung.
    pub hang_after: Duration,
    /// Added to the environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for Launch {
    fn default() -> Self {
        Self {
            threads: None,
            nice: 0,
            memory_max_bytes: None,
            // Longer than any pause for a slow network disk that is worth waiting for.
            hang_after: Duration::from_secs(120),
            environment: Vec::new(),
        }
    }
}

/// A living Blender. Dropped, it is killed with all its children.
#[derive(Debug)]
pub struct Blender {
    build: Build,
    hello: Hello,
    keeper: Keeper,
    link: Link,
    fate: Arc<Fate>,
    /// A request was sent and its end not yet seen, or a render has failed.
    in_flight: bool,
}

/// Reaches a living Blender while it works. Cheap to clone; outlives it harmlessly.
#[derive(Clone, Debug)]
pub struct Handle {
    pid: u32,
    link: Link,
    fate: Arc<Fate>,
}

impl Blender {
    /// Starts one and waits until it answers.
    pub async fn launch(build: &Build, launch: &Launch, log: &LogFiles) -> Result<Self, Error> {
        let fate = Fate::new();
        let (keeper, socket) = Keeper::start(build, launch, log, Arc::clone(&fate)).await?;
        fate.watch(keeper.pid(), launch);
        let link = Link::over(socket).map_err(|source| Error::Launch {
            path: build.path.clone(),
            source,
        })?;
        let nobody = Hello {
            version: build.version,
            hash: String::new(),
            date: String::new(),
            platform: String::new(),
            kind: build.kind,
            engines: Vec::new(),
            devices: Vec::new(),
        };
        let mut blender = Self {
            build: build.clone(),
            hello: nobody,
            keeper,
            link,
            fate,
            in_flight: false,
        };
        match blender.exchange("start", None, &Request::Hello).await? {
            Event::Hello(hello) => blender.hello = hello,
            other => return Err(Error::unexpected("start", &other)),
        }
        Ok(blender)
    }

    /// What it said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    #[must_use]
    pub fn build(&self) -> &Build {
        &self.build
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.keeper.pid()
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            pid: self.keeper.pid(),
            link: self.link.clone(),
            fate: Arc::clone(&self.fate),
        }
    }

    /// Loads a file in place of the one that was open. A refusal leaves nothing open.
    pub async fn open(&mut self, open: &Open, log: &LogFiles) -> Result<Opened, Error> {
        let (relocated, engines) = prepare(open).await;
        let request = Request::Open {
            open,
            engines: &engines,
        };
        let answer = self.exchange("open the file", Some(log), &request).await;
        match answer.map_err(|error| self.too_new(open, error))? {
            Event::Opened(opened) => Ok(Opened {
                repointed: opened.repointed + relocated,
                ..opened
            }),
            other => Err(Error::unexpected("open the file", &other)),
        }
    }

    /// Lists what the open file needs and makes.
    pub async fn scan(&mut self, scan: &ScanRequest, log: &LogFiles) -> Result<Scan, Error> {
        match self
            .exchange("scan the file", Some(log), &Request::Scan(scan))
            .await?
        {
            Event::Scanned(scan) => Ok(*scan),
            other => Err(Error::unexpected("scan the file", &other)),
        }
    }

    /// Saves a copy of a file that finds its files elsewhere. What was open is closed.
    pub async fn copy(&mut self, copy: &CopyFile, log: &LogFiles) -> Result<Copied, Error> {
        match self
            .exchange("copy the file", Some(log), &Request::Copy(copy))
            .await?
        {
            Event::Copied(copied) => Ok(copied),
            other => Err(Error::unexpected("copy the file", &other)),
        }
    }

    /// Renders one frame of the open file. After a render that ended in an error this Blender takes no more requests.
    pub async fn render(&mut self, render: &Render, log: &LogFiles) -> Result<Rendered, Error> {
        let doing = format!("render frame {}", render.frame);
        self.frame(doing, &Request::Render(render), &render.out_dir, log)
            .await
    }

    /// Renders a part of a frame of the open file. After an error it is as after one of [`Blender::render`].
    pub async fn slice(
        &mut self,
        slice: &RenderSlice,
        log: &LogFiles,
    ) -> Result<RenderedSlice, Error> {
        let doing = format!("render a part of frame {}", slice.frame);
        match self
            .exchange(&doing, Some(log), &Request::Slice(slice))
            .await?
        {
            Event::Sliced(sliced) => {
                let folder = slice.out.parent().unwrap_or(Path::new("/"));
                let files = vec![sliced.path.clone()];
                self.judge(doing, folder, files, log).await?;
                Ok(*sliced)
            }
            other => Err(Error::unexpected(&doing, &other)),
        }
    }

    /// Makes the files of a frame of the open file out of what is rendered of it. After an error it is as after one of
    /// [`Blender::render`].
    pub async fn assemble(
        &mut self,
        assemble: &Assemble,
        log: &LogFiles,
    ) -> Result<Rendered, Error> {
        let doing = format!("put frame {} together", assemble.frame);
        let request = Request::Assemble(assemble);
        self.frame(doing, &request, &assemble.out_dir, log).await
    }

    /// A request that makes the files of a frame.
    async fn frame(
        &mut self,
        doing: String,
        request: &Request<'_>,
        out_dir: &Path,
        log: &LogFiles,
    ) -> Result<Rendered, Error> {
        match self.exchange(&doing, Some(log), request).await? {
            Event::Rendered(rendered) => {
                let files = rendered.files.iter().map(|file| file.path.clone());
                self.judge(doing, out_dir, files.collect(), log).await?;
                Ok(*rendered)
            }
            other => Err(Error::unexpected(&doing, &other)),
        }
    }

    /// Whether what was rendered is what Blender takes it for.
    async fn judge(
        &mut self,
        doing: String,
        folder: &Path,
        files: Vec<PathBuf>,
        log: &LogFiles,
    ) -> Result<(), Error> {
        let refused = match reported(log).await {
            Some(text) => Err((RefusalCode::Render, text)),
            None => whole(folder, files)
                .await
                .map_err(|text| (RefusalCode::Write, text)),
        };
        refused.map_err(|(code, text)| {
            self.in_flight = true;
            let refusal = Refusal { code, text };
            Error::Failed { doing, refusal }
        })
    }

    /// Asks it to end, and sees to it.
    pub async fn quit(mut self) -> Result<(), Error> {
        let asked = match self.exchange("quit", None, &Request::Quit).await {
            Ok(_) | Err(Error::Crashed { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        self.keeper.bury(keeper::Mercy::Exit).await;
        asked
    }

    /// Ends it and all its children now, and waits until they are gone.
    pub async fn kill(self) {
        self.keeper.bury(keeper::Mercy::None).await;
    }

    /// An old Blender says of a file in the format of 5.0 that it is none.
    fn too_new(&self, open: &Open, error: Error) -> Error {
        let Error::Refused { doing, refusal } = error else {
            return error;
        };
        let ours = self.build.version;
        match saved_by(&open.path) {
            Ok(series) if refusal.code == RefusalCode::NotBlend && series > ours.series() => {
                let text = format!(
                    "{} was saved by Blender {series}; this is {ours}",
                    open.path.display()
                );
                let code = RefusalCode::TooNew;
                Error::Refused {
                    doing,
                    refusal: Refusal { code, text },
                }
            }
            _ => Error::Refused { doing, refusal },
        }
    }

    /// One request and its final event. Without `log`, output goes where it went before.
    async fn exchange(
        &mut self,
        doing: &str,
        log: Option<&LogFiles>,
        request: &Request<'_>,
    ) -> Result<Event, Error> {
        if self.in_flight {
            return Err(Error::Abandoned {
                doing: doing.to_owned(),
            });
        }
        if let Some(log) = log {
            self.keeper.begin_log(log)?;
        }
        // Stays set if this future is dropped half-way, or if Blender ends: either way it cannot be used again.
        self.in_flight = true;
        let running = self.fate.running();
        let event = self.link.request(request).await;
        drop(running);
        match event {
            Ok(Event::Refused(refusal)) => {
                self.keeper.drain_log().await?;
                self.in_flight = false;
                Err(Error::Refused {
                    doing: doing.to_owned(),
                    refusal,
                })
            }
            Ok(Event::Failed(refusal)) => {
                // What is left of the render would spoil the next: as good as still in flight.
                self.keeper.drain_log().await?;
                Err(Error::Failed {
                    doing: doing.to_owned(),
                    refusal,
                })
            }
            Ok(event) => {
                self.keeper.drain_log().await?;
                self.in_flight = false;
                Ok(event)
            }
            Err(broken) => Err(self.post_mortem(doing, broken).await),
        }
    }

    async fn post_mortem(&mut self, doing: &str, broken: link::Broken) -> Error {
        // A socket that closed may precede the exit by a moment; one that carries nonsense must be ended.
        let mercy = if matches!(broken, link::Broken::Closed) {
            keeper::Mercy::Exit
        } else {
            keeper::Mercy::None
        };
        let end = self.keeper.bury(mercy).await;
        Error::of_end(doing, broken, self.fate.sealed(), end)
    }
}

/// What must be done and known before Blender loads a file: absolute library paths made to fit, and the engines
/// that the scenes ask for. A file that cannot be understood is left to Blender, which then refuses it, or reports its
/// libraries as missing.
async fn prepare(open: &Open) -> (u32, Vec<(String, String)>) {
    let path = open.path.clone();
    let rules = match open.read_only {
        true => Vec::new(),
        false => open.remap.clone(),
    };
    let look = move || {
        let relocated = match rules.as_slice() {
            [] => Ok(0),
            rules => relocate_libraries(&path, rules),
        };
        (relocated, stored_engines(&path))
    };
    let (relocated, engines) = match tokio::task::spawn_blocking(look).await {
        Ok(seen) => seen,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let relocated = relocated.unwrap_or_else(|error| {
        tracing::warn!(%error, "library paths are left as they are");
        0
    });
    let engines = engines.unwrap_or_else(|error| {
        tracing::debug!(%error, "the engines that the scenes ask for are not known");
        Vec::new()
    });
    (relocated, engines)
}

/// The error that Blender reported to nobody while it rendered, if it did.
async fn reported(log: &LogFiles) -> Option<String> {
    let log = log.clone();
    match tokio::task::spawn_blocking(move || lost_report::find(&log)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot read the log of a frame");
            None
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Looks whether the files of a frame are complete, which Blender's word does not mean.
async fn whole(folder: &Path, files: Vec<PathBuf>) -> Result<(), String> {
    let folder = folder.to_path_buf();
    match tokio::task::spawn_blocking(move || written::check(&folder, &files)).await {
        Ok(checked) => checked.map_err(|unwhole| unwhole.to_string()),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Handle {
    /// Ends it and all its children; the request in flight returns [`Error::Killed`].
    pub fn kill(&self) {
        self.fate.kill(self.pid);
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it is doing; answered in the middle of a render, too.
    pub async fn ping(&self) -> Result<Pong, Error> {
        self.link.ping().await.map_err(Error::of_ping)
    }

    /// Returns once it has ended, in whatever way: so an idle one that dies is noticed.
    pub async fn ended(&self) {
        self.link.ended().await;
    }

    /// What its process tree uses, sampled about once a second.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.fate.usage()
    }
}
