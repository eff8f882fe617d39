//! Why something is not being rendered, told by what decides it: the criteria of `need`, the absence of a worker, blocks,
//! limits, the cap, and whether units are free.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tessera_model::{JobId, JobState, Rest, WorkerId, WorkerMode};

use crate::accounts::Holder;
use crate::assign::{SHORT_ONLY_FROM, try_job};
use crate::job::JobEntry;
use crate::line;
use crate::need::Criterion;
use crate::scheduler::Scheduler;
use crate::worker::{Absence, WorkerEntry};

/// All that keeps a job or a worker from more work now, most telling first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Why {
    /// One clause each.
    pub reasons: Vec<Reason>,
}

/// One reason, with all that is needed to remedy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The job is over.
    Over(JobState),
    /// The job is held by a user.
    Paused,
    /// It waits for these jobs to be done; one that is gone has no state.
    WaitsForJobs(Vec<(JobId, Option<JobState>)>),
    /// Its frames wait for frames of the same number: of these jobs, or of its own step before if there are none; one that is
    /// gone has no state.
    WaitsForFrames(Vec<(JobId, Option<JobState>)>),
    /// So many slots render it now.
    Rendering {
        /// Slots.
        slots: u32,
    },
    /// Nothing of it is rendered now, but workers have it: not begun, or not delivered.
    Ready {
        /// Units.
        units: u32,
    },
    /// All its remaining frames are in workers' hands.
    InHand {
        /// Frames.
        frames: u32,
    },
    /// Frames that failed are tried again.
    Retrying {
        /// Frames.
        frames: u32,
        /// Until the first of them may be handed out.
        after: Duration,
    },
    /// No worker ever joined.
    NoWorkers,
    /// Something that not every worker has.
    Needs {
        /// What.
        what: Criterion,
        /// Workers that have it.
        have: u32,
        /// Workers of the farm.
        of: u32,
    },
    /// No worker has all of it together.
    NotTogether,
    /// Workers that have all it needs get nothing at all now.
    Absent {
        /// Why.
        why: Absence,
        /// How many.
        workers: u32,
    },
    /// Workers that have all it needs and get nothing of it, after failures or by an administrator's word.
    Blocked {
        /// The job.
        job: JobId,
        /// Which.
        workers: Vec<WorkerId>,
        /// Their names.
        names: Vec<String>,
    },
    /// As much as may be at once is rendered for this user or category, or with this resource.
    Limit {
        /// "user ada", "category film", "resource nuke".
        of: String,
        /// Most slots.
        limit: u32,
    },
    /// It has as many slots as one job may have while others have work.
    Capped {
        /// Slots it holds.
        slots: u32,
        /// Most of them.
        cap: u32,
    },
    /// Workers that have all it needs, and are busy.
    Busy {
        /// How many.
        workers: u32,
    },
    /// Workers that have room, but its free frames failed there before.
    FailedThere {
        /// Which.
        workers: Vec<WorkerId>,
    },

    /// The worker gets nothing at all.
    Worker(Absence),
    /// The worker's slots are all in use.
    Full {
        /// Slots.
        slots: u32,
        /// Units in hand.
        units: u32,
    },
    /// No job has units to hand out.
    NoWork,
    /// Jobs with work that need something this worker does not have.
    JobsNeed {
        /// What.
        what: Criterion,
        /// How many.
        jobs: u32,
    },
    /// Jobs with work of which this worker gets nothing.
    JobsBlocked {
        /// Which.
        jobs: Vec<JobId>,
    },
    /// Jobs with work that are held by a limit.
    JobsLimited {
        /// How many.
        jobs: u32,
    },
    /// Jobs whose free frames failed on this worker before.
    JobsFailedHere {
        /// Which.
        jobs: Vec<JobId>,
    },
}

pub(crate) fn job(scheduler: &Scheduler, now: Duration, id: JobId) -> Option<Why> {
    let entry = scheduler.jobs.get(&id)?;
    let mut reasons = Vec::new();
    match entry.state {
        JobState::Active => active_job(scheduler, now, entry, &mut reasons),
        JobState::Paused => reasons.push(Reason::Paused),
        over => reasons.push(Reason::Over(over)),
    }
    Some(Why { reasons })
}

