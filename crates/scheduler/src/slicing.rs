//! How frames are divided among workers: which are, and how much of one a worker is given.
//!
//! A frame is worth dividing where fewer frames are left than slots: of a still, of a short animation, of the end of a long one.
//! Each of these is divided into many small places, and a worker is given a run of them: a third of what would be its
//! part if all that is left were dealt out by speed. So everybody is given less and less, the slow less than the fast,
//! who comes late finds something left, and all end together. (Guided self-scheduling, Polychronopoulos and Kuck 1987,
//! weighted by speed.)
//!
//! By tiles a frame is one file in all, however many parts it has; by samples each part is a file of the whole frame. So of samples
//! workers are given no fewer at once than pay for that.

use std::time::Duration;

use tessera_model::{
    FrameSet, JobId, Overrides, Split, SplitBy, Step, StepIndex, StepKind, WorkerId,
};

use crate::job::JobEntry;
use crate::pace::Speed;
use crate::pools::NeedId;
use crate::scheduler::Scheduler;
use crate::worker::WorkerEntry;

/// No run of places takes much longer than this, as far as it is known: what is lost with a worker is no more.
pub(crate) const LONGEST_US: u64 = 30_000_000;

/// No run of tiles takes less than this, as far as it is known: each costs its beginning, its files and its way.
const SHORTEST_US: u64 = 700_000;

/// No range of samples takes less: each is a file of the whole frame, which goes over the network twice and is read for merging.
const SHORTEST_RANGE_US: u64 = 3_000_000;

/// Nor less than so many times of what it takes besides its samples, where that was measured.
const RANGE_PAYS: u64 = 8;

/// How often speeds are added up anew.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// While nothing is known of what a frame takes, each slot is given one of so many parts of what would be its own: enough to learn from.
const UNKNOWN_PART: u64 = 8;

/// Afterwards one of so many.
const PART: u64 = 3;

/// A frame of fewer samples, all pixels together, is done before its parts would be put together.
const SAMPLES_MIN: u64 = 4_000_000;

/// The end of an animation is divided only if its frames have so many, some seconds of work.
const TAIL_SAMPLES_MIN: u64 = 64_000_000;

/// Frames at the end of an animation that are divided, for each slot: as long as a slow worker is at the last whole one it took,
/// the others have something to do.
const TAIL_FRAMES: u32 = 2;

/// Most frames of a job that are divided: bounds the lists that are kept of them.
const DIVIDED_MAX: u32 = 512;

/// Most frames that get samples as long as there is noise in them: bounds a job's steps, two for each time that one gets some. More frames are
/// enough for all workers as they are.
const NOISY_FRAMES_MAX: u32 = 16;

/// Places of all divided frames of a job.
const PLACES_OF_JOB_MAX: u32 = 1 << 18;

/// Steps that may be divided, as they are rendered on so many slots.
pub(crate) fn plan(steps: Vec<Step>, slots: u32) -> Vec<Step> {
    let only = steps.len() == 1;
    let planned = steps
        .into_iter()
        .flat_map(|step| match divide(&step, slots) {
            Some(divided) if only => divided,
            _ => vec![whole(step)],
        });
    planned.collect()
}

/// A step whose frames are not divided.
fn whole(step: Step) -> Step {
    let split = step.split.filter(|_| step.divided().is_some());
    Step { split, ..step }
}

/// Frames as they are, then the slices of the last ones, then what these make.
fn divide(step: &Step, slots: u32) -> Option<Vec<Step>> {
    let StepKind::Render(overrides) = &step.kind else {
        return None;
    };
    let split = step.split.filter(|_| !step.in_order && !step.by_frame)?;
    let frames = step.frames.len();
    if split.noise.is_some() && frames <= NOISY_FRAMES_MAX {
        return each_by_noise(step, overrides, split);
    }
    // Of many frames each is rendered with all its samples, which stop by themselves where there is no noise.
    let split = split.evened();
    // To a still that was rendered whole nothing could be added.
    let grows = split.grows_to.is_some() && frames == 1;
    let asked_for = grows || matches!(split.by, SplitBy::Grid { .. });
    let count = if asked_for {
        frames
    } else {
        divided_frames(&split, frames, slots)
    };
    if count == 0 || count > PLACES_OF_JOB_MAX / split.places() {
        return None;
    }
    // None if there are none.
    let whole = FrameSet::of(step.frames.iter().take((frames - count) as usize)).ok();
    let last = FrameSet::of(step.frames.iter().skip((frames - count) as usize)).ok()?;
    let mut ranges = overrides.clone();
    // The pattern is that of the whole which the ranges are said to be of.
    ranges.samples = split.grows_to.or(ranges.samples);
    let slices = Step {
        split: Some(split),
        beside: whole.is_some(),
        ..Step::new(StepKind::Slices(ranges), last.clone())
    };
    let assemble = Step {
        by_frame: true,
        ..Step::new(StepKind::Assemble(overrides.clone()), last)
    };
    let whole = whole.map(|frames| Step::new(StepKind::Render(overrides.clone()), frames));
    Some(whole.into_iter().chain([slices, assemble]).collect())
}

