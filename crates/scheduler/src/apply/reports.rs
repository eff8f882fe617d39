//! What workers say of the frames in their hands.

use std::ops::Range;
use std::time::Duration;

use tessera_model::{
    Attempt, Change, FrameError, FrameResult, JobId, JobState, LeaseKey, SplitBy, StepIndex,
    StepKind, UnitId, WorkerId,
};

use super::Applied;
use super::grow;
use super::jobs::set_state;
use crate::assign;
use crate::books::{end_lease, loaded, refresh_unit, reported, set_recalled, set_rendering};
use crate::effects::{Effects, Order, Outcome, Refusal};
use crate::input::Now;
use crate::job::JobEntry;
use crate::lapse::lose;
use crate::pace::{FRAME, Measured};
use crate::scheduler::Scheduler;
use crate::timers::Timer;
use crate::{depend, line};

pub(super) fn started(
    scheduler: &mut Scheduler,
    now: Now,
    worker: WorkerId,
    key: LeaseKey,
    position: u32,
    effects: &mut Effects,
) -> Applied {
    let Some(held) = scheduler
        .leases
        .get_mut(&key)
        .filter(|held| held.worker == worker)
    else {
        return Ok(Outcome::NotNeeded);
    };
    held.seen = now.elapsed;
    let is_news = held.rendering != Some(position);
    set_recalled(scheduler, key, false);
    if is_news {
        set_rendering(scheduler, now.elapsed, key, Some(position));
        let job = key.unit.job;
        loaded(scheduler, worker, job);
        let frame = scheduler
            .jobs
            .get(&job)
            .and_then(|entry| entry.frame_at(key.unit.step, position));
        if let Some(frame) = frame {
            effects
                .started
                .push((job, key.unit.step, position, frame, worker));
        }
        effects.jobs.insert(job);
        effects.workers.insert(worker);
    }
    Ok(Outcome::Applied)
}

/// A lease has ended on its worker, with or without all of its frames reported.
pub(super) fn returned(
    scheduler: &mut Scheduler,
    now: Now,
    worker: WorkerId,
    key: LeaseKey,
    effects: &mut Effects,
) -> Applied {
    if scheduler
        .leases
        .get(&key)
        .is_none_or(|held| held.worker != worker)
    {
        return Ok(Outcome::NotNeeded);
    }
    // Given back on purpose: not lost.
    set_rendering(scheduler, now.elapsed, key, None);
    lose(scheduler, now, vec![key], effects);
    Ok(Outcome::Applied)
}

