//! A manager as others see it: real TLS, real sockets, a real record and block store; each test in its own folder.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod access;
mod bad_input;
mod certificates;
mod contract;
mod discovery;
mod edits;
mod files;
mod full_disk;
mod harness;
mod jobs;
mod keeping;
mod lists;
mod logs;
mod machines;
mod metrics;
mod notifications;
mod pairing;
mod previews;
mod pyramids;
mod restart;
mod settings;
mod start;
mod submitting;
mod watching;
mod worker;
mod workers;
