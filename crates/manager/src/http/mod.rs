//! The API over HTTP: who may do what is decided in one place, before any handler runs.
//!
//! - `router`: the literal list of routes, each with its handler and its access.
//! - `access`: who asks, and whether they may.
//! - `app`: what handlers work with. `extract`, `problem`: bodies in, errors out.
//! - the rest: handlers, one file for each group of routes.

mod access;
mod app;
mod blobs;
mod edits;
mod events;
mod extract;
mod farm;
mod files;
mod identities;
mod jobs;
mod link;
mod logs;
mod pages;
mod pair;
mod previews;
mod problem;
mod pyramids;
mod receivers;
mod results;
mod router;
mod settings;
mod store;
mod submit;
mod upload;
mod workers;

pub(crate) use access::Peer;
pub(crate) use app::{App, AppParts, urls};
pub(crate) use router::router;
