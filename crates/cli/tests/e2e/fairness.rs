//! Shares of a farm of real processes, counted: who has the slots, at 200 moments.

use std::collections::BTreeMap;

use tessera_model::{JobId, WorkerId};
use tessera_wire::event::{Event, What};

use crate::site::Site;
use crate::tape::{Tape, begun, done};
use crate::world::{Project, World};

/// How often usage is measured in these tests, in milliseconds: 50 times as often as usual, so that 200 times take 40 seconds.
const SAMPLE_MS: i64 = 200;

/// Moments at which slots are counted.
const SAMPLES: i64 = 200;

/// How far a share may be from what was promised, in hundredths.
const WITHIN: f64 = 5.0;

/// Who renders what at each of the moments after `from`: a worker of one slot is busy with a job from the moment a frame of it
/// begins until the next frame begins there.
fn slots_held(events: &[Event], from: i64) -> BTreeMap<JobId, u32> {
    let mut held = BTreeMap::new();
    let mut busy: BTreeMap<WorkerId, JobId> = BTreeMap::new();
    let mut moment = from;
    for event in events {
        while moment <= event.at.0 && moment < from + SAMPLES * SAMPLE_MS {
            for job in busy.values() {
                *held.entry(*job).or_default() += 1;
            }
            moment += SAMPLE_MS;
        }
        if let Some(((job, _), worker)) = begun(event) {
            busy.insert(worker, job);
        }
    }
    held
}

/// Lets the jobs render, and says which part of all slots each had, in hundredths.
fn shares(site: &Site, tape: &mut Tape, jobs: &[JobId]) -> BTreeMap<JobId, f64> {
    for job in jobs {
        tape.next("each job has delivered", |event| {
            done(event).filter(|((of, _), _)| of == job)
        });
    }
    // What was first given to whom, before all of them were there, is forgotten after some samples.
    let there = tape.events.last().unwrap().at.0;
    let from = there + 10 * SAMPLE_MS;
    tape.next("all moments are over", |event| {
        (event.at.0 > from + SAMPLES * SAMPLE_MS).then_some(())
    });
    for job in jobs {
        site.boss.run(&["job", "cancel", &job.to_string()]).unwrap();
    }
    for job in jobs {
        let told = |event: &Event| match &event.what {
            What::Job { job: told } if told.id == *job => Some(event.at.0),
            _ => None,
        };
        let own = |event: &Event| {
            begun(event)
                .or_else(|| done(event))
                .filter(|it| it.0.0 == *job)
        };
        let first = |of: &dyn Fn(&Event) -> Option<i64>| tape.events.iter().find_map(of).unwrap();
        println!(
            "job {job}: first frame begun {} ms after it was handed in",
            first(&|event| own(event).map(|_| event.at.0)) - first(&told)
        );
    }
    let held = slots_held(&tape.events, from);
    let all: u32 = held.values().sum();
    let delivered = |job: &JobId| {
        let frames = tape.places(done).into_iter();
        frames.filter(|(_, ((of, _), _))| of == job).count()
    };
    let part =
        |job: &JobId| 100.0 * f64::from(held.get(job).copied().unwrap_or(0)) / f64::from(all);
    for job in jobs {
        println!(
            "job {job}: {:.1} % of {all} slots counted, {} frames delivered in all",
            part(job),
            delivered(job)
        );
    }
    assert!(i64::from(all) > 2 * SAMPLES, "slots stood idle: {held:?}");
    jobs.iter().map(|job| (*job, part(job))).collect()
}

fn ready(world: &World) -> (Site, Project) {
    let project = world.scene("plain");
    let site = Site::with_workers(world, &["anna", "ben", "carl"]);
    let sample = format!("sample_ms={SAMPLE_MS}");
    site.boss.run(&["settings", "set", &sample]).unwrap();
    (site, project)
}

#[track_caller]
fn about(share: f64, promised: f64) {
    assert!(
        (share - promised).abs() <= WITHIN,
        "{share:.1} % in place of {promised:.1} %"
    );
}

/// Twice the priority, twice the slots.
#[test]
fn twice_the_priority_is_twice_the_share() {
    let world = World::any();
    let (site, project) = ready(&world);
    let mut tape = Tape::of(&site.boss);
    let one = site.submit(&project, &["-f", "1..9000", "--priority", "100"]);
    let two = site.submit(&project, &["-f", "1..9000", "--priority", "200"]);
    let shares = shares(&site, &mut tape, &[one, two]);
    about(shares[&one], 100.0 / 3.0);
    about(shares[&two], 200.0 / 3.0);
}

/// Categories share evenly, however many jobs each has.
#[test]
fn categories_share_evenly_whatever_is_in_them() {
    let world = World::any();
    let (site, project) = ready(&world);
    let mut tape = Tape::of(&site.boss);
    let submit = |category: &str| {
        let flags = ["-f", "1..9000", "--category", category];
        site.submit(&project, &flags)
    };
    let film = submit("film");
    let ads = [submit("ads"), submit("ads"), submit("ads")];
    let all = [&[film][..], &ads].concat();
    let shares = shares(&site, &mut tape, &all);
    about(shares[&film], 50.0);
    for ad in ads {
        about(shares[&ad], 50.0 / 3.0);
    }
}
