//! What of a batch is worth telling. Of a job's errors only the first: what was told is remembered until the job is over or retried.

use std::collections::BTreeSet;

use tessera_model::{
    Change, FrameError, JobId, JobState, NoticeEvent, NoticeJob, UserName, WorkerId,
};
use tessera_scheduler::{Now, Scheduler};

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Occasion {
    /// To a job.
    Job {
        event: NoticeEvent,
        job: Box<NoticeJob>,
        /// Receivers that the job names.
        named: Vec<String>,
        /// What went wrong; empty if nothing did.
        detail: String,
        /// Workers it has to do with.
        workers: Vec<String>,
    },
    /// A worker's link ended without a word. It may come back.
    Cut(WorkerId),
    /// The space of the farm, or of one user, is nearly used up, or is.
    Store {
        user: Option<UserName>,
        used_bytes: u64,
        is_full: bool,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Jobs of which an error was told.
    erred: BTreeSet<JobId>,
    /// Jobs of which a frame was given up.
    given_up: BTreeSet<JobId>,
}

/// Characters of an error that are told: the log has all of it.
const DETAIL_MAX: usize = 300;

impl Witness {
    /// Looks at what was just recorded: failures, each with whether the frame was given up with it, workers cut off, and changes.
    pub(crate) fn see(
        &mut self,
        scheduler: &Scheduler,
        now: Now,
        failures: &[(Box<FrameError>, bool)],
        cut: &[WorkerId],
        changes: &[Change],
    ) -> Vec<Occasion> {
        let mut seen: Vec<Occasion> = cut.iter().copied().map(Occasion::Cut).collect();
        let mut tell = |event, job, detail, workers| {
            seen.extend(of_job(scheduler, now, event, job, detail, workers));
        };
        let name = |worker| scheduler.worker(now, worker).map(|view| view.record.name);
        for (error, given_up) in failures {
            let job = error.lease.unit.job;
            let first = self.erred.insert(job);
            let first_given_up = *given_up && self.given_up.insert(job);
            for (event, is_news) in [
                (NoticeEvent::FirstError, first),
                (NoticeEvent::FrameGivenUp, first_given_up),
            ] {
                if is_news {
                    let worker = name(error.worker);
                    tell(
                        event,
                        job,
                        detail(error, worker.as_deref()),
                        worker.into_iter().collect(),
                    );
                }
            }
        }
        for change in changes {
            match change {
                Change::JobState(job, state, _) => {
                    match state {
                        JobState::Done => tell(NoticeEvent::JobDone, *job, String::new(), vec![]),
                        JobState::Failed => {
                            tell(NoticeEvent::JobFailed, *job, String::new(), vec![]);
                        }
                        JobState::Active | JobState::Paused | JobState::Cancelled => {}
                    }
                    if state.is_over() {
                        self.forget(*job);
                    }
                }
                Change::FramesRetried(job) | Change::JobRemoved(job) => self.forget(*job),
                // An administrator who blocks one need not be told.
                Change::JobBlocked(job, worker) if failed_on(failures, *job, *worker) => {
                    let worker = name(*worker).into_iter().collect();
                    tell(NoticeEvent::WorkerBlocked, *job, String::new(), worker);
                }
                _ => {}
            }
        }
        seen
    }

    fn forget(&mut self, job: JobId) {
        self.erred.remove(&job);
        self.given_up.remove(&job);
    }
}

fn failed_on(failures: &[(Box<FrameError>, bool)], job: JobId, worker: WorkerId) -> bool {
    failures
        .iter()
        .any(|(error, _)| error.lease.unit.job == job && error.worker == worker)
}

fn detail(error: &FrameError, worker: Option<&str>) -> String {
    let message: Vec<&str> = error.message.split_whitespace().collect();
    let message: String = message.join(" ").chars().take(DETAIL_MAX).collect();
    let worker = worker.unwrap_or("a worker that is gone");
    format!("Frame {} failed on {worker}: {message}", error.frame)
}

fn of_job(
    scheduler: &Scheduler,
    now: Now,
    event: NoticeEvent,
    job: JobId,
    detail: String,
    workers: Vec<String>,
) -> Option<Occasion> {
    let view = scheduler.job(now, job)?;
    let settings = view.job.settings;
    Some(Occasion::Job {
        event,
        job: Box::new(NoticeJob {
            id: job,
            name: settings.name,
            owner: view.job.owner,
            state: view.state,
            frames: view.frames,
            done: view.done,
            failed: view.failed,
            submitted_at: view.job.submitted_at,
        }),
        named: settings.notify,
        detail,
        workers,
    })
}