/// Frames that get samples as long as there is noise in them, each for itself.
fn each_by_noise(step: &Step, overrides: &Overrides, split: Split) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for frame in step.frames.iter() {
        let frames = FrameSet::of([frame]).ok()?;
        let mut ranges = overrides.clone();
        ranges.samples = split.grows_to;
        steps.push(Step {
            split: Some(split),
            beside: !steps.is_empty(),
            ..Step::new(StepKind::Slices(ranges), frames.clone())
        });
        steps.push(Step {
            by_frame: true,
            ..Step::new(StepKind::Assemble(overrides.clone()), frames)
        });
    }
    Some(steps)
}

/// How many of the last frames are divided.
fn divided_frames(split: &Split, frames: u32, slots: u32) -> u32 {
    let samples =
        u64::from(split.width) * u64::from(split.height) * u64::from(split.samples.max(1));
    let least = if frames < slots {
        SAMPLES_MIN
    } else {
        TAIL_SAMPLES_MIN
    };
    if slots < 2 || samples < least {
        return 0;
    }
    frames
        .min(slots.saturating_mul(TAIL_FRAMES))
        .min(DIVIDED_MAX)
}

/// Speeds of all slots that a job's places may go to, together: counted anew every second.
fn speeds(scheduler: &mut Scheduler, now: Duration, need: NeedId) -> u64 {
    if let Some((at, speeds)) = scheduler.pools.needs[need].speeds
        && now < at + COUNTED_EVERY
    {
        return speeds;
    }
    let pools = &scheduler.pools;
    let speed = |worker: &WorkerEntry| {
        let pool = pools.pools.get(&worker.spot?.pool)?;
        let able = pool.meets(need);
        able.then(|| u64::from(worker.speed.0) * worker.slots() as u64)
    };
    let speeds = scheduler.workers.values().filter_map(speed).sum();
    scheduler.pools.needs[need].speeds = Some((now, speeds));
    speeds
}

/// Whether a worker leaves the whole frames of a job to others and takes parts of divided ones: it would still be at its frame
/// when all the rest is done, and there are faster ones. One that nothing is known of lets none lie ready.
pub(crate) fn leaves_to_others(
    scheduler: &Scheduler,
    job: &JobEntry,
    index: StepIndex,
    worker: &WorkerEntry,
) -> bool {
    let at = usize::from(index.0);
    let divided = job.steps.iter().skip(at + 1);
    let Some(divided) = divided
        .filter(|step| step.places.is_some())
        .find(|step| step.free_units() > 0)
    else {
        return false;
    };
    let step = &job.steps[at];
    if step.places.is_some() {
        return false;
    }
    if worker.measured == 0 {
        return worker.leases.len() >= worker.slots();
    }
    let (Some(here_us), Some(average_us), Some((_, speeds))) = (
        job.expect_us(index, 1, worker.speed),
        job.expect_us(index, 1, Speed::default()),
        scheduler.pools.needs[job.need].speeds,
    ) else {
        return false;
    };
    let places = u64::from(divided.places.unwrap_or(1).max(1));
    let whole_us = u64::from(step.free_units()).saturating_mul(average_us);
    let divided_us = u64::from(divided.free_units()).saturating_mul(average_us) / places;
    let left_us = (whole_us + divided_us).saturating_mul(Speed::default().0.into()) / speeds.max(1);
    let need = &scheduler.pools.needs[job.need];
    if u64::from(worker.speed.0) * u64::from(need.slots) >= speeds {
        // Somebody has to take them.
        return false;
    }
    // It begins after what is in its hands.
    let turns = 1 + worker.leases.len() / worker.slots().max(1);
    here_us.saturating_mul(turns as u64) > left_us
}

