//! Watches a job to its end and has its frames delivered.
//!
//! Events say what happens; whenever some may have been missed (at the start, after the manager was
//! away) the list of results is read from its beginning, and what was handed on already is left out. So a frame is
//! delivered once, however it became known.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tessera_client::{Api, ApiError, EventFilter, OutputPlan, put_placeholder};
use tessera_model::{FrameBits, FrameResult, FrameSet, JobId, JobState};
use tessera_wire::api::Phase;
use tessera_wire::event::{Event, What};
use tessera_worker::{SlotStatus, Status as WorkerStatus};
use tokio::sync::watch;

use super::brought::Brought;
use super::delivery::{Delivered, Delivery, DeliveryError, QUEUE_MAX};
use super::outages::Outages;
use super::so_far::{Grown, SoFar};
use crate::progress::DoneFrame;
use crate::progress::Progress;

/// Most notes of workers that are shown: more than there are kinds of, and no flood where each frame has its own.
const NOTES_MAX: usize = 50;

/// How often time left counts down, and it is looked whether something holds the job up.
const TICK: Duration = Duration::from_millis(250);

/// A job of which nothing is rendered is asked about its reason after so long, and again so long after.
const IDLE_ASK: Duration = Duration::from_secs(2);

/// After so long without any event everything is read anew. Events do not get lost; should one ever, nobody waits for ever.
const QUIET: Duration = Duration::from_secs(60);

/// Results asked for at once.
const PAGE: u32 = QUEUE_MAX as u32;

/// Why a job is not followed to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The manager can not be asked any more.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Frames can not be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// The job is gone.
    #[error("job {0} was removed from the farm while it was waited for")]
    Removed(JobId),
}

impl FollowError {
    /// The answer of the manager, or its absence, that is behind it.
    pub(crate) fn api(&self) -> Option<&ApiError> {
        use std::error::Error;
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(api) = error.downcast_ref() {
                return Some(api);
            }
            cause = match error.downcast_ref() {
                // What is transparent hides itself and shows what is below its source.
                Some(Self::Api(api)) => return Some(api),
                Some(Self::Delivery(DeliveryError::Fetch(fetch))) => Some(fetch),
                _ => error.source(),
            };
        }
        None
    }
}

/// Waits until the worker says something new; for ever if there is none, or it has ended and says nothing more.
async fn changed(worker: &mut Option<watch::Receiver<WorkerStatus>>) {
    let said = match worker {
        Some(worker) => worker.changed().await.is_ok(),
        None => false,
    };
    if !said {
        std::future::pending().await
    }
}

/// Waits until there is more of the frame that is shown while it grows; for ever if none is.
async fn grown(so_far: &mut Option<SoFar>) -> Grown {
    match so_far {
        Some(so_far) => so_far.grown().await,
        None => std::future::pending().await,
    }
}

/// What a worker does that does not render yet.
fn preparing(worker: &WorkerStatus) -> Option<String> {
    worker.slots.iter().find_map(|slot| match slot {
        SlotStatus::Starting { build } => Some(format!("starting {build}")),
        SlotStatus::Loading { .. } => Some("opening the scene".to_owned()),
        SlotStatus::Idle { .. } | SlotStatus::Rendering { .. } => None,
    })
}

/// A job that is watched.
pub(crate) struct Follow<'a> {
    job: JobId,
    api: Api,
    outages: &'a mut Outages,
    progress: &'a mut Progress,
    /// The job's frames, as it has them.
    frames: FrameSet,
    /// Frames that are wanted here.
    wanted: FrameSet,
    /// Positions that were handed on, or are not wanted.
    handed: FrameBits,
    /// Positions that lie in the output folder, or are not wanted.
    delivered: FrameBits,
    /// Frames that an earlier run left where they belong, and where it is noted which of them this job delivered.
    present: Option<(FrameSet, Brought)>,
    backlog: VecDeque<FrameResult>,
    /// Notes of workers that the user has seen: one is true of many frames.
    noted: BTreeSet<String>,
    /// Where the list of results is to be read on.
    read_from: Option<u64>,
    in_delivery: usize,
    state: JobState,
    /// Where empty files mark frames that are being rendered, if the file asks for that.
    placeholders: Option<OutputPlan>,
    /// The worker of a private farm, which can say what it does before its first frame.
    worker: Option<watch::Receiver<WorkerStatus>>,
    /// The frame as far as it is there, if somebody wants to see it.
    so_far: Option<SoFar>,
}

impl<'a> Follow<'a> {
    /// Watches `job`, whose step has `frames`, for those that are `wanted`, over a client that waits for ever.
    pub(crate) fn new(
        api: Api,
        job: JobId,
        frames: FrameSet,
        wanted: FrameSet,
        outages: &'a mut Outages,
        progress: &'a mut Progress,
    ) -> Self {
        let mut handed = FrameBits::new(frames.len());
        for (position, frame) in (0..).zip(frames.iter()) {
            if wanted.position(frame).is_none() {
                handed.set(position);
            }
        }
        Self {
            job,
            api,
            outages,
            progress,
            frames,
            wanted,
            delivered: handed.clone(),
            handed,
            present: None,
            backlog: VecDeque::new(),
            noted: BTreeSet::new(),
            read_from: Some(0),
            in_delivery: 0,
            state: JobState::Active,
            placeholders: None,
            worker: None,
            so_far: None,
        }
    }

