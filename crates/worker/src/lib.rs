//! The worker: keeps living Blenders and renders what the manager leases to it.
