//! The numbers of a running farm: all that can be set while it works, and stays set when the manager starts again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UserName;

/// What a user or a category gets of the farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Its share against others of its kind; its highest job's priority if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Most slots that work for it at once; no bound if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_max: Option<u32>,
}

/// Settings of a running farm. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FarmSettings {
    /// How often usage is measured: each time, the old usage and the present one count half.
    pub sample_ms: u64,
    /// A job holds at most this part of the slots that could work for it, in percent, rounded up to whole ones, unless no other job has work for them.
    pub cap_percent: u32,
    /// A job of which fewer frames than this were handed out goes before all others.
    pub first_frames: u32,
    /// A job that got nothing for so long though it has work goes next.
    pub starved_after_ms: u64,
    /// By user.
    pub users: BTreeMap<UserName, Share>,
    /// By category.
    pub categories: BTreeMap<String, Share>,
    /// Counted resources: how many units that name one may be rendered at once. One that is not here has no bound.
    pub resources: BTreeMap<String, u32>,
    /// A closed link: its units are handed out again after this. A worker whose link broke is back in a fraction of it; one that
    /// is not back has most likely ended, and if it has not, what it renders is still used.
    pub closed_after_ms: u64,
    /// A silent worker gets nothing new after this.
    pub suspect_after_ms: u64,
    /// A silent worker's units are handed out again after this.
    pub expired_after_ms: u64,
    /// After the manager's restart, a worker not yet back keeps its units this long.
    pub restart_grace_ms: u64,
    /// Units at a worker for each slot besides the one it renders: one lies ready, so that the slot is never idle, and one is
    /// being delivered. What lies ready is asked back when another worker has nothing to do.
    pub queued_per_slot: u32,
    /// Of work whose units take longer than this, one unit lies ready for each slot and not more: it could go to a worker
    /// that is free sooner, or a job that deserves it more.
    pub long_unit_ms: u64,
    /// A frame that failed is not handed out again before this; doubled with each failure.
    pub retry_after_ms: u64,
    /// Longest back-off.
    pub retry_after_max_ms: u64,
    /// Failures of one job on one worker, with none of its frames delivered from there since, after which the worker gets no more of it.
    pub block_after_failures: u32,
    /// A unit lost this often together with its worker, while it was being rendered, is given up. Of several that go with one worker
    /// those count that went most often before.
    pub lost_max: u32,
    /// A job of which nothing was ever delivered and this many frames were given up has failed as a whole.
    pub hopeless_after: u32,
    /// Units of one lease that were handed out but never accepted as held are taken back after this.
    pub unheld_after_ms: u64,
    /// A straggler is rendered a second time on a free worker if that is expected to end at least so much sooner; never if 0.
    pub duplicate_gain_ms: u64,
    /// A job that is over is removed so long after, with its files and results, if these were fetched; never if 0.
    pub results_keep_ms: u64,
    /// Bytes that the manager's block store may take of its disk before nothing new is taken in; no bound if 0.
    pub store_quota_bytes: u64,
    /// Part of a quota from which on it is warned of, in percent.
    pub store_warn_percent: u32,
    /// Bytes that the jobs and uploads of one user may need of the block store and nobody else's do, before no more files of that user
    /// are taken in; no bound if 0.
    pub store_user_quota_bytes: u64,
}

impl Default for FarmSettings {
    fn default() -> Self {
        Self {
            sample_ms: 10_000,
            cap_percent: 75,
            first_frames: 1,
            starved_after_ms: 120_000,
            users: BTreeMap::new(),
            categories: BTreeMap::new(),
            resources: BTreeMap::new(),
            closed_after_ms: 500,
            suspect_after_ms: 15_000,
            expired_after_ms: 90_000,
            restart_grace_ms: 15_000,
            queued_per_slot: 2,
            long_unit_ms: 1_000,
            retry_after_ms: 1_000,
            retry_after_max_ms: 60_000,
            block_after_failures: 3,
            lost_max: 8,
            hopeless_after: 3,
            unheld_after_ms: 12_000,
            duplicate_gain_ms: 5_000,
            results_keep_ms: 30 * TIME_MAX_MS,
            store_quota_bytes: 0,
            store_warn_percent: 80,
            store_user_quota_bytes: 0,
        }
    }
}

/// Largest priority: shares of 1 to 1000 say all that shares can say.
pub const PRIORITY_MAX: u32 = 1000;

/// Most users, categories or resources that can be set: bounds what is read at every decision's sample.
pub const NAMED_MAX: usize = 10_000;

/// Longest name of a category or resource that can be set, in characters.
const NAME_MAX: usize = 200;

/// Longest time that can be set, in milliseconds: a day.
const TIME_MAX_MS: u64 = 86_400_000;

/// Longest time that results can be kept for, in milliseconds: ten years. Who wants more says 0, for ever.
const KEEP_MAX_MS: u64 = 3_650 * TIME_MAX_MS;

/// Largest quota: an exbibyte, beyond every disk there is, within what all programs that read JSON hold exactly enough to show.
const QUOTA_MAX_BYTES: u64 = 1 << 60;

