//! What each user's jobs and uploads need of the store, and whether that is too much.
//!
//! To measure it takes a walk over everything, so what was measured is gone by, and what a user has sent since is added. Only near the
//! quota is it measured anew before a word is said, if the last time is not just over.

use std::collections::HashMap;
use std::time::Duration;

use tessera_model::{FarmSettings, UserName};
use tessera_wire::store::StoreLevel;
use tokio::time::Instant;

use super::{KeepError, Keeper, REST_FACTOR};

/// How a user stands against the quota of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserLevel {
    pub(crate) level: StoreLevel,
    pub(crate) used_bytes: u64,
    /// No bound if 0.
    pub(crate) quota_bytes: u64,
}

/// What is known of users.
#[derive(Debug, Default)]
pub(super) struct Users {
    measured: Option<Measured>,
    /// Sent since then.
    sent_bytes: HashMap<UserName, u64>,
    /// What was warned of last, of those that are not fine.
    warned: HashMap<UserName, StoreLevel>,
}

#[derive(Debug)]
struct Measured {
    /// Not to be done again before.
    rested: Instant,
    used_bytes: HashMap<UserName, u64>,
}

impl Users {
    /// Bytes of a user as far as known; none if nothing was ever measured.
    fn used_bytes(&self, user: &UserName) -> Option<u64> {
        let of = |bytes: &HashMap<UserName, u64>| bytes.get(user).copied().unwrap_or(0);
        let measured = self.measured.as_ref()?;
        Some(of(&measured.used_bytes) + of(&self.sent_bytes))
    }

    fn is_rested(&self) -> bool {
        let measured = self.measured.as_ref();
        measured.is_none_or(|measured| measured.rested <= Instant::now())
    }

    /// Users whose level is another than was warned of, and notes that they were.
    fn news(&mut self, settings: &FarmSettings) -> Vec<(UserName, StoreLevel, u64)> {
        let Some(measured) = &self.measured else {
            return Vec::new();
        };
        let levels = measured.used_bytes.iter().filter_map(|(user, &bytes)| {
            let level = StoreLevel::of_user(bytes, settings);
            (level != StoreLevel::Fine).then(|| (user.clone(), level, bytes))
        });
        let levels: Vec<_> = levels.collect();
        let before = std::mem::replace(
            &mut self.warned,
            levels
                .iter()
                .map(|(user, level, _)| (user.clone(), *level))
                .collect(),
        );
        let is_new =
            |(user, level, _): &(UserName, StoreLevel, u64)| before.get(user) != Some(level);
        levels.into_iter().filter(is_new).collect()
    }
}

impl Keeper {
    /// A user has sent blocks.
    pub(crate) fn sent(&self, user: &UserName, bytes: u64) {
        let mut users = self.users();
        // Without a quota nobody asks, and nothing is counted.
        if users.measured.is_some() {
            *users.sent_bytes.entry(user.clone()).or_default() += bytes;
        }
    }

    /// How a user stands against the quota of each.
    pub(crate) async fn user_level(&self, user: &UserName) -> Result<UserLevel, KeepError> {
        let settings = self.settings().await?;
        let of = |used_bytes| UserLevel {
            level: StoreLevel::of_user(used_bytes, &settings),
            used_bytes,
            quota_bytes: settings.store_user_quota_bytes,
        };
        if settings.store_user_quota_bytes == 0 {
            return Ok(of(0));
        }
        let (known, is_rested) = {
            let users = self.users();
            (users.used_bytes(user).map(of), users.is_rested())
        };
        match known {
            Some(known) if known.level == StoreLevel::Fine || !is_rested => Ok(known),
            _ => {
                self.usage().await?;
                Ok(of(self.users().used_bytes(user).unwrap_or(0)))
            }
        }
    }

    /// Takes note of what was just measured, in such a time.
    pub(super) fn measured(&self, used_bytes: HashMap<UserName, u64>, took: Duration) {
        let mut users = self.users();
        let rested = Instant::now() + took * REST_FACTOR;
        users.measured = Some(Measured { rested, used_bytes });
        // What was sent in between is counted in part; what is not, the next time.
        users.sent_bytes.clear();
    }

    /// Says once of each user that the quota comes near, and once that it is reached.
    pub(super) async fn warn_of_users(&self) {
        // If the engine has stopped, so does this.
        let Ok(settings) = self.settings().await else {
            return;
        };
        if settings.store_user_quota_bytes == 0 || !self.users().is_rested() {
            return;
        }
        if let Err(error) = self.usage().await {
            tracing::warn!("what users store cannot be measured: {error}");
            return;
        }
        let news = self.users().news(&settings);
        for (user, level, used_bytes) in news {
            self.tell(Some(user.clone()), level, used_bytes);
            match level {
                StoreLevel::Fine => {}
                StoreLevel::Warning => {
                    tracing::warn!(%user, used_bytes, "what a user may store is nearly used up");
                }
                StoreLevel::Full => tracing::warn!(
                    %user,
                    used_bytes,
                    "what a user may store is used up: no new files of theirs are taken in"
                ),
            }
        }
    }

    fn users(&self) -> std::sync::MutexGuard<'_, Users> {
        self.users.lock().expect("nothing panics under the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_of_each_user_is_news_once() {
        let settings = FarmSettings {
            store_user_quota_bytes: 100,
            ..FarmSettings::default()
        };
        let mut users = Users::default();
        assert_eq!(users.news(&settings), []);
        let ann: UserName = "ann".parse().unwrap();
        let mut check = |bytes: u64, news: Option<StoreLevel>| {
            let used_bytes = [(ann.clone(), bytes), ("ben".parse().unwrap(), 1)].into();
            let rested = Instant::now();
            users.measured = Some(Measured { rested, used_bytes });
            let expected: Vec<_> = news
                .map(|level| (ann.clone(), level, bytes))
                .into_iter()
                .collect();
            assert_eq!(users.news(&settings), expected);
        };
        check(79, None);
        check(80, Some(StoreLevel::Warning));
        check(90, None);
        check(100, Some(StoreLevel::Full));
        check(10, None);
        check(100, Some(StoreLevel::Full));
    }
}
