//! Developer commands, and the farm of real processes that demo, benches and end-to-end tests share.
//!
//! - [`farm`]: managers, workers and commands as the shipped binary, each in a home of its own;
//! - [`baseline`]: plain Blender, the thing everything is held against;
//! - the other modules are one `cargo xtask COMMAND` each.

pub mod baseline;
pub mod bench;
pub mod compare;
pub mod contact_sheet;
pub mod demo;
pub mod farm;
pub mod openapi;
pub mod sim;
