//! The line: active jobs in the order in which they are served.
//!
//! Usage is a running mean of the part of the farm that worked for a job, halved at every sample (the balancing of
//! Blender's network render add-on of 2.6, extended by users): the category with the lowest usage/priority is first, in it
//! the user, in it the job. Between two samples the order is fixed, so a choice costs a look at bit masks, however many
//! jobs there are. What is counted in slots (ties, and the part each job may keep without another's harm) is taken
//! anew with each order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{JobId, JobState};

use crate::accounts::{AccountId, Holder};
use crate::job::JobEntry;
use crate::mask::Mask;
use crate::need::criteria;
use crate::pools;
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// The whole farm, in the unit of usage.
pub(crate) const WHOLE: u64 = 1_000_000_000;

/// With more jobs than this the line is put in order at most every [`RERANK_EVERY`]: sorting thousands at each submit
/// would cost more than it is worth. A new job is put at its end until then, and is given its first frames all the same.
const RERANK_AT_ONCE_MAX: usize = 256;

/// See [`RERANK_AT_ONCE_MAX`].
const RERANK_EVERY: Duration = Duration::from_secs(1);

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
    /// Its units take long, or nobody knows how long.
    pub long: Mask,
    /// Jobs with more places than their cap: they were alone.
    pub over: BTreeSet<JobId>,
    /// Used part of the farm by category and user.
    pub usage: BTreeMap<(AccountId, AccountId), u64>,
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
        &mut line.long,
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
    let ready = job.waits_for.is_empty() && job.has_free_unit();
    if ready != line.ready.get(rank) {
        line.ready.set(rank, ready);
        if ready {
            job.waiting_since = now;
            scheduler.someone_new = true;
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
    refresh_cap(scheduler, id);
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
/// priority, then the places it has for its priority, then its age.
type Key = [(u64, u64, u64); 3];

/// A part of something for its priority.
fn ratio(part: u64, priority: u32) -> u64 {
    // Priorities are at most 1000: ten bits more keep the order of fractions that differ.
    (part << 20) / u64::from(priority.max(1))
}

/// What the members of a category, or of a user in it, have together.
#[derive(Debug, Clone, Copy, Default)]
struct Together {
    priority: u32,
    places: u64,
    demand: u64,
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
                category.into(),
            ),
            (
                ratio(used_in_it.unwrap_or(0), in_it.priority),
                ratio(in_it.places, in_it.priority),
                user.into(),
            ),
            (
                ratio(job.usage, priority),
                ratio(job.places.into(), priority),
                job.job.id.0,
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
    for mask in [
        &mut line.ready,
        &mut line.fresh,
        &mut line.starved,
        &mut line.capped,
        &mut line.long,
    ] {
        mask.clear();
    }
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
            job.rank = Some(rank);
            job.target_milli = targets.get(&id).copied().unwrap_or(0);
            // Its bit was cleared with all others: it is not ready anew.
            let since = job.waiting_since;
            let news = scheduler.someone_new;
            show(scheduler, id);
            refresh_job(scheduler, now, id);
            scheduler.someone_new = news;
            if let Some(job) = scheduler.jobs.get_mut(&id) {
                job.waiting_since = since;
            }
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

/// Thousandths of slots that a job could use now.
fn demand(scheduler: &Scheduler, job: &JobEntry) -> u64 {
    let free = if job.waits_for.is_empty() {
        job.free_units()
    } else {
        0
    };
    let wanted = u64::from(job.places) + u64::from(free);
    wanted.min(u64::from(cap(scheduler, job))) * 1000
}

/// Thousandths of slots for each job, if the farm were divided by priorities now: nobody gets more than it can use, and
/// what one leaves is divided among the others (progressive filling, by category, user, job).
fn targets(
    scheduler: &Scheduler,
    categories: &BTreeMap<AccountId, Together>,
    users: &BTreeMap<(AccountId, AccountId), Together>,
) -> BTreeMap<JobId, u64> {
    // (who, priority, demand) of each user in a category.
    type Members = Vec<(JobId, u32, u64)>;
    let mut jobs: BTreeMap<(AccountId, AccountId), Members> = BTreeMap::new();
    for job in scheduler
        .jobs
        .values()
        .filter(|job| job.state == JobState::Active)
    {
        jobs.entry((job.category(), job.user())).or_default().push((
            job.job.id,
            job.job.settings.priority,
            demand(scheduler, job),
        ));
    }
    let mut targets = BTreeMap::new();
    let all = categories.iter().map(|(&id, of)| {
        let bound = limit(scheduler, id);
        (id, of.priority, of.demand.min(bound))
    });
    for (category, part) in divide(u64::from(scheduler.pools.slots) * 1000, all.collect()) {
        let members =
            users
                .range((category, 0)..=(category, AccountId::MAX))
                .map(|(&(_, user), of)| {
                    let bound = limit(scheduler, user);
                    (user, of.priority, of.demand.min(bound))
                });
        for (user, part) in divide(part, members.collect()) {
            let members = jobs.remove(&(category, user)).unwrap_or_default();
            targets.extend(divide(part, members));
        }
    }
    targets
}

fn limit(scheduler: &Scheduler, id: AccountId) -> u64 {
    let limit = scheduler.accounts.get(id).limit;
    limit.map_or(u64::MAX, |slots| u64::from(slots) * 1000)
}

/// Divides `whole` by priority; (who, priority, demand), nobody gets more than its demand.
fn divide<T>(mut whole: u64, mut among: Vec<(T, u32, u64)>) -> Vec<(T, u64)> {
    let share = |(_, priority, demand): &(T, u32, u64)| ratio(*demand, *priority);
    among.sort_by_key(share);
    let mut weights: u64 = among.iter().map(|one| u64::from(one.1)).sum();
    let mut parts = Vec::with_capacity(among.len());
    // Who needs least for its priority is served first: what it leaves is there for the rest.
    for (who, priority, demand) in among {
        let fair = whole * u64::from(priority) / weights.max(1);
        let part = fair.min(demand);
        whole -= part;
        weights -= u64::from(priority);
        parts.push((who, part));
    }
    parts
}

/// Measures what every job, user and category uses now.
pub(crate) fn sample(scheduler: &mut Scheduler, now: Duration) {
    let mut busy: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut slots = 0;
    for worker in scheduler.workers.values() {
        if !worker.is_linked() {
            continue;
        }
        slots += worker.slots() as u64;
        let begun = |key: &&tessera_model::LeaseKey| {
            scheduler
                .leases
                .get(key)
                .is_some_and(|held| held.rendering.is_some())
        };
        let waiting = worker.leases.iter().filter(|key| !begun(key));
        let in_slots = worker.leases.iter().filter(begun).chain(waiting);
        for key in in_slots.take(worker.slots()) {
            *busy.entry(key.unit.job).or_default() += 1;
        }
    }
    let mut by_category: BTreeMap<AccountId, u64> = BTreeMap::new();
    let mut by_user: BTreeMap<(AccountId, AccountId), u64> = BTreeMap::new();
    let mut live = false;
    for (id, job) in &mut scheduler.jobs {
        if job.state.is_over() && job.usage == 0 {
            continue;
        }
        let used = busy.get(id).copied().unwrap_or(0);
        live |= job.state == JobState::Active;
        job.usage = halved(job.usage, used, slots);
        job.room_asked = false;
        job.trimmed = false;
        *by_category.entry(job.category()).or_default() += used;
        *by_user.entry((job.category(), job.user())).or_default() += used;
    }
    let mut faded = true;
    for (id, account) in (0..).zip(scheduler.accounts.iter_mut()) {
        let used = by_category.get(&id).copied().unwrap_or(0);
        account.usage = halved(account.usage, used, slots);
        faded &= account.usage == 0;
    }
    let line = &mut scheduler.line;
    for &who in by_user.keys() {
        line.usage.entry(who).or_default();
    }
    line.usage.retain(|who, usage| {
        let used = by_user.get(who).copied().unwrap_or(0);
        *usage = halved(*usage, used, slots);
        *usage > 0 || by_user.contains_key(who)
    });
    line.stale = true;
    scheduler.sampling = live || !faded;
    if scheduler.sampling {
        let every = Duration::from_millis(scheduler.settings.sample_ms);
        scheduler.timers.set(now + every, Timer::Sample);
    }
}

/// usage ← usage/2 + (slots busy / slots of the farm)/2. What is below a millionth of the farm counts as nothing.
fn halved(usage: u64, busy: u64, slots: u64) -> u64 {
    let part = (busy * WHOLE).checked_div(slots).unwrap_or(0).min(WHOLE);
    let usage = usage / 2 + part / 2;
    if usage < WHOLE / 1_000_000 { 0 } else { usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(whole: u64, among: &[(u32, u64)], parts: &[u64]) {
        let among = among.iter().enumerate().map(|(at, &(p, d))| (at, p, d));
        let mut divided = divide(whole, among.collect());
        divided.sort_unstable();
        let got: Vec<u64> = divided.into_iter().map(|(_, part)| part).collect();
        assert_eq!(got, parts);
    }

    #[test]
    fn divides_by_priority_and_leaves_nothing_that_someone_can_use() {
        check(900, &[(1, 1000), (2, 1000)], &[300, 600]);
        check(900, &[(1, 1000), (2, 100)], &[800, 100]);
        check(900, &[(1, 10), (1, 20)], &[10, 20]);
        check(100, &[(3, 1000), (1, 5), (1, 1000)], &[71, 5, 24]);
        check(0, &[(1, 5)], &[0]);
        check(5, &[], &[]);
    }

    #[test]
    fn usage_halves_with_every_sample() {
        assert_eq!(halved(0, 1, 2), WHOLE / 4);
        assert_eq!(halved(WHOLE, 0, 2), WHOLE / 2);
        assert_eq!(halved(WHOLE, 2, 2), WHOLE);
        assert_eq!(halved(1000, 0, 2), 0);
        assert_eq!(halved(0, 5, 0), 0);
    }
}
