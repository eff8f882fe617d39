//! All that a farm tells whoever watches it, in the order it is told, kept while a test goes on.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tessera_client::{EventFilter, Retry};
use tessera_model::{JobId, WorkerId};
use tessera_wire::api::WorkerStatus;
use tessera_wire::event::{Event, What};
use xtask::farm::Home;

/// Longest wait for an event: far beyond anything that works.
const COMES: Duration = Duration::from_secs(90);

/// Longest that a manager is away while it is watched.
const AWAY: Duration = Duration::from_secs(60);

/// What was told so far, and what comes.
pub struct Tape {
    told: Receiver<Event>,
    /// In the order it was told.
    pub events: Vec<Event>,
    /// Where the search for what comes begins.
    mark: usize,
}

/// A frame of a job.
pub type Frame = (JobId, i32);

impl Tape {
    /// Watches from now on.
    pub fn of(home: &Home) -> Self {
        let api = home.api().unwrap().retrying(Retry::for_at_most(AWAY));
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let since = Some(0);
                let mut events = api.events(EventFilter { job: None, since });
                while let Some(Ok(event)) = events.next().await {
                    if tell.send(event).is_err() {
                        return;
                    }
                }
            });
        });
        let mut tape = Self {
            told,
            events: Vec::new(),
            mark: 0,
        };
        // Whoever asks for what was before all others is told so first: from here on nothing is missed.
        tape.next("the beginning", |event| {
            matches!(event.what, What::Resync).then_some(())
        });
        tape
    }

    /// Looks for what comes after this moment only.
    pub fn skip_to_now(&mut self) {
        self.events.extend(self.told.try_iter());
        self.mark = self.events.len();
    }

    /// The first event from the mark on that `pick` takes. The mark is behind it then.
    #[track_caller]
    pub fn next<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let until = Instant::now() + COMES;
        loop {
            while let Some(event) = self.events.get(self.mark) {
                self.mark += 1;
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(event) => self.events.push(event),
                Err(error) => panic!(
                    "{what} did not happen ({error}); the last events were {:#?}",
                    self.last()
                ),
            }
        }
    }

    fn last(&self) -> Vec<String> {
        let from = self.events.len().saturating_sub(60);
        self.events[from..].iter().map(brief).collect()
    }

    /// Waits for a worker that stands so.
    #[track_caller]
    pub fn worker_is(&mut self, what: &str, id: WorkerId, so: impl Fn(&WorkerStatus) -> bool) {
        self.next(what, |event| match &event.what {
            What::Worker { worker } if worker.id == id && so(worker) => Some(()),
            _ => None,
        });
    }

    /// The next frame that begins, of this job and by this worker if they are named.
    #[track_caller]
    pub fn begins(
        &mut self,
        job: impl Into<Option<JobId>>,
        worker: impl Into<Option<WorkerId>>,
    ) -> (Frame, WorkerId) {
        let (job, worker) = (job.into(), worker.into());
        let what = format!("a frame of {job:?} begins on {worker:?}");
        self.next(&what, |event| {
            let begun = begun(event)?;
            let fits = job.is_none_or(|job| begun.0.0 == job)
                && worker.is_none_or(|worker| begun.1 == worker);
            fits.then_some(begun)
        })
    }

    /// Waits until this job is done, failed or cancelled.
    #[track_caller]
    pub fn over(&mut self, job: JobId) -> tessera_model::JobState {
        self.next(&format!("job {job} is over"), |event| match &event.what {
            What::Job { job: told } if told.id == job && told.state.is_over() => Some(told.state),
            _ => None,
        })
    }

    /// Where in the tape each thing that `pick` takes stands.
    pub fn places<T>(&self, mut pick: impl FnMut(&Event) -> Option<T>) -> Vec<(usize, T)> {
        let events = self.events.iter().enumerate();
        events
            .filter_map(|(at, event)| Some((at, pick(event)?)))
            .collect()
    }
}

/// The frame that begins with this event, and by whom.
pub fn begun(event: &Event) -> Option<(Frame, WorkerId)> {
    match event.what {
        What::FrameStarted {
            job, frame, worker, ..
        } => Some(((job, frame), worker)),
        _ => None,
    }
}

/// The frame that is delivered with this event, and by whom.
pub fn done(event: &Event) -> Option<(Frame, WorkerId)> {
    match &event.what {
        What::FrameDone { result } => Some(((result.lease.unit.job, result.frame), result.worker)),
        _ => None,
    }
}

/// Most of these workers that rendered frames of these jobs at the same moment.
pub fn most_at_once(events: &[Event], jobs: &[JobId]) -> usize {
    let mut rendering = BTreeSet::new();
    let mut most = 0;
    for event in events {
        if let Some((frame, worker)) = begun(event).filter(|it| jobs.contains(&it.0.0)) {
            rendering.insert((worker, frame));
        }
        if let Some((frame, worker)) = done(event) {
            rendering.remove(&(worker, frame));
        }
        let workers: BTreeSet<WorkerId> = rendering.iter().map(|(worker, _)| *worker).collect();
        most = most.max(workers.len());
    }
    most
}

/// An event in a line.
fn brief(event: &Event) -> String {
    let what = match &event.what {
        What::Job { job } => format!(
            "job {} {:?} {}/{}, {} leased",
            job.id, job.phase, job.done, job.frames, job.leased
        ),
        What::FrameStarted {
            job, frame, worker, ..
        } => format!("job {job} frame {frame} begun by {worker}"),
        What::FrameDone { result } => format!(
            "job {} frame {} done by {}",
            result.lease.unit.job, result.frame, result.worker
        ),
        What::FrameFailed { error, given_up } => format!(
            "job {} frame {} failed on {}, given up: {given_up}: {}",
            error.lease.unit.job, error.frame, error.worker, error.message
        ),
        What::Worker { worker } => format!(
            "worker {} {:?}, linked: {}, holds {:?}",
            worker.name, worker.mode, worker.linked, worker.holds
        ),
        other => format!("{other:?}"),
    };
    format!("{} {what}", event.at.0)
}
