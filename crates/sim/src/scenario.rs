//! A farm set up by hand, in which nothing goes wrong: who works for whom in it is measured at the farm's own samples.
//!
//! The same world and the same checkers as in every other run; only the machines and the jobs are said instead of drawn.

use std::time::Duration;

use tessera_model::{
    Blob, FarmSettings, FrameSet, JobSettings, JobState, Overrides, Split, Step, StepIndex,
    StepKind, UserName, WorkerFacts,
};
use tessera_scheduler::{Input, NewJob};
use tessera_state::State;

use crate::desk::Part;
use crate::event::Event;
use crate::fault::Faults;
use crate::machine::{Machine, complete_facts};
use crate::manager::Arrival;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::violation::Violation;
use crate::work::{Plain, Work};
use crate::world::World;

/// A farm and its jobs.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Machines.
    pub workers: u32,
    /// Blenders of each.
    pub slots: u32,
    /// They are not equally fast: the slowest takes so many percent of the time of the fastest.
    pub slowest_percent: u64,
    /// The farm's numbers.
    pub settings: FarmSettings,
    /// What is submitted, in this order.
    pub jobs: Vec<ScenarioJob>,
    /// Samples before the first that counts.
    pub ahead: u32,
    /// Samples that count.
    pub samples: u32,
}

/// A job.
#[derive(Debug, Clone)]
pub struct ScenarioJob {
    /// Whose.
    pub owner: UserName,
    /// What is set of it.
    pub settings: JobSettings,
    /// Its frames.
    pub frames: u32,
    /// One frame on the fastest machine, on average.
    pub frame: Duration,
    /// Opening its scene there.
    pub load: Duration,
    /// When it is submitted.
    pub submit_at: Duration,
    /// How its frames may be divided among workers.
    pub split: Option<Split>,
    /// How uneven its frames are, 0 to 1: parts of one take so much more and less than the mean.
    pub uneven: f64,
}

/// What was measured, job by job.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Part of the busy slots that worked for it, in percent, over all samples.
    pub percent: Vec<f64>,
    /// Most slots that worked for it at one sample.
    pub most: Vec<u32>,
    /// From its submission to the first frame that a slot began.
    pub first_after: Vec<Option<Duration>>,
    /// Longest time in which no frame of it was delivered, within the samples that count.
    pub longest_without: Vec<Duration>,
    /// Frames delivered.
    pub done: Vec<u32>,
    /// Part of all slots that were busy, in percent.
    pub busy: f64,
    /// Scenes opened.
    pub scene_loads: u64,
}

fn machines(scenario: &Scenario) -> Vec<Machine> {
    let count = u64::from(scenario.workers.max(1));
    let slower = scenario.slowest_percent.max(100) - 100;
    (0..count)
        .map(|index| {
            let facts = WorkerFacts {
                slots: scenario.slots,
                tags: Vec::new(),
                ..complete_facts("linux")
            };
            let slowness = 100 + slower * index / (count - 1).max(1);
            let joins_at = Duration::from_millis(10 + index % 500);
            Machine::new(format!("m{index}"), facts, slowness, joins_at)
        })
        .collect()
}

fn work(index: usize, job: &ScenarioJob) -> Work {
    let scene = index as u64;
    let frames = i32::try_from(job.frames.max(1)).expect("a job's frames are within Blender's");
    Work::from(Plain {
        new: NewJob {
            owner: job.owner.clone(),
            settings: job.settings.clone(),
            manifest: Blob {
                digest: [index as u8; 32],
                size: 1000 + scene,
                depth: 0,
            },
            main_file: format!("scene{scene}.blend"),
            file_version: "3.4".parse().expect("a series"),
            steps: vec![Step {
                kind: StepKind::Render(Overrides::default()),
                frames: FrameSet::range(0, frames - 1, 1).expect("a range of Blender's"),
                in_order: false,
                by_frame: false,
                beside: false,
                split: job.split,
                tiles: Vec::new(),
                chunking: None,
                replaced: false,
            }],
            client_note: index.to_string(),
        },
        // Machines join first, so that it is pinned.
        submit_at: job.submit_at + Duration::from_secs(1),
        frame: job.frame,
        load: job.load,
        scene,
        uneven: job.uneven,
    })
}

/// Lets a farm work, and looks at every sample who works for whom.
///
/// # Errors
/// If something did not hold that must.
///
/// # Panics
/// If this process can not have an empty record in memory.
pub fn measure(scenario: &Scenario) -> Result<Measured, Violation> {
    let works = scenario.jobs.iter().enumerate();
    let works = works.map(|(at, job)| work(at, job)).collect();
    in_world(scenario, works, async |world| live(world, scenario).await)
}

fn in_world<T>(
    scenario: &Scenario,
    works: Vec<Work>,
    live: impl AsyncFnOnce(&mut World) -> Result<T, Violation>,
) -> Result<T, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a thread can have a runtime");
    let plan = Plan {
        faults: Faults::none(),
        minutes: u32::MAX / 60,
        ..Plan::new(1, scenario.workers, 1)
    };
    runtime.block_on(async {
        let state = State::open_in_memory()
            .await
            .expect("memory can hold an empty record");
        let mut world = World::of(plan, machines(scenario), works, state, Trace::Off);
        live(&mut world).await
    })
}

