//! What is kept of leases, failures and jobs while things go wrong: in the books, over a restart, and with time.

mod failures;
mod lapses;
mod leases;
mod workers;

use std::time::Duration;

use tessera_model::{
    After, Attempt, Change, Device, FrameError, FrameErrorKind, FrameResult, JobEdit, JobId,
    JobState, LeaseKey, ResultTimings, StepIndex, Timestamp, UnitId, WorkerId, WorkerMode,
};

use super::world::{World, blob, build, job, with};
use crate::books::{hold, takes_a_place, weight_milli};
use crate::{
    Effects, FrameOrder, Input, JobCommand, JobView, NewJob, Order, Outcome, Reason, Refusal,
    WorkerCommand,
};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn chunked(frames: &str, chunk: u32) -> NewJob {
    with(frames, |new| new.settings.chunk = chunk)
}

fn view(world: &World, id: JobId) -> JobView {
    world.scheduler.job(world.clock(), id).unwrap()
}

fn state(world: &World, id: JobId) -> JobState {
    view(world, id).state
}

/// Frames, delivered, given up.
fn counts(world: &World, id: JobId) -> (u32, u32, u32) {
    let view = view(world, id);
    (view.frames, view.done, view.failed)
}

/// Frames of what a worker has in hand, oldest first.
fn frames(world: &World, worker: WorkerId) -> Vec<Vec<i32>> {
    let of = |orders: &[FrameOrder]| orders.iter().map(|order| order.frame).collect();
    world.hands[&worker]
        .iter()
        .map(|(_, orders)| of(orders))
        .collect()
}

/// One unit in each slot and nothing that lies ready.
fn nothing_ready(world: &mut World) {
    world.set(|farm| farm.queued_per_slot = 0);
}

fn error(worker: WorkerId, lease: LeaseKey, order: FrameOrder) -> FrameError {
    FrameError {
        lease,
        position: order.position,
        frame: order.frame,
        worker,
        kind: FrameErrorKind::Crash,
        message: "it crashed".into(),
        stdout: None,
        stderr: None,
        at: Timestamp(0),
    }
}

fn failed(world: &mut World, worker: WorkerId, lease: LeaseKey, order: FrameOrder) -> Effects {
    world.input(Input::Failed(Box::new(error(worker, lease, order))))
}

fn timed(worker: WorkerId, lease: LeaseKey, order: FrameOrder, timings: ResultTimings) -> Input {
    Input::Done(Box::new(FrameResult {
        lease,
        position: order.position,
        frame: order.frame,
        worker,
        build: build("3.4.1"),
        device: "CPU".into(),
        persistent: true,
        files: Vec::new(),
        stdout: blob(),
        stderr: blob(),
        timings,
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(0),
    }))
}

fn invalid(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Invalid(_)))
}

/// Lets time pass while these workers are heard of.
fn wait(world: &mut World, workers: &[WorkerId], seconds: u64) {
    for _ in 0..seconds {
        world.pass(SECOND);
        for &worker in workers {
            world.heartbeat(worker);
        }
    }
}

/// A worker that is gone long enough for what it holds to be handed out again.
fn lapse(world: &mut World, worker: WorkerId) {
    world.cut(worker);
    world.pass(SECOND * 2);
}

/// What a worker that links anew is told to drop.
fn dropped(world: &mut World, worker: WorkerId) -> Vec<LeaseKey> {
    let before: Vec<LeaseKey> = world.hands[&worker].iter().map(|(key, _)| *key).collect();
    world.link(worker);
    let kept: Vec<LeaseKey> = world.hands[&worker].iter().map(|(key, _)| *key).collect();
    before
        .into_iter()
        .filter(|key| !kept.contains(key))
        .collect()
}

/// A worker `a` that hangs in the first of two frames, and a worker `b` that got a second lease of both.
fn doubled(attempts: u32) -> (World, JobId, WorkerId, WorkerId, LeaseKey, LeaseKey) {
    let mut world = World::new();
    nothing_ready(&mut world);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(with("1..4", |new| {
        new.settings.chunk = 2;
        new.settings.max_attempts = attempts;
    }));
    let first = world.start(a, 0);
    for _ in 0..2 {
        world.start(b, 0);
        wait(&mut world, &[a, b], 10);
        world.render(b, 0);
    }
    for _ in 0..60 {
        wait(&mut world, &[a, b], 1);
        if let Some((second, _)) = world.hands[&b].front().cloned() {
            assert_eq!(second.unit, first.unit);
            return (world, id, a, b, first, second);
        }
    }
    panic!("it was never doubled");
}
