//! One suite over [`State`](tessera_state::State), whichever database is behind it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is a failed test"
)]

mod backend;
mod damage;
mod facts;
mod full_disk;
mod golden;
mod kill;
mod model;
mod open;
mod sequences;
mod size;
mod views;
mod writes;
