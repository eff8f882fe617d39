//! A seeded, deterministic farm around the real scheduler and the real record, and what must hold in it.
//!
//! One [`Plan`] decides a whole run: machines of all sorts, jobs of all sorts, and what goes wrong. The scheduler and the
//! record are the ones that ship; the manager's engine, the workers and the network are modelled after the real ones in as
//! much as the scheduler can see. What happens is one queue of events in simulated time, so a run of an hour takes a second
//! and is the same whenever it is run again.
//!
//! - `plan`, `dice`: what decides everything. `queue`, `event`, `world`: what happens.
//! - `machine`, `life`, `desk`: workers. `work`: jobs, and the truth about their frames. `network`: what lies between.
//! - `manager`: the real scheduler and record, driven as the engine drives them.
//! - `fault`, `faults`: what goes wrong, one file for each kind.
//! - `books`, `checkers`: what must hold, one file for each property, counted without the scheduler.
//! - `keeping`: a farm's block store by itself: uploads, jobs, results and sweeps, and what no sweep may take.
//! - `scenario`: a farm set up by hand, who works for whom in it, and when a job is done.
//! - `run`, `campaign`, `shrink`: one run; many; and a failing one made as small as it goes.

mod books;
mod campaign;
mod checkers;
mod desk;
mod dice;
mod event;
mod fault;
mod faults;
mod keeping;
mod life;
mod machine;
mod manager;
mod network;
mod plan;
mod queue;
mod run;
mod scenario;
mod shrink;
mod trace;
mod violation;
mod work;
mod world;

pub use campaign::{Campaign, Failure};
pub use fault::{ALL as ALL_FAULTS, Fault, Faults};
pub use keeping::{Kept, Omits, keep};
pub use plan::{DEFAULT_MINUTES, Plan};
pub use run::{Ended, Summary, run, run_watched};
pub use scenario::{Finished, Measured, Scenario, ScenarioJob, finish, measure};
pub use shrink::shrink;
pub use trace::Trace;
pub use violation::Violation;
