//! One function per input.
//!
//! Each checks first and changes nothing if it refuses. What is held and counted goes through `books`.

mod grow;
mod jobs;
mod reports;
mod workers;

pub(crate) use reports::{record_failure, settle};

use tessera_model::{Change, FarmSettings, JobId, WorkerId};

use crate::accounts::AccountId;
use crate::effects::{Effects, Outcome, Refusal};
use crate::input::{Input, Now};
use crate::room::recall_where;
use crate::scheduler::Scheduler;
use crate::{assign, books, lapse, line, pools};

pub(crate) fn apply(scheduler: &mut Scheduler, now: Now, input: Input, effects: &mut Effects) {
    scheduler.wall = now.wall;
    lapse::lapse(scheduler, now, effects);
    let outcome = match input {
        Input::Submit(new) => jobs::submit(scheduler, now, *new, effects),
        Input::Job(job, command) => jobs::command(scheduler, now, job, command, effects),
        Input::Worker(worker, command) => {
            workers::command(scheduler, now, worker, command, effects)
        }
        Input::Paired(name) => workers::paired(scheduler, now, &name, effects),
        Input::Linked {
            worker,
            facts,
            holds,
        } => workers::linked(scheduler, now, worker, facts, &holds, effects),
        Input::Unlinked(worker) => workers::unlinked(scheduler, now, worker, effects),
        Input::Heartbeat { worker, holds } => {
            workers::heartbeat(scheduler, now, worker, &holds, effects)
        }
        Input::Facts { worker, facts } => workers::facts(scheduler, now, worker, facts, effects),
        Input::Started {
            worker,
            key,
            position,
        } => reports::started(scheduler, now, worker, key, position, effects),
        Input::Returned { worker, key } | Input::Finished { worker, key } => {
            reports::returned(scheduler, now, worker, key, effects)
        }
        Input::Done(result) => reports::done(scheduler, now, result, effects),
        Input::Failed(error) => reports::failed(scheduler, now, error, effects),
        Input::Settings(settings) => self::settings(scheduler, now, *settings, effects),
        Input::Tick => Ok(Outcome::Applied),
    };
    match outcome {
        Ok(outcome) => effects.outcome = outcome,
        Err(refusal) => effects.outcome = Outcome::Refused(refusal),
    }
    assign::assign(scheduler, now.elapsed, effects);
}

fn settings(
    scheduler: &mut Scheduler,
    now: Now,
    settings: FarmSettings,
    effects: &mut Effects,
) -> Applied {
    settings.check().map_err(Refusal::Invalid)?;
    if settings == scheduler.settings {
        return Ok(Outcome::Applied);
    }
    scheduler.settings = settings.clone();
    effects.changes.push(Change::FarmSet(Box::new(settings)));
    scheduler.accounts.set_limits(&scheduler.settings);
    scheduler.line.stale = true;
    scheduler.someone_new = true;
    if scheduler.sampling {
        let every = std::time::Duration::from_millis(scheduler.settings.sample_ms);
        scheduler.timers.reset_sample(now.elapsed + every);
    }
    // How long a silence or a wait is too long, and how much lies ready, may be something else now.
    let workers: Vec<WorkerId> = scheduler.workers.keys().copied().collect();
    for worker in workers {
        pools::reindex(scheduler, worker);
        books::watch(scheduler, worker);
    }
    let jobs: Vec<JobId> = scheduler.line.order.clone();
    for job in jobs {
        if let Some(entry) = scheduler.jobs.get_mut(&job) {
            entry.watched = false;
            // By the new bound it may have waited for too long already.
            let after = std::time::Duration::from_millis(scheduler.settings.starved_after_ms);
            let is_ready = entry
                .rank
                .is_some_and(|rank| scheduler.line.ready.get(rank));
            entry.starved = is_ready && entry.waiting_since + after <= now.elapsed;
        }
        line::refresh_job(scheduler, now.elapsed, job);
        let accounts = scheduler.jobs.get(&job).map(|entry| &entry.accounts);
        let is_over = |&id: &AccountId| scheduler.accounts.get(id).is_over();
        if accounts.is_some_and(|accounts| accounts.iter().any(is_over)) {
            // What had not begun is handed out within the new limit.
            recall_where(scheduler, job, |_| true, effects);
        }
    }
    Ok(Outcome::Applied)
}

type Applied = Result<Outcome, Refusal>;

fn no_job(job: JobId) -> Refusal {
    Refusal::NoJob(job)
}
