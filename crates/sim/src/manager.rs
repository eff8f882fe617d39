//! The manager: the real scheduler and the real record, put together as its engine does it.
//!
//! What arrives while a batch is being recorded makes the next batch. Nothing of a batch leaves before it is recorded. If it
//! cannot be, nothing of it ever was: the scheduler is built anew from the record, linked workers greet it again, and who
//! asked is told to come back later. If the manager dies, what it had recorded is all that is left.

mod release;
mod roster;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use tessera_model::{
    Change, FrameError, FrameResult, JobId, LeaseKey, Term, Timestamp, WorkerFacts, WorkerId,
};
use tessera_scheduler::{
    Input, Now, Order, Outcome, Restored, RestoredJob, RestoredStep, Scheduler,
};
use tessera_state::{Snapshot, State};

use crate::books::Books;
use crate::checkers;
use crate::desk::{FromWorker, Report};
use crate::dice::{Concern, Dice};
use crate::event::{Event, MachineEvent};
use crate::machine::MachineIndex;
use crate::network::LinkNumber;
use crate::plan::Plan;
use crate::trace::note;
use crate::violation::Violation;
use crate::work::WorkIndex;
use crate::world::World;

use roster::Roster;

pub(crate) use turn::{arrive, commit_ends, look_up};

/// Commands that share one transaction, as in the manager's engine.
pub(crate) const BATCH_MAX: usize = 256;

/// After a failed commit nothing is tried for so long, as in the manager's engine.
pub(crate) const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// The world began on 2024-01-01.
const WALL_START_MS: i64 = 1_704_067_200_000;

/// The machine it runs on, and its program while it runs.
#[derive(Debug)]
pub(crate) struct Manager {
    pub state: State,
    pub term: Term,
    /// Counts its starts: what was on its way to a former one is lost.
    pub starts: u32,
    pub engine: Option<Engine>,
    /// How wrong the wall clock is.
    pub wall_wrong_ms: i64,
    pub is_disk_full: bool,
    /// A commit takes about so long.
    commit: Duration,
    pub dice: Dice,
    pub commits: u64,
    pub inputs: u64,
}

/// The program.
#[derive(Debug)]
pub(crate) struct Engine {
    pub scheduler: Scheduler,
    pub roster: Roster,
    /// When its own clock stood at [`CLOCK_START`].
    started_at: Duration,
    inbox: VecDeque<Arrival>,
    /// What is being recorded.
    pub batch: Option<Batch>,
    /// Nothing is tried before.
    trouble: Option<Duration>,
    /// When it looks up next.
    turn_at: Option<Duration>,
}

/// What arrives at the manager.
#[derive(Debug, Clone)]
pub(crate) enum Arrival {
    /// Over a link.
    Said(LinkNumber, FromWorker),
    /// A link is opened.
    Greets {
        link: LinkNumber,
        worker: WorkerId,
        facts: Box<WorkerFacts>,
        holds: Vec<LeaseKey>,
    },
    /// A link has ended at this end.
    LinkGone(LinkNumber),
    /// A frame's report.
    Reports {
        machine: MachineIndex,
        starts: u32,
        report: Report,
        input: Box<Input>,
    },
    /// A machine joins.
    Joins(MachineIndex),
    /// A job is submitted.
    Submits(WorkIndex),
    /// A person wants something.
    Person(Box<Input>),
}

/// Whom an answer goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    Reporter(MachineIndex, u32, LeaseKey, u32, Report),
    Joiner(MachineIndex),
    Submitter(WorkIndex),
    Greeter(LinkNumber),
}

/// All that is decided and waits to be recorded.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub changes: Vec<Change>,
    pub steps: Vec<Step>,
}

/// What follows from one input.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// A link that gets orders from here on.
    pub link: Option<(WorkerId, LinkNumber)>,
    pub dropped: Option<(WorkerId, Vec<LeaseKey>)>,
    pub orders: Vec<(WorkerId, Order)>,
    pub answer: Option<(Asker, Outcome)>,
}

/// An engine's own clock begins here, not at zero: nothing may depend on where it begins.
const CLOCK_START: Duration = Duration::from_secs(1000);

impl Engine {
    pub(crate) fn new(scheduler: Scheduler, now: Duration) -> Self {
        Self {
            scheduler,
            roster: Roster::default(),
            started_at: now,
            inbox: VecDeque::new(),
            batch: None,
            trouble: None,
            turn_at: None,
        }
    }

    /// Whether all that it has decided is recorded.
    pub(crate) fn is_clean(&self) -> bool {
        self.batch.is_none() && self.trouble.is_none()
    }

    /// Its own time at the world's.
    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        CLOCK_START + (now - self.started_at)
    }
}

