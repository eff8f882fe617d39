//! The line: active jobs in the order in which they are served.
//!
//! Usage is a running mean of the part of the farm that worked for a job, halved at every sample (the balancing of
//! Blender's network render add-on of 2.6, extended by users): the category with the lowest usage/priority is first, in it
//! the user, in it the job. Between two samples the order is fixed, so a choice costs a look at bit masks, however many
//! jobs there are.
//!
//! Usage alone follows a change only after a sample, and on few slots it settles beside the promised shares: with two
//! slots and priorities 1 and 2 the first job would get a quarter. So with each order the farm's slots are divided by
//! priority too, and at each sample it is counted who got less than its part and who more: who is owed a slot by that is
//! served first, in the order of the line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{JobId, JobState, PRIORITY_MAX};

use crate::accounts::{AccountId, Holder};
use crate::job::JobEntry;
use crate::mask::Mask;
use crate::need::criteria;
use crate::parts::{demand, targets};
use crate::pools;
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// With more jobs than this the line is put in order at most every [`RERANK_EVERY`]: sorting thousands at each submit
/// would cost more than it is worth. A new job is put at its end until then, and is given its first frames all the same.
const RERANK_AT_ONCE_MAX: usize = 256;

/// See [`RERANK_AT_ONCE_MAX`].
const RERANK_EVERY: Duration = Duration::from_secs(1);

/// A slot is nearer to who lacks at least half of it than to who lacks less.
pub(crate) const HALF_A_SLOT_MILLI: i64 = 500;

/// Who lacks so much of a slot has it before whoever has its scene open and less than so much too many.
pub(crate) const MOST_OF_A_SLOT_MILLI: i64 = 750;

/// Active jobs by rank.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub order: Vec<JobId>,
    /// The order is to be made anew before the next choice.
    pub stale: bool,
    /// Slots came or went: caps are to be counted anew.
    pub caps_stale: bool,
    /// Whether a timer for the next order is set.
    pub awaited: bool,
    /// Has units that can be handed out.
    pub ready: Mask,
    /// Has had fewer frames than every job gets first.
    pub fresh: Mask,
    /// Has waited for too long.
    pub starved: Mask,
    /// Has as many places as one job may have.
    pub capped: Mask,
    /// Has less than its part by half a slot.
    pub owed: Mask,
    /// Has less than its part by most of a slot.
    pub owed_whole: Mask,
    /// Its units take long, or nobody knows how long.
    pub long: Mask,
    /// Something of it lies ready at a worker.
    pub lying: Mask,
    /// May have something for workers that had nothing ready before.
    pub news: Mask,
    /// Jobs with more places than their cap: they were alone.
    pub over: BTreeSet<JobId>,
    /// Used part of the farm by category and user.
    pub usage: BTreeMap<(AccountId, AccountId), u64>,
}

/// For whom a job has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Offer {
    Nobody,
    /// Who has less than enough lying ready.
    Few,
    All,
}

impl Line {
    fn offer(&self, rank: u32) -> Offer {
        if !self.ready.get(rank) {
            Offer::Nobody
        } else if self.long.get(rank) && !self.fresh.get(rank) && !self.starved.get(rank) {
            Offer::Few
        } else {
            Offer::All
        }
    }
}

/// Puts a job that became active at the end of the line.
pub(crate) fn enter(scheduler: &mut Scheduler, now: Duration, id: JobId) {
    let Some(job) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    if job.rank.is_some() {
        return;
    }
    job.rank = Some(scheduler.line.order.len() as u32);
    scheduler.line.order.push(id);
    if scheduler.line.order.len() <= RERANK_AT_ONCE_MAX {
        scheduler.line.stale = true;
    } else if !scheduler.line.awaited {
        scheduler.line.awaited = true;
        scheduler.timers.set(now + RERANK_EVERY, Timer::Rerank);
    }
    if !scheduler.sampling {
        scheduler.sampling = true;
        scheduler.sampled_at = now;
        let every = Duration::from_millis(scheduler.settings.sample_ms);
        scheduler.timers.set(now + every, Timer::Sample);
    }
    show(scheduler, id);
    refresh_job(scheduler, now, id);
}

/// Takes a job that is active no more out of all masks. Its place stays empty until the next order.
pub(crate) fn leave(scheduler: &mut Scheduler, id: JobId) {
    let Some(rank) = scheduler.jobs.get_mut(&id).and_then(|job| job.rank.take()) else {
        return;
    };
    let line = &mut scheduler.line;
    for mask in [
        &mut line.ready,
        &mut line.fresh,
        &mut line.starved,
        &mut line.capped,
        &mut line.owed,
        &mut line.owed_whole,
        &mut line.long,
        &mut line.lying,
    ] {
        mask.set(rank, false);
    }
    line.over.remove(&id);
    for pool in scheduler.pools.pools.values_mut() {
        pool.jobs.set(rank, false);
    }
    for account in scheduler.accounts.iter_mut() {
        account.jobs.set(rank, false);
    }
}