pub(super) fn done(
    scheduler: &mut Scheduler,
    now: Now,
    mut result: Box<FrameResult>,
    effects: &mut Effects,
) -> Applied {
    let key = result.lease;
    let (position, worker) = (result.position, result.worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return Ok(Outcome::NotNeeded);
    };
    check_frame(entry, key, position, result.frame)?;
    let wanted = entry.state != JobState::Cancelled;
    let Some(step) = entry.step(key.unit.step) else {
        return Ok(Outcome::NotNeeded);
    };
    if !wanted || step.replaced || step.done.get(position) {
        return Ok(Outcome::NotNeeded);
    }
    // Late is welcome, somebody else's is not: what a worker reports of it was once given to it.
    let granted = step.attempts.get(&key.unit.index).copied();
    let holder = scheduler.leases.get(&key).map(|held| held.worker);
    if granted.is_none_or(|latest| key.attempt > latest) || holder.is_some_and(|of| of != worker) {
        return Err(Refusal::Invalid(format!(
            "worker {worker} reports frame {} under a lease that it was not given",
            result.frame
        )));
    }
    // Of a frame in which noise is left, it is a step on the way.
    let noisy = std::mem::take(&mut result.noisy);
    let rest = match noisy.is_empty() {
        true => None,
        false => Some(grow::rest(&entry.job, key.unit, result.frame, &noisy)?),
    };
    let Some(step) = entry.step_mut(key.unit.step) else {
        return Ok(Outcome::NotNeeded);
    };
    let unit = key.unit.index;
    let covered = step.covered(unit, position);
    for at in covered.clone() {
        step.done.set(at);
        step.given_up.clear(at);
        step.failures.remove(&at);
        step.lost.remove(&at);
    }
    let unit_done = step.unit_done(unit);
    let step_over = step.is_over();
    if unit_done {
        step.attempts.remove(&unit);
        step.cuts.remove(&unit);
        step.take(unit);
    }
    entry.trouble.remove(&worker);
    effects.jobs.insert(key.unit.job);
    effects.workers.insert(worker);
    let frame = result.frame;
    measure(scheduler, now, &result, covered.len() as u32);
    result.at = now.wall;
    record_done(result, covered.clone(), effects);
    for at in covered {
        reported(scheduler, now.elapsed, key, at);
        others_need_it_no_more(scheduler, now, key, at);
    }
    if unit_done {
        effects.changes.push(Change::UnitClosed(key.unit));
        for other in leases_of_unit(scheduler, key) {
            // Whoever else is at it, by a lease that had lapsed in between or a second one, can stop.
            if other != key
                && let Some(held) = scheduler.leases.get(&other)
            {
                effects.orders.push((held.worker, Order::Cancel(other)));
            }
            end_lease(scheduler, now.elapsed, other, effects);
        }
    } else {
        end_if_reported(scheduler, now, key, effects);
        stop_if_over(scheduler, now, key, effects);
        // The frame that it backed off for may have been this one.
        let unit = key.unit;
        refresh_unit(scheduler, now.elapsed, unit.job, unit.step, unit.index);
    }
    if let Some(steps) = rest {
        grow::go_on(scheduler, now, key.unit.job, steps, effects);
    }
    depend::frame_done(scheduler, now.elapsed, key.unit.job, key.unit.step, frame);
    if step_over {
        line::refresh_need(scheduler, now.elapsed, key.unit.job);
    }
    line::refresh_job(scheduler, now.elapsed, key.unit.job);
    settle(scheduler, now.elapsed, key.unit.job, effects);
    Ok(Outcome::Accepted)
}

/// A run of places is one result; every place but the first refers to that one by having no files.
fn record_done(result: Box<FrameResult>, covered: Range<u32>, effects: &mut Effects) {
    let first = result.position;
    let others = covered.filter(|&at| at != first).map(|position| {
        Box::new(FrameResult {
            position,
            files: Vec::new(),
            previews: None,
            notes: Vec::new(),
            noisy: Vec::new(),
            device: String::new(),
            ..(*result).clone()
        })
    });
    let others: Vec<_> = others.collect();
    effects.changes.push(Change::FrameDone(result));
    let others = others.into_iter().map(Change::FrameDone);
    effects.changes.extend(others);
}

/// What so many positions took, and what opening the scene did.
fn measure(scheduler: &mut Scheduler, now: Now, result: &FrameResult, positions: u32) {
    let (Some(worker), Some(job)) = (
        scheduler.workers.get_mut(&result.worker),
        scheduler.jobs.get_mut(&result.lease.unit.job),
    ) else {
        return;
    };
    let index = result.lease.unit.step;
    let Some(step) = job.job.steps.get(usize::from(index.0)) else {
        return;
    };
    // To put slices together says nothing of what frames take.
    if matches!(step.kind, StepKind::Assemble(_)) {
        return;
    }
    let places = job.places_of_all(index);
    let timings = &result.timings;
    // Of ranges of samples that does not depend on how many they are.
    let (beside, speed) = (timings.sync_us + timings.write_us, worker.speed);
    let told = beside + timings.render_us;
    let held = scheduler.leases.get(&result.lease);
    let begun = held
        .filter(|held| held.rendering == Some(result.position))
        .and_then(|held| held.begun);
    let seen = begun.map(|begun| now.elapsed.saturating_sub(begun).as_micros() as u64);
    if let Some(took) = (told > 0).then_some(told).or(seen) {
        let part = FRAME * u64::from(positions) / places;
        let whole_us = |took: u64| took.saturating_mul(places) / u64::from(positions.max(1));
        let measured = match step.divided().map(|split| split.by) {
            None => Measured::frame(took),
            Some(SplitBy::Samples) => {
                job.cost.learn_range(beside, speed);
                Measured {
                    part,
                    // One sample takes as long as another, so a few of them say as much of the worker as all.
                    ..Measured::frame(whole_us(took.saturating_sub(beside)))
                }
            }
            Some(_) => {
                // All that a worker would be given of a frame says as much of it as a frame; a single part never does.
                let slots = u64::from(scheduler.pools.needs[job.need].slots.max(1));
                Measured {
                    frame_us: whole_us(took),
                    part,
                    weight: (part * slots).min(FRAME / 4),
                }
            }
        };
        worker.speed = job.cost.learn(measured, worker.speed, worker.measured);
        worker.measured = worker.measured.saturating_add(measured.weight);
    }
    let load = timings.transfer_us + timings.load_us;
    if load > 0 {
        job.cost.learn_load(load);
    }
}

