//! Who may render what: requirements at their bounds, builds, and the bookkeeping of needs and pools behind them.

use std::time::Duration;

use tessera_model::{Device, Gpu, JobId, Requirement, Share, WorkerFacts, WorkerId};

use super::audit::audit;
use super::world::{World, build, job, with};
use crate::worker::WorkerEntry;
use crate::{Criterion, Input, JobCommand, NewJob, Order, Outcome, Refusal, WorkerCommand};

const SECOND: Duration = Duration::from_secs(1);
const GB: u64 = 1_000_000_000;

fn tagged(tag: usize) -> NewJob {
    with("1", |new| new.settings.tags = vec![format!("t{tag}")])
}

fn gpu(interface: &str, name: &str, memory: Option<u64>) -> Gpu {
    Gpu {
        interface: interface.into(),
        name: name.into(),
        memory_bytes: memory,
    }
}

/// Whether a worker like this gets a job that asks for that.
fn fits(like: impl FnOnce(&mut WorkerFacts), device: Device, requirement: Requirement) -> bool {
    let mut world = World::new();
    let a = world.join(1);
    world.say(a, like);
    world.submit(with("1", |new| {
        let overrides = new.steps[0].overrides_mut();
        overrides.device = device;
        new.settings.requirement = requirement;
    }));
    !world.hands[&a].is_empty()
}

#[test]
fn what_is_asked_of_the_host_is_met_at_its_bound_and_not_below() {
    let like = |facts: &mut WorkerFacts| {
        facts.cores = 8;
        facts.memory_bytes = 16 * GB;
        facts.os = "windows".into();
    };
    let fits = |requirement| fits(like, Device::Cpu, requirement);
    let none = Requirement::default;
    for (cores, met) in [(7, true), (8, true), (9, false)] {
        let cores = Some(cores);
        assert_eq!(fits(Requirement { cores, ..none() }), met, "{cores:?}");
    }
    for (bytes, met) in [(16 * GB - 1, true), (16 * GB, true), (16 * GB + 1, false)] {
        let memory_bytes = Some(bytes);
        let requirement = Requirement {
            memory_bytes,
            ..none()
        };
        assert_eq!(fits(requirement), met, "{bytes}");
    }
    for (os, met) in [("windows", true), ("linux", false)] {
        let os = Some(os.to_owned());
        assert_eq!(fits(Requirement { os, ..none() }), met);
    }
    for (name, met) in [("w", true), ("w-2", false)] {
        let workers = vec!["other".into(), name.into()];
        assert_eq!(fits(Requirement { workers, ..none() }), met);
    }
}

#[test]
fn one_gpu_must_be_all_that_is_asked() {
    let like = |facts: &mut WorkerFacts| {
        facts.gpus = vec![
            gpu("cuda", "NVIDIA GeForce RTX 4090", Some(24 * GB)),
            gpu("optix", "NVIDIA RTX A2000", Some(6 * GB)),
            gpu("hip", "AMD Radeon", None),
        ];
    };
    let on = |name: &str| Device::Interface(name.into());
    let asks = |name: Option<&str>, bytes| Requirement {
        gpu: name.map(str::to_owned),
        gpu_memory_bytes: bytes,
        ..Requirement::default()
    };
    for (device, name, bytes, met) in [
        (Device::Gpu, None, None, true),
        (on("cuda"), None, None, true),
        (on("metal"), None, None, false),
        // By a part of its name, in any case.
        (Device::Cpu, Some("rtx 4090"), None, true),
        (Device::Cpu, Some("4080"), None, false),
        (Device::Cpu, None, Some(24 * GB), true),
        (Device::Cpu, None, Some(24 * GB + 1), false),
        (Device::Cpu, Some("A2000"), Some(6 * GB), true),
        (Device::Cpu, Some("A2000"), Some(6 * GB + 1), false),
        // Memory that nobody could find out is not enough.
        (Device::Cpu, Some("radeon"), None, true),
        (Device::Cpu, Some("radeon"), Some(1), false),
        // That of another interface does not count.
        (on("cuda"), Some("4090"), Some(24 * GB), true),
        (on("optix"), Some("4090"), None, false),
        (on("optix"), None, Some(24 * GB), false),
        (on("hip"), Some("radeon"), None, true),
        (Device::Gpu, Some("4090"), Some(24 * GB), true),
    ] {
        let got = fits(like, device.clone(), asks(name, bytes));
        assert_eq!(got, met, "{device:?} {name:?} {bytes:?}");
    }
    let nothing = |_: &mut WorkerFacts| {};
    assert!(!fits(nothing, Device::Gpu, Requirement::default()));
    assert!(fits(nothing, Device::File, Requirement::default()));
}

