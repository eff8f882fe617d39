//! Every unit goes to a worker that may have it, at a time when it may be handed out. The rules are written down here a
//! second time, after the documentation and not after the scheduler.

use std::time::Duration;

use tessera_model::{
    Device, Gpu, Job, JobState, Lease, Requirement, StepIndex, WorkerId, WorkerMode,
};

use crate::books::{Books, JobBook, WorkerBook};
use crate::violation::Violation;
use crate::world::World;

const PROPERTY: &str = "a unit goes only to a worker that may have it, when it may be had";

/// A unit was handed out.
pub(super) fn handed_out(world: &World, lease: &Lease) -> Result<(), Violation> {
    let books = &world.books;
    let unit = lease.key.unit;
    let wrong = |why: &str| {
        let how = format!("unit {unit} went to worker {}: {why}", lease.worker);
        Err(Violation::new(PROPERTY, how))
    };
    let (Some(job), Some(worker)) = (books.jobs.get(&unit.job), books.workers.get(&lease.worker))
    else {
        return wrong("there is no such job or worker");
    };
    let fits = is_there(books, worker, world.now).and_then(|()| fits(job, worker, unit.step));
    if let Err(why) = fits {
        return wrong(&why);
    }
    // A second lease of what has begun already begins nothing: a step may have come to life again meanwhile.
    let step = &job.steps[usize::from(unit.step.0)];
    let is_second = step.held.get(&unit.index).is_some_and(|&held| held > 1);
    let may = match is_second {
        true => frames_may_begin(books, job, world.now, unit.step, unit.index),
        false => may_begin(books, job, world.now, unit.step, unit.index),
    };
    may.or_else(|why| wrong(&why))
}

/// Whether a worker can be given anything at all.
pub(crate) fn is_there(books: &Books, worker: &WorkerBook, now: Duration) -> Result<(), String> {
    let Some(heard) = worker.heard else {
        return Err("it is not linked".into());
    };
    let silent = now.saturating_sub(heard);
    // To the millisecond, as the setting is.
    if silent.as_millis() > u128::from(books.farm.suspect_after_ms) {
        return Err(format!("it has been silent for {} ms", silent.as_millis()));
    }
    if worker.record.mode != WorkerMode::Active {
        return Err(format!("it is {:?}", worker.record.mode));
    }
    let rests = |facts: &tessera_model::WorkerFacts| facts.rest.is_some();
    match &worker.record.facts {
        None => Err("nobody knows what it is".into()),
        Some(facts) if rests(facts) => Err("it rests".into()),
        Some(_) => Ok(()),
    }
}

/// Whether a worker has all that a job asks for.
pub(crate) fn fits(job: &JobBook, worker: &WorkerBook, step: StepIndex) -> Result<(), String> {
    let Some(facts) = &worker.record.facts else {
        return Err("nobody knows what it is".into());
    };
    let id: WorkerId = worker.record.id;
    if job.blocked.contains(&id) {
        return Err("it is blocked for the job".into());
    }
    match &job.job.build {
        Some(build) if facts.builds.contains(build) => {}
        _ => return Err("it lacks the job's Blender".into()),
    }
    let settings = &job.job.settings;
    if let Some(tag) = settings.tags.iter().find(|tag| !facts.tags.contains(tag)) {
        return Err(format!("it lacks the tag {tag}"));
    }
    let overrides = job.job.steps[usize::from(step.0)].overrides();
    let interface = match &overrides.device {
        Device::File | Device::Cpu => None,
        Device::Gpu if facts.gpus.is_empty() => return Err("it has no GPU".into()),
        Device::Gpu => None,
        Device::Interface(name) => Some(name),
    };
    if let Some(name) = interface
        && !facts.gpus.iter().any(|gpu| gpu.interface == *name)
    {
        return Err(format!("it has no {name} device"));
    }
    let Requirement {
        memory_bytes,
        cores,
        gpu,
        gpu_memory_bytes,
        os,
        workers,
        ..
    } = &settings.requirement;
    if !workers.is_empty() && !workers.contains(&worker.record.name) {
        return Err("it is not one of those named".into());
    }
    if memory_bytes.is_some_and(|need| facts.memory_bytes < need) {
        return Err("it lacks memory".into());
    }
    if cores.is_some_and(|need| facts.cores < need) {
        return Err("it lacks cores".into());
    }
    if os.as_ref().is_some_and(|need| facts.os != *need) {
        return Err("it runs another system".into());
    }
    let gpu_fits = |has: &Gpu| {
        let named = |part: &String| has.name.to_lowercase().contains(&part.to_lowercase());
        let large = |need: u64| has.memory_bytes.is_some_and(|memory| memory >= need);
        gpu.as_ref().is_none_or(named)
            && gpu_memory_bytes.is_none_or(large)
            && interface.is_none_or(|name| has.interface == *name)
    };
    if (gpu.is_some() || gpu_memory_bytes.is_some()) && !facts.gpus.iter().any(gpu_fits) {
        return Err("it lacks the GPU".into());
    }
    Ok(())
}

