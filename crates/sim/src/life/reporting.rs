//! From a frame that has ended to a manager that knows it: told for as long as it takes.

use std::time::Duration;

use tessera_model::{
    Blob, FrameError, FrameErrorKind, FrameResult, LeaseKey, ResultTimings, Timestamp, WorkerId,
};
use tessera_scheduler::Input;

use super::{desk, link, plan};
use crate::desk::{Act, Report, Unsent};
use crate::event::{Event, MachineEvent};
use crate::machine::{Link, MachineIndex, builds};
use crate::manager::Arrival;
use crate::world::World;

/// A report without an answer is sent again after this.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn answered(
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
pub(super) fn post(
    world: &mut World,
    machine: MachineIndex,
    key: LeaseKey,
    position: u32,
    tries: u32,
) {
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
        world
            .queue
            .push(at, Event::ToManager(starts, Box::new(arrival)));
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
        Report::Done | Report::Noisy(_) => Input::Done(Box::new(FrameResult {
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
            previews: None,
            notes: Vec::new(),
            noisy: match unsent.report {
                Report::Noisy(tiles) => (0..tiles).collect(),
                _ => Vec::new(),
            },
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
