//! A worker against a real manager: TLS, SQLite, sockets, processes. Blender is the fake one where time counts, and the
//! real ones where it is Blender that counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod ahead;
mod cache;
mod farm;
mod faults;
mod links;
mod peers;
mod proxy;
mod real_blender;
mod rendering;
mod twice;