/// A frame that came by one lease of a unit is not to come by another.
fn others_need_it_no_more(scheduler: &mut Scheduler, now: Now, key: LeaseKey, position: u32) {
    for other in leases_of_unit(scheduler, key) {
        if other != key {
            let rendering = scheduler.leases.get(&other).and_then(|held| held.rendering);
            reported(scheduler, now.elapsed, other, position);
            if rendering == Some(position) {
                set_rendering(scheduler, now.elapsed, other, rendering);
            }
        }
    }
}

pub(super) fn failed(
    scheduler: &mut Scheduler,
    now: Now,
    error: Box<FrameError>,
    effects: &mut Effects,
) -> Applied {
    let key = error.lease;
    let (position, worker) = (error.position, error.worker);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return Ok(Outcome::NotNeeded);
    };
    check_frame(entry, key, position, error.frame)?;
    let live = scheduler
        .leases
        .get(&key)
        .is_some_and(|held| held.worker == worker && !held.settled.contains(&position));
    let step = entry.step(key.unit.step);
    let missing = step.is_some_and(|step| step.wants(position));
    // A failure under a lease that has ended was counted when it ended, or is nobody's business any more.
    if !live || !missing || entry.state.is_over() {
        return Ok(Outcome::NotNeeded);
    }
    let in_order = entry.job.steps[key.unit.step.0 as usize].in_order;
    let covered = step.map_or(position..position + 1, |step| {
        step.covered(key.unit.index, position)
    });
    record_failure(scheduler, now, error, false, effects);
    for at in covered {
        reported(scheduler, now.elapsed, key, at);
    }
    if in_order && scheduler.leases.contains_key(&key) {
        end_lease(scheduler, now.elapsed, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    } else {
        end_if_reported(scheduler, now, key, effects);
    }
    settle(scheduler, now.elapsed, key.unit.job, effects);
    Ok(Outcome::Accepted)
}

