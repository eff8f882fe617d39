//! Workers end together: how long a job takes on farms of mixed speeds, against the shortest time that is possible.

use std::time::Duration;

use tessera_model::{FarmSettings, JobSettings, Split, SplitBy};
use tessera_sim::{Scenario, ScenarioJob, finish};

const SECOND: Duration = Duration::from_secs(1);

/// Where less than this is possible at best, beginnings and ends count for too much.
const LONG_ENOUGH: f64 = 20.0;

/// Of the shortest time possible.
const PROMISED: f64 = 0.95;

/// The same where frames are uneven, on farms for which their tiles are small: what none can foresee is how dear the last ones are.
const PROMISED_UNEVEN: f64 = 0.85;

const LOAD: Duration = SECOND;

/// What a part of a frame takes besides its pixels; no part is meant to take less than seven times as long.
const SMALLEST: f64 = 0.7 + 0.1;

/// The same of a range of samples.
const SMALLEST_RANGE: f64 = 3.0 + 0.3;

/// Putting a frame together, and bringing a scene's files to a worker, on the fastest machine.
const ASSEMBLING: f64 = 0.8;
const FETCHING: f64 = 0.5;

const HALVINGS: u8 = 9;

/// How frames are divided, and what of them is promised.
struct Divided {
    by: SplitBy,
    /// What the smallest part of one takes besides its pixels, and in all.
    smallest: f64,
    uneven: f64,
    promised: f64,
}

const TILES: Divided = Divided {
    by: SplitBy::Halvings(HALVINGS),
    smallest: SMALLEST,
    uneven: 0.0,
    promised: PROMISED,
};

fn farm(
    workers: u32,
    slowest_percent: u64,
    frames: u32,
    frame: Duration,
    divided: &Divided,
) -> Scenario {
    Scenario {
        workers,
        slots: 1,
        slowest_percent,
        settings: FarmSettings::default(),
        jobs: vec![ScenarioJob {
            owner: "ann".parse().unwrap(),
            settings: JobSettings::named("job"),
            frames,
            frame,
            load: LOAD,
            submit_at: Duration::ZERO,
            split: Some(Split {
                width: 1920,
                height: 1080,
                samples: 1024,
                first: 0,
                grows_to: None,
                noise: None,
                by: divided.by,
            }),
            uneven: divided.uneven,
        }],
        ahead: 0,
        samples: 0,
    }
}

/// Seconds that the job takes at best: every worker opens the scene, and from then on none ever stands idle; then one
/// smallest part and putting together.
fn ideal(scenario: &Scenario, work_seconds: f64, smallest: f64) -> f64 {
    let workers = u64::from(scenario.workers);
    let slower = scenario.slowest_percent - 100;
    let slowness = |index: u64| (100 + slower * index / (workers - 1).max(1)) as f64 / 100.0;
    let done_by = |time: f64| -> f64 {
        let each = (0..workers).map(|index| {
            let slow = slowness(index);
            (time - FETCHING - LOAD.as_secs_f64() * slow).max(0.0) / slow
        });
        each.sum()
    };
    let (mut low, mut high) = (0.0, 1e9);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if done_by(middle) < work_seconds {
            low = middle;
        } else {
            high = middle;
        }
    }
    let frame = scenario.jobs[0].frame.as_secs_f64();
    // On a worker of average speed.
    let average = (0..workers).map(slowness).sum::<f64>() / workers as f64;
    let smallest = (frame / f64::from(1 << HALVINGS)).max(smallest) * average;
    high + smallest + ASSEMBLING
}

#[test]
fn all_workers_end_together() {
    check(&TILES, &[1, 2, 3, 10, 50, 500]);
}

/// Where parts of a picture take up to nine times as long as others.
#[test]
fn all_workers_end_together_though_parts_of_a_frame_differ() {
    let divided = Divided {
        uneven: 0.8,
        promised: PROMISED_UNEVEN,
        ..TILES
    };
    check(&divided, &[1, 2, 3, 10, 50]);
}

/// Each part is a file of the whole frame, so they are larger ones.
#[test]
fn all_workers_end_together_by_samples() {
    let divided = Divided {
        by: SplitBy::Samples,
        smallest: SMALLEST_RANGE,
        ..TILES
    };
    check(&divided, &[1, 2, 3, 10, 50]);
}

fn check(divided: &Divided, farms: &[u32]) {
    let mut wrong = Vec::new();
    for frames in [1, 3, 10, 100] {
        for &workers in farms {
            for (slowest_percent, frame_s) in [(100, 60), (300, 60), (300, 600), (400, 3600)] {
                let frame = SECOND * frame_s;
                let scenario = farm(workers, slowest_percent, frames, frame, divided);
                let least = f64::from(frames * frame_s) / 2.0 / f64::from(workers);
                if least < LONG_ENOUGH / 2.0 {
                    continue;
                }
                let took = finish(&scenario).unwrap_or_else(|violation| panic!("{violation}"));
                let best = ideal(&scenario, took.work_seconds, divided.smallest);
                let part = best / took.after.as_secs_f64();
                eprintln!(
                    "{frames} frames of {frame_s} s, {workers} workers down to 1/{:.0}: {:.1} s, best {best:.1} s: {:.1} %",
                    slowest_percent as f64 / 100.0,
                    took.after.as_secs_f64(),
                    part * 100.0
                );
                if best >= LONG_ENOUGH && part < divided.promised {
                    wrong.push((frames, frame_s, workers, slowest_percent, part));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
