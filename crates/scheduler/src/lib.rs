//! Decides who renders what.
//!
//! [`Scheduler::apply`] is a pure function of its state, the time and an [`Input`]: it returns
//! [`Effects`], the changes to record and the orders to send once they are recorded. It reads no
//! clock, no socket, no random source, and its maps are ordered, so a run can be replayed from its inputs.
//!
//! - `input`, `effects`: what goes in and what comes out.
//! - `job`, `worker`: what it knows of each.
//! - `apply`: one function per input.
//! - `assign`: which unit goes to which worker next.
//! - `lapse`: what time alone does: silence, closed links, back-off.
//! - `restore`: the same state out of the record.
//! - `view`: what others may see of it.

mod accounts;
mod apply;
mod assign;
mod books;
mod depend;
mod effects;
mod input;
mod job;
mod lapse;
mod line;
mod mask;
mod need;
mod pace;
mod pools;
mod restore;
mod room;
mod scheduler;
mod stragglers;
mod timers;
mod view;
mod why;
mod worker;

#[cfg(test)]
mod tests;

pub use effects::{Effects, FrameOrder, Order, Outcome, Refusal};
pub use input::{Input, JobCommand, NewJob, Now, WorkerCommand};
pub use restore::{Restored, RestoredJob, RestoredStep};
pub use scheduler::Scheduler;
pub use view::{FrameView, HeldView, JobView, WorkerView};
pub use why::{Reason, Why};