/// Counts a failure of a frame, gives the frame up at the bound (or at once), and draws the conclusions for worker and job.
pub(crate) fn record_failure(
    scheduler: &mut Scheduler,
    now: Now,
    mut error: Box<FrameError>,
    give_up: bool,
    effects: &mut Effects,
) {
    let key = error.lease;
    let (position, worker) = (error.position, error.worker);
    let settings = &scheduler.settings;
    let (back_off, longest) = (
        Duration::from_millis(settings.retry_after_ms),
        Duration::from_millis(settings.retry_after_max_ms),
    );
    let block_after = settings.block_after_failures;
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let max = entry.job.settings.max_attempts;
    let in_order = entry.job.steps[key.unit.step.0 as usize].in_order;
    let Some(step) = entry.step_mut(key.unit.step) else {
        return;
    };
    let failures = step.failures.entry(position).or_default();
    failures.count += 1;
    failures.workers.insert(worker);
    let back_off = back_off * (1 << (failures.count - 1).min(16));
    failures.not_before = now.elapsed + back_off.min(longest);
    let retry = Timer::Retry(key.unit.job, key.unit.step, key.unit.index);
    scheduler.timers.set(failures.not_before, retry);
    let give_up = give_up || failures.count >= max;
    error.at = now.wall;
    effects.changes.push(Change::FrameFailed(error.clone()));
    if give_up {
        // Where order matters nothing after this frame can be rendered either.
        let given_up = if in_order {
            position..step.done.len()
        } else {
            // Of a frame that lacks a part nothing else is needed.
            step.frame_positions(position)
        };
        for at in given_up.clone() {
            step.lost.remove(&at);
            if !step.done.get(at) && step.given_up.set(at) {
                effects.changes.push(Change::FrameGivenUp(key, at));
            }
        }
        let unit = step.positions(key.unit.index);
        let of_unit: Vec<u32> = unit.filter(|at| given_up.contains(at)).collect();
        for at in of_unit {
            others_need_it_no_more(scheduler, now, key, at);
        }
        stop_if_over(scheduler, now, key, effects);
        give_up_followers(scheduler, now, key, given_up.clone(), effects);
        if !in_order {
            stop_rest(scheduler, now, key, given_up, effects);
        }
    }
    refresh_unit(
        scheduler,
        now.elapsed,
        key.unit.job,
        key.unit.step,
        key.unit.index,
    );
    line::refresh_need(scheduler, now.elapsed, key.unit.job);
    line::refresh_job(scheduler, now.elapsed, key.unit.job);
    effects.failures.push((error, give_up));
    effects.jobs.insert(key.unit.job);
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let trouble = entry.trouble.entry(worker).or_default();
    *trouble += 1;
    let troubled = *trouble >= block_after;
    if troubled
        && scheduler
            .jobs
            .get(&key.unit.job)
            .is_some_and(|entry| assign::someone_but(scheduler, entry, &[worker].into()))
        && let Some(entry) = scheduler.jobs.get_mut(&key.unit.job)
        && entry.blocked.insert(worker)
    {
        effects
            .changes
            .push(Change::JobBlocked(key.unit.job, worker));
        line::refresh_cap(scheduler, key.unit.job);
    }
}

/// Frames of the next steps that wait for frames that were given up are given up too: they would wait for ever.
fn give_up_followers(
    scheduler: &mut Scheduler,
    now: Now,
    key: LeaseKey,
    positions: Range<u32>,
    effects: &mut Effects,
) {
    let Some(entry) = scheduler.jobs.get_mut(&key.unit.job) else {
        return;
    };
    let first = key.unit.step.0 as usize;
    let mut frames: Vec<i32> = positions
        .filter(|&at| entry.steps[first].given_up.get(at))
        .filter_map(|at| entry.frame_at(key.unit.step, at))
        .collect();
    frames.dedup();
    let mut given_up = Vec::new();
    for at in first + 1..entry.steps.len() {
        let step = &entry.job.steps[at];
        if step.beside && step.makes_parts() {
            // It waits for nothing, and what puts its frames together comes next.
            continue;
        }
        if !step.by_frame {
            break;
        }
        for &frame in &frames {
            let Some(positions) = entry.job.steps[at].positions_of(frame) else {
                continue;
            };
            let step = &mut entry.steps[at];
            for position in positions {
                if step.wants(position) {
                    step.given_up.set(position);
                    let unit = UnitId {
                        step: StepIndex(at as u16),
                        index: step.unit_of(position),
                        ..key.unit
                    };
                    let key = LeaseKey { unit, ..key };
                    effects.changes.push(Change::FrameGivenUp(key, position));
                    given_up.push((unit, position));
                }
            }
        }
    }
    for (unit, position) in given_up {
        // Through no lease of that unit.
        let attempt = Attempt(0);
        stop_others(
            scheduler,
            now,
            LeaseKey { unit, attempt },
            position,
            effects,
        );
        refresh_unit(scheduler, now.elapsed, unit.job, unit.step, unit.index);
    }
}