/// How many places, from a free one on, are handed out to a worker as one unit.
pub(crate) fn span(
    scheduler: &mut Scheduler,
    now: Duration,
    id: JobId,
    index: StepIndex,
    unit: u32,
    worker: WorkerId,
) -> u32 {
    let Some(entry) = scheduler.jobs.get(&id) else {
        return 1;
    };
    if entry.steps.iter().all(|step| step.places.is_none()) {
        return 1;
    }
    let need = entry.need;
    let model = entry.job.steps.get(index.0 as usize);
    let split = model.and_then(Step::divided).copied();
    // Whole frames are handed out by it as well.
    let speeds = speeds(scheduler, now, need);
    let Some(split) = split else {
        return 1;
    };
    let Some((job, step)) = scheduler
        .jobs
        .get(&id)
        .and_then(|job| Some((job, job.step(index)?)))
    else {
        return 1;
    };
    let run = step.free_run(unit);
    if !split.joins() || run <= 1 {
        return 1;
    }
    let place = unit % split.places().max(1);
    let speed = scheduler
        .workers
        .get(&worker)
        .map_or_else(Speed::default, |worker| worker.speed);
    let left = u64::from(step.free_units());
    let places = job.places_of_all(index);
    let Some(place_ns) = job
        .cost
        .expect_us(1000, speed)
        .map(|thousand_us| (thousand_us / places).max(1))
    else {
        let slots = u64::from(scheduler.pools.needs[need].slots.max(1));
        let part = left / (slots * UNKNOWN_PART);
        return split.run(place, part as u32, run);
    };
    let shortest_us = match split.by {
        SplitBy::Samples => {
            let beside_us = job.cost.expect_range_us(speed);
            SHORTEST_RANGE_US.max(RANGE_PAYS.saturating_mul(beside_us))
        }
        SplitBy::Halvings(_) | SplitBy::Grid { .. } | SplitBy::Chosen { .. } => SHORTEST_US,
    };
    let speeds = speeds.max(u64::from(speed.0));
    let part = left * u64::from(speed.0) / (speeds * PART);
    let places = |us: u64| (us.saturating_mul(1000) / place_ns).max(1);
    let shortest = places(shortest_us);
    let part = part.clamp(shortest, places(LONGEST_US).max(shortest));
    split.run(place, part.min(u64::from(run)) as u32, run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_model::Overrides;

    fn render(frames: &str, split: Option<Split>) -> Step {
        let kind = StepKind::Render(Overrides::default());
        Step {
            split,
            ..Step::new(kind, frames.parse().unwrap())
        }
    }

    fn split(by: SplitBy) -> Split {
        Split {
            width: 1920,
            height: 1080,
            samples: 128,
            first: 0,
            grows_to: None,
            noise: None,
            by,
        }
    }

    /// Frames of each kind of step.
    fn kinds(steps: &[Step]) -> Vec<(&'static str, String)> {
        let kind = |step: &Step| match step.kind {
            StepKind::Render(_) => "whole",
            StepKind::Slices(_) => "slices",
            StepKind::Assemble(_) => "assemble",
        };
        let steps = steps.iter();
        steps
            .map(|step| (kind(step), step.frames.to_string()))
            .collect()
    }

    #[test]
    fn frames_are_divided_where_there_are_fewer_than_slots() {
        let halved = split(SplitBy::Halvings(8));
        let planned = |frames, slots| kinds(&plan(vec![render(frames, Some(halved))], slots));
        let divided = |frames: &str| {
            vec![
                ("slices", frames.to_owned()),
                ("assemble", frames.to_owned()),
            ]
        };
        assert_eq!(planned("1", 1), [("whole", "1".into())]);
        assert_eq!(planned("1", 2), divided("1"));
        assert_eq!(planned("1..3", 4), divided("1..3"));
        let mut tail = divided("93..100");
        tail.insert(0, ("whole", "1..92".into()));
        assert_eq!(planned("1..100", 4), tail);
        let steps = plan(vec![render("1..100", Some(halved))], 4);
        assert_eq!(
            steps.iter().map(|step| step.beside).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert!(steps[2].by_frame);
        assert_eq!(steps[1].positions(), 8 * 256);
    }

    #[test]
    fn what_does_not_pay_or_cannot_be_is_rendered_whole() {
        let small = Split {
            width: 160,
            height: 90,
            samples: 4,
            first: 0,
            grows_to: None,
            noise: None,
            by: SplitBy::Halvings(4),
        };
        let ordered = Step {
            in_order: true,
            ..render("1", Some(split(SplitBy::Halvings(8))))
        };
        for step in [render("1", None), render("1", Some(small)), ordered] {
            let steps = plan(vec![step], 8);
            assert_eq!(kinds(&steps), [("whole", "1".into())]);
            assert_eq!(steps[0].split, None);
        }
    }

    #[test]
    fn tiles_that_were_asked_for_are_made_even_on_one_slot() {
        let grid = split(SplitBy::Grid {
            columns: 4,
            rows: 3,
        });
        let steps = plan(vec![render("1..2", Some(grid))], 1);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].positions(), 24);
    }
}
