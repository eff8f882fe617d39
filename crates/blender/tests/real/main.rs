//! The crate on real Blenders: 3.4 as an executable, 5.0 as a Python module.

mod support;

mod fake;
mod smoke;