    /// Marks frames that are being rendered by empty files, as the file asks for.
    pub(crate) fn with_placeholders(mut self, plan: Option<OutputPlan>) -> Self {
        self.placeholders = plan;
        self
    }

    /// Notes which of the frames that are there already this job delivered.
    pub(crate) fn with_present(mut self, present: Option<FrameSet>, brought: &Brought) -> Self {
        self.present = present.map(|frames| (frames, brought.clone()));
        self
    }

    /// Shows what this worker does while nothing is rendered.
    pub(crate) fn with_worker(mut self, worker: Option<watch::Receiver<WorkerStatus>>) -> Self {
        self.worker = worker;
        self
    }

    /// Tells of the frame while it grows.
    pub(crate) fn with_so_far(mut self, so_far: Option<SoFar>) -> Self {
        self.so_far = so_far;
        self
    }

    /// Goes on over another way to the same farm, with another delivery: what the old one had in hand is handed on again.
    pub(crate) fn reconnect(&mut self, api: Api) {
        if let Some(so_far) = &mut self.so_far {
            *so_far = so_far.over(api.clone(), self.job);
        }
        self.api = api;
        self.read_from = Some(0);
        self.backlog.clear();
        self.in_delivery = 0;
        self.handed.clone_from(&self.delivered);
    }

    /// Watches until all wanted frames are delivered, which is the job's being done as far as matters here, or until the
    /// job is over and no more will come. May be dropped and called again.
    pub(crate) async fn run(&mut self, delivery: &mut Delivery) -> Result<JobState, FollowError> {
        // An event that no manager remembers makes it say that everything is to be read anew: nothing falls between
        // what is read and what is watched.
        let filter = EventFilter {
            job: Some(self.job),
            since: Some(0),
        };
        let mut events = self.api.events(filter);
        let mut tick = tokio::time::interval(TICK);
        let mut last_event = Instant::now();
        let mut last_asked = Instant::now();
        self.look().await?;
        loop {
            if self.backlog.is_empty()
                && let Some(from) = self.read_from
            {
                self.read_results(from).await?;
                continue;
            }
            if self.delivered.all() {
                return Ok(JobState::Done);
            }
            if self.is_finished() {
                return Ok(self.state);
            }
            let results = delivery
                .results
                .as_ref()
                .expect("it is ended only after the job was followed");
            tokio::select! {
                permit = results.reserve(), if !self.backlog.is_empty() => {
                    // A task that has ended says why by what comes out of it.
                    if let (Ok(permit), Some(result)) = (permit, self.backlog.pop_front()) {
                        self.in_delivery += 1;
                        permit.send(result);
                    }
                }
                Some(delivered) = delivery.delivered.recv() => self.delivered(delivered)?,
                () = changed(&mut self.worker) => {
                    let worker = self.worker.as_ref().map(|worker| worker.borrow().clone());
                    tracing::debug!(?worker, "the worker");
                    self.progress.activity(worker.as_ref().and_then(preparing));
                }
                grown = grown(&mut self.so_far) => self.progress.so_far(grown.frame, grown.file),
                () = self.outages.changed() => self.progress.outage(self.outages.present()),
                event = events.next(), if self.backlog.len() < QUEUE_MAX => {
                    last_event = Instant::now();
                    match event {
                        Some(event) => self.event(event?).await?,
                        None => events = self.api.events(filter),
                    }
                }
                _ = tick.tick() => {
                    self.progress.redraw();
                    if last_event.elapsed() > QUIET {
                        last_event = Instant::now();
                        self.read_from = Some(0);
                        self.look().await?;
                    } else if !self.progress.is_rendering() && last_asked.elapsed() > IDLE_ASK {
                        last_asked = Instant::now();
                        self.look().await?;
                    }
                }
            }
        }
    }

    /// Has delivered what is done by now, and does not wait for more.
    pub(crate) async fn take_what_is_there(
        &mut self,
        delivery: &mut Delivery,
    ) -> Result<JobState, FollowError> {
        self.look().await?;
        while let Some(from) = self.read_from {
            self.read_results(from).await?;
            for result in std::mem::take(&mut self.backlog) {
                if let Some(results) = &delivery.results
                    && results.send(result).await.is_ok()
                {
                    self.in_delivery += 1;
                }
            }
            while self.in_delivery > 0
                && let Some(delivered) = delivery.delivered.recv().await
            {
                self.delivered(delivered)?;
            }
        }
        Ok(self.state)
    }

    /// The manager is there again, if under other credentials.
    pub(crate) fn back(&mut self) {
        self.outages.over();
        self.progress.outage(None);
    }

