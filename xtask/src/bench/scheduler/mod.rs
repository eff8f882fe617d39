//! What the scheduler by itself can decide, and what it costs in memory.
//!
//! The farm: 10,000 workers of one slot in four classes of machines, 1,000 jobs of four categories, twenty users, four
//! priorities and four sets of requirements, about a million frames, a unit each. Every worker's hands are full before the clock starts.
//! Then workers, chosen by a seeded number, end frames: `Done`, `Finished` and `Started` for each, `Heartbeat` of every worker
//! every five seconds of a time in which a frame takes one, the question for the next tick once in 256 inputs; a job that ends is
//! removed and another one submitted. On the clock are the calls of the scheduler and nothing else, on one thread, in this
//! process; what another program takes of a long call's time is not counted. A decision is an input taken in: what it changes, and
//! who gets what now. Units handed out are counted beside: each costs about three decisions and the coming and going of jobs.
//!
//! Baseline for the number of frames: the same 1,000 workers and 100 jobs with a million frames and with ten thousand, in
//! turn window by window, so that what disturbs the machine disturbs both.
//!
//! The hungry farm: as many workers and jobs, five frames a job, so that half of the workers are idle at any time.
//!
//! Memory is counted by this program's allocator: bytes asked for, those of the farm around the scheduler not in it.

mod counting;
mod random;
mod stopwatch;
mod world;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use super::table::{Aim, Figure, quantile};
use world::{Size, World};

pub use counting::Counting;
use counting::bytes_freed;

const FRAMES: u32 = 1_000_000;

/// Units handed out on the clock.
const UNITS: u64 = 500_000;

/// Time on the clock of the farm that has too little to do.
const HUNGRY: Duration = Duration::from_secs(3);

/// Windows of each of the two farms that are compared, and units handed out in each.
const WINDOWS: usize = 15;
const WINDOW_UNITS: u64 = 20_000;

fn figure(name: &str, value: f64, unit: &'static str, aim: Aim, note: String) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit,
        aim,
        note,
    }
}

/// What it decides in a second, and what that farm takes in memory.
pub(super) fn whole_farm(bench: &Bench) -> Result<Vec<Figure>> {
    let size = Size {
        workers: bench.scaled(10_000),
        jobs: bench.scaled(1_000),
        frames_per_job: FRAMES / bench.scaled(1_000),
    };
    let begun = Instant::now();
    let mut world = World::filled(size);
    let filled = begun.elapsed();
    let fill = world.watch.units;
    // Until jobs have come and gone and every worker has had some frames.
    world.drive(u64::from(size.workers) * 2);
    world.watch.reset();
    world.drive(u64::from(bench.scaled(UNITS as u32)));
    let calls = world.watch.calls_us();
    let (per_s, units_per_s) = (world.watch.calls_per_s(), world.watch.units_per_s());
    let note = format!("{size:?}, {} calls", world.watch.calls());
    let bytes = bytes_freed(|| drop(world.into_scheduler()));
    ensure!(bytes > 0, "the memory of this program is not counted");
    let us = |name, share, aim| figure(name, quantile(&calls, share), "µs", aim, String::new());
    Ok(vec![
        figure(
            "scheduler: decisions",
            per_s,
            "/s",
            Aim::AtLeast(200_000.0),
            note,
        ),
        us("  one, median", 0.5, Aim::None),
        us("  one, p99", 0.99, Aim::AtMost(1000.0)),
        us("  one, 999 of 1,000", 0.999, Aim::None),
        us("  one, longest", 1.0, Aim::None),
        figure(
            "  units handed out",
            units_per_s,
            "/s",
            Aim::None,
            "with all their decisions".into(),
        ),
        figure(
            "  filling the farm",
            filled.as_secs_f64(),
            "s",
            Aim::None,
            format!("{fill} units handed out while all join"),
        ),
        figure(
            "scheduler: memory of that farm",
            bytes as f64 / 1e6,
            "MB",
            Aim::AtMost(64.0),
            "workers, jobs, leases and a million frames".into(),
        ),
    ])
}

/// Many frames against few.
pub(super) fn frames_compared(bench: &Bench) -> Result<Vec<Figure>> {
    let farm = |frames: u32| {
        let size = Size {
            workers: bench.scaled(1_000),
            jobs: bench.scaled(100),
            frames_per_job: frames / bench.scaled(100),
        };
        let mut world = World::filled(size);
        world.drive(u64::from(size.workers) * 10);
        world
    };
    let mut farms = [farm(FRAMES), farm(FRAMES / 100)];
    let mut costs = [const { Vec::new() }; 2];
    for _ in 0..WINDOWS {
        for (world, costs) in farms.iter_mut().zip(&mut costs) {
            world.watch.reset();
            world.drive(u64::from(bench.scaled(WINDOW_UNITS as u32)));
            costs.push(world.watch.us_per_unit());
        }
    }
    let [many, few] = costs.map(|costs| quantile(&costs, 0.5));
    Ok(vec![figure(
        "scheduler: a unit among 1,000,000 frames against 10,000",
        many / few,
        "×",
        Aim::AtMost(1.2),
        format!("{many:.2} µs against {few:.2} µs, medians of {WINDOWS} windows each"),
    )])
}

/// Workers that find nothing to do.
pub(super) fn hungry_farm(bench: &Bench) -> Result<Vec<Figure>> {
    let mut world = World::filled(Size {
        workers: bench.scaled(10_000),
        jobs: bench.scaled(1_000),
        frames_per_job: 5,
    });
    world.watch.reset();
    world.drive_for(HUNGRY);
    let calls = world.watch.calls_us();
    let note = format!("{} calls, half of the workers idle", calls.len());
    let us = |name, share, aim, note| figure(name, quantile(&calls, share), "µs", aim, note);
    Ok(vec![
        us(
            "scheduler: a call on a hungry farm, median",
            0.5,
            Aim::None,
            note,
        ),
        us("  p99", 0.99, Aim::AtMost(1000.0), String::new()),
    ])
}

/// Frames alone, without a farm around them.
pub(super) fn one_great_job(_: &Bench) -> Result<Vec<Figure>> {
    let world = World::filled(Size {
        workers: 1,
        jobs: 1,
        frames_per_job: FRAMES,
    });
    let bytes = bytes_freed(|| drop(world.into_scheduler()));
    ensure!(bytes > 0, "the memory of this program is not counted");
    Ok(vec![figure(
        "scheduler: memory of one job of 1,000,000 frames",
        bytes as f64 / 1e6,
        "MB",
        Aim::AtMost(64.0),
        String::new(),
    )])
}
