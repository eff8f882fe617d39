//! One run from its first event to its last.

use std::fmt;
use std::time::{Duration, Instant};

use tessera_state::State;

use crate::checkers;
use crate::event::Event;
use crate::plan::Plan;
use crate::trace::{Trace, note};
use crate::violation::Violation;
use crate::world::World;

/// Longest that a healed farm may take, beside the work itself: lapses, back-offs and retries add up to minutes.
const SLACK: Duration = Duration::from_secs(3600);

/// How often it is told how far a run is.
const TOLD_EVERY: Duration = Duration::from_secs(20);

/// What a run was like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames delivered.
    pub frames: u64,
    /// Jobs taken in.
    pub jobs: u64,
    /// Inputs the scheduler decided on.
    pub inputs: u64,
    /// Batches recorded.
    pub commits: u64,
    /// Starts of the manager.
    pub starts: u64,
    /// Scenes opened by Blenders.
    pub scene_loads: u64,
    /// How long it took in the world.
    pub simulated: Duration,
    /// How long it took.
    pub real: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames of {} jobs, {} inputs, {} commits, {} starts of the manager, {} scenes opened, {:.0} min simulated in {:.2} s",
            self.frames,
            self.jobs,
            self.inputs,
            self.commits,
            self.starts,
            self.scene_loads,
            self.simulated.as_secs_f64() / 60.0,
            self.real.as_secs_f64()
        )
    }
}

impl Summary {
    /// Of two runs together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            jobs: self.jobs + other.jobs,
            inputs: self.inputs + other.inputs,
            commits: self.commits + other.commits,
            starts: self.starts + other.starts,
            scene_loads: self.scene_loads + other.scene_loads,
            simulated: self.simulated + other.simulated,
            real: self.real + other.real,
        }
    }
}

/// How a run ended, and the lines that its trace kept.
#[derive(Debug)]
pub struct Ended {
    /// What it was like, or what did not hold.
    pub verdict: Result<Summary, Violation>,
    /// The end of the trace, if it keeps one.
    pub tail: Vec<String>,
}

/// Runs a plan.
///
/// # Panics
/// If this process can not have an empty record in memory.
#[must_use]
pub fn run(plan: Plan, trace: Trace) -> Ended {
    run_watched(plan, trace, &|_| {})
}

/// Runs a plan, and tells how far it is now and then.
///
/// # Panics
/// As [`run`] does.
#[must_use]
pub fn run_watched(plan: Plan, trace: Trace, tell: &dyn Fn(&Summary)) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a thread can have a runtime");
    runtime.block_on(async {
        let state = State::open_in_memory()
            .await
            .expect("memory can hold an empty record");
        let mut world = World::new(plan, state, trace);
        let began = Instant::now();
        let verdict = live(&mut world, tell).await;
        if let Err(violation) = &verdict {
            note!(world, "checker", "{violation}");
        }
        let summary = summary(&world, began);
        Ended {
            verdict: verdict.map(|()| summary),
            tail: world.trace.lines(),
        }
    })
}

fn summary(world: &World, began: Instant) -> Summary {
    let jobs = world.books.jobs.values();
    Summary {
        frames: jobs.map(|job| u64::from(job.counts().1)).sum(),
        jobs: world.books.jobs.len() as u64,
        inputs: world.manager.inputs,
        commits: world.manager.commits,
        starts: world.manager.starts.into(),
        scene_loads: world.loads(),
        simulated: world.now,
        real: began.elapsed(),
    }
}

async fn live(world: &mut World, tell: &dyn Fn(&Summary)) -> Result<(), Violation> {
    world.happens(Event::ManagerBack).await?;
    let end = deadline(world);
    let began = Instant::now();
    let mut told = began;
    while let Some((at, event)) = world.queue.pop() {
        world.now = at;
        let is_look = matches!(event, Event::Look);
        world.happens(event).await?;
        if is_look && checkers::is_over(world) {
            checkers::finished(world).await?;
            return Ok(());
        }
        if is_look && told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            tell(&summary(world, began));
        }
        if world.now > end {
            return Err(Violation::new(
                "a healed farm ends its work within the time that the work takes",
                format!("after {} s there is still work", world.now.as_secs()),
            ));
        }
    }
    Ok(())
}

/// When all must be done: the trouble, and all frames one after another on the slowest machine, each tried often.
fn deadline(world: &World) -> Duration {
    let work = world
        .works
        .iter()
        .map(|work| (work.frame + work.load) * work.frames());
    world.plan.trouble() + SLACK + 10 * work.sum::<Duration>()
}
