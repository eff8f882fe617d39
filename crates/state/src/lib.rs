//! The durable record: one write call, one read call.