/// Whether a unit may be handed out now, whoever gets it.
pub(crate) fn may_begin(
    books: &Books,
    job: &JobBook,
    now: Duration,
    step: StepIndex,
    unit: u32,
) -> Result<(), String> {
    if job.state != JobState::Active {
        return Err(format!("the job is {:?}", job.state));
    }
    for after in job.job.settings.after.iter().filter(|after| !after.frames) {
        let other = books.jobs.get(&after.job);
        if other.is_none_or(|other| other.state != JobState::Done) {
            return Err(format!("the job waits for job {}", after.job));
        }
    }
    if !is_open(job, usize::from(step.0)) {
        return Err("an earlier step is not over".into());
    }
    frames_may_begin(books, job, now, step, unit)
}

/// The same for its frames alone: none failed a moment ago, and what each waits for is there.
fn frames_may_begin(
    books: &Books,
    job: &JobBook,
    now: Duration,
    step: StepIndex,
    unit: u32,
) -> Result<(), String> {
    let at = usize::from(step.0);
    let book = &job.steps[at];
    for position in book.wanted(unit) {
        let failure = book.failures.get(&position);
        if let Some(failure) = failure
            && let Some(last) = failure.at
            && now < last + back_off(books, failure.count)
        {
            return Err(format!("position {position} failed a moment ago"));
        }
        if let Some(missing) = missing_frame(books, job, at, position) {
            return Err(missing);
        }
    }
    Ok(())
}

fn back_off(books: &Books, count: u32) -> Duration {
    let first = Duration::from_millis(books.farm.retry_after_ms);
    let doubled = first * (1 << count.saturating_sub(1).min(16));
    doubled.min(Duration::from_millis(books.farm.retry_after_max_ms))
}

/// Whether a step's turn has come: all before it are over, or it follows the one before frame by frame and so on.
fn is_open(job: &JobBook, at: usize) -> bool {
    let before = &job.steps[..at];
    let step = &job.job.steps[at];
    before.iter().all(|step| step.is_over())
        || (at > 0 && (step.by_frame || step.beside) && is_open(job, at - 1))
}

/// The steps that one waits for frame by frame: the one before it, and all that make parts of its frames.
pub(crate) fn awaited(job: &Job, at: usize) -> impl Iterator<Item = usize> + '_ {
    (0..at).filter(move |&before| before + 1 == at || job.steps[before].makes_parts())
}

/// What a frame waits for, if that is not there.
fn missing_frame(books: &Books, job: &JobBook, at: usize, position: u32) -> Option<String> {
    let frame = job.job.steps[at].frame_at(position)?;
    let lacks = |of: &JobBook, step: usize| {
        let here = of.job.steps[step].positions_of(frame);
        !of.job.steps[step].replaced
            && here.is_some_and(|mut positions| positions.any(|at| !of.steps[step].done.get(at)))
    };
    if job.job.steps[at].by_frame && awaited(&job.job, at).any(|before| lacks(job, before)) {
        return Some(format!("frame {frame} of a step before is not there"));
    }
    for after in job.job.settings.after.iter().filter(|after| after.frames) {
        let is_missing = books
            .jobs
            .get(&after.job)
            .is_none_or(|other| (0..other.steps.len()).any(|step| lacks(other, step)));
        if is_missing {
            return Some(format!("frame {frame} of job {} is not there", after.job));
        }
    }
    None
}

/// The first unit of a job that nobody has and that may be handed out now, to a worker on which it has not failed.
pub(crate) fn ready_unit(
    books: &mut Books,
    id: tessera_model::JobId,
    now: Duration,
    worker: Option<WorkerId>,
) -> Option<(StepIndex, u32)> {
    let steps = books.jobs.get(&id)?.steps.len();
    for at in 0..steps {
        let step = StepIndex(at as u16);
        let free: Vec<u32> = match books.jobs.get_mut(&id) {
            Some(job) if is_open(job, at) => job.steps[at].free().take(FREE_MAX).collect(),
            _ => continue,
        };
        let job = books.jobs.get(&id)?;
        let found = free.into_iter().find(|&unit| {
            let failed_here = worker.is_some_and(|worker| failed_on(job, at, unit, worker));
            !failed_here && may_begin(books, job, now, step, unit).is_ok()
        });
        if let Some(unit) = found {
            return Some((step, unit));
        }
    }
    None
}

/// Free units looked at for one that may begin: so that a job that waits frame by frame is not searched as a whole.
const FREE_MAX: usize = 64;

/// Whether a unit failed on a worker.
pub(crate) fn failed_on(job: &JobBook, step: usize, unit: u32, worker: WorkerId) -> bool {
    let book = &job.steps[step];
    let positions = book.positions(unit);
    let mut failures = book.failures.range(positions);
    failures.any(|(_, failure)| failure.workers.contains(&worker))
}
