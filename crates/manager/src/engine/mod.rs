//! The engine: one task owns the scheduler, and nothing leaves it before it is recorded.
//!
//! What comes in waits in a bounded channel; the task takes all that waits, lets the pure [`core`] decide each in turn,
//! commits the changes of all in one transaction, and only then releases answers, orders and news. If the commit fails,
//! everyone of the batch gets the error, and the scheduler is built anew from the record: what was decided and not
//! recorded never was.
//!
//! - `command`: what it can be asked, and the handle to ask it.
//! - `core`: decides; synchronous.
//! - `roster`: what linked workers hold, so that a rebuilt scheduler can be told.
//! - `restore`: the record as the scheduler wants it.
//! - `sharers`: which workers have which files, so that they can be named to others.
//! - `task`: gathers, commits, recovers.
//! - `release`: sends what was decided.

mod command;
mod core;
mod release;
mod restore;
mod roster;
mod sharers;
mod task;

#[cfg(test)]
mod tests;

pub(crate) use command::{EngineError, EngineHandle, Greeting, Join, Joined, Party};
pub(crate) use task::{Engine, EngineParts};