/// What a job asks of workers may have changed: with its settings, its build, or its open step.
pub(crate) fn refresh_need(scheduler: &mut Scheduler, now: Duration, id: JobId) {
    let Some(job) = scheduler.jobs.get(&id) else {
        return;
    };
    let criteria = criteria(&job.job, job.first_open());
    if scheduler.pools.needs[job.need].criteria == criteria {
        return;
    }
    let need = pools::intern(scheduler, criteria);
    if let Some(job) = scheduler.jobs.get_mut(&id) {
        let old = std::mem::replace(&mut job.need, need);
        pools::release(scheduler, old);
    }
    show(scheduler, id);
    refresh_job(scheduler, now, id);
}

/// Shows a job's rank to the pools that can work for it and the accounts that count it.
pub(crate) fn show(scheduler: &mut Scheduler, id: JobId) {
    let Some(job) = scheduler.jobs.get(&id) else {
        return;
    };
    let Some(rank) = job.rank else {
        return;
    };
    for pool in scheduler.pools.pools.values_mut() {
        let meets = pool.meets(job.need);
        pool.jobs.set(rank, meets);
    }
    scheduler.line.news.set(rank, true);
    for &account in &job.accounts {
        scheduler.accounts.get_mut(account).jobs.set(rank, true);
    }
}

/// Brings a job's bits in line with it.
pub(crate) fn refresh_job(scheduler: &mut Scheduler, now: Duration, id: JobId) {
    let Some(job) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    let Some(rank) = job.rank else {
        return;
    };
    let line = &mut scheduler.line;
    let offered = line.offer(rank);
    let ready = job.waits_for.is_empty() && job.has_free_unit();
    if ready != line.ready.get(rank) {
        line.ready.set(rank, ready);
        if ready {
            job.waiting_since = now;
            job.starved = false;
            scheduler.someone_new = true;
            scheduler.preempt_due |= job.job.settings.preempt;
        }
    }
    if ready && !job.watched {
        job.watched = true;
        let after = Duration::from_millis(scheduler.settings.starved_after_ms);
        scheduler
            .timers
            .set(job.waiting_since + after, Timer::Starved(id));
    }
    let fresh = job.dispatched < scheduler.settings.first_frames;
    line.fresh.set(rank, fresh);
    line.starved.set(rank, job.starved);
    line.long.set(rank, job.is_long(&scheduler.settings));
    if line.offer(rank) > offered {
        line.news.set(rank, true);
    }
    line.lying.set(rank, !job.lying.is_empty());
    refresh_part(scheduler, id);
    refresh_cap(scheduler, id);
}

/// A job has waited for too long, or what it was given because of that came back as it was.
pub(crate) fn go_first(scheduler: &mut Scheduler, id: JobId) {
    let Some(job) = scheduler.jobs.get_mut(&id) else {
        return;
    };
    if let Some(rank) = job.rank
        && scheduler.line.ready.get(rank)
    {
        job.starved = true;
        scheduler.line.starved.set(rank, true);
        scheduler.line.news.set(rank, true);
    }
}

/// Whether something of a job lies ready may have changed.
pub(crate) fn refresh_lying(scheduler: &mut Scheduler, id: JobId) {
    if let Some(job) = scheduler.jobs.get(&id)
        && let Some(rank) = job.rank
    {
        scheduler.line.lying.set(rank, !job.lying.is_empty());
    }
}

/// Slots that could work for a job.
pub(crate) fn eligible_slots(scheduler: &Scheduler, job: &JobEntry) -> u32 {
    let need = &scheduler.pools.needs[job.need];
    let blocked = job.blocked.iter().filter_map(|id| {
        let spot = scheduler.workers.get(id)?.spot?;
        scheduler.pools.pools[&spot.pool]
            .meets(job.need)
            .then_some(spot.slots)
    });
    need.slots.saturating_sub(blocked.sum())
}

/// Most places a job may have while others have work.
pub(crate) fn cap(scheduler: &Scheduler, job: &JobEntry) -> u32 {
    let eligible = u64::from(eligible_slots(scheduler, job));
    (eligible * u64::from(scheduler.settings.cap_percent)).div_ceil(100) as u32
}

/// What a job holds has changed: whether it is owed more.
pub(crate) fn refresh_part(scheduler: &mut Scheduler, id: JobId) {
    let Some(job) = scheduler.jobs.get(&id) else {
        return;
    };
    if let Some(rank) = job.rank {
        let beyond = job.beyond_milli(job.held_milli);
        scheduler.line.owed.set(rank, beyond <= -HALF_A_SLOT_MILLI);
        scheduler
            .line
            .owed_whole
            .set(rank, beyond <= -MOST_OF_A_SLOT_MILLI);
    }
}

pub(crate) fn refresh_cap(scheduler: &mut Scheduler, id: JobId) {
    let Some(job) = scheduler.jobs.get(&id) else {
        return;
    };
    let Some(rank) = job.rank else {
        return;
    };
    let cap = cap(scheduler, job);
    let line = &mut scheduler.line;
    line.capped.set(rank, job.places >= cap);
    if job.places > cap {
        line.over.insert(id);
    } else {
        line.over.remove(&id);
    }
}

