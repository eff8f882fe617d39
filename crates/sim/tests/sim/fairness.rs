//! The farm is divided as promised: measured at 200 samples, in farms of several sizes, with frames of several lengths.

use std::time::Duration;

use tessera_model::{FarmSettings, JobSettings, Share};
use tessera_sim::{Measured, Scenario, ScenarioJob, measure};

/// What the farm may differ from what was promised, in percentage points.
const TOLERANCE: f64 = 5.0;

const MINUTE: Duration = Duration::from_secs(60);

fn job(owner: &str, category: &str, priority: u32, frame: Duration) -> ScenarioJob {
    ScenarioJob {
        owner: owner.parse().unwrap(),
        settings: JobSettings {
            category: category.into(),
            priority,
            ..JobSettings::named("job")
        },
        frames: 1_000_000,
        frame,
        // Opening a scene takes about as long as a frame or two.
        load: (frame * 2).clamp(Duration::from_millis(300), Duration::from_secs(10)),
        submit_at: Duration::ZERO,
        split: None,
        uneven: 0.0,
    }
}

fn farm(workers: u32, jobs: Vec<ScenarioJob>) -> Scenario {
    let frame = jobs.iter().map(|job| job.frame).max().unwrap();
    // Of short frames there are very many in 200 of the usual samples; the balance does not depend on their number.
    let settings = FarmSettings {
        sample_ms: if frame < Duration::from_secs(1) {
            1_000
        } else {
            10_000
        },
        ..FarmSettings::default()
    };
    Scenario {
        workers,
        slots: 1,
        slowest_percent: 150,
        settings,
        jobs,
        ahead: 30,
        samples: 200,
    }
}

fn check(name: &str, scenario: &Scenario, promised: &[f64]) -> Measured {
    let (measured, wrong) = compare(name, scenario, promised);
    assert!(wrong.is_empty(), "{wrong}");
    measured
}

/// What was measured, and how it differs from what was promised, if it does.
fn compare(name: &str, scenario: &Scenario, promised: &[f64]) -> (Measured, String) {
    let measured = measure(scenario).unwrap_or_else(|violation| panic!("{name}: {violation}"));
    eprintln!(
        "{name}: {:.1?} % (promised {promised:.0?}), {:.0} % busy, {} scenes opened for {:?} frames",
        measured.percent, measured.busy, measured.scene_loads, measured.done
    );
    let far = |(got, promised): (&f64, &f64)| (got - promised).abs() > TOLERANCE;
    let wrong = match measured.percent.iter().zip(promised).any(far) {
        true => format!(
            "{name}: {:.1?} %, promised {promised:?}\n",
            measured.percent
        ),
        false => String::new(),
    };
    (measured, wrong)
}