#[test]
fn needs_are_told_in_the_units_people_use() {
    let memory = |bytes: u64| Criterion::Memory(bytes).to_string();
    for (bytes, text) in [
        (999, "999 bytes of memory"),
        (1_000, "1 kB of memory"),
        (1_500, "1.5 kB of memory"),
        (32_000_000, "32 MB of memory"),
        (1_040_000_000, "1 GB of memory"),
        (1_060_000_000, "1.1 GB of memory"),
        (1 << 30, "1.1 GB of memory"),
        (99_500_000_000, "99.5 GB of memory"),
        (100_700_000_000, "101 GB of memory"),
        (999_000_000_000, "999 GB of memory"),
        (2_000_000_000_000, "2 TB of memory"),
        (5_000_000_000_000_000, "5000 TB of memory"),
    ] {
        assert_eq!(memory(bytes), text);
    }
    let some = |range: Option<&str>| {
        let range = range.map(|range| range.parse().unwrap());
        Criterion::SomeBuild("4.2".parse().unwrap(), range)
    };
    let named = Some("rtx".to_owned());
    let cuda = Some("cuda".to_owned());
    for (criterion, text) in [
        (some(None), "Blender 4.2 or newer"),
        (some(Some("..4.5")), "Blender 4.2 or newer within ..4.5"),
        (Criterion::Build(build("3.4.1")), "Blender 3.4.1"),
        (
            Criterion::Named(vec!["one".into(), "two".into()]),
            "a worker named one or two",
        ),
        (Criterion::Tag("fast".into()), "the tag fast"),
        (Criterion::Device(Device::Gpu), "a GPU"),
        (Criterion::Device(Device::Cpu), "a processor"),
        (
            Criterion::Device(Device::Interface("hip".into())),
            "a HIP device",
        ),
        (Criterion::Os("macos".into()), "the system macos"),
        (Criterion::Cores(64), "64 cores"),
        (Criterion::Divides, "a worker of this version"),
        (Criterion::Gpu(None, Some(8 * GB), None), "a GPU with 8 GB"),
        (Criterion::Gpu(named.clone(), None, None), "a GPU named rtx"),
        (
            Criterion::Gpu(named, Some(8 * GB), cuda),
            "a CUDA device named rtx with 8 GB",
        ),
    ] {
        assert_eq!(criterion.to_string(), text);
    }
}

#[test]
fn jobs_that_came_before_any_worker_get_their_build_from_the_first_that_fits() {
    let mut world = World::new();
    let pinned = |world: &World, id| {
        let job = world.scheduler.job_ref(id).unwrap();
        job.build.as_ref().map(|build| build.version.to_string())
    };
    let old = world.submit(job("1"));
    let tagged = world.submit(tagged(1));
    let new = world.submit(with("1", |new| new.file_version = "4.0".parse().unwrap()));
    assert_eq!(pinned(&world, old), None);
    let a = world.join(1);
    assert_eq!(pinned(&world, old).as_deref(), Some("3.4.1"));
    assert_eq!(pinned(&world, tagged).as_deref(), Some("3.4.1"));
    assert_eq!(pinned(&world, new), None);
    // What is pinned stays so, though something newer of its series comes.
    world.say(a, |facts| {
        facts.builds = ["3.4.1", "3.4.9", "4.0.0"].map(build).to_vec();
    });
    assert_eq!(pinned(&world, old).as_deref(), Some("3.4.1"));
    assert_eq!(pinned(&world, new).as_deref(), Some("4.0.0"));
    let later = world.submit(job("1"));
    assert_eq!(pinned(&world, later).as_deref(), Some("3.4.9"));
}