    /// A client that waits for ever and tells the same of it.
    pub(crate) fn patient(&self, api: &Api) -> Api {
        self.outages.patient(api)
    }

    fn is_finished(&self) -> bool {
        self.state.is_over()
            && self.backlog.is_empty()
            && self.in_delivery == 0
            && self.read_from.is_none()
    }

    /// How the job stands, and why it does not go on if it does not.
    async fn look(&mut self) -> Result<(), FollowError> {
        let detail = match self.api.job(self.job).await {
            Ok(detail) => detail,
            Err(error) if error.kind() == Some(tessera_wire::problem::ProblemKind::NotFound) => {
                return Err(FollowError::Removed(self.job));
            }
            Err(error) => return Err(error.into()),
        };
        let summary = &detail.summary;
        let (places_done, places) = (summary.places_done, summary.places);
        self.parts(places_done, places);
        self.stands(detail.summary.state);
        let held_by = match detail.summary.phase {
            Phase::Paused => Some(format!(
                "job {} is paused: `tessera job resume {}` goes on with it",
                self.job, self.job
            )),
            Phase::Waiting if !detail.waiting_because.is_empty() => {
                Some(format!("Waiting: {}", detail.waiting_because))
            }
            _ => None,
        };
        if self.worker.is_none() {
            let loading = detail.summary.leased > 0;
            self.progress
                .activity(loading.then(|| "the scene is being loaded".to_owned()));
        }
        self.progress.hold(held_by);
        Ok(())
    }

    fn parts(&mut self, done: u32, all: u32) {
        self.progress.parts(done, all);
        if let Some(so_far) = &self.so_far {
            so_far.parts_done(done);
        }
    }

    fn stands(&mut self, state: JobState) {
        if state.is_over() && !self.state.is_over() {
            // Whatever was not heard of is in the list of results now.
            self.read_from = Some(0);
        }
        self.state = state;
    }

    async fn read_results(&mut self, from: u64) -> Result<(), FollowError> {
        let page = self.api.results(self.job, from, PAGE).await?;
        for result in page.items {
            self.hand_on(result);
        }
        self.read_from = page.next;
        Ok(())
    }

    fn hand_on(&mut self, result: FrameResult) {
        // Each is made once, by whichever step.
        let position = self.frames.position(result.frame);
        if let Some((present, brought)) = &self.present
            && position.is_some()
            && present.position(result.frame).is_some()
        {
            brought.add([(result.frame, Some(result.lease.unit.step))]);
        }
        if position.is_some_and(|position| self.handed.set(position)) {
            self.progress.rendered(result.frame);
            for note in &result.notes {
                if self.noted.len() < NOTES_MAX && self.noted.insert(note.clone()) {
                    self.progress.warn(note.clone());
                }
            }
            self.backlog.push_back(result);
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), FollowError> {
        match event.what {
            What::Resync => {
                self.read_from = Some(0);
                self.progress.forget_rendering();
                self.look().await?;
            }
            What::Job { job } if job.id == self.job => {
                self.parts(job.places_done, job.places);
                self.stands(job.state);
            }
            What::JobRemoved { job } if job == self.job => return Err(FollowError::Removed(job)),
            What::FrameStarted {
                job, frame, worker, ..
            } if job == self.job && self.wanted.position(frame).is_some() => {
                if !self.progress.knows(worker) {
                    let workers = self.api.workers().await?.items;
                    let names = workers.into_iter().map(|worker| (worker.id, worker.name));
                    self.progress.name_workers(names);
                }
                tracing::debug!("frame {frame} begins");
                self.progress.started(frame, worker);
                if let Some(plan) = &self.placeholders {
                    put_placeholder(plan, frame);
                }
            }
            What::FrameDone { result } if result.lease.unit.job == self.job => {
                self.hand_on(*result)
            }
            What::FrameFailed { error, given_up } if error.lease.unit.job == self.job => {
                self.progress
                    .frame_failed(error.frame, error.worker, error.message, given_up);
            }
            What::Worker { worker } => self.progress.name_workers([(worker.id, worker.name)]),
            _ => {}
        }
        Ok(())
    }

    fn delivered(&mut self, delivered: Delivered) -> Result<(), FollowError> {
        match delivered {
            Delivered::Failed(error) => Err(error.into()),
            Delivered::Gone => {
                self.in_delivery -= 1;
                Ok(())
            }
            Delivered::Frame { result, fetched } => {
                tracing::debug!("frame {} is in its place", result.frame);
                self.in_delivery -= 1;
                if let Some(position) = self.frames.position(result.frame) {
                    self.delivered.set(position);
                }
                for warning in fetched.warnings {
                    self.progress.warn(warning);
                }
                self.progress.done(DoneFrame {
                    frame: result.frame,
                    files: fetched.files.into_iter().map(|file| file.path).collect(),
                    worker: result.worker,
                    at: result.at,
                    seconds: result.timings.render_us as f64 / 1e6,
                });
                Ok(())
            }
        }
    }
}
