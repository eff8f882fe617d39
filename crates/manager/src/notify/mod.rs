//! Notifications: who does not look on is told of what matters, by webhook, mail or chat.
//!
//! The engine says what happened after it was recorded ([`Witness`]) and never waits: what does not fit into the queue is left out, with
//! a line in the log. [`Notifier::run`] makes notices of it, puts each in the line of the receivers that want it, has the lines recorded and
//! posts them in the background, one at a time to each receiver, again and again with pauses until it is taken or given up. Whatever
//! waits is in the record, so a restarted manager goes on: a notice that is in line arrives at least once, and has an `id` by which a
//! second one is known. One whose occasion fell into the instant in which a manager was killed may be missing.
//!
//! Nothing here may become a storm: of a job's many errors the first one tells, of many workers that go at once one notice, and a line has
//! a bound.
//!
//! - `witness`: what of a batch is worth telling.
//! - `message`: it in words.
//! - `check`: receivers as they may be.
//! - `lines`: what waits for whom, and when it is tried next.
//! - `run`: the task.
//! - `post`: one try; `webhook`, `chat`, `mail` are its ways.

mod chat;
mod check;
mod lines;
mod mail;
mod message;
mod post;
mod run;
mod webhook;
mod witness;

pub(crate) use check::checked;
pub(crate) use message::test_notice;
pub(crate) use run::{Notifier, Runner};
pub(crate) use witness::{Occasion, Witness};
