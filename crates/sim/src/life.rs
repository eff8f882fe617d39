//! What happens at a machine: its program starts, links, works, reports and ends.

use std::time::Duration;

use tessera_model::{
    Blob, FrameError, FrameErrorKind, FrameResult, LeaseKey, ResultTimings, Timestamp, WorkerId,
};
use tessera_scheduler::Input;

use crate::desk::{Act, Desk, FromWorker, Report, Unsent};
use crate::event::{Event, MachineEvent, ToWorker};
use crate::fault::Fault;
use crate::faults;
use crate::machine::{Link, MachineIndex, Process, builds};
use crate::manager::Arrival;
use crate::network::LinkNumber;
use crate::trace::note;
use crate::work::{Fate, WorkIndex};
use crate::world::World;

/// How often a worker says it is alive (wire's `HEARTBEAT`).
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Longest a manager may take to answer a greeting.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);

/// A report without an answer is sent again after this.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// First and longest wait before the manager is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

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
        world.queue.push(later, Event::Machine(machine, starts, event));
        return;
    }
    let acts = match event {
        MachineEvent::Connects => return connect(world, machine),
        MachineEvent::GreetTimeout(number) => {
            if link(world, machine) == Link::Greeting(number) {
                lose_link(world, machine, number);
            }
            return;
        }
        MachineEvent::LinkLost(number) => return lose_link(world, machine, number),
        MachineEvent::Hears(number, message) => {
            // What is under way when a link breaks is lost.
            let is_lost = world.network.wire(number).is_none();
            if is_lost || link(world, machine).number() != Some(number) {
                return;
            }
            hear(world, machine, number, *message)
        }
        MachineEvent::Beats(number) => return beat(world, machine, number),
        MachineEvent::Fetched(work, scene) => fetched(world, machine, work, scene),
        MachineEvent::Begins(slot, run) => desk(world, machine)
            .map(|desk| desk.frame_begins(slot, run))
            .unwrap_or_default(),
        MachineEvent::Ends { slot, run, work, key, position } => {
            end_frame(world, machine, slot, run, work, key, position)
        }
        MachineEvent::Posts(key, position, tries) => return post(world, machine, key, position, tries),
        MachineEvent::Answered { key, position, taken } => {
            answered(world, machine, key, position, taken)
        }
    };
    carry_out(world, machine, acts);
}

fn backoff(world: &mut World, machine: MachineIndex) -> Duration {
    let Some(process) = &mut world.machines[machine].process else {
        return RETRY_MAX;
    };
    process.tries += 1;
    (RETRY_FIRST * (1 << (process.tries - 1).min(8))).min(RETRY_MAX)
}

fn connect(world: &mut World, machine: MachineIndex) {
    if link(world, machine) != Link::Down {
        return;
    }
    let Some(worker) = world.machines[machine].worker else {
        return;
    };
    let reachable = world.network.stalled_until[machine] <= world.now;
    if world.manager.engine.is_none() || !reachable {
        let wait = backoff(world, machine);
        plan(world, machine, wait, MachineEvent::Connects);
        return;
    }
    let number = world.network.open(machine);
    world.link_machines.insert(number, machine);
    set_link(world, machine, Link::Greeting(number));
    let holds = desk(world, machine).map(|desk| desk.holds()).unwrap_or_default();
    let facts = world.machines[machine].facts.clone();
    note!(world, world.machine_name(machine), "greets, holding {}", holds.len());
    let arrival = Arrival::Greets {
        link: number,
        worker,
        facts,
        holds,
    };
    send(world, number, arrival);
    plan(world, machine, WELCOME_WITHIN, MachineEvent::GreetTimeout(number));
}

/// Sends over a link.
fn send(world: &mut World, link: LinkNumber, arrival: Arrival) {
    if let Some(at) = world.network.send(world.now, link, true) {
        let starts = world.manager.starts;
        world.queue.push(at, Event::ToManager(starts, Box::new(arrival)));
    }
}

fn lose_link(world: &mut World, machine: MachineIndex, number: LinkNumber) {
    if link(world, machine).number() != Some(number) {
        return;
    }
    note!(world, world.machine_name(machine), "has lost its link");
    if world.network.cut(number).is_some() {
        gone_at_manager(world, machine, number, Duration::ZERO);
    }
    set_link(world, machine, Link::Down);
    let wait = backoff(world, machine);
    plan(world, machine, wait, MachineEvent::Connects);
}

/// The manager's end of a link that is cut notices after `after`.
pub(crate) fn gone_at_manager(
    world: &mut World,
    machine: MachineIndex,
    number: LinkNumber,
    after: Duration,
) {
    let at = world.now + after + world.network.delay(machine);
    let starts = world.manager.starts;
    let arrival = Box::new(Arrival::LinkGone(number));
    world.queue.push(at, Event::ToManager(starts, arrival));
}

