//! What must hold, one property to a file. The checkers look over the scheduler's shoulder after every decision, at
//! everything now and then, at what a restart finds, and at the end.

mod counters;
mod exactly_once;
mod explanations;
mod kept;
mod leases;
mod limits;
mod liveness;
mod matching;
mod restored;
mod starvation;

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_model::{Change, JobId, LeaseKey, WorkerId};
use tessera_scheduler::{Effects, Input, JobCommand, Order, Outcome, Refusal};
use tessera_state::Snapshot;

use crate::dice::{Concern, Dice};
use crate::plan::Plan;
use crate::trace::{note, told};
use crate::violation::Violation;
use crate::world::World;

use starvation::Waiting;

pub(crate) use liveness::{Progress, is_over};
pub(crate) use matching::fits;

/// The checkers look at everything so often.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// So often when they look they also ask why somebody waits, which costs a copy of the scheduler.
const ASKED_PERCENT: u64 = 30;

/// What the checkers remember.
#[derive(Debug)]
pub(crate) struct Checks {
    dice: Dice,
    /// When everything was put right.
    healed_at: Option<Duration>,
    /// Jobs whose failed frames were given another chance since then.
    retried: BTreeSet<JobId>,
    /// The manager died when all that it had decided was recorded.
    died_clean: bool,
    /// Compare with the record when nothing waits to be recorded.
    compare: bool,
    pub(crate) progress: Progress,
    waiting: Waiting,
    /// Units handed out.
    handed_out: u64,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            dice: Dice::new(plan.seed, Concern::Checks),
            healed_at: None,
            retried: BTreeSet::new(),
            died_clean: false,
            compare: false,
            progress: Progress::default(),
            waiting: Waiting::default(),
            handed_out: 0,
        }
    }

    pub(crate) fn healed(&mut self, now: Duration) {
        self.healed_at = Some(now);
    }

    pub(crate) fn was_retried(&self, job: JobId) -> bool {
        self.retried.contains(&job)
    }

    /// The manager died; all that it had decided was recorded, or not.
    pub(crate) fn died(&mut self, clean: bool) {
        self.died_clean = clean;
    }

    /// The books were opened anew.
    pub(crate) fn reopened(&mut self) {
        self.waiting.reopened();
    }
}

/// What the checkers need to know of an input after it was consumed.
#[derive(Debug)]
pub(crate) enum About {
    Report {
        worker: WorkerId,
        key: LeaseKey,
    },
    /// A job goes if it was over for long enough.
    Expiry,
    Other,
}

pub(crate) fn about(input: &Input) -> About {
    match input {
        Input::Done(result) => About::Report {
            worker: result.worker,
            key: result.lease,
        },
        Input::Failed(error) => About::Report {
            worker: error.worker,
            key: error.lease,
        },
        Input::Job(_, JobCommand::Expire { .. }) => About::Expiry,
        _ => About::Other,
    }
}

/// After each decision: the changes are entered into the books one by one, and every handing-out is looked at in between.
pub(crate) fn decided(
    world: &mut World,
    about: &About,
    effects: &Effects,
) -> Result<(), Violation> {
    let ordered: BTreeSet<LeaseKey> = effects
        .orders
        .iter()
        .filter_map(|(_, order)| match order {
            Order::Lease { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    for change in &effects.changes {
        if world.trace.is_on() {
            note!(world, "journal", "{}", told(change));
        }
        if let (About::Expiry, Change::JobRemoved(job)) = (about, change) {
            kept::expires(world, *job)?;
        }
        world.books.enter(world.now, change)?;
        if let Change::Leased(lease) = change {
            let is_ordered = ordered.contains(&lease.key);
            leases::handed_out(world, lease, is_ordered)?;
            if is_ordered {
                matching::handed_out(world, lease)?;
                world.checks.handed_out += 1;
                if world.checks.handed_out.is_multiple_of(one_in(world)) {
                    limits::handed_out(world, lease)?;
                    starvation::handed_out(world, lease)?;
                }
            }
            world.checks.progress.moved(world.now);
        }
        if let Change::FramesRetried(job) = change
            && world.is_healed
        {
            world.checks.retried.insert(*job);
        }
        if matches!(change, Change::FrameDone(_) | Change::FrameFailed(_)) {
            world.checks.progress.moved(world.now);
        }
    }
    if let (About::Report { worker, key }, Outcome::Refused(Refusal::Invalid(why))) =
        (about, &effects.outcome)
    {
        let how = format!(
            "worker {worker} reported {} attempt {}: {why}",
            key.unit, key.attempt.0
        );
        return Err(Violation::new(
            "an honest worker's report is not refused",
            how,
        ));
    }
    Ok(())
}

/// In farms larger than this not every handing-out is looked at in full, since that takes as long as the farm is large: as
/// many are as in one of this size.
const LOOKED_AT_WORKERS: u64 = 300;

/// One in so many things is looked at in full.
fn one_in(world: &World) -> u64 {
    (world.machines.len() as u64 / LOOKED_AT_WORKERS).max(1)
}

/// Everything, now and then.
pub(crate) fn look(world: &mut World) -> Result<(), Violation> {
    if world.manager.engine.is_none() {
        return Ok(());
    }
    counters::check(world)?;
    starvation::look(world)?;
    liveness::check(world)?;
    if world.checks.dice.below(100 * one_in(world)) < ASKED_PERCENT {
        explanations::check(world)?;
    }
    world.checks.compare |= world.checks.dice.below(10) == 0;
    Ok(())
}

/// After a commit: at random moments, what the record gives back is compared with what lives.
pub(crate) async fn recorded(world: &mut World) -> Result<(), Violation> {
    let clean = world
        .manager
        .engine
        .as_ref()
        .is_some_and(|engine| engine.is_clean());
    if world.checks.compare && clean {
        world.checks.compare = false;
        let snapshot = load(world).await?;
        restored::same_as_books(world, &snapshot)?;
        restored::same_as_live(world, &snapshot)?;
    }
    Ok(())
}

/// A restart: what the record gives back is what was decided, if all of that was recorded.
pub(crate) fn restarted(world: &World, snapshot: &Snapshot) -> Result<(), Violation> {
    if world.checks.died_clean {
        restored::same_as_books(world, snapshot)?;
    }
    Ok(())
}

/// The end of a run.
pub(crate) async fn finished(world: &World) -> Result<(), Violation> {
    liveness::finished(world)?;
    exactly_once::finished(world).await
}

/// Reads the record.
pub(crate) async fn load(world: &World) -> Result<Snapshot, Violation> {
    let loaded = world.manager.state.load().await;
    loaded.map_err(|error| Violation::new("the record can be read", error.to_string()))
}
