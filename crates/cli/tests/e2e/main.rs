//! The shipped binary, whole: real processes, real Blenders, real networks.
//!
//! What a crate can hold alone is tested there; here is what a user sees, and what an attacker, a power cut and a full disk do.
//! Whatever has to do with Blender runs on both: 3.4.1 as an executable and bpy 5.0.1 as a module; parts of frames and the add-on on bpy
//! 4.2 too. Where a test asks for
//! something that this machine must give (a Blender, network namespaces), a machine without it fails the test:
//! what was left out silently was not tested.
//!
//! - [`world`]: a place for each test, homes of users, scenes made by scripts, plain Blender's frames.
//! - [`ended`]: commands that a person runs, held to an end in time.
//! - [`network`]: hosts of their own; [`site`]: a farm of processes; [`processes`]: what of it lives;
//!   [`small_disk`]: disks that fill; [`tape`]: all that a farm tells, in its order.
//! - the others: one file for each promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod ended;
mod network;
mod processes;
mod site;
mod small_disk;
mod tape;
mod world;

mod addon;
mod attacker;
mod bad_files;
mod bad_network;
mod bad_places;
mod delta;
mod divided;
mod fairness;
mod foreign;
mod gathered;
mod hosts;
mod interrupted;
mod killing;
mod long_haul;
mod looking;
mod machines;
mod matching;
mod merging;
mod misfits;
mod monitor;
mod notifying;
mod on_a_farm;
mod other_clients;
mod own_machine;
mod packing;
mod presence;
mod same_as_local;
mod sharing;
mod steering;
mod storage;
