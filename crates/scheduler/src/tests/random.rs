//! Random runs: whatever happens in whatever order, the books agree after every input, what the record
//! gives back is what is held, and once workers behave every job ends with each frame accepted once.

use std::time::Duration;

use proptest::prelude::*;
use tessera_model::{JobState, WorkerId};

use super::world::{World, job};
use crate::{Input, JobCommand, WorkerCommand};

#[derive(Debug, Clone)]
enum Event {
    Submit {
        frames: u32,
        chunk: u32,
        in_order: bool,
        priority: u32,
    },
    Join(u32),
    Render(u8, u8),
    Fail(u8, u8),
    Lose(u8, u8),
    Again(u8, u8),
    Heartbeat(u8),
    Cut(u8),
    Link(u8),
    Die(u8),
    Recalls,
    Pass(u64),
    Restart,
    Job(u8, u8),
    Worker(u8, u8),
}

fn event() -> impl Strategy<Value = Event> {
    use Event::{
        Again, Cut, Die, Fail, Heartbeat, Job, Join, Link, Lose, Pass, Recalls, Render, Restart,
        Submit, Worker,
    };
    let any = any::<u8>;
    prop_oneof![
        2 => (1..12u32, 1..4u32, proptest::bool::ANY, 1..4u32).prop_map(
            |(frames, chunk, in_order, priority)| Submit { frames, chunk, in_order, priority }),
        2 => (1..3u32).prop_map(Join),
        12 => (any(), 0..3u8).prop_map(|(w, at)| Render(w, at)),
        4 => (any(), 0..3u8).prop_map(|(w, at)| Fail(w, at)),
        2 => (any(), 0..3u8).prop_map(|(w, at)| Lose(w, at)),
        2 => (any(), 0..3u8).prop_map(|(w, at)| Again(w, at)),
        4 => any().prop_map(Heartbeat),
        2 => any().prop_map(Cut),
        3 => any().prop_map(Link),
        2 => any().prop_map(Die),
        3 => Just(Recalls),
        4 => (1..40_000u64).prop_map(Pass),
        1 => Just(Restart),
        2 => (any(), 0..6u8).prop_map(|(j, c)| Job(j, c)),
        2 => (any(), 0..7u8).prop_map(|(w, c)| Worker(w, c)),
    ]
}

fn pick<T: Copy>(from: &[T], at: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[at as usize % from.len()])
}

fn play(world: &mut World, event: Event) {
    let workers: Vec<WorkerId> = world.hands.keys().copied().collect();
    let worker = |at: u8| pick(&workers, at);
    let linked = |world: &World, at: u8| worker(at).filter(|w| world.linked.contains(w));
    match event {
        Event::Submit {
            frames,
            chunk,
            in_order,
            priority,
        } => {
            let mut new = job(&format!("1..{frames}"));
            new.settings.chunk = chunk;
            new.settings.priority = priority;
            new.steps[0].in_order = in_order;
            world.submit(new);
        }
        Event::Join(slots) => {
            if workers.len() < 5 {
                world.join(slots);
            }
        }
        Event::Render(w, at) => {
            worker(w).map(|w| world.render(w, at.into()));
        }
        Event::Fail(w, at) => {
            worker(w).map(|w| world.fail(w, at.into()));
        }
        Event::Lose(w, at) => {
            // A lease the worker never got.
            if let Some(w) = worker(w) {
                world.hands.get_mut(&w).unwrap().remove(at.into());
            }
        }
        Event::Again(w, at) => {
            // A result that arrives twice.
            if let Some(w) = worker(w)
                && let Some((key, frames)) = world.hands[&w].get(at as usize).cloned()
            {
                world.deliver(w, key, frames[0]);
                world.deliver(w, key, frames[0]);
            }
        }
        Event::Heartbeat(w) => {
            if let Some(w) = linked(world, w) {
                world.heartbeat(w);
            }
        }
        Event::Cut(w) => {
            if let Some(w) = linked(world, w) {
                world.cut(w);
            }
        }
        Event::Link(w) => {
            if let Some(w) = worker(w) {
                world.link(w);
            }
        }
        Event::Die(w) => {
            if let Some(w) = worker(w) {
                world.hands.get_mut(&w).unwrap().clear();
                world.cut(w);
            }
        }
        Event::Recalls => world.answer_recalls(),
        Event::Pass(ms) => world.pass(Duration::from_millis(ms)),
        Event::Restart => world.restart(),
        Event::Job(j, command) => {
            let jobs: Vec<_> = world.scheduler.jobs.keys().copied().collect();
            if let Some(id) = pick(&jobs, j) {
                let command = match command {
                    0 => JobCommand::Pause,
                    1 => JobCommand::Resume,
                    2 => JobCommand::Cancel,
                    3 => JobCommand::Remove,
                    _ => JobCommand::Retry,
                };
                world.input(Input::Job(id, command));
            }
        }
        Event::Worker(w, command) => {
            let job = world.scheduler.jobs.keys().next().copied();
            if let Some(w) = worker(w) {
                let command = match command {
                    0 => WorkerCommand::Pause,
                    1 => WorkerCommand::Drain,
                    2 => WorkerCommand::Block(None),
                    3 => WorkerCommand::Block(job),
                    4 => WorkerCommand::Unblock(job),
                    _ => WorkerCommand::Resume,
                };
                world.input(Input::Worker(w, command));
            }
        }
    }
}

/// Undoes what users did, so that nothing but the scheduler stands between the jobs and their end.
fn release(world: &mut World) {
    let workers: Vec<WorkerId> = world.scheduler.workers.keys().copied().collect();
    let jobs: Vec<_> = world.scheduler.jobs.keys().copied().collect();
    for &worker in &workers {
        world.input(Input::Worker(worker, WorkerCommand::Resume));
        for &job in &jobs {
            world.input(Input::Worker(worker, WorkerCommand::Unblock(Some(job))));
        }
    }
    for &job in &jobs {
        world.input(Input::Job(job, JobCommand::Resume));
        world.input(Input::Job(job, JobCommand::Retry));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_job_ends(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        world.join(1);
        for event in events {
            play(&mut world, event);
        }
        release(&mut world);
        world.finish();
        for job in world.scheduler.jobs.values() {
            prop_assert_eq!(job.state, JobState::Done);
            prop_assert!(job.steps.iter().all(|step| step.done.all()));
        }
    }
}
