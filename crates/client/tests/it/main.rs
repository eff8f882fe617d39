//! The client against real managers over real TLS, and packing by real Blenders.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests and does not see that these helpers are of tests"
)]

mod support;

mod certificates;
mod cuts;
mod discovering;
mod events;
mod fetching;
mod joining;
mod packing;
mod snapshots;

mod transfer;
