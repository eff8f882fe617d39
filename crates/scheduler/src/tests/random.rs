//! Random runs: whatever happens in whatever order, the books agree after every input, what the record
//! gives back is what is held, and once workers behave every job ends with each frame accepted once.

use std::time::Duration;

use proptest::prelude::*;
use tessera_model::{
    After, FarmSettings, JobEdit, JobId, JobState, Rest, Share, Split, SplitBy, WorkerFacts,
    WorkerId,
};

use super::world::{World, job};
use crate::{Input, JobCommand, NewJob, WorkerCommand};

#[derive(Debug, Clone)]
enum Event {
    Submit {
        frames: u32,
        chunk: u32,
        in_order: bool,
        priority: u32,
        kind: u8,
    },
    Edit(u8, u8),
    Settings(u8),
    Facts(u8, u8),
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
        Again, Cut, Die, Edit, Facts, Fail, Heartbeat, Job, Join, Link, Lose, Pass, Recalls,
        Render, Restart, Settings, Submit, Worker,
    };
    let any = any::<u8>;
    prop_oneof![
        3 => (1..12u32, 1..4u32, proptest::bool::weighted(0.2), 1..4u32, any()).prop_map(
            |(frames, chunk, in_order, priority, kind)| Submit { frames, chunk, in_order, priority, kind }),
        2 => (any(), 0..10u8).prop_map(|(j, e)| Edit(j, e)),
        1 => (0..8u8).prop_map(Settings),
        1 => (any(), 0..6u8).prop_map(|(w, f)| Facts(w, f)),
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
            kind,
        } => {
            let mut new = job(&format!("1..{frames}"));
            new.settings.chunk = chunk;
            new.settings.priority = priority;
            new.steps[0].in_order = in_order;
            let before = world.scheduler.jobs.keys().next_back().copied();
            dress(&mut new, kind, before);
            world.submit(new);
        }
        Event::Edit(j, what) => {
            let jobs: Vec<JobId> = world.scheduler.jobs.keys().copied().collect();
            if let Some(id) = pick(&jobs, j) {
                // It may be refused, when jobs would wait for each other: then nothing changes.
                world.edit(id, edit(what, jobs[0]));
            }
        }
        Event::Settings(what) => world.set(|farm| set(farm, what)),
        Event::Facts(w, what) => {
            if let Some(w) = worker(w) {
                world.say(w, |facts| say(facts, what));
            }
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

/// Makes a job one of many kinds, by the bits of a number.
fn dress(new: &mut NewJob, kind: u8, before: Option<JobId>) {
    let is = |bits: u8, value: u8| kind & bits == value;
    if is(0b11, 1) {
        new.owner = "bob".parse().unwrap();
    }
    if is(0b110, 0b110) {
        new.settings.category = "film".into();
    }
    if is(0b1110, 0b1000) {
        new.settings.resources = vec!["nuke".into()];
    }
    if is(0b1_1100, 0b1_0000) {
        new.settings.tags = vec!["a".into()];
    }
    if is(0b11_1000, 0b10_1000) {
        new.settings.preempt = true;
    }
    if is(0b111_0000, 0b101_0000) {
        let mut second = new.steps[0].clone();
        second.by_frame = true;
        second.in_order = false;
        new.steps.push(second);
    }
    if is(0b1010_0001, 0b0010_0001) {
        new.steps[0].split = Some(Split {
            width: 1920,
            height: 1080,
            samples: 64,
            first: 0,
            grows_to: None,
            noise: None,
            by: SplitBy::Halvings(5),
        });
    }
    if is(0b1100_0000, 0b1000_0000)
        && let Some(job) = before
    {
        let frames = is(1, 1);
        new.settings.after = vec![After { job, frames }];
    }
}

fn edit(what: u8, first: JobId) -> JobEdit {
    let after = |frames| Some(vec![After { job: first, frames }]);
    let mut edit = JobEdit::default();
    match what {
        0 => edit.priority = Some(7),
        1 => edit.chunk = Some(1),
        2 => edit.chunk = Some(3),
        3 => edit.tags = Some(vec!["a".into()]),
        4 => edit.tags = Some(Vec::new()),
        5 => edit.after = after(true),
        6 => edit.after = after(false),
        7 => edit.resources = Some(vec!["nuke".into()]),
        8 => edit.preempt = Some(true),
        _ => edit.category = Some("film".into()),
    }
    edit
}

fn set(farm: &mut FarmSettings, what: u8) {
    let nobody = Share::default();
    match what {
        0 => farm.cap_percent = 30,
        1 => farm.queued_per_slot = 0,
        2 => {
            farm.resources.insert("nuke".into(), 1);
        }
        3 => {
            let slots_max = Some(1);
            let share = Share {
                slots_max,
                ..nobody
            };
            farm.users.insert("bob".parse().unwrap(), share);
        }
        4 => {
            let priority = Some(3);
            let share = Share { priority, ..nobody };
            farm.categories.insert("film".into(), share);
        }
        5 => farm.first_frames = 3,
        6 => farm.sample_ms = 500,
        _ => *farm = FarmSettings::default(),
    }
}

fn say(facts: &mut WorkerFacts, what: u8) {
    match what {
        0 => facts.slots = 3,
        1 => facts.slots = 1,
        2 => facts.tags = vec!["a".into()],
        3 => facts.tags.clear(),
        4 => {
            let reason = "sleeps".into();
            facts.rest = Some(Rest {
                reason,
                until: None,
            });
        }
        _ => facts.rest = None,
    }
}

/// Undoes what users did, so that nothing but the scheduler stands between the jobs and their end.
fn release(world: &mut World) {
    let workers: Vec<WorkerId> = world.scheduler.workers.keys().copied().collect();
    let jobs: Vec<_> = world.scheduler.jobs.keys().copied().collect();
    world.set(|farm| *farm = FarmSettings::default());
    for &worker in &workers {
        world.say(worker, |facts| {
            facts.tags = vec!["a".into()];
            facts.rest = None;
        });
        world.input(Input::Worker(worker, WorkerCommand::Resume));
        for &job in &jobs {
            world.input(Input::Worker(worker, WorkerCommand::Unblock(Some(job))));
        }
    }
    for &job in &jobs {
        let after = Some(Vec::new());
        let edit = JobEdit {
            after,
            ..JobEdit::default()
        };
        world.edit(job, edit);
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