/// Every size of farm with every length of frame.
fn everywhere(name: &str, jobs: impl Fn(Duration) -> Vec<ScenarioJob>, promised: &[f64]) {
    let mut wrong = String::new();
    for workers in [2, 3, 10, 100] {
        for frame_ms in [200, 5_000, 60_000] {
            let frame = Duration::from_millis(frame_ms);
            let name = format!(
                "{name}, {workers} workers, frames of {} s",
                frame.as_secs_f64()
            );
            wrong.push_str(&compare(&name, &farm(workers, jobs(frame)), promised).1);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn priorities_of_one_to_two_give_a_third_and_two_thirds() {
    let jobs = |frame| {
        vec![
            job("ada", "default", 50, frame),
            job("ada", "default", 100, frame),
        ]
    };
    everywhere("1:2", jobs, &[33.3, 66.7]);
}

#[test]
fn equal_categories_get_equal_parts_however_many_jobs_each_has() {
    let jobs = |frame| {
        let many = (0..9).map(|_| job("ada", "many", 100, frame));
        std::iter::once(job("ada", "one", 100, frame))
            .chain(many)
            .collect()
    };
    for workers in [3, 10, 100] {
        let scenario = farm(workers, jobs(Duration::from_secs(5)));
        let measured = check(
            &format!("1 and 9 jobs, {workers} workers"),
            &scenario,
            &[50.0],
        );
        let rest: f64 = measured.percent[1..].iter().sum();
        assert!((rest - 50.0).abs() <= TOLERANCE);
    }
}

#[test]
fn users_of_a_category_get_equal_parts_however_many_jobs_each_has() {
    let frame = Duration::from_secs(5);
    for workers in [3, 10, 100] {
        let mut jobs = vec![job("ada", "default", 100, frame)];
        jobs.extend((0..4).map(|_| job("bo", "default", 100, frame)));
        check(
            &format!("2 users, {workers} workers"),
            &farm(workers, jobs),
            &[50.0, 12.5, 12.5, 12.5, 12.5],
        );
    }
}

#[test]
fn priorities_set_for_users_go_before_those_of_their_jobs() {
    let frame = Duration::from_secs(5);
    for workers in [10, 100] {
        let jobs = vec![
            job("ada", "default", 1000, frame),
            job("bo", "default", 1, frame),
        ];
        let mut scenario = farm(workers, jobs);
        let share = |priority| Share {
            priority: Some(priority),
            slots_max: None,
        };
        scenario.settings.users = [
            ("ada".parse().unwrap(), share(1)),
            ("bo".parse().unwrap(), share(2)),
        ]
        .into();
        check(
            &format!("users 1:2, {workers} workers"),
            &scenario,
            &[33.3, 66.7],
        );
    }
}

#[test]
fn a_job_has_no_more_than_its_cap_while_another_has_work() {
    let frame = Duration::from_secs(5);
    for workers in [4, 10, 100] {
        let jobs = vec![
            job("ada", "default", 1000, frame),
            job("ada", "default", 1, frame),
        ];
        let measured = check(
            &format!("cap, {workers} workers"),
            &farm(workers, jobs),
            &[75.0, 25.0],
        );
        assert!(
            measured.most[0] <= (workers * 75).div_ceil(100),
            "{:?}",
            measured.most
        );
    }
}

#[test]
fn a_job_that_is_alone_has_the_whole_farm() {
    for workers in [2, 10] {
        let scenario = farm(
            workers,
            vec![job("ada", "default", 1, Duration::from_secs(5))],
        );
        let measured = check(&format!("alone, {workers} workers"), &scenario, &[100.0]);
        assert!(measured.busy > 95.0, "{:.1} % busy", measured.busy);
        assert_eq!(measured.scene_loads, u64::from(workers));
    }
}

#[test]
fn the_first_frame_of_a_new_job_is_not_kept_waiting() {
    let frame = Duration::from_secs(20);
    let mut jobs: Vec<ScenarioJob> = (0..6).map(|_| job("ada", "film", 1000, frame)).collect();
    jobs.push(ScenarioJob {
        submit_at: 10 * MINUTE,
        ..job("bo", "default", 1, frame)
    });
    let measured = measure(&farm(10, jobs)).unwrap();
    // No slot is free for longer than a frame takes on the slowest worker.
    let waited = measured.first_after[6].unwrap();
    println!("the first frame waited {waited:?}");
    assert!(waited <= 2 * frame, "the first frame waited {waited:?}");
}

#[test]
fn a_job_without_claim_is_served_after_two_minutes_all_the_same() {
    let frame = Duration::from_secs(10);
    let mut jobs: Vec<ScenarioJob> = (0..4).map(|_| job("ada", "film", 1000, frame)).collect();
    jobs.push(job("ada", "film", 1, frame));
    let mut scenario = farm(2, jobs);
    scenario.settings.cap_percent = 100;
    let measured = measure(&scenario).unwrap();
    let longest = measured.longest_without[4];
    // Handed out after two minutes, it begins after what renders there.
    println!("the longest wait: {longest:?}");
    assert!(longest <= 3 * MINUTE, "{longest:?} without a slot");
    assert!(measured.percent[4] < 15.0, "{:.1?}", measured.percent);
}

#[test]
fn limits_of_users_categories_and_resources_hold() {
    let frame = Duration::from_secs(5);
    let mut jobs = vec![
        job("ada", "default", 1000, frame),
        job("bo", "film", 1000, frame),
        job("cy", "tests", 1000, frame),
        job("dee", "default", 1, frame),
    ];
    jobs[2].settings.resources = vec!["houdini".into()];
    let mut scenario = farm(40, jobs);
    let limit = |slots| Share {
        priority: None,
        slots_max: Some(slots),
    };
    scenario.settings.users = [("ada".parse().unwrap(), limit(7))].into();
    scenario.settings.categories = [("film".to_owned(), limit(5))].into();
    scenario.settings.resources = [("houdini".to_owned(), 3)].into();
    let measured = measure(&scenario).unwrap();
    // What lies ready counts as if it were rendered, so that a limit is reached or nearly so, and never passed.
    for (most, limit) in measured.most.iter().zip([7, 5, 3]) {
        assert!((limit - 2..=limit).contains(most), "{:?}", measured.most);
    }
    assert!(
        measured.busy > 90.0,
        "what the limits leave is used: {:.1} %",
        measured.busy
    );
}
