//! From a frame that has ended to a manager that knows it.
//!
//! A report is first *sealed*: its files are cut and hashed and what is to be said is written into the frame's folder.
//! From then on it survives this process: the next one finds the folder, checks that every file still is what was
//! hashed, and goes on. Then the blocks the manager lacks are sent straight out of the folder, and the report is
//! posted, for as long as it takes. The folder goes when the manager has answered.
//!
//! The files stay where Blender wrote them until then; copying them into the block store first would write every frame
//! twice and keep what nobody here asks for again.

mod post;
mod previews;
mod seal;

use std::path::PathBuf;
use std::sync::Arc;

use tessera_merge::Display;
use tessera_model::{Build, FileRole, LeaseKey, ResultTimings, WorkerId};
use tessera_wire::link::FrameToRender;
use tokio::sync::{Semaphore, mpsc};

use crate::crew::Crew;
use crate::desk::{EarlyFailure, Input};
use crate::failure::Failure;
use crate::frame_dir::FrameDir;
use crate::hub::Hub;
use crate::uplink::Uplink;

pub(crate) use seal::{Sealed, restore};

/// Frames hashed at once: beside a render, which needs the processors more.
const SEALING_MAX: usize = 2;

/// Frames on their way at once: enough that the network's delay is not what bounds small frames, few enough that
/// large ones leave in the order they came.
const SENDING_MAX: usize = 4;

/// A frame that has ended, as its slot hands it over.
#[derive(Debug)]
pub(crate) struct Report {
    pub key: LeaseKey,
    pub job_name: String,
    pub frame: FrameToRender,
    /// None if it never came to a folder.
    pub folder: Option<FrameDir>,
    pub outcome: Outcome,
}

/// A file that came of an order.
#[derive(Debug, Clone)]
pub(crate) struct MadeFile {
    pub role: FileRole,
    /// As its maker names it; may hold `/`.
    pub name: String,
    pub path: PathBuf,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Rendered {
        files: Vec<MadeFile>,
        /// How the scene shows its colours, where the files hold light.
        display: Option<Arc<Display>>,
        /// Where the files are parts of a frame, its columns and rows.
        part_of: Option<(u32, u32)>,
        /// There are no files: these tiles of the frame are to have more samples first.
        noisy: Vec<u16>,
        build: Build,
        device: String,
        persistent: bool,
        timings: ResultTimings,
        /// For its user.
        notes: Vec<String>,
    },
    Failed(Failure),
}

impl Report {
    pub(crate) fn early(failure: EarlyFailure) -> Self {
        Self {
            key: failure.key,
            job_name: String::new(),
            frame: failure.frame,
            folder: None,
            outcome: Outcome::Failed(Failure {
                kind: failure.kind,
                message: failure.message,
            }),
        }
    }
}

/// Everything a delivery needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Deliverer {
    pub hub: Arc<Hub>,
    pub uplink: Uplink,
    pub worker: WorkerId,
    sealing: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    crew: Crew,
}

impl Deliverer {
    pub(crate) fn new(hub: Arc<Hub>, uplink: Uplink, worker: WorkerId, crew: Crew) -> Self {
        Self {
            hub,
            uplink,
            worker,
            sealing: Arc::new(Semaphore::new(SEALING_MAX)),
            sending: Arc::new(Semaphore::new(SENDING_MAX)),
            crew,
        }
    }

    /// Takes up reports as they come until their senders are gone. Deliveries wait as tasks of their own; how many
    /// there can be is the desk's bound on frames not sent.
    pub(crate) async fn run(self, mut reports: mpsc::UnboundedReceiver<Report>) {
        while let Some(report) = reports.recv().await {
            let this = self.clone();
            self.crew.spawn("delivery", async move {
                let sealed = this.seal(report).await;
                this.deliver(sealed).await;
            });
        }
    }

    /// Takes up what a former run left.
    pub(crate) fn take_up(&self, left: Vec<Sealed>) {
        for sealed in left {
            let this = self.clone();
            self.crew
                .spawn("delivery", async move { this.deliver(sealed).await });
        }
    }

    async fn seal(&self, report: Report) -> Sealed {
        let permit = self.sealing.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        let worker = self.worker;
        let sealing = tokio::task::spawn_blocking(move || seal::seal(report, worker));
        sealing.await.expect("sealing does not panic")
    }

    async fn deliver(&self, sealed: Sealed) {
        let key = sealed.key();
        let position = sealed.position();
        {
            let permit = self.sending.acquire().await;
            let _permit = permit.expect("the semaphore is never closed");
            post::deliver(self, &sealed).await;
        }
        let removed = tokio::task::spawn_blocking(move || sealed.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!("cannot remove the folder of a delivered frame: {error}");
        }
        self.hub.apply(Input::Reported { key, position });
    }
}
