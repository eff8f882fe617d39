//! Frames that get samples as long as there is noise in them.

use tessera_model::{JobId, JobState, Split, SplitBy, Step, StepIndex};

use super::world::{World, with};
use crate::{NewJob, Outcome, Refusal};

fn split() -> Split {
    Split {
        width: 1920,
        height: 1080,
        samples: 64,
        first: 0,
        grows_to: Some(400),
        noise: Some(10_000),
        by: SplitBy::Halvings(4),
    }
}

fn frames(frames: &str) -> NewJob {
    with(frames, |new| new.steps[0].split = Some(split()))
}

/// How a job stands, its frames and those that are there, its places and those that are there.
fn stands(world: &World, id: JobId) -> (JobState, [u32; 4]) {
    let view = world.scheduler.job(world.clock(), id).unwrap();
    let counts = [view.frames, view.done, view.places, view.places_done];
    (view.state, counts)
}

fn steps(world: &World, id: JobId) -> &[Step] {
    &world.scheduler.job_ref(id).unwrap().steps
}

/// The frames of each step that renders parts, their first sample and the one after the last, and the tiles.
fn rounds(world: &World, id: JobId) -> Vec<(String, u32, u32, Vec<u16>)> {
    let steps = steps(world, id).iter();
    let rounds = steps.filter_map(|step| {
        let split = step.divided()?;
        let frames = step.frames.to_string();
        Some((frames, split.first, split.samples, step.tiles.clone()))
    });
    rounds.collect()
}

#[test]
fn tiles_with_noise_get_as_many_samples_again_until_there_is_none() {
    let mut world = World::new();
    world.join(2);
    world.join(1);
    world.noisy = [vec![0, 1, 2, 7], vec![1, 7]].into();
    let id = world.submit(frames("1"));
    assert_eq!(stands(&world, id), (JobState::Active, [1, 0, 16, 0]));
    world.finish();
    let round = |first, samples, tiles: &[u16]| ("1".to_owned(), first, samples, tiles.to_vec());
    let all = [
        round(0, 64, &[]),
        round(64, 128, &[0, 1, 2, 7]),
        round(128, 256, &[1, 7]),
    ];
    assert_eq!(rounds(&world, id), all);
    assert_eq!(stands(&world, id), (JobState::Done, [1, 1, 22, 22]));
    let replaced: Vec<bool> = steps(&world, id).iter().map(|step| step.replaced).collect();
    assert_eq!(replaced, [false, true, false, true, false, false]);
    // The pattern is that of all there can be; of the frame it is said what was asked for.
    let samples = |step: &Step| step.overrides().samples;
    let samples: Vec<_> = steps(&world, id).iter().map(samples).collect();
    assert_eq!(samples[..2], [Some(400), None]);
    assert_eq!(samples[4..], [Some(400), None]);
    // Neighbouring tiles are one rectangle.
    let slices = steps(&world, id)[2].slices(0..4);
    assert_eq!(slices.len(), 3);
    assert!(slices.iter().all(|slice| slice.samples == Some(64..128)));
    assert_eq!(slices[0].window.height, 2 * slices[1].window.height);
}

#[test]
fn no_frame_gets_more_samples_than_it_can_have() {
    let mut world = World::new();
    world.join(1);
    world.noisy = vec![vec![3]; 3].into();
    let id = world.submit(frames("1"));
    world.finish();
    let samples: Vec<u32> = rounds(&world, id).iter().map(|round| round.2).collect();
    assert_eq!(samples, [64, 128, 256, 400]);
    assert_eq!(stands(&world, id).0, JobState::Done);
}

#[test]
fn frames_grow_each_for_itself_and_over_a_restart() {
    let mut world = World::new();
    let a = world.join(1);
    world.noisy = [vec![5]].into();
    let id = world.submit(frames("7..9"));
    assert_eq!(stands(&world, id), (JobState::Active, [3, 0, 48, 0]));
    while rounds(&world, id).len() == 3 {
        world.render(a, 0).expect("there is work");
    }
    assert_eq!(stands(&world, id).1[..3], [3, 0, 49]);
    world.restart();
    world.finish();
    assert_eq!(stands(&world, id), (JobState::Done, [3, 3, 49, 49]));
    assert_eq!(rounds(&world, id)[3].0, "7");
}

#[test]
fn of_many_frames_each_is_rendered_at_once() {
    let mut world = World::new();
    world.join(2);
    let id = world.submit(frames("1..40"));
    let splits: Vec<&Split> = steps(&world, id).iter().filter_map(Step::divided).collect();
    assert_eq!(splits.len(), 1);
    assert_eq!((splits[0].noise, splits[0].samples), (None, 400));
    world.finish();
    assert_eq!(stands(&world, id).1[..2], [40, 40]);
}

#[test]
fn what_nobody_can_mean_is_refused() {
    for bad in [vec![2, 1], vec![3, 3], vec![16]] {
        let mut world = World::new();
        let a = world.join(1);
        let id = world.submit(frames("1"));
        while world.hands[&a][0].0.unit.step == StepIndex(0) {
            world.render(a, 0);
        }
        world.noisy = [bad.clone()].into();
        let told = world.render(a, 0);
        let is_refused = matches!(told, Some(Outcome::Refused(Refusal::Invalid(_))));
        assert!(is_refused, "{bad:?}: {told:?}");
        assert_eq!(stands(&world, id).1[1], 0);
    }
}
