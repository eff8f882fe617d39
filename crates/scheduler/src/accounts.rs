//! Whom slots are counted for: categories, users and counted resources, with their limits.
//!
//! A place is a slot that may come to render something: of each worker as many as it has slots, at most as many as it
//! holds units. So whatever a worker begins first, no more is ever rendered at once than was counted here.

use std::collections::BTreeMap;

use tessera_model::{FarmSettings, JobSettings, UserName};

use crate::mask::Mask;

/// Index of an account.
pub(crate) type AccountId = u32;

/// Who.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Category(String),
    User(UserName),
    Resource(String),
}

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub holder: Holder,
    /// Slots that may come to work for it.
    pub places: u32,
    /// Most places.
    pub limit: Option<u32>,
    /// Its jobs' ranks, if it has a limit.
    pub jobs: Mask,
    /// Used part of the farm, halved at every sample; in billionths. Categories only.
    pub usage: u64,
}

impl Account {
    pub(crate) fn is_exhausted(&self) -> bool {
        self.limit.is_some_and(|limit| self.places >= limit)
    }

    /// More than the limit, which was higher before.
    pub(crate) fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.places > limit)
    }
}

/// All accounts that were ever needed since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    all: Vec<Account>,
    by_holder: BTreeMap<Holder, AccountId>,
    /// Those with a limit.
    limited: Vec<AccountId>,
}

impl Accounts {
    fn open(&mut self, holder: Holder, settings: &FarmSettings) -> AccountId {
        if let Some(&id) = self.by_holder.get(&holder) {
            return id;
        }
        let id = self.all.len() as AccountId;
        let limit = limit_of(&holder, settings);
        if limit.is_some() {
            self.limited.push(id);
        }
        self.by_holder.insert(holder.clone(), id);
        self.all.push(Account {
            holder,
            places: 0,
            limit,
            jobs: Mask::default(),
            usage: 0,
        });
        id
    }

    /// The accounts of a job: category, user, then resources.
    pub(crate) fn of_job(
        &mut self,
        owner: &UserName,
        job: &JobSettings,
        settings: &FarmSettings,
    ) -> Vec<AccountId> {
        let mut ids = vec![
            self.open(Holder::Category(job.category.clone()), settings),
            self.open(Holder::User(owner.clone()), settings),
        ];
        for resource in &job.resources {
            let id = self.open(Holder::Resource(resource.clone()), settings);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    pub(crate) fn get(&self, id: AccountId) -> &Account {
        &self.all[id as usize]
    }

    pub(crate) fn get_mut(&mut self, id: AccountId) -> &mut Account {
        &mut self.all[id as usize]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.all.iter_mut()
    }

    /// Those that may have nothing more now.
    pub(crate) fn exhausted(&self) -> impl Iterator<Item = &Account> {
        self.limited
            .iter()
            .map(|&id| self.get(id))
            .filter(|account| account.is_exhausted())
    }

    /// Takes over other limits.
    pub(crate) fn set_limits(&mut self, settings: &FarmSettings) {
        self.limited.clear();
        for (id, account) in self.all.iter_mut().enumerate() {
            account.limit = limit_of(&account.holder, settings);
            if account.limit.is_some() {
                self.limited.push(id as AccountId);
            }
        }
    }
}

fn limit_of(holder: &Holder, settings: &FarmSettings) -> Option<u32> {
    match holder {
        Holder::Category(name) => settings.categories.get(name)?.slots_max,
        Holder::User(name) => settings.users.get(name)?.slots_max,
        Holder::Resource(name) => settings.resources.get(name).copied(),
    }
}