fn hear(
    world: &mut World,
    machine: MachineIndex,
    number: LinkNumber,
    message: ToWorker,
) -> Vec<Act> {
    let Some(process) = &mut world.machines[machine].process else {
        return Vec::new();
    };
    let desk = &mut process.desk;
    match message {
        ToWorker::Welcome(mode, drop) => {
            process.link = Link::Up(number);
            process.tries = 0;
            let mut acts = desk.cancel(&drop);
            acts.extend(desk.set_mode(mode));
            // What was told to nobody is told now.
            let unsent: Vec<_> = desk.all_unsent().collect();
            acts.extend(unsent.into_iter().map(|(key, at, _)| Act::Post(key, at)));
            plan(world, machine, Duration::ZERO, MachineEvent::Beats(number));
            acts
        }
        ToWorker::Lease(offer) => desk.lease(offer),
        ToWorker::Recall(key) => desk.recall(key),
        ToWorker::Cancel(key) => desk.cancel(&[key]),
        ToWorker::Mode(mode) => desk.set_mode(mode),
        ToWorker::Dismissed => {
            end_process(world, machine, Duration::ZERO);
            dismiss(world, machine);
            Vec::new()
        }
    }
}

/// It is no longer of the farm: it has to be paired again, which its owner does not do before the farm is healed.
fn dismiss(world: &mut World, machine: MachineIndex) {
    let at = &mut world.machines[machine];
    at.survivors.clear();
    if let Some(worker) = at.worker.take() {
        world.by_worker.remove(&worker);
    }
    at.is_gone = true;
    if world.is_healed {
        world.machines[machine].is_gone = false;
        world.queue.push(world.now, Event::Join(machine));
    }
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
            world.machines[machine].survivors.insert((key, position), unsent);
        }
    }
    true
}

fn beat(world: &mut World, machine: MachineIndex, number: LinkNumber) {
    if link(world, machine) != Link::Up(number) {
        return;
    }
    let holds = desk(world, machine).map(|desk| desk.holdings()).unwrap_or_default();
    send(world, number, Arrival::Said(number, FromWorker::Heartbeat(holds)));
    plan(world, machine, HEARTBEAT, MachineEvent::Beats(number));
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
    let fate = world.works[work].fate(key.unit.step, position, key.attempt.0, machine, flaky);
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

fn answered(
    world: &mut World,
    machine: MachineIndex,
    key: LeaseKey,
    position: u32,
    taken: Option<bool>,
) -> Vec<Act> {
    let Some(desk) = desk(world, machine) else {
        return Vec::new();
    };
    match taken {
        Some(true) => desk.reported(key, position),
        Some(false) => {
            // What can not be taken as a result is told as a failure.
            if let Some(unsent) = desk.unsent_mut(key, position) {
                unsent.report = Report::Failed(FrameErrorKind::Worker);
            }
            vec![Act::Post(key, position)]
        }
        None => {
            let tries = desk.unsent(key, position).map(|unsent| unsent.tries);
            if let Some(tries) = tries {
                let again = MachineEvent::Posts(key, position, tries);
                plan(world, machine, Duration::from_secs(2), again);
            }
            Vec::new()
        }
    }
}

/// Sends a report. Nothing happens if it was sent again or answered meanwhile, or while there is no link: then it is sent
/// with the next welcome.
fn post(world: &mut World, machine: MachineIndex, key: LeaseKey, position: u32, tries: u32) {
    let is_up = matches!(link(world, machine), Link::Up(_));
    let Some(worker) = world.machines[machine].worker.filter(|_| is_up) else {
        return;
    };
    let Some(unsent) = desk(world, machine).and_then(|desk| desk.unsent_mut(key, position)) else {
        return;
    };
    if unsent.tries != tries {
        return;
    }
    unsent.tries += 1;
    let unsent = *unsent;
    let input = Box::new(input(world.now, worker, key, position, unsent));
    for at in world.network.post(world.now, machine) {
        let arrival = Arrival::Reports {
            machine,
            starts: world.machines[machine].starts,
            report: unsent.report,
            input: input.clone(),
        };
        let starts = world.manager.starts;
        world.queue.push(at, Event::ToManager(starts, Box::new(arrival)));
    }
    let again = MachineEvent::Posts(key, position, unsent.tries);
    plan(world, machine, ANSWER_WITHIN, again);
}

fn input(now: Duration, worker: WorkerId, lease: LeaseKey, position: u32, unsent: Unsent) -> Input {
    let log = Blob {
        digest: [1; 32],
        size: 0,
        depth: 0,
    };
    let at = Timestamp(now.as_millis() as i64);
    match unsent.report {
        Report::Done => Input::Done(Box::new(FrameResult {
            lease,
            position,
            frame: unsent.frame,
            worker,
            build: builds()[0].clone(),
            device: "CPU".into(),
            persistent: false,
            files: Vec::new(),
            stdout: log,
            stderr: log,
            timings: ResultTimings::default(),
            notes: Vec::new(),
            at,
        })),
        Report::Failed(kind) => Input::Failed(Box::new(FrameError {
            lease,
            position,
            frame: unsent.frame,
            worker,
            kind,
            message: "it failed".into(),
            stdout: None,
            stderr: None,
            at,
        })),
    }
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
            Act::Give { slot, run, offer, frame, load } => {
                let slowness = world.machines[machine].slowness as u32;
                let scaled = |time: Duration| time * slowness / 100;
                let work = &world.works[offer.work];
                let (key, position) = (offer.key, frame.position);
                let opens = if load { scaled(work.load) } else { Duration::ZERO };
                let renders = scaled(work.frame_time(key.unit.step, position));
                let flaky = is_flaky(world);
                let fate = work.fate(key.unit.step, position, key.attempt.0, machine, flaky);
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
        send(world, number, Arrival::Said(number, said));
    }
}

/// A machine says what it is anew.
pub(crate) fn say_facts(world: &mut World, machine: MachineIndex) {
    say(world, machine, FromWorker::Facts);
}
