//! The numbers of design and operation, all in one place, all data.

use std::time::Duration;

/// Settings of a running farm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A closed link: its units are handed out again after this.
    pub closed_after: Duration,
    /// A silent worker gets nothing new after this.
    pub suspect_after: Duration,
    /// A silent worker's units are handed out again after this.
    pub expired_after: Duration,
    /// After the manager's restart, a worker not yet back keeps its units this long.
    pub restart_grace: Duration,
    /// Units at a worker for each slot besides the one it renders: one lies ready, so that the slot is never idle, and one is
    /// being delivered. What lies ready is asked back when another worker has nothing to do.
    pub queued_per_slot: u32,
    /// A frame that failed is not handed out again before this; doubled with each failure.
    pub retry_after: Duration,
    /// Failures of one job on one worker, with none of its frames delivered from there since, after which the worker gets no more of it.
    pub block_after_failures: u32,
    /// A unit lost this often together with its worker, while it was being rendered, is given up.
    pub lost_max: u32,
    /// A job of which nothing was ever delivered and this many frames were given up has failed as a whole.
    pub hopeless_after: u32,
    /// Longest back-off.
    pub retry_after_max: Duration,
    /// Units of one lease that were handed out but never accepted as held are taken back after this.
    pub unheld_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            closed_after: Duration::from_secs(2),
            suspect_after: Duration::from_secs(15),
            expired_after: Duration::from_secs(90),
            restart_grace: Duration::from_secs(15),
            queued_per_slot: 2,
            retry_after: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(60),
            block_after_failures: 3,
            lost_max: 8,
            hopeless_after: 3,
            unheld_after: Duration::from_secs(12),
        }
    }
}