/// Least and most of every number, by the name of the setting; of what a [`Share`] says, by its own.
const BOUNDS: &[(&str, u64, u64)] = &[
    ("sample_ms", 100, TIME_MAX_MS),
    ("cap_percent", 1, 100),
    ("first_frames", 0, 1_000_000),
    ("queued_per_slot", 0, 16),
    ("block_after_failures", 1, 1000),
    ("lost_max", 1, 1000),
    ("hopeless_after", 1, 1_000_000),
    ("starved_after_ms", 100, TIME_MAX_MS),
    ("closed_after_ms", 0, TIME_MAX_MS),
    ("suspect_after_ms", 1_000, TIME_MAX_MS),
    ("expired_after_ms", 1_000, TIME_MAX_MS),
    ("restart_grace_ms", 0, TIME_MAX_MS),
    ("long_unit_ms", 0, TIME_MAX_MS),
    ("retry_after_ms", 0, TIME_MAX_MS),
    ("retry_after_max_ms", 0, TIME_MAX_MS),
    ("unheld_after_ms", 1_000, TIME_MAX_MS),
    ("duplicate_gain_ms", 0, TIME_MAX_MS),
    ("results_keep_ms", 0, KEEP_MAX_MS),
    ("store_quota_bytes", 0, QUOTA_MAX_BYTES),
    ("store_warn_percent", 1, 100),
    ("store_user_quota_bytes", 0, QUOTA_MAX_BYTES),
    ("resources", 0, u32::MAX as u64),
    ("priority", 1, PRIORITY_MAX as u64),
    ("slots_max", 0, u32::MAX as u64),
];

impl FarmSettings {
    /// Least and most of a number: of the setting of this name, of each of the "resources", or of a share's "priority" or
    /// "slots_max".
    #[must_use]
    pub fn bounds(number: &str) -> Option<(u64, u64)> {
        let found = BOUNDS.iter().find(|(name, ..)| *name == number);
        found.map(|&(_, min, max)| (min, max))
    }

    /// Whether a number lies within its [`bounds`](Self::bounds); `name` is what people call it.
    ///
    /// # Errors
    /// What it may be, in words for a person.
    pub fn check_number(name: &str, number: &str, value: u64) -> Result<(), String> {
        match Self::bounds(number) {
            Some((min, max)) => range(name, value, min, max),
            None => Ok(()),
        }
    }

    /// Whether every number lies within its bounds.
    ///
    /// # Errors
    /// The first that does not, what it may be, in words for a person.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [
            ("sample_ms", self.sample_ms),
            ("cap_percent", self.cap_percent.into()),
            ("first_frames", self.first_frames.into()),
            ("queued_per_slot", self.queued_per_slot.into()),
            ("block_after_failures", self.block_after_failures.into()),
            ("lost_max", self.lost_max.into()),
            ("hopeless_after", self.hopeless_after.into()),
            ("starved_after_ms", self.starved_after_ms),
            ("closed_after_ms", self.closed_after_ms),
            ("suspect_after_ms", self.suspect_after_ms),
            ("expired_after_ms", self.expired_after_ms),
            ("restart_grace_ms", self.restart_grace_ms),
            ("long_unit_ms", self.long_unit_ms),
            ("retry_after_ms", self.retry_after_ms),
            ("retry_after_max_ms", self.retry_after_max_ms),
            ("unheld_after_ms", self.unheld_after_ms),
            ("duplicate_gain_ms", self.duplicate_gain_ms),
            ("results_keep_ms", self.results_keep_ms),
            ("store_quota_bytes", self.store_quota_bytes),
            ("store_warn_percent", self.store_warn_percent.into()),
            ("store_user_quota_bytes", self.store_user_quota_bytes),
        ] {
            Self::check_number(name, name, value)?;
        }
        if self.expired_after_ms < self.suspect_after_ms {
            return Err("expired_after_ms is at least suspect_after_ms".into());
        }
        for (what, named) in [
            ("users", self.users.len()),
            ("categories", self.categories.len()),
            ("resources", self.resources.len()),
        ] {
            range(what, named as u64, 0, NAMED_MAX as u64)?;
        }
        let names = self.categories.keys().chain(self.resources.keys());
        for name in names {
            let fits = (1..=NAME_MAX).contains(&name.chars().count());
            if !fits || name.chars().any(char::is_control) {
                return Err(format!(
                    "a name of a category or resource has 1 to {NAME_MAX} characters and no control characters"
                ));
            }
        }
        let users = self.users.iter();
        let users = users.map(|(name, share)| ("users", name.as_str(), share));
        let categories = self.categories.iter();
        let categories = categories.map(|(name, share)| ("categories", name.as_str(), share));
        for (of, name, share) in users.chain(categories) {
            if let Some(priority) = share.priority {
                let called = format!("{of}.{name}.priority");
                Self::check_number(&called, "priority", priority.into())?;
            }
        }
        Ok(())
    }
}

fn range(name: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {min} to {max}, not {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(FarmSettings::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let settings = FarmSettings {
            cap_percent: 0,
            ..FarmSettings::default()
        };
        assert_eq!(
            settings.check().unwrap_err(),
            "cap_percent is 1 to 100, not 0"
        );
        let share = Share {
            priority: Some(1001),
            slots_max: None,
        };
        let mut settings = FarmSettings::default();
        settings.users.insert("ada".parse().unwrap(), share);
        assert_eq!(
            settings.check().unwrap_err(),
            "users.ada.priority is 1 to 1000, not 1001"
        );
    }
}
