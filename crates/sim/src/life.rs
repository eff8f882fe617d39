//! What happens at a machine: its program starts, links, works, reports and ends.

mod linking;
mod reporting;

use std::time::Duration;

use tessera_model::{FrameErrorKind, LeaseKey, StepIndex};

use crate::desk::{Act, Desk, FromWorker, Unsent};
use crate::event::{Event, MachineEvent};
use crate::fault::Fault;
use crate::faults;
use crate::machine::{Link, MachineIndex, Process};
use crate::manager::Arrival;
use crate::trace::note;
use crate::work::{Fate, WorkIndex};
use crate::world::World;

pub(crate) use linking::gone_at_manager;

/// A Blender that does nothing is given up after this.
const HANG: Duration = Duration::from_secs(30);

/// A machine's program is started.
pub(crate) fn boot(world: &mut World, machine: MachineIndex) {
    let at = &mut world.machines[machine];
    if at.process.is_some() || at.is_gone {
        return;
    }
    if at.worker.is_none() {
        world.queue.push(world.now, Event::Join(machine));
        return;
    }
    at.starts += 1;
    let mut desk = Desk::new(at.facts.slots, at.files.clone());
    for ((key, position), unsent) in std::mem::take(&mut at.survivors) {
        desk.restore(key, position, unsent);
    }
    at.process = Some(Process {
        desk,
        link: Link::Down,
        tries: 0,
    });
    note!(world, world.machine_name(machine), "starts");
    plan(world, machine, Duration::ZERO, MachineEvent::Connects);
}

/// Plans what happens to a machine's present program.
fn plan(world: &mut World, machine: MachineIndex, after: Duration, event: MachineEvent) {
    let starts = world.machines[machine].starts;
    let at = world.now + after;
    world.queue.push(at, Event::Machine(machine, starts, event));
}

fn desk(world: &mut World, machine: MachineIndex) -> Option<&mut Desk> {
    let process = world.machines[machine].process.as_mut()?;
    Some(&mut process.desk)
}

fn link(world: &World, machine: MachineIndex) -> Link {
    let process = world.machines[machine].process.as_ref();
    process.map_or(Link::Down, |process| process.link)
}

fn set_link(world: &mut World, machine: MachineIndex, link: Link) {
    if let Some(process) = &mut world.machines[machine].process {
        process.link = link;
    }
}

/// Something happens to a machine's program, unless it has ended meanwhile.
pub(crate) fn happens(world: &mut World, machine: MachineIndex, starts: u32, event: MachineEvent) {
    let at = &world.machines[machine];
    if at.starts != starts || at.process.is_none() {
        return;
    }
    if at.frozen_until > world.now {
        let later = at.frozen_until;
        world
            .queue
            .push(later, Event::Machine(machine, starts, event));
        return;
    }
    let acts = match event {
        MachineEvent::Connects => return linking::connect(world, machine),
        MachineEvent::GreetTimeout(number) => {
            if link(world, machine) == Link::Greeting(number) {
                linking::lose_link(world, machine, number);
            }
            return;
        }
        MachineEvent::LinkLost(number) => return linking::lose_link(world, machine, number),
        MachineEvent::Hears(number, message) => {
            // What is under way when a link breaks is lost.
            let is_lost = world.network.wire(number).is_none();
            if is_lost || link(world, machine).number() != Some(number) {
                return;
            }
            linking::hear(world, machine, number, *message)
        }
        MachineEvent::Beats(number) => return linking::beat(world, machine, number),
        MachineEvent::Fetched(work, scene) => fetched(world, machine, work, scene),
        MachineEvent::Begins(slot, run) => desk(world, machine)
            .map(|desk| desk.frame_begins(slot, run))
            .unwrap_or_default(),
        MachineEvent::Ends {
            slot,
            run,
            work,
            key,
            position,
        } => end_frame(world, machine, slot, run, work, key, position),
        MachineEvent::Posts(key, position, tries) => {
            return reporting::post(world, machine, key, position, tries);
        }
        MachineEvent::Answered {
            key,
            position,
            taken,
        } => reporting::answered(world, machine, key, position, taken),
    };
    carry_out(world, machine, acts);
}
/// A machine's program is gone, and all that it had in memory. Its manager's end of the link notices after `notice`.
pub(crate) fn end_process(world: &mut World, machine: MachineIndex, notice: Duration) -> bool {
    let Some(process) = world.machines[machine].process.take() else {
        return false;
    };
    world.scene_loads += process.desk.loads;
    if let Some(number) = process.link.number() {
        world.network.cut(number);
        gone_at_manager(world, machine, number, notice);
    }
    // A report that is sealed outlives the program; whether one is yet is chance.
    for (key, position, unsent) in process.desk.all_unsent() {
        let luck = crate::dice::fate(&[world.plan.seed, u64::from(position), key.unit.job.0, 3]);
        if luck.is_multiple_of(2) {
            let unsent = Unsent { tries: 0, ..unsent };
            world.machines[machine]
                .survivors
                .insert((key, position), unsent);
        }
    }
    true
}