/// Brings what is stale in order. To be called before anything is chosen.
pub(crate) fn settle(scheduler: &mut Scheduler, now: Duration) {
    if std::mem::take(&mut scheduler.line.stale) {
        rerank(scheduler, now);
        scheduler.trim_due = true;
    } else if std::mem::take(&mut scheduler.line.caps_stale) {
        for id in scheduler.line.order.clone() {
            refresh_cap(scheduler, id);
        }
    }
}

/// What decides a job's place, smallest first: of category, user and job each the used part of the farm for its
/// priority, then the places it has for its priority, then its priority, then its age.
type Key = [(u64, u64, u64); 3];

/// Of equals the one of higher priority, then the older one.
fn tie(priority: u32, age: u64) -> u64 {
    let lower = u64::from(PRIORITY_MAX.saturating_sub(priority));
    // Numbers of jobs stay far below this.
    lower << 48 | age
}

/// A part of something for its priority.
pub(crate) fn ratio(part: u64, priority: u32) -> u64 {
    // Priorities are at most 1000: ten bits more keep the order of fractions that differ.
    (part << 20) / u64::from(priority.max(1))
}

/// What the members of a category, or of a user in it, have together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Together {
    pub priority: u32,
    pub places: u64,
    pub demand: u64,
}

fn rerank(scheduler: &mut Scheduler, now: Duration) {
    let active = |job: &&JobEntry| job.state == JobState::Active;
    let mut categories: BTreeMap<AccountId, Together> = BTreeMap::new();
    let mut users: BTreeMap<(AccountId, AccountId), Together> = BTreeMap::new();
    for job in scheduler.jobs.values().filter(active) {
        let demand = demand(scheduler, job);
        for together in [
            categories.entry(job.category()).or_default(),
            users.entry((job.category(), job.user())).or_default(),
        ] {
            together.priority = together.priority.max(job.job.settings.priority);
            together.places += u64::from(job.places);
            together.demand += demand;
        }
    }
    for (&id, together) in &mut categories {
        together.priority = set_priority(scheduler, id).unwrap_or(together.priority);
    }
    for (&(_, user), together) in &mut users {
        together.priority = set_priority(scheduler, user).unwrap_or(together.priority);
    }
    let key = |job: &JobEntry| -> Key {
        let (category, user) = (job.category(), job.user());
        let of = &categories[&category];
        let used = scheduler.accounts.get(category).usage;
        let in_it = &users[&(category, user)];
        let used_in_it = scheduler.line.usage.get(&(category, user)).copied();
        let priority = job.job.settings.priority;
        [
            (
                ratio(used, of.priority),
                ratio(of.places, of.priority),
                tie(of.priority, category.into()),
            ),
            (
                ratio(used_in_it.unwrap_or(0), in_it.priority),
                ratio(in_it.places, in_it.priority),
                tie(in_it.priority, user.into()),
            ),
            (
                ratio(job.usage, priority),
                ratio(job.places.into(), priority),
                tie(priority, job.job.id.0),
            ),
        ]
    };
    let mut order: Vec<(Key, JobId)> = scheduler
        .jobs
        .values()
        .filter(active)
        .map(|job| (key(job), job.job.id))
        .collect();
    order.sort_unstable();
    let targets = targets(scheduler, &categories, &users);
    let line = &mut scheduler.line;
    line.order = order.into_iter().map(|(_, id)| id).collect();
    let ready = line.ready.clone();
    for mask in [
        &mut line.ready,
        &mut line.fresh,
        &mut line.starved,
        &mut line.capped,
        &mut line.owed,
        &mut line.owed_whole,
        &mut line.long,
        &mut line.lying,
    ] {
        mask.clear();
    }
    line.news.clear();
    line.over.clear();
    line.caps_stale = false;
    for pool in scheduler.pools.pools.values_mut() {
        pool.jobs.clear();
    }
    for account in scheduler.accounts.iter_mut() {
        account.jobs.clear();
    }
    for (rank, id) in (0..).zip(scheduler.line.order.clone()) {
        if let Some(job) = scheduler.jobs.get_mut(&id) {
            let was_ready = job.rank.is_some_and(|rank| ready.get(rank));
            scheduler.line.ready.set(rank, was_ready);
            job.rank = Some(rank);
            job.target_milli = targets.get(&id).copied().unwrap_or(0);
            show(scheduler, id);
            refresh_job(scheduler, now, id);
        }
    }
}

fn set_priority(scheduler: &Scheduler, id: AccountId) -> Option<u32> {
    let settings = &scheduler.settings;
    match &scheduler.accounts.get(id).holder {
        Holder::Category(name) => settings.categories.get(name)?.priority,
        Holder::User(name) => settings.users.get(name)?.priority,
        Holder::Resource(_) => None,
    }
}