fn active_job(scheduler: &Scheduler, now: Duration, job: &JobEntry, reasons: &mut Vec<Reason>) {
    if !job.waits_for.is_empty() {
        let state = |id: &JobId| (*id, scheduler.jobs.get(id).map(|job| job.state));
        reasons.push(Reason::WaitsForJobs(
            job.waits_for.iter().map(state).collect(),
        ));
        return;
    }
    let units = job.leases.len() as u32;
    if job.rendering > 0 {
        let slots = job.rendering;
        reasons.push(Reason::Rendering { slots });
    } else if units > 0 && (job.has_free_unit() || job.leased == 0) {
        reasons.push(Reason::Ready { units });
    }
    if !job.has_free_unit() {
        no_free_unit(scheduler, now, job, reasons);
        return;
    }
    if scheduler.workers.is_empty() {
        reasons.push(Reason::NoWorkers);
        return;
    }
    let criteria = &scheduler.pools.needs[job.need].criteria;
    let meets = |worker: &&WorkerEntry| criteria.iter().all(|one| one.is_met(&worker.record));
    let able: Vec<&WorkerEntry> = scheduler.workers.values().filter(meets).collect();
    let of = scheduler.workers.len() as u32;
    for what in criteria {
        let has = |worker: &&WorkerEntry| what.is_met(&worker.record);
        let have = scheduler.workers.values().filter(has).count() as u32;
        if have < of {
            let what = what.clone();
            reasons.push(Reason::Needs { what, have, of });
        }
    }
    let lacking = reasons
        .iter()
        .any(|reason| matches!(reason, Reason::Needs { have: 0, .. }));
    if able.is_empty() && !lacking {
        reasons.push(Reason::NotTogether);
    }
    able_workers(scheduler, job, &able, reasons);
}

fn no_free_unit(scheduler: &Scheduler, now: Duration, job: &JobEntry, reasons: &mut Vec<Reason>) {
    if job.leased > 0 {
        reasons.push(Reason::InHand { frames: job.leased });
    }
    let mut frames = 0;
    let mut first: Option<Duration> = None;
    let mut waiting = 0;
    for at in job.open_steps() {
        let step = &job.steps[at.0 as usize];
        for (&position, failures) in &step.failures {
            let backs_off = failures.not_before > now && !step.given_up.get(position);
            if backs_off {
                frames += 1;
                let after = failures.not_before - now;
                first = Some(first.map_or(after, |known| known.min(after)));
            }
        }
        waiting += step.done.len() - step.done.count() - step.given_up.count();
    }
    if let Some(after) = first {
        reasons.push(Reason::Retrying { frames, after });
    }
    if waiting > job.leased + frames {
        let after = job.job.settings.after.iter();
        let jobs = after
            .filter(|after| after.frames)
            .map(|after| {
                (
                    after.job,
                    scheduler.jobs.get(&after.job).map(|job| job.state),
                )
            })
            .filter(|(_, state)| *state != Some(JobState::Done));
        reasons.push(Reason::WaitsForFrames(jobs.collect()));
    }
}

