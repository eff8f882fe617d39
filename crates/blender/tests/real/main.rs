//! The crate on real Blenders: 3.4 as an executable, 5.0 as a Python module.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests and does not see that these helpers are of tests"
)]

mod support;

mod display;
mod exactness;
mod expendable;
mod failing;
mod fake;
mod finding;
mod full_disk;
mod gathered;
mod idle;
mod libraries;
mod orphans;
mod overrides;
mod parts;
mod persistent;
mod pixels;
mod scan;
mod travelling;