fn fetched(world: &mut World, machine: MachineIndex, work: WorkIndex, scene: u64) -> Vec<Act> {
    let _ = work;
    let is_full = world.machines[machine].disk_full_until > world.now;
    if !is_full {
        world.machines[machine].files.insert(scene);
    }
    let found = match is_full {
        true => Err(FrameErrorKind::Disk),
        false => Ok(()),
    };
    desk(world, machine)
        .map(|desk| desk.fetched(scene, found))
        .unwrap_or_default()
}

fn is_flaky(world: &World) -> bool {
    world.plan.faults.has(Fault::Flaky) && !world.is_healed
}

/// The frame, as it was asked for, that a position of a job is of.
fn asked(world: &World, work: WorkIndex, key: LeaseKey, position: u32) -> (StepIndex, u32) {
    match world.books.jobs.get(&key.unit.job) {
        Some(book) => world.works[work].origin(&book.job, key.unit.step, position),
        // It was removed: what becomes of the frame is nobody's business any more.
        None => (key.unit.step, position),
    }
}

fn end_frame(
    world: &mut World,
    machine: MachineIndex,
    slot: usize,
    run: u64,
    work: WorkIndex,
    key: LeaseKey,
    position: u32,
) -> Vec<Act> {
    let flaky = is_flaky(world);
    let (step, asked) = asked(world, work, key, position);
    let fate = world.works[work].fate(step, asked, key.attempt.0, machine, flaky);
    let end = match fate {
        Fate::Rendered => Ok(()),
        Fate::Fails(kind) => Err(kind),
        Fate::Kills => {
            if desk(world, machine).is_some_and(|desk| desk.is_on(slot, run)) {
                faults::lethal(world, machine, key.unit, position);
            }
            return Vec::new();
        }
    };
    desk(world, machine)
        .map(|desk| desk.frame_ends(slot, run, end))
        .unwrap_or_default()
}

/// Does what the desk says.
pub(crate) fn carry_out(world: &mut World, machine: MachineIndex, acts: Vec<Act>) {
    for act in acts {
        match act {
            Act::Say(said) => say(world, machine, said),
            Act::Fetch(work, scene) => {
                let takes = world.works[work].fetch;
                plan(world, machine, takes, MachineEvent::Fetched(work, scene));
            }
            Act::Give {
                slot,
                run,
                offer,
                frame,
                load,
            } => {
                let slowness = world.machines[machine].slowness as u32;
                let scaled = |time: Duration| time * slowness / 100;
                let work = &world.works[offer.work];
                let (key, position) = (offer.key, frame.position);
                let opens = if load {
                    scaled(work.load)
                } else {
                    Duration::ZERO
                };
                let (step, asked) = asked(world, offer.work, key, position);
                let renders = scaled(work.time(step, asked, offer.part));
                let flaky = is_flaky(world);
                let fate = work.fate(step, asked, key.attempt.0, machine, flaky);
                let hangs = match fate {
                    Fate::Fails(FrameErrorKind::Hang) => HANG,
                    _ => Duration::ZERO,
                };
                plan(world, machine, opens, MachineEvent::Begins(slot, run));
                let ends = MachineEvent::Ends {
                    slot,
                    run,
                    work: offer.work,
                    key,
                    position,
                };
                plan(world, machine, opens + renders + hangs, ends);
            }
            Act::Post(key, position) => {
                let unsent = desk(world, machine).and_then(|desk| desk.unsent(key, position));
                if let Some(tries) = unsent.map(|unsent| unsent.tries) {
                    let event = MachineEvent::Posts(key, position, tries);
                    plan(world, machine, Duration::ZERO, event);
                }
            }
        }
    }
    if desk(world, machine).is_some_and(|desk| desk.is_drained()) {
        note!(world, world.machine_name(machine), "has drained and ends");
        end_process(world, machine, Duration::ZERO);
    }
}

fn say(world: &mut World, machine: MachineIndex, said: FromWorker) {
    if let Link::Up(number) = link(world, machine) {
        note!(world, world.machine_name(machine), "says {said}");
        linking::send(world, number, Arrival::Said(number, said));
    }
}

/// A machine says what it is anew.
pub(crate) fn say_facts(world: &mut World, machine: MachineIndex) {
    say(world, machine, FromWorker::Facts);
}