/// What keeps the workers that have all it needs.
fn able_workers(
    scheduler: &Scheduler,
    job: &JobEntry,
    able: &[&WorkerEntry],
    reasons: &mut Vec<Reason>,
) {
    let mut absent: Vec<(Absence, u32)> = Vec::new();
    let mut blocked = Vec::new();
    let mut failed = Vec::new();
    let mut busy = 0;
    for worker in able {
        if let Some(why) = worker.absence() {
            match absent.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => absent.push((why, 1)),
            }
        } else if job.blocked.contains(&worker.record.id) {
            blocked.push(worker.record.id);
        } else if has_room(scheduler, job, worker)
            && try_job(scheduler, worker, job.job.id).is_none()
        {
            failed.push(worker.record.id);
        } else {
            busy += 1;
        }
    }
    for (why, workers) in absent {
        reasons.push(Reason::Absent { why, workers });
    }
    if !blocked.is_empty() {
        let names = blocked
            .iter()
            .map(|id| scheduler.workers[id].record.name.clone());
        reasons.push(Reason::Blocked {
            job: job.job.id,
            names: names.collect(),
            workers: blocked,
        });
    }
    let limits = job.accounts.iter().filter_map(|&id| {
        let account = scheduler.accounts.get(id);
        let limit = account.limit.filter(|_| account.is_exhausted())?;
        let of = account.holder.to_string();
        Some(Reason::Limit { of, limit })
    });
    let before = reasons.len();
    reasons.extend(limits);
    if reasons.len() > before {
        return;
    }
    if !failed.is_empty() {
        reasons.push(Reason::FailedThere { workers: failed });
    }
    if busy > 0 {
        let cap = line::cap(scheduler, job);
        if job.places >= cap && job.places > 0 && others_have_work(scheduler, job) {
            let slots = job.places;
            reasons.push(Reason::Capped { slots, cap });
        }
        reasons.push(Reason::Busy { workers: busy });
    }
}

fn others_have_work(scheduler: &Scheduler, job: &JobEntry) -> bool {
    let line = &scheduler.line;
    let mut ready = line.ready.common(&line.ready);
    ready.any(|rank| Some(rank) != job.rank)
}

fn has_room(scheduler: &Scheduler, job: &JobEntry, worker: &WorkerEntry) -> bool {
    let slots = worker.slots().max(1) as u32;
    let level = worker.leases.len() as u32 / slots;
    let deepest = 1 + scheduler.settings.queued_per_slot;
    level < deepest && (level < SHORT_ONLY_FROM || !job.is_long(&scheduler.settings))
}

pub(crate) fn worker(scheduler: &Scheduler, _now: Duration, id: WorkerId) -> Option<Why> {
    let entry = scheduler.workers.get(&id)?;
    let mut reasons = Vec::new();
    if let Some(absence) = entry.absence() {
        reasons.push(Reason::Worker(absence));
        return Some(Why { reasons });
    }
    if entry.leases.len() >= entry.slots() {
        reasons.push(Reason::Full {
            slots: entry.slots() as u32,
            units: entry.leases.len() as u32,
        });
        return Some(Why { reasons });
    }
    let mut need: BTreeMap<&Criterion, u32> = BTreeMap::new();
    let mut blocked = Vec::new();
    let mut failed = Vec::new();
    let mut limited = 0;
    for &job_id in &scheduler.line.order {
        let Some(job) = scheduler.jobs.get(&job_id) else {
            continue;
        };
        let ready = job.rank.is_some_and(|rank| scheduler.line.ready.get(rank));
        if !ready {
            continue;
        }
        let criteria = &scheduler.pools.needs[job.need].criteria;
        let unmet = criteria.iter().find(|one| !one.is_met(&entry.record));
        let exhausted = |id: &u32| scheduler.accounts.get(*id).is_exhausted();
        if let Some(unmet) = unmet {
            *need.entry(unmet).or_default() += 1;
        } else if job.blocked.contains(&id) {
            blocked.push(job_id);
        } else if job.accounts.iter().any(exhausted) {
            limited += 1;
        } else if try_job(scheduler, entry, job_id).is_none() {
            failed.push(job_id);
        }
    }
    for (what, jobs) in need {
        let what = what.clone();
        reasons.push(Reason::JobsNeed { what, jobs });
    }
    if !blocked.is_empty() {
        reasons.push(Reason::JobsBlocked { jobs: blocked });
    }
    if limited > 0 {
        reasons.push(Reason::JobsLimited { jobs: limited });
    }
    if !failed.is_empty() {
        reasons.push(Reason::JobsFailedHere { jobs: failed });
    }
    if reasons.is_empty() {
        reasons.push(Reason::NoWork);
    }
    Some(Why { reasons })
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Category(name) => write!(f, "category {name}"),
            Self::User(name) => write!(f, "user {name}"),
            Self::Resource(name) => write!(f, "resource {name}"),
        }
    }
}

