//! The world: a farm's machines, its manager, the network between them, the people around them, and time.
//!
//! What happens is one queue of events. Everything is decided by the plan's seed; no clock, no thread and no address of
//! memory has a part in it.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{FrameBits, JobId, WorkerId};
use tessera_state::State;

use crate::books::Books;
use crate::checkers::Checks;
use crate::dice::{Concern, Dice};
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::life;
use crate::machine::{Machine, MachineIndex, machines};
use crate::manager::{self, Manager};
use crate::network::{LinkNumber, Network};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::trace::Trace;
use crate::violation::Violation;
use crate::work::{Work, works};
use crate::{checkers, faults};

/// All there is.
#[derive(Debug)]
pub(crate) struct World {
    pub plan: Plan,
    pub now: Duration,
    pub queue: Queue<Event>,
    pub machines: Vec<Machine>,
    pub works: Vec<Work>,
    pub manager: Manager,
    pub network: Network,
    pub by_worker: BTreeMap<WorkerId, MachineIndex>,
    pub link_machines: BTreeMap<LinkNumber, MachineIndex>,
    /// Where the manager sends what is for a worker.
    pub links: BTreeMap<WorkerId, LinkNumber>,
    pub books: Books,
    pub checks: Checks,
    pub trace: Trace,
    pub is_healed: bool,
    /// What people have brought home of each job, by step.
    pub homes: BTreeMap<JobId, Vec<FrameBits>>,
    /// Scenes opened by Blenders of programs that have ended.
    pub scene_loads: u64,
    dice: Vec<Dice>,
}

impl World {
    /// As planned, before anything has happened.
    pub(crate) fn new(plan: Plan, state: State, trace: Trace) -> Self {
        let machines = machines(&plan);
        let works = works(&plan, &machines);
        Self::of(plan, machines, works, state, trace)
    }

    /// Of these machines and jobs.
    pub(crate) fn of(
        plan: Plan,
        machines: Vec<Machine>,
        works: Vec<Work>,
        state: State,
        trace: Trace,
    ) -> Self {
        let mut network = Network::new(&plan);
        let mut queue = Queue::new();
        for (index, machine) in machines.iter().enumerate() {
            network.plug();
            queue.push(machine.joins_at, Event::Join(index));
        }
        for (index, work) in works.iter().enumerate() {
            queue.push(work.submit_at, Event::Submit(index));
        }
        let dice = |fault: Fault| Dice::new(plan.seed, Concern::Fault(fault as u8));
        let mut world = Self {
            manager: Manager::new(&plan, state),
            checks: Checks::new(&plan),
            plan,
            now: Duration::ZERO,
            queue,
            machines,
            works,
            network,
            by_worker: BTreeMap::new(),
            link_machines: BTreeMap::new(),
            links: BTreeMap::new(),
            books: Books::default(),
            trace,
            is_healed: false,
            homes: BTreeMap::new(),
            scene_loads: 0,
            dice: fault::ALL.map(dice).to_vec(),
        };
        faults::plan(&mut world);
        world.queue.push(plan.trouble(), Event::Heal);
        world.queue.push(checkers::LOOK_EVERY, Event::Look);
        world
    }

    /// A kind of fault's own chance.
    pub(crate) fn dice(&mut self, fault: Fault) -> &mut Dice {
        &mut self.dice[fault as usize]
    }

    /// Lets one thing happen.
    pub(crate) async fn happens(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Machine(machine, starts, event) => life::happens(self, machine, starts, event),
            Event::Join(machine) => self.join(machine),
            Event::Boot(machine) => life::boot(self, machine),
            Event::Submit(index) => self.submit(index),
            Event::ToManager(starts, arrival) => manager::arrive(self, starts, *arrival),
            Event::Turn(starts) if starts == self.manager.starts => manager::look_up(self)?,
            Event::CommitEnds(starts) if starts == self.manager.starts => {
                manager::commit_ends(self).await?;
                checkers::recorded(self).await?;
            }
            Event::Turn(_) | Event::CommitEnds(_) => {}
            Event::ManagerBack => manager::start(self).await?,
            Event::Strikes(fault) => faults::strike(self, fault).await?,
            Event::Ends(fault, machine) => faults::end(self, fault, machine),
            Event::Look => {
                checkers::look(self)?;
                self.queue
                    .push(self.now + checkers::LOOK_EVERY, Event::Look);
            }
            Event::Heal => faults::heal(self),
        }
        Ok(())
    }

    fn join(&mut self, machine: MachineIndex) {
        let at = &self.machines[machine];
        if at.worker.is_some() {
            self.queue.push(self.now, Event::Boot(machine));
        } else if !at.is_gone {
            self.ask_manager(manager::Arrival::Joins(machine));
            self.queue.push(self.now + ASK_AGAIN, Event::Join(machine));
        }
    }

    fn submit(&mut self, index: usize) {
        if self.works[index].job.is_none() {
            self.ask_manager(manager::Arrival::Submits(index));
            self.queue.push(self.now + ASK_AGAIN, Event::Submit(index));
        }
    }

    /// A person's request, by a good line.
    pub(crate) fn ask_manager(&mut self, arrival: manager::Arrival) {
        let starts = self.manager.starts;
        let at = self.now + Duration::from_millis(3);
        self.queue
            .push(at, Event::ToManager(starts, Box::new(arrival)));
    }

    pub(crate) fn machine_name(&self, machine: MachineIndex) -> String {
        let at = &self.machines[machine];
        match at.worker {
            Some(worker) => format!("{} (w{worker})", at.name),
            None => at.name.clone(),
        }
    }

    pub(crate) fn link_name(&self, link: LinkNumber) -> String {
        match self.link_machines.get(&link) {
            Some(&machine) => self.machine_name(machine),
            None => "nobody".into(),
        }
    }

    /// What the scheduler itself says of a job that waits.
    pub(crate) fn why(&self, job: JobId) -> String {
        let clock = self.manager.clock(self.now);
        let engine = self.manager.engine.as_ref();
        let why = engine.and_then(|engine| engine.scheduler.why_job(clock, job));
        why.map_or("nothing".into(), |why| format!("\"{why}\""))
    }

    /// Scenes opened so far, on all machines.
    pub(crate) fn loads(&self) -> u64 {
        let running = self.machines.iter().filter_map(|m| m.process.as_ref());
        self.scene_loads + running.map(|process| process.desk.loads).sum::<u64>()
    }
}

/// A person who got no answer asks again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);
