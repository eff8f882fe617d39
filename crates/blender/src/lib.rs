//! Finds Blenders on this machine and drives a living one.