impl Reason {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Over(_) => "over",
            Self::Paused => "paused",
            Self::WaitsForJobs(_) => "waits_for_jobs",
            Self::WaitsForFrames(_) => "waits_for_frames",
            Self::Rendering { .. } => "rendering",
            Self::Ready { .. } => "ready",
            Self::InHand { .. } => "in_hand",
            Self::Retrying { .. } => "retrying",
            Self::NoWorkers => "no_workers",
            Self::Needs { .. } => "needs",
            Self::NotTogether => "not_together",
            Self::Absent { .. } => "absent",
            Self::Blocked { .. } => "blocked",
            Self::Limit { .. } => "limit",
            Self::Capped { .. } => "capped",
            Self::Busy { .. } => "busy",
            Self::FailedThere { .. } => "failed_there",
            Self::Worker(_) => "worker",
            Self::Full { .. } => "full",
            Self::NoWork => "no_work",
            Self::JobsNeed { .. } => "jobs_need",
            Self::JobsBlocked { .. } => "jobs_blocked",
            Self::JobsLimited { .. } => "jobs_limited",
            Self::JobsFailedHere { .. } => "jobs_failed_here",
        }
    }
}

/// "1 worker", "3 workers".
struct Count(u32, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, plural(self.0))
    }
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn is_or_are(count: u32) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// "job 3", "jobs 3, 4".
fn list(jobs: &[JobId]) -> String {
    let texts: Vec<String> = jobs.iter().map(JobId::to_string).collect();
    format!("job{} {}", plural(jobs.len() as u32), texts.join(", "))
}

fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000) as u64
}

