//! Decides who renders what.
//!
//! [`Scheduler::apply`] is a pure function of its state, the time and an [`Input`]: it returns
//! [`Effects`], the changes to record and the orders to send once they are recorded. It reads no
//! clock, no socket, no random source, and its maps are ordered, so a run can be replayed from its inputs.
//!
//! - `input`, `effects`: what goes in and what comes out.
//! - `job`, `worker`: what it knows of each; `books`: who holds what, and all that is counted from it.
//! - `apply`: one function per input; `lapse`, `timers`: what time alone does; `restore`: the same state out of the record.
//! - `need`, `pools`, `builds`: who could work for whom; `usage`, `parts`, `line`, `mask`: who is served next; `accounts`: limits.
//! - `assign`: which unit goes to which worker; `slicing`: how frames are divided; `room`: what is taken back for whom; `stragglers`: second leases at the end.
//! - `depend`: what waits for what; `pace`: what is measured of jobs and workers.
//! - `why`, `view`: what others may see of it.
//!
//! No input costs more than the jobs and workers it is about, whatever the size of the farm, but for what is rare: a new
//! kind of job is held against every worker once, and every sample puts all active jobs in order.

mod accounts;
mod apply;
mod assign;
mod books;
mod builds;
mod depend;
mod effects;
mod input;
mod job;
mod lapse;
mod line;
mod mask;
mod need;
mod pace;
mod parts;
mod pools;
mod restore;
mod room;
mod scheduler;
mod slicing;
mod stragglers;
mod table;
mod timers;
mod usage;
mod view;
mod why;
mod worker;

#[cfg(test)]
mod tests;

pub use effects::{Effects, FrameOrder, Order, Outcome, Refusal};
pub use input::{Input, JobCommand, NewJob, Now, WorkerCommand};
pub use need::Criterion;
pub use restore::{Restored, RestoredJob, RestoredStep};
pub use scheduler::Scheduler;
pub use view::{FrameView, HeldView, JobView, WorkerView};
pub use why::{Reason, Why};
pub use worker::Absence;