#[test]
fn a_build_at_hand_goes_before_a_nearer_one_that_is_away() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.say(b, |facts| facts.builds = vec![build("4.2.0")]);
    let submit = |world: &mut World, range: Option<&str>| {
        let mut new = job("1");
        new.settings.requirement.blender = range.map(|range| range.parse().unwrap());
        match world.input(Input::Submit(Box::new(new))).outcome {
            Outcome::Submitted(_, build) => build.map(|build| build.version.to_string()),
            Outcome::Refused(Refusal::NoBuild { newest, .. }) => Some(format!("none, {newest}")),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(submit(&mut world, None).as_deref(), Some("3.4.1"));
    assert_eq!(submit(&mut world, Some("4.0..")).as_deref(), Some("4.2.0"));
    assert_eq!(submit(&mut world, Some("5.0..")).as_deref(), None);
    world.cut(a);
    assert_eq!(submit(&mut world, None).as_deref(), Some("4.2.0"));
    world.cut(b);
    assert_eq!(submit(&mut world, None).as_deref(), Some("3.4.1"));
    // One of two that have it is gone: the farm still has it; the last one takes it along.
    let c = world.join(1);
    world.input(Input::Worker(a, WorkerCommand::Remove));
    world.input(Input::Worker(b, WorkerCommand::Remove));
    assert_eq!(submit(&mut world, None).as_deref(), Some("3.4.1"));
    world.say(c, |facts| facts.builds = vec![build("3.3.0")]);
    assert_eq!(submit(&mut world, None).as_deref(), Some("none, 3.3.0"));
}

#[test]
fn more_than_a_word_of_needs_is_told_apart() {
    let mut world = World::new();
    world.audit_every = 30;
    let ids: Vec<JobId> = (0..130).map(|tag| world.submit(tagged(tag))).collect();
    for tag in [0, 1, 63, 64, 65, 127, 128, 129] {
        let worker = world.join(1);
        world.say(worker, |facts| facts.tags = vec![format!("t{tag}")]);
        let held: Vec<JobId> = world.hands[&worker]
            .iter()
            .map(|(key, _)| key.unit.job)
            .collect();
        assert_eq!(held, [ids[tag]]);
    }
    audit(&world.scheduler, world.now);
}

/// A farm with so many live jobs, and needs that nobody has any more.
fn needs(live: usize, dead: usize) -> World {
    let mut world = World::new();
    world.audit_every = u64::MAX;
    world.join(1);
    for tag in 0..live {
        world.submit(tagged(1000 + tag));
    }
    for tag in 0..dead {
        let id = world.submit(tagged(tag));
        world.input(Input::Job(id, JobCommand::Remove));
    }
    world
}

#[test]
fn needs_that_no_job_has_are_forgotten_once_they_are_most_of_many() {
    for (live, dead, kept) in [(0, 64, 65), (0, 65, 1), (64, 65, 65), (65, 65, 131)] {
        let mut world = needs(live, dead);
        let last = world.submit(with("1", |new| new.settings.tags = vec!["new".into()]));
        assert_eq!(world.scheduler.pools.needs.len(), kept, "{live}, {dead}");
        audit(&world.scheduler, world.now);
        // Those that stayed mean what they did.
        let a = WorkerId(1);
        world.say(a, |facts| facts.tags = vec!["new".into()]);
        assert_eq!(world.hands[&a][0].0.unit.job, last);
        world.input(Input::Job(last, JobCommand::Remove));
        world.hands.get_mut(&a).unwrap().clear();
        if live > 0 {
            world.say(a, |facts| facts.tags = vec!["t1000".into()]);
            assert_eq!(world.hands[&a][0].0.unit.job, JobId(1));
        }
        audit(&world.scheduler, world.now);
    }
}

#[test]
fn a_limit_bars_those_it_is_for_wherever_they_stand_in_the_line() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.set(|farm| {
        let slots_max = Some(1);
        let share = Share {
            slots_max,
            ..Share::default()
        };
        farm.users.insert("bob".parse().unwrap(), share);
    });
    let bob = world.submit(with("1..9", |new| new.owner = "bob".parse().unwrap()));
    assert_eq!(world.scheduler.line.order, [bob]);
    // With a place for nobody yet the other one is first now, where the barred one was.
    let ada = world.submit(with("1..9", |new| new.settings.priority = 9));
    assert_eq!(world.scheduler.line.order, [ada, bob]);
    let job_at = |world: &World, worker| world.hands[&worker][0].0.unit.job;
    assert_eq!((job_at(&world, a), job_at(&world, b)), (bob, ada));
}