/// How a job went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finished {
    /// From its submission to its last result.
    pub after: Duration,
    /// What its frames take on the fastest machine, one after the other, in seconds.
    pub work_seconds: f64,
}

/// Lets a farm work until its only job is done.
///
/// # Errors
/// If something did not hold that must.
///
/// # Panics
/// If this process can not have an empty record in memory, or the job does not end.
pub fn finish(scenario: &Scenario) -> Result<Finished, Violation> {
    let [job] = scenario.jobs.as_slice() else {
        panic!("there is one job");
    };
    let work = work(0, job);
    let submitted = work.submit_at;
    let frame = |at| work.time(StepIndex(0), at, Part::Whole).as_secs_f64();
    let work_seconds = (0..job.frames).map(frame).sum();
    in_world(scenario, vec![work], async |world| {
        world.happens(Event::ManagerBack).await?;
        let settings = Input::Settings(Box::new(scenario.settings.clone()));
        world.ask_manager(Arrival::Person(Box::new(settings)));
        while let Some((at, event)) = world.queue.pop() {
            world.now = at;
            world.happens(event).await?;
            let id = world.works[0].job;
            let book = id.and_then(|id| world.books.jobs.get(&id));
            if book.is_some_and(|book| book.state == JobState::Done) {
                return Ok(Finished {
                    after: world.now - submitted,
                    work_seconds,
                });
            }
        }
        panic!("nothing happens any more, and the job is not done");
    })
}

async fn live(world: &mut World, scenario: &Scenario) -> Result<Measured, Violation> {
    world.happens(Event::ManagerBack).await?;
    let settings = Input::Settings(Box::new(scenario.settings.clone()));
    world.ask_manager(Arrival::Person(Box::new(settings)));
    let every = Duration::from_millis(scenario.settings.sample_ms);
    let mut measured = Measured {
        percent: vec![0.0; scenario.jobs.len()],
        most: vec![0; scenario.jobs.len()],
        first_after: vec![None; scenario.jobs.len()],
        longest_without: vec![Duration::ZERO; scenario.jobs.len()],
        done: vec![0; scenario.jobs.len()],
        busy: 0.0,
        scene_loads: 0,
    };
    let begin = every * scenario.ahead;
    let end = begin + every * scenario.samples;
    let mut next = every;
    let mut delivered = vec![begin; scenario.jobs.len()];
    let mut slot_samples = 0u64;
    let mut counts = vec![0u64; scenario.jobs.len()];
    while let Some((at, event)) = world.queue.pop() {
        while next <= at && next <= end {
            let working = working(world, scenario.jobs.len());
            for (job, &slots) in working.iter().enumerate() {
                if next > begin {
                    counts[job] += u64::from(slots);
                    measured.most[job] = measured.most[job].max(slots);
                }
            }
            slot_samples += u64::from(next > begin);
            next += every;
        }
        if at > end {
            break;
        }
        world.now = at;
        world.happens(event).await?;
        note_first(world, scenario, &mut measured);
        note_delivered(world, &mut delivered, &mut measured);
    }
    let all: u64 = counts.iter().sum();
    for (job, &count) in counts.iter().enumerate() {
        measured.percent[job] = 100.0 * count as f64 / all.max(1) as f64;
        measured.longest_without[job] = measured.longest_without[job].max(end - delivered[job]);
    }
    let slots = slot_samples * u64::from(scenario.workers) * u64::from(scenario.slots);
    measured.busy = 100.0 * all as f64 / slots.max(1) as f64;
    measured.scene_loads = world.loads();
    Ok(measured)
}

/// Slots that have a frame of each job now.
fn working(world: &World, jobs: usize) -> Vec<u32> {
    let mut working = vec![0; jobs];
    let processes = world
        .machines
        .iter()
        .filter_map(|machine| machine.process.as_ref());
    for job in processes.flat_map(|process| process.desk.at_work()) {
        let index = world.works.iter().position(|work| work.job == Some(job));
        if let Some(index) = index {
            working[index] += 1;
        }
    }
    working
}

fn note_first(world: &World, scenario: &Scenario, measured: &mut Measured) {
    if measured.first_after.iter().all(Option::is_some) {
        return;
    }
    for (job, slots) in working(world, scenario.jobs.len()).into_iter().enumerate() {
        if slots > 0 && measured.first_after[job].is_none() {
            let submitted = world.works[job].submit_at;
            measured.first_after[job] = Some(world.now.saturating_sub(submitted));
        }
    }
}

/// `delivered`: when a frame of each job was delivered last.
fn note_delivered(world: &World, delivered: &mut [Duration], measured: &mut Measured) {
    for (job, at) in delivered.iter_mut().enumerate() {
        let done = done(world, job);
        if done != measured.done[job] {
            measured.done[job] = done;
            let longest = &mut measured.longest_without[job];
            *longest = (*longest).max(world.now.saturating_sub(*at));
            *at = world.now.max(*at);
        }
    }
}

fn done(world: &World, job: usize) -> u32 {
    let id = world.works[job].job;
    let book = id.and_then(|id| world.books.jobs.get(&id));
    book.map_or(0, |book| book.counts().1)
}
