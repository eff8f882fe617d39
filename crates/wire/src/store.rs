//! What uses the space of the farm's block store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{FarmSettings, JobId, JobState, Timestamp, UserName};

/// What uses the space of the farm's block store. A block that several jobs need lies there once and is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StoreReport {
    /// Bytes that it takes of the disk.
    pub used_bytes: u64,
    /// Bytes that are free on that disk; none if the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// Blocks in it.
    pub blocks: u64,
    /// Packs they lie in.
    pub packs: u64,
    /// Jobs, those first whose removal gives back the most.
    pub jobs: Vec<StoreJob>,
    /// Users whose jobs or uploads need something that nobody else's do.
    #[serde(default)]
    pub users: Vec<StoreUser>,
    /// Bytes that more than one job needs.
    pub shared_bytes: u64,
    /// Bytes of uploads that no job names yet.
    pub uploads_bytes: u64,
    /// Bytes that nothing names: of removed jobs, of uploads given up, of damaged blocks. Most of them come back with the next
    /// collections, when they are old enough; the rest lies among blocks that are needed.
    pub unheld_bytes: u64,
    /// Most bytes that it may take; none if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// How it stands against that.
    #[serde(default)]
    pub level: StoreLevel,
    /// Most bytes of each user; none if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_quota_bytes: Option<u64>,
    /// The last collection; none since the manager started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collection: Option<Collection>,
}

/// How what is stored stands against what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreLevel {
    /// There is room, or no bound.
    #[default]
    Fine,
    /// It comes near its bound.
    Warning,
    /// Nothing new is taken in. What workers render still is.
    Full,
}

impl StoreLevel {
    /// The level of so many bytes of the whole store, with the farm's settings.
    #[must_use]
    pub fn of(used_bytes: u64, settings: &FarmSettings) -> Self {
        Self::within(used_bytes, settings.store_quota_bytes, settings)
    }

    /// The level of so many bytes of one user.
    #[must_use]
    pub fn of_user(used_bytes: u64, settings: &FarmSettings) -> Self {
        Self::within(used_bytes, settings.store_user_quota_bytes, settings)
    }

    fn within(used_bytes: u64, quota: u64, settings: &FarmSettings) -> Self {
        let warn_bytes = u128::from(quota) * u128::from(settings.store_warn_percent) / 100;
        if quota == 0 {
            Self::Fine
        } else if used_bytes >= quota {
            Self::Full
        } else if u128::from(used_bytes) >= warn_bytes {
            Self::Warning
        } else {
            Self::Fine
        }
    }
}

/// A user in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreUser {
    /// Who.
    pub user: UserName,
    /// Jobs.
    pub jobs: u32,
    /// Bytes that only their jobs and uploads need: what comes back if all of them are removed. Counts against the quota of each user.
    pub bytes: u64,
    /// How that stands against it.
    #[serde(default)]
    pub level: StoreLevel,
}

/// A job in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreJob {
    /// Its number.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: UserName,
    /// How it stands.
    pub state: JobState,
    /// When it is removed, with all of it, if it stays as it is; none while it is not over or not fetched, or if jobs are kept for
    /// ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
    /// When all that is delivered was fetched; none if some of it nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Since when it is over and its frames wait to be fetched: it stays until they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfetched_since: Option<Timestamp>,
    /// What it alone uses.
    #[serde(flatten)]
    pub alone: JobUse,
}

/// Bytes that only one job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct JobUse {
    /// Of the files it was submitted with.
    pub files_bytes: u64,
    /// Of the files of its frames.
    pub results_bytes: u64,
    /// Of what Blender wrote.
    pub logs_bytes: u64,
}

impl JobUse {
    /// All of them: what comes back if the job is removed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files_bytes + self.results_bytes + self.logs_bytes
    }
}

/// What giving back the space of blocks that nobody needs came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collection {
    /// When it was over.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// Bytes that the disk has back.
    pub freed_bytes: u64,
    /// Blocks that went.
    pub blocks: u64,
    /// Packs that went.
    pub packs: u64,
    /// Whether it came to its end; the manager may have ended before.
    pub finished: bool,
}

/// Answer to the wish for a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collected {
    /// None if it cannot be told yet what nobody needs: the manager has just started, and uploads may go on.
    pub collection: Option<Collection>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_quota_and_percent() {
        let check = |quota, percent, used, level| {
            let settings = FarmSettings {
                store_quota_bytes: quota,
                store_warn_percent: percent,
                ..FarmSettings::default()
            };
            assert_eq!(StoreLevel::of(used, &settings), level);
        };
        check(0, 80, u64::MAX, StoreLevel::Fine);
        check(1000, 80, 799, StoreLevel::Fine);
        check(1000, 80, 800, StoreLevel::Warning);
        check(1000, 80, 999, StoreLevel::Warning);
        check(1000, 80, 1000, StoreLevel::Full);
        check(1000, 100, 999, StoreLevel::Fine);
        check(1 << 60, 80, 1 << 59, StoreLevel::Fine);
    }
}