#[test]
fn of_equal_workers_the_one_with_the_scene_open_takes_the_unit() {
    let mut world = World::new();
    let (a, b) = (world.join(1), world.join(1));
    world.input(Input::Worker(a, WorkerCommand::Pause));
    let id = world.submit(job("1..2"));
    world.render(b, 0);
    world.input(Input::Job(id, JobCommand::Pause));
    world.answer_recalls();
    world.input(Input::Worker(a, WorkerCommand::Resume));
    assert!(world.hands[&a].is_empty() && world.hands[&b].is_empty());
    world.input(Input::Job(id, JobCommand::Resume));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (0, 1));
    world.render(b, 0);
    // No scene is open for another job, but its files lie there; of one with other files they do not.
    world.submit(job("1"));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (0, 1));
    world.render(b, 0);
    world.submit(with("1", |new| new.manifest.digest = [8; 32]));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (1, 0));
}

#[test]
fn the_file_trees_that_came_last_are_remembered() {
    let mut world = World::new();
    let id = world.join(1);
    let entry: &mut WorkerEntry = world.scheduler.workers.get_mut(&id).unwrap();
    for tree in 0..32 {
        entry.brought([tree; 32]);
    }
    assert!((0..32).all(|tree| entry.has_files(&[tree; 32])));
    assert!(!entry.has_files(&[32; 32]));
    // The one used again is young again.
    entry.brought([0; 32]);
    entry.brought([0; 32]);
    assert!((0..32).all(|tree| entry.has_files(&[tree; 32])));
    entry.brought([32; 32]);
    let gone = (0..33).filter(|&tree| !entry.has_files(&[tree; 32]));
    assert_eq!(gone.collect::<Vec<u8>>(), [1]);
}

fn recalls(world: &World) -> usize {
    let is_recall = |(_, order): &&(WorkerId, Order)| matches!(order, Order::Recall(_));
    world.orders.iter().filter(is_recall).count()
}

#[test]
fn each_slot_that_comes_empty_is_worth_asking_something_back() {
    let mut world = World::new();
    let b = world.join(2);
    world.submit(job("1..2"));
    for at in [0, 1] {
        world.start(b, at);
    }
    world.input(Input::Worker(b, WorkerCommand::Pause));
    let a = world.join(2);
    world.submit(job("1..4"));
    world.input(Input::Worker(b, WorkerCommand::Resume));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (4, 2));
    assert_eq!(recalls(&world), 0);
    world.render(b, 0);
    assert_eq!(recalls(&world), 1);
    world.render(b, 0);
    assert_eq!(recalls(&world), 2);
    world.answer_recalls();
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (2, 2));
}

#[test]
fn what_comes_to_lie_ready_goes_to_who_is_idle() {
    let mut world = World::new();
    let a = world.join(2);
    world.submit(job("1..2"));
    let b = world.join(1);
    assert_eq!((world.hands[&a].len(), recalls(&world)), (2, 0));
    world.say(a, |facts| facts.slots = 1);
    assert_eq!(recalls(&world), 1);
    world.answer_recalls();
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (1, 1));
}

#[test]
fn nothing_is_asked_back_that_a_slot_is_about_to_begin() {
    let mut world = World::new();
    let a = world.join(1);
    world.submit(job("1..2"));
    world.set(|farm| farm.queued_per_slot = 0);
    world.start(a, 0);
    world.pass(SECOND);
    world.render(a, 0);
    // Full with the one unit it has, which did not begin yet.
    world.submit(job("1"));
    assert_eq!((world.hands[&a].len(), recalls(&world)), (1, 0));
}

#[test]
fn of_those_with_the_scene_open_the_fastest_takes_the_unit() {
    let mut world = World::new();
    world.set(|farm| farm.queued_per_slot = 0);
    let (a, b) = (world.join(1), world.join(1));
    let id = world.submit(job("1..3"));
    for worker in [a, b] {
        world.start(worker, 0);
    }
    world.input(Input::Job(id, JobCommand::Pause));
    world.pass(SECOND);
    world.render(b, 0);
    world.pass(SECOND * 3);
    world.render(a, 0);
    world.input(Input::Job(id, JobCommand::Resume));
    assert_eq!((world.hands[&a].len(), world.hands[&b].len()), (0, 1));
}
