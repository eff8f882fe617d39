//! The manager: engine loop around the scheduler, API, worker links, identities.