/// A frame was given up, through one lease of a unit or with another frame: other leases have a frame less to render.
fn stop_others(
    scheduler: &mut Scheduler,
    now: Now,
    key: LeaseKey,
    position: u32,
    effects: &mut Effects,
) {
    others_need_it_no_more(scheduler, now, key, position);
    stop_if_over(scheduler, now, key, effects);
}

/// The other parts of a divided frame that was given up are not rendered any more.
fn stop_rest(
    scheduler: &mut Scheduler,
    now: Now,
    key: LeaseKey,
    given_up: Range<u32>,
    effects: &mut Effects,
) {
    for at in given_up {
        let unit = UnitId {
            index: at,
            ..key.unit
        };
        if unit != key.unit {
            // Of no lease that there is.
            let attempt = Attempt(0);
            stop_if_over(scheduler, now, LeaseKey { unit, attempt }, effects);
        }
        refresh_unit(scheduler, now.elapsed, unit.job, unit.step, at);
    }
}

/// When nothing of a unit is wanted any more its other leases end.
fn stop_if_over(scheduler: &mut Scheduler, now: Now, key: LeaseKey, effects: &mut Effects) {
    let wanted = scheduler
        .jobs
        .get(&key.unit.job)
        .and_then(|entry| entry.step(key.unit.step))
        .is_some_and(|step| step.is_wanted(key.unit.index));
    if wanted {
        return;
    }
    for other in leases_of_unit(scheduler, key) {
        if other != key {
            if let Some(held) = scheduler.leases.get(&other) {
                effects.orders.push((held.worker, Order::Cancel(other)));
            }
            end_lease(scheduler, now.elapsed, other, effects);
            effects.changes.push(Change::LeaseEnded(other));
        }
    }
}

/// Brings a job's state in line with its frames.
pub(crate) fn settle(scheduler: &mut Scheduler, now: Duration, job: JobId, effects: &mut Effects) {
    let hopeless_after = scheduler.settings.hopeless_after;
    let Some(entry) = scheduler.jobs.get_mut(&job) else {
        return;
    };
    let (positions, done, failed) = entry.counts();
    let (_, _, failed_frames) = entry.frame_counts();
    let state = if done == positions {
        JobState::Done
    } else if done + failed == positions || (done == 0 && failed_frames >= hopeless_after) {
        JobState::Failed
    } else {
        return;
    };
    if entry.state == state || (entry.state.is_over() && state == JobState::Failed) {
        return;
    }
    set_state(scheduler, now, job, state, effects);
    take_back(scheduler, now, job, effects);
}

/// Kills what is rendered of a job.
pub(super) fn take_back(
    scheduler: &mut Scheduler,
    now: Duration,
    job: JobId,
    effects: &mut Effects,
) {
    let Some(entry) = scheduler.jobs.get(&job) else {
        return;
    };
    for key in entry.leases.clone() {
        if let Some(held) = scheduler.leases.get(&key) {
            effects.orders.push((held.worker, Order::Cancel(key)));
        }
        end_lease(scheduler, now, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}

fn end_if_reported(scheduler: &mut Scheduler, now: Now, key: LeaseKey, effects: &mut Effects) {
    if scheduler
        .leases
        .get(&key)
        .is_some_and(|held| held.left == 0)
    {
        end_lease(scheduler, now.elapsed, key, effects);
        effects.changes.push(Change::LeaseEnded(key));
    }
}

fn leases_of_unit(scheduler: &Scheduler, key: LeaseKey) -> Vec<LeaseKey> {
    scheduler
        .jobs
        .get(&key.unit.job)
        .map(|entry| entry.leases_of(key.unit).collect())
        .unwrap_or_default()
}

/// A report must speak of a frame that exists, and of the unit it belongs to.
fn check_frame(entry: &JobEntry, key: LeaseKey, position: u32, frame: i32) -> Result<(), Refusal> {
    let unit = entry.step(key.unit.step).map(|step| step.unit_of(position));
    if unit == Some(key.unit.index) && entry.frame_at(key.unit.step, position) == Some(frame) {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "the report names frame {frame} at position {position} of unit {}, which is not a frame of that unit",
        key.unit
    )))
}
