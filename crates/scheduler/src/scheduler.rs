//! The scheduler's state, and the few things that can be asked of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tessera_model::{FarmSettings, Job, JobId, JobState, LeaseKey, StepIndex, Timestamp, WorkerId};

use crate::accounts::Accounts;
use crate::books::Held;
use crate::builds::Builds;
use crate::effects::Effects;
use crate::input::{Input, Now};
use crate::job::JobEntry;
use crate::line::Line;
use crate::pools::Pools;
use crate::restore::{self, Restored};
use crate::table::{Seed, Table};
use crate::timers::Timers;
use crate::view::{self, FrameView, JobView, WorkerView};
use crate::why::{self, Why};
use crate::worker::WorkerEntry;
use crate::{apply, lapse};

/// Everything that is decided about.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) settings: FarmSettings,
    pub(crate) jobs: Table<JobId, JobEntry>,
    pub(crate) workers: Table<WorkerId, WorkerEntry>,
    /// Never gone through: that has no order.
    pub(crate) leases: HashMap<LeaseKey, Held, Seed>,
    pub(crate) next_job: u64,
    pub(crate) next_worker: u32,

    /// Names of workers that are taken.
    pub(crate) names: BTreeSet<String>,
    /// Jobs by the job they wait for.
    pub(crate) dependents: BTreeMap<JobId, BTreeSet<JobId>>,
    pub(crate) accounts: Accounts,
    pub(crate) pools: Pools,
    pub(crate) builds: Builds,
    pub(crate) line: Line,
    pub(crate) timers: Timers,

    /// A job has become ready: workers that were passed over are worth asking again.
    pub(crate) someone_new: bool,
    /// Workers that were passed over.
    pub(crate) passed: BTreeSet<WorkerId>,
    /// Leases that were asked back.
    pub(crate) recalled: usize,
    /// The line has a new order: who has more than its part may have to give.
    pub(crate) trim_due: bool,
    /// Active jobs that may preempt.
    pub(crate) preempting: BTreeSet<JobId>,
    /// Something about a job that may preempt has changed.
    pub(crate) preempt_due: bool,
    /// When such jobs last looked for somebody to end.
    pub(crate) preempted_at: Option<Duration>,
    /// A job whose turn it is first, or a worker that could give something up for it, may be another than before.
    pub(crate) room_due: bool,
    /// When room was last sought for such jobs.
    pub(crate) room_sought_at: Option<Duration>,
    /// When it was last looked for stragglers.
    pub(crate) looked_for_stragglers: Option<Duration>,
    /// Whether usage is measured: while it is not zero everywhere.
    pub(crate) sampling: bool,
    /// When it was measured last.
    pub(crate) sampled_at: Duration,
    /// Time of day of what is being taken in: only recorded.
    pub(crate) wall: Timestamp,
}

impl Scheduler {
    /// A farm without jobs and workers.
    #[must_use]
    pub fn new(settings: FarmSettings) -> Self {
        Self {
            settings,
            jobs: Table::default(),
            workers: Table::default(),
            leases: HashMap::default(),
            next_job: 1,
            next_worker: 1,
            names: BTreeSet::new(),
            dependents: BTreeMap::new(),
            accounts: Accounts::default(),
            pools: Pools::default(),
            builds: Builds::default(),
            line: Line::default(),
            timers: Timers::default(),
            someone_new: false,
            passed: BTreeSet::new(),
            recalled: 0,
            trim_due: false,
            preempting: BTreeSet::new(),
            preempt_due: false,
            preempted_at: None,
            room_due: false,
            room_sought_at: None,
            looked_for_stragglers: None,
            sampling: false,
            sampled_at: Duration::ZERO,
            wall: Timestamp(0),
        }
    }

    /// The farm as recorded. What workers held stays theirs for [`FarmSettings::restart_grace_ms`], until they link.
    #[must_use]
    pub fn restore(settings: FarmSettings, now: Now, restored: Restored) -> Self {
        restore::restore(settings, now, restored)
    }

    /// Takes in what happened and decides. Total: what can not be done is refused and changes nothing.
    pub fn apply(&mut self, now: Now, input: Input) -> Effects {
        let mut effects = Effects::default();
        apply::apply(self, now, input, &mut effects);
        effects
    }

    /// How long until [`Input::Tick`] has to be applied, if nothing else is before.
    #[must_use]
    pub fn next_tick(&self, now: Now) -> Option<Duration> {
        lapse::next(self).map(|at| at.saturating_sub(now.elapsed))
    }

    /// The farm's settings.
    #[must_use]
    pub fn settings(&self) -> &FarmSettings {
        &self.settings
    }

    /// Why a job is not rendered, or not by more workers; none if there is no such job.
    #[must_use]
    pub fn why_job(&self, now: Now, id: JobId) -> Option<Why> {
        why::job(self, now.elapsed, id)
    }

    /// Why a worker does nothing, or not more; none if there is no such worker.
    #[must_use]
    pub fn why_worker(&self, now: Now, id: WorkerId) -> Option<Why> {
        why::worker(self, now.elapsed, id)
    }

    /// Jobs that have been over since before this moment and hold no results that nobody has fetched, at most `limit` of them.
    #[must_use]
    pub fn expired(&self, over_before: Timestamp, limit: usize) -> Vec<JobId> {
        let goes = |entry: &JobEntry| entry.is_kept_enough(over_before);
        let jobs = self.jobs.iter().filter(|(_, entry)| goes(entry));
        jobs.map(|(id, _)| *id).take(limit).collect()
    }

    /// A job by itself.
    #[must_use]
    pub fn job_ref(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id).map(|entry| &entry.job)
    }

    /// A job as it stands.
    #[must_use]
    pub fn job(&self, now: Now, id: JobId) -> Option<JobView> {
        view::job(self, now, id)
    }

    /// Up to `limit` jobs older than `after`, newest first.
    #[must_use]
    pub fn jobs(&self, now: Now, after: Option<JobId>, limit: usize) -> Vec<JobView> {
        self.jobs_where(now, after, limit, |_, _, _| true)
    }

    /// The same of those that `keep` wants, told how each stands and how many of its frames are being rendered: more of it is looked at
    /// only for those that are kept.
    #[must_use]
    pub fn jobs_where(
        &self,
        now: Now,
        after: Option<JobId>,
        limit: usize,
        keep: impl Fn(&Job, JobState, u32) -> bool,
    ) -> Vec<JobView> {
        let end = after.unwrap_or(JobId(u64::MAX));
        self.jobs
            .range(..end)
            .rev()
            .filter(|(_, entry)| keep(&entry.job, entry.state, entry.rendering))
            .take(limit)
            .filter_map(|(&id, _)| self.job(now, id))
            .collect()
    }

    /// Up to `limit` frames of a step from position `from` on; none if there is no such job or step.
    #[must_use]
    pub fn frames(&self, job: JobId, step: StepIndex, from: u32, limit: usize) -> Vec<FrameView> {
        view::frames(self, job, step, from, limit)
    }

    /// A worker as it stands.
    #[must_use]
    pub fn worker(&self, now: Now, id: WorkerId) -> Option<WorkerView> {
        view::worker(self, now, id)
    }

    /// All workers.
    #[must_use]
    pub fn workers(&self, now: Now) -> Vec<WorkerView> {
        self.workers
            .keys()
            .filter_map(|&id| self.worker(now, id))
            .collect()
    }

    /// Jobs that are not over.
    #[must_use]
    pub fn live_jobs(&self) -> usize {
        self.jobs
            .values()
            .filter(|entry| !entry.state.is_over())
            .count()
    }
}
