//! More samples for frames that are divided by them.
//!
//! What is rendered stays: further ranges of samples are rendered, and put together with what there is. So a job gets two more
//! steps each time, the ranges and the frames, and what put its frames together before is *replaced*. Of a job that is done the
//! sum of each frame is what there is; of one that is rendered still, its ranges are.
//!
//! Frames that get samples as long as there is noise in them grow so by themselves, each for itself: who puts one together says in which
//! tiles noise is left, and these are the next step.

use tessera_model::{
    Change, FrameSet, Job, JobId, JobState, LeaseKey, MAX_FRAMES, Split, SplitBy, Step, StepKind,
    UnitId,
};

use super::jobs::set_state;
use crate::books::{end_lease, refresh_all_units};
use crate::effects::{Effects, Order, Refusal};
use crate::input::Now;
use crate::job::{JobEntry, StepEntry};
use crate::line;
use crate::scheduler::Scheduler;

/// Most times that samples are added to a job: bounds its steps.
const GROWN_MAX: usize = 64;

/// Whether the frames of a job can come to so many samples; false if they have them.
pub(super) fn check(entry: &JobEntry, samples: u32) -> Result<bool, Refusal> {
    let job = entry.job.id;
    let invalid = |text: String| Err(Refusal::Invalid(text));
    let split = match split(&entry.job) {
        Ok(split) => split,
        Err(because) => {
            return invalid(format!(
                "samples cannot be added to job {job}: {because}; submit it again with more samples"
            ));
        }
    };
    let has = split.samples;
    if samples == has {
        return Ok(false);
    }
    if samples < has {
        return invalid(format!(
            "job {job} has {has} samples, and none can be taken away: name more than {has}"
        ));
    }
    match split.grows_to {
        Some(most) if samples <= most => {}
        Some(most) if has < most => {
            return invalid(format!(
                "the frames of job {job} can have at most {most} samples, since their pattern is made for so many: {samples} need a render from the beginning"
            ));
        }
        _ => {
            return invalid(format!(
                "the {has} samples of job {job} have a pattern that is made for so many, so more of them make another picture than {samples} would: \
                 submit it again, with --room-for if more are to be added later"
            ));
        }
    }
    if entry.job.steps.len() >= 2 * GROWN_MAX {
        return invalid(format!(
            "samples were added to job {job} {} times, and not more often: submit it again",
            GROWN_MAX - 1
        ));
    }
    let grown = more(&entry.job, entry.state == JobState::Done, samples);
    let positions = grown.iter().flat_map(|(_, steps)| steps);
    let positions: u64 = positions.map(|step| u64::from(step.positions())).sum();
    if positions > u64::from(MAX_FRAMES) {
        return invalid(format!(
            "job {job} would have {positions} parts of frames, and a job has at most {MAX_FRAMES}: submit it again with more samples"
        ));
    }
    let refuse = |state| {
        let hint = "`tessera job retry` takes it up again";
        Err(Refusal::JobState { job, state, hint })
    };
    match entry.state {
        JobState::Cancelled => refuse("cancelled"),
        JobState::Failed => refuse("failed"),
        JobState::Active | JobState::Paused | JobState::Done => Ok(true),
    }
}

/// How the frames of a job are divided by their samples by now, if all of them are; else why not.
fn split(job: &Job) -> Result<Split, &'static str> {
    let makes_whole = |step: &Step| matches!(step.kind, StepKind::Render(_));
    let last = job.steps.iter().rev().find_map(Step::divided);
    match last {
        None => Err(
            "its frames are rendered whole, and samples are added to frames that are divided by them (--split samples)",
        ),
        Some(split) if split.by != SplitBy::Samples => Err(
            "its frames are divided into tiles, and samples are added to frames that are divided by them (--split samples)",
        ),
        Some(_) if job.steps.iter().any(makes_whole) => {
            Err("only the last of its frames are divided by their samples")
        }
        Some(split) => Ok(*split),
    }
}