impl Manager {
    /// With an empty record, not yet running.
    pub(crate) fn new(plan: &Plan, state: State) -> Self {
        let mut dice = Dice::new(plan.seed, Concern::Disk);
        // Who has thousands of workers has a quick disk.
        let slowest = Duration::from_secs(100) / plan.workers.max(1);
        let slowest = slowest.clamp(Duration::from_millis(10), Duration::from_millis(100));
        let commit = dice.span(Duration::from_millis(5), slowest);
        Self {
            state,
            term: Term(0),
            starts: 0,
            engine: None,
            wall_wrong_ms: 0,
            is_disk_full: false,
            commit,
            dice,
            commits: 0,
            inputs: 0,
        }
    }

    fn commit_time(&mut self) -> Duration {
        self.commit / 2 + Duration::from_micros(self.dice.below(self.commit.as_micros() as u64))
    }

    pub(crate) fn wall(&self, now: Duration) -> Timestamp {
        Timestamp(WALL_START_MS + now.as_millis() as i64 + self.wall_wrong_ms)
    }

    /// The time as the engine tells it to the scheduler.
    pub(crate) fn clock(&self, now: Duration) -> Now {
        let elapsed = self.engine.as_ref().map_or(CLOCK_START, |e| e.elapsed(now));
        Now {
            elapsed,
            wall: self.wall(now),
        }
    }
}

/// The record as the scheduler wants it.
pub(crate) fn restored(snapshot: &Snapshot) -> Restored {
    let blocked = |job: &tessera_state::JobSnapshot| -> Vec<(JobId, WorkerId)> {
        job.blocked
            .iter()
            .map(|&worker| (job.job.id, worker))
            .collect()
    };
    let jobs = snapshot.jobs.iter().map(|job| RestoredJob {
        job: job.job.clone(),
        state: job.state,
        since: job.since,
        fetched: job.fetched,
        steps: job
            .steps
            .iter()
            .map(|step| RestoredStep {
                done: step.done.clone(),
                given_up: step.given_up.clone(),
                failures: step.failures.iter().map(|(&at, &n)| (at, n)).collect(),
            })
            .collect(),
    });
    Restored {
        jobs: jobs.collect(),
        workers: snapshot.workers.clone(),
        leases: snapshot.leases.clone(),
        attempts: snapshot.attempts.clone(),
        failed: snapshot.failed.clone(),
        blocked: snapshot.jobs.iter().flat_map(blocked).collect(),
        next_job: snapshot.next_job.0,
        next_worker: snapshot.next_worker.0,
    }
}

/// What a report says, in the scheduler's words.
pub(crate) fn reported(input: &Input) -> Option<(LeaseKey, u32)> {
    match input {
        Input::Done(result) => {
            let FrameResult {
                lease, position, ..
            } = **result;
            Some((lease, position))
        }
        Input::Failed(error) => {
            let FrameError {
                lease, position, ..
            } = **error;
            Some((lease, position))
        }
        _ => None,
    }
}

/// The program is started: a new term, and what the record holds.
pub(crate) async fn start(world: &mut World) -> Result<(), Violation> {
    if world.manager.engine.is_some() {
        return Ok(());
    }
    let term = world.manager.state.begin_term().await;
    world.manager.term = term.map_err(|error| {
        Violation::new(
            "a new manager takes over from its record",
            error.to_string(),
        )
    })?;
    let snapshot = checkers::load(world).await?;
    world.manager.starts += 1;
    note!(world, "manager", "starts, term {}", world.manager.term.0);
    checkers::restarted(world, &snapshot)?;
    world.books = Books::open(&snapshot, world.now);
    world.checks.reopened();
    let farm = snapshot.farm.clone().unwrap_or_default();
    let now = world.now;
    let clock = world.manager.clock(now);
    let scheduler = Scheduler::restore(farm, clock, restored(&snapshot));
    world.manager.engine = Some(Engine::new(scheduler, now));
    turn::plan_turn(world, now);
    Ok(())
}

/// The program dies. With `written`, what was just being recorded is recorded, though nobody heard of it. False if it does not
/// run.
pub(crate) async fn kill(world: &mut World, written: bool) -> Result<bool, Violation> {
    let Some(engine) = world.manager.engine.take() else {
        return Ok(false);
    };
    note!(world, "manager", "dies");
    let written = written && !world.manager.is_disk_full;
    world.checks.died(engine.batch.is_none() || written);
    if let Some(batch) = engine.batch.filter(|_| written) {
        turn::record(world, &batch).await?;
    }
    world.links.clear();
    let links: Vec<_> = std::mem::take(&mut world.link_machines)
        .into_iter()
        .collect();
    for (link, machine) in links {
        world.network.forget(link);
        let notices = Duration::from_millis(world.manager.dice.below(3000));
        let starts = world.machines[machine].starts;
        let lost = MachineEvent::LinkLost(link);
        world
            .queue
            .push(world.now + notices, Event::Machine(machine, starts, lost));
    }
    Ok(true)
}
