//! Once nothing goes wrong any more, every job comes to its end, and only frames that nobody can render are missing.

use std::time::Duration;

use tessera_model::{JobId, JobState, StepIndex};

use super::matching;
use crate::books::JobBook;
use crate::violation::Violation;
use crate::work::Work;
use crate::world::World;

const PROPERTY: &str =
    "once nothing goes wrong any more, every job ends with all frames that can be rendered";

/// Nothing being handed out or rendered for so long, in a healed farm with work, means that nothing ever will be: longer
/// than any back-off (60 s), lapse (90 s) or file transfer.
const STILL_MAX: Duration = Duration::from_secs(600);

/// Whether something moves.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    moved_at: Duration,
}

impl Progress {
    pub(crate) fn moved(&mut self, now: Duration) {
        self.moved_at = now;
    }
}

/// Whether a run has come to its end: the farm is healed and all jobs are over, or wait for one that failed.
pub(crate) fn is_over(world: &World) -> bool {
    let submitted = world.works.iter().all(|work| work.job.is_some());
    let quiet = world
        .manager
        .engine
        .as_ref()
        .is_some_and(|engine| engine.is_clean());
    let over = |job: &JobBook| job.state.is_over() || waits_in_vain(world, job);
    let jobs = &world.books.jobs;
    world.checks.healed_at.is_some() && submitted && quiet && jobs.values().all(over)
}

/// Whether a job waits for one that has failed, or for frames of one that it will never have.
fn waits_in_vain(world: &World, job: &JobBook) -> bool {
    job.leases.is_empty()
        && job.job.settings.after.iter().any(|after| {
            let other = world.books.jobs.get(&after.job);
            other.is_some_and(|other| {
                let failed = matches!(other.state, JobState::Failed | JobState::Cancelled);
                failed || waits_in_vain(world, other)
            })
        })
}

/// In a healed farm something must move while there is work.
pub(super) fn check(world: &mut World) -> Result<(), Violation> {
    let Some(healed_at) = world.checks.healed_at else {
        return Ok(());
    };
    let rendering: usize = world
        .machines
        .iter()
        .map(|machine| machine.rendering())
        .sum();
    if rendering > 0 {
        // Frames in order that are rendered again, up to where the last worker was lost, are nothing new for the record.
        world.checks.progress.moved(world.now);
    }
    let since = healed_at.max(world.checks.progress.moved_at);
    let still = world.now.saturating_sub(since);
    if still < STILL_MAX || is_over(world) {
        return Ok(());
    }
    let clock = world.manager.clock(world.now);
    let stuck = world
        .books
        .jobs
        .iter()
        .find(|(_, job)| !job.state.is_over());
    let why = |id: JobId| {
        let view = world.manager.engine.as_ref()?.scheduler.job(clock, id)?;
        let state = (view.done, view.failed, view.frames);
        let build = view
            .job
            .build
            .map_or("no Blender yet".into(), |build| build.to_string());
        Some(format!(
            "job {id} ({build}): {state:?} frames done, failed, all; \"{}\"",
            view.waiting_because
        ))
    };
    let what = stuck.and_then(|(id, _)| why(*id));
    let what = what.unwrap_or_else(|| "jobs that nobody could submit".into());
    let how = format!(
        "nothing has moved for {} s, and there is work left: {what}",
        still.as_secs()
    );
    Err(Violation::new(PROPERTY, how))
}

/// At the end: what is missing could not be rendered.
pub(super) fn finished(world: &World) -> Result<(), Violation> {
    for (&id, book) in &world.books.jobs {
        let Some(work) = book
            .job
            .client_note
            .parse()
            .ok()
            .and_then(|at: usize| world.works.get(at))
        else {
            continue;
        };
        ended_well(world, id, book, work)?;
    }
    Ok(())
}

fn ended_well(world: &World, id: JobId, book: &JobBook, work: &Work) -> Result<(), Violation> {
    let wrong = |how: String| Err(Violation::new(PROPERTY, how));
    let (frames, done, failed) = book.counts();
    if book.state == JobState::Done || waits_in_vain(world, book) {
        return Ok(());
    }
    if book.state != JobState::Failed {
        return wrong(format!(
            "job {id} is {:?}: {done} of {frames} frames",
            book.state
        ));
    }
    let hopeless = done == 0 && book.frame_counts().2 >= world.books.farm.hopeless_after;
    if done + failed != frames && !hopeless {
        return wrong(format!("job {id} failed with frames left to try"));
    }
    for (index, step) in book.steps.iter().enumerate() {
        for position in 0..step.done.len() {
            if step.given_up.get(position)
                && !has_failed(book, index, position)
                && !is_doomed(work, book, index, position)
            {
                return wrong(format!(
                    "position {position} of step {index} of job {id} was given up, and could be rendered"
                ));
            }
        }
    }
    Ok(())
}

/// As many failures as its job allows, each on a machine of its own fault, end a frame too.
fn has_failed(book: &JobBook, step: usize, position: u32) -> bool {
    // Of a divided frame one part is enough.
    let places = book.job.steps[step].places();
    let first = position / places * places;
    let mut failures = book.steps[step].failures.range(first..first + places);
    failures.any(|(_, failure)| failure.count >= book.job.settings.max_attempts)
}

/// Whether a frame can not be rendered: it fails wherever it is, or one that it needs does. Where order matters those are
/// all before it; in a step that follows frame by frame it is the one of its number in the steps that it waits for.
fn is_doomed(work: &Work, book: &JobBook, step: usize, position: u32) -> bool {
    let model = &book.job.steps[step];
    let before = if model.in_order { 0 } else { position };
    let here = StepIndex(step as u16);
    let is_lost = |before: usize, position: u32| {
        let same = model.frame_at(position);
        let same = same.and_then(|frame| book.job.steps[before].positions_of(frame));
        let lost = |at: u32| has_failed(book, before, at) || is_doomed(work, book, before, at);
        !book.job.steps[before].replaced && same.is_some_and(|mut same| same.any(lost))
    };
    (before..=position).any(|at| {
        let (asked, frame) = work.origin(&book.job, here, at);
        work.is_doomed(asked, frame)
            || (model.by_frame
                && matching::awaited(&book.job, step).any(|before| is_lost(before, at)))
    })
}
