//! What lies between the workers and the manager: links that keep the order of what they carry, and single requests that
//! do not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::{Concern, Dice};
use crate::fault::Fault;
use crate::machine::MachineIndex;
use crate::plan::Plan;

/// Every link ever opened has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkNumber(pub u64);

/// A link between a worker and the manager.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub machine: MachineIndex,
    /// When the last message so far arrives, each way: no later one arrives before.
    up: Duration,
    down: Duration,
    /// What is under way, and all that is sent from now on, gets lost.
    pub is_broken: bool,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Network {
    dice: Dice,
    duplicates: Option<Dice>,
    /// Usual delay of each machine.
    delays: Vec<Duration>,
    /// Nothing passes to or from a machine before this.
    pub stalled_until: Vec<Duration>,
    wires: BTreeMap<LinkNumber, Wire>,
    next: u64,
    is_slow: bool,
}

/// A usual delay in a local network.
const NEAR: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// And over a bad line.
const FAR: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(2500));

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let has = |fault| plan.faults.has(fault);
        let dice = |fault| Dice::new(plan.seed, Concern::Fault(fault as u8));
        Self {
            dice: Dice::new(plan.seed, Concern::Network),
            duplicates: has(Fault::Duplicate).then(|| dice(Fault::Duplicate)),
            delays: Vec::new(),
            stalled_until: Vec::new(),
            wires: BTreeMap::new(),
            next: 1,
            is_slow: has(Fault::SlowLink),
        }
    }

    /// A machine is plugged in.
    pub(crate) fn plug(&mut self) {
        let far = self.is_slow && self.dice.percent(15);
        let (from, to) = if far { FAR } else { NEAR };
        self.delays.push(self.dice.span(from, to));
        self.stalled_until.push(Duration::ZERO);
    }

    /// All lines are good from now on.
    pub(crate) fn heal(&mut self) {
        self.is_slow = false;
        self.duplicates = None;
        self.delays.fill(NEAR.1);
        self.stalled_until.fill(Duration::ZERO);
    }

    /// One message's way from or to a machine, links aside.
    pub(crate) fn delay(&mut self, machine: MachineIndex) -> Duration {
        let usual = self.delays[machine];
        usual / 2 + Duration::from_micros(self.dice.below(usual.as_micros() as u64 + 1))
    }

    pub(crate) fn open(&mut self, machine: MachineIndex) -> LinkNumber {
        let number = LinkNumber(self.next);
        self.next += 1;
        let wire = Wire {
            machine,
            up: Duration::ZERO,
            down: Duration::ZERO,
            is_broken: false,
        };
        self.wires.insert(number, wire);
        number
    }

    pub(crate) fn wire(&self, link: LinkNumber) -> Option<&Wire> {
        self.wires.get(&link).filter(|wire| !wire.is_broken)
    }

    /// Cuts a link. Each end notices in its own time.
    pub(crate) fn cut(&mut self, link: LinkNumber) -> Option<Wire> {
        let wire = self.wires.get_mut(&link)?;
        wire.is_broken = true;
        Some(*wire)
    }

    /// Nobody has this link any more.
    pub(crate) fn forget(&mut self, link: LinkNumber) {
        self.wires.remove(&link);
    }

    /// When a message sent over a link at `now` arrives, if the link holds: up to the manager, or down to the worker.
    pub(crate) fn send(&mut self, now: Duration, link: LinkNumber, up: bool) -> Option<Duration> {
        let machine = self.wire(link)?.machine;
        let delay = self.delay(machine);
        let stalled = self.stalled_until[machine];
        let wire = self.wires.get_mut(&link)?;
        let last = if up { &mut wire.up } else { &mut wire.down };
        // What is stalled is sent again and arrives late, in order.
        *last = (now + delay).max(stalled).max(*last);
        Some(*last)
    }

    /// When a single request sent at `now` arrives: not at all, once, or twice.
    pub(crate) fn post(&mut self, now: Duration, machine: MachineIndex) -> Vec<Duration> {
        let mut arrives = vec![now + self.delay(machine)];
        if let Some(dice) = &mut self.duplicates {
            match dice.below(40) {
                // It was sent again before its answer came.
                0 => arrives.push(now + Duration::from_millis(dice.below(15_000))),
                1 => arrives[0] += Duration::from_millis(dice.below(30_000)),
                _ => {}
            }
        }
        if self.stalled_until[machine] > now {
            arrives.clear();
        }
        arrives
    }

    /// Whether an answer gets lost on its way.
    pub(crate) fn loses_answer(&mut self) -> bool {
        self.duplicates
            .as_mut()
            .is_some_and(|dice| dice.below(50) == 0)
    }
}