fn absent(f: &mut fmt::Formatter<'_>, why: &Absence, count: u32) -> fmt::Result {
    let be = is_or_are(count);
    match why {
        Absence::Away => write!(f, "{be} not connected"),
        Absence::Silent => {
            let verb = if count == 1 { "does" } else { "do" };
            write!(f, "{verb} not answer")
        }
        Absence::Held(WorkerMode::Paused) => write!(f, "{be} paused"),
        Absence::Held(WorkerMode::Draining) => write!(f, "{be} draining"),
        Absence::Held(_) => write!(f, "{be} blocked"),
        Absence::Resting(Rest { reason, .. }) => write!(f, "{be} resting ({reason})"),
        Absence::NoSlots => {
            let verb = if count == 1 { "keeps" } else { "keep" };
            write!(f, "{verb} no Blender running (0 slots)")
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(JobState::Done) => f.write_str("it is done"),
            Self::Over(JobState::Cancelled) => {
                f.write_str("it was cancelled (`tessera job retry` takes it up again)")
            }
            Self::Over(_) => {
                f.write_str("it has failed (`tessera job retry` tries its failed frames again)")
            }
            Self::Paused => f.write_str("it is paused (`tessera job resume` goes on)"),
            Self::WaitsForJobs(jobs) => waits_for(f, jobs),
            Self::WaitsForFrames(jobs) => {
                f.write_str("its frames wait for those of the same number of ")?;
                match jobs.as_slice() {
                    [] => f.write_str("its step before"),
                    jobs => awaited(f, jobs),
                }
            }
            Self::Rendering { slots } => {
                let verb = if *slots == 1 { "renders" } else { "render" };
                write!(f, "{} {verb} it", Count(*slots, "slot"))
            }
            Self::Ready { units } => {
                let count = Count(*units, "unit");
                let wait = if *units == 1 { "waits" } else { "wait" };
                write!(f, "{count} of it {wait} at workers")
            }
            Self::InHand { frames } => {
                let count = Count(*frames, "frame");
                write!(f, "{count} {} in workers' hands", is_or_are(*frames))
            }
            Self::Retrying { frames, after } => {
                let (count, be) = (Count(*frames, "failed frame"), is_or_are(*frames));
                write!(f, "{count} {be} tried again in {} s", seconds(*after))
            }
            Self::NoWorkers => {
                f.write_str("no worker has joined this farm yet: run `tessera worker` on a machine")
            }
            Self::Needs {
                what,
                have: 0,
                of: 1,
            } => write!(f, "needs {what}, which the only worker does not have"),
            Self::Needs { what, have: 0, of } => {
                write!(f, "needs {what}: none of {of} workers has it")
            }
            Self::Needs { what, have, of } => {
                let has = if *have == 1 { "has" } else { "have" };
                write!(f, "needs {what}: {have} of {of} workers {has} it")
            }
            Self::NotTogether => f.write_str("no worker has all of it together"),
            Self::Absent { why, workers } => {
                write!(f, "{} that could render it ", Count(*workers, "worker"))?;
                absent(f, why, *workers)
            }
            Self::Blocked { job, names, .. } => {
                let count = names.len() as u32;
                write!(
                    f,
                    "{} that could render it {} blocked for this job, {} (`tessera worker-admin unblock {} --job {job}` undoes it)",
                    Count(count, "worker"),
                    is_or_are(count),
                    names.join(", "),
                    names.first().map_or("", String::as_str),
                )
            }
            Self::Limit { of, limit } => {
                write!(f, "{of} is limited to {} at once", Count(*limit, "slot"))
            }
            Self::Capped { slots, cap } => write!(
                f,
                "it holds {} of the {cap} that one job may have while others have work",
                Count(*slots, "slot")
            ),
            Self::Busy { workers: 1 } => f.write_str("the worker that can render it is busy"),
            Self::Busy { workers } => {
                write!(f, "all {workers} workers that can render it are busy")
            }
            Self::FailedThere { workers } => write!(
                f,
                "its free frames failed on {} with room and wait for another",
                Count(workers.len() as u32, "worker")
            ),
            Self::Worker(absence) => {
                f.write_str("it ")?;
                absent(f, absence, 1)
            }
            Self::Full { slots, units } => {
                let ready = units.saturating_sub(*slots);
                write!(
                    f,
                    "its {} {} busy",
                    Count(*slots, "slot"),
                    is_or_are(*slots)
                )?;
                if ready > 0 {
                    write!(f, ", {} more {} ready", Count(ready, "unit"), lies(ready))?;
                }
                Ok(())
            }
            Self::NoWork => f.write_str("no job has frames to hand out"),
            Self::JobsNeed { what, jobs } => {
                let verb = if *jobs == 1 { "needs" } else { "need" };
                write!(
                    f,
                    "{} {verb} {what}, which it does not have",
                    Count(*jobs, "job")
                )
            }
            Self::JobsBlocked { jobs } => write!(f, "it is blocked for {}", list(jobs)),
            Self::JobsLimited { jobs } => {
                write!(
                    f,
                    "{} {} held by a limit",
                    Count(*jobs, "job"),
                    is_or_are(*jobs)
                )
            }
            Self::JobsFailedHere { jobs } => {
                write!(f, "the free frames of {} failed here before", list(jobs))
            }
        }
    }
}

fn lies(count: u32) -> &'static str {
    if count == 1 { "lies" } else { "lie" }
}

fn waits_for(f: &mut fmt::Formatter<'_>, jobs: &[(JobId, Option<JobState>)]) -> fmt::Result {
    f.write_str("it waits for ")?;
    awaited(f, jobs)
}

fn awaited(f: &mut fmt::Formatter<'_>, jobs: &[(JobId, Option<JobState>)]) -> fmt::Result {
    for (at, (job, state)) in jobs.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write!(f, "job {job}")?;
        match state {
            None => {
                f.write_str(", which is gone (`tessera job edit --after` sets what it waits for)")?
            }
            Some(JobState::Failed) => f.write_str(", which has failed")?,
            Some(JobState::Cancelled) => f.write_str(", which was cancelled")?,
            Some(JobState::Paused) => f.write_str(", which is paused")?,
            Some(JobState::Active | JobState::Done) => {}
        }
    }
    Ok(())
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, reason) in self.reasons.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            reason.fmt(f)?;
        }
        Ok(())
    }
}