/// Adds samples to the frames of a job, which was found to be possible.
pub(super) fn grow(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    samples: u32,
    effects: &mut Effects,
) {
    let Some(entry) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    let is_done = entry.state == JobState::Done;
    let Some((had, steps)) = more(&entry.job, is_done, samples) else {
        return;
    };
    take(entry, steps, effects);
    entry.cost.grow(had, samples);
    let replaced: Vec<LeaseKey> = entry
        .leases
        .iter()
        .filter(|key| entry.job.steps[usize::from(key.unit.step.0)].replaced)
        .copied()
        .collect();
    for key in replaced {
        if let Some(held) = scheduler.leases.get(&key) {
            effects.orders.push((held.worker, Order::Cancel(key)));
        }
        end_lease(scheduler, now.elapsed, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
    if is_done {
        set_state(scheduler, now.elapsed, id, JobState::Active, effects);
    }
    refresh_all_units(scheduler, now.elapsed, id);
    line::refresh_need(scheduler, now.elapsed, id);
}

/// From now on these are a job's steps: those that it has, and some more.
fn take(entry: &mut JobEntry, steps: Vec<Step>, effects: &mut Effects) {
    let id = entry.job.id;
    effects.changes.push(Change::JobGrown(id, steps.clone()));
    effects.jobs.insert(id);
    let chunk = entry.job.settings.chunk;
    for (at, step) in steps.iter().enumerate() {
        match entry.steps.get_mut(at) {
            Some(known) if step.replaced => known.replace(),
            Some(_) => {}
            None => entry.steps.push(StepEntry::fresh(step, chunk)),
        }
    }
    entry.job.steps = steps;
    entry.fetched = None;
}

/// What comes next of a frame in which noise is left, as the one says who put it together: the steps of its job from then on.
pub(super) fn rest(
    job: &Job,
    unit: UnitId,
    frame: i32,
    noisy: &[u16],
) -> Result<Vec<Step>, Refusal> {
    let at = usize::from(unit.step.0);
    let invalid = |text: &str| Refusal::Invalid(format!("frame {frame} of job {}: {text}", job.id));
    let slices = at.checked_sub(1).and_then(|before| job.steps.get(before));
    let split = slices.and_then(Step::divided);
    let (Some(slices), Some(split), Some(assemble)) = (
        slices,
        split.filter(|split| split.noise.is_some()),
        job.steps.get(at),
    ) else {
        return Err(invalid("noise that is left in it is nobody's business"));
    };
    let tiles = split.tile_count();
    if !noisy.is_sorted_by(|one, next| one < next)
        || noisy.last().is_some_and(|&last| u32::from(last) >= tiles)
    {
        return Err(invalid(
            "tiles with noise are to be named once each, in order, as far as there are any",
        ));
    }
    let Some(next) = split.next(noisy) else {
        return Err(invalid(
            "it has all samples that it can have, so it is done, with what noise there is",
        ));
    };
    let frames = FrameSet::of([frame]).map_err(|error| invalid(&error.to_string()))?;
    let mut steps = job.steps.clone();
    steps[at].replaced = true;
    steps.push(Step {
        split: Some(next),
        tiles: noisy.to_vec(),
        frames: frames.clone(),
        beside: true,
        ..slices.clone()
    });
    steps.push(Step {
        frames,
        ..assemble.clone()
    });
    Ok(steps)
}

/// Has more samples rendered of a frame in which noise is left: by the steps that are its [`rest`].
pub(super) fn go_on(
    scheduler: &mut Scheduler,
    now: Now,
    id: JobId,
    steps: Vec<Step>,
    effects: &mut Effects,
) {
    if let Some(entry) = scheduler.jobs.get_mut(&id) {
        take(entry, steps, effects);
        refresh_all_units(scheduler, now.elapsed, id);
        line::refresh_need(scheduler, now.elapsed, id);
    }
}

/// The samples that its frames had, and its steps with those that add some.
fn more(job: &Job, is_done: bool, samples: u32) -> Option<(u32, Vec<Step>)> {
    let mut steps = job.steps.clone();
    let [.., slices, assemble] = &job.steps[..] else {
        return None;
    };
    let split = *slices.divided()?;
    for step in &mut steps {
        step.replaced |= is_done || !step.makes_parts();
    }
    let mut assemble = assemble.clone();
    assemble.overrides_mut().samples = Some(samples);
    steps.push(Step {
        split: Some(Split {
            first: split.samples,
            samples,
            ..split
        }),
        beside: true,
        ..slices.clone()
    });
    steps.push(assemble);
    for step in steps.iter_mut().rev().take(2) {
        step.chunking = None;
    }
    Some((split.samples, steps))
}
