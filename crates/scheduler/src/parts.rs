//! The part of the farm that is each job's own: its slots divided by priority among those who have work.

use std::collections::BTreeMap;

use tessera_model::{JobId, JobState};

use crate::accounts::AccountId;
use crate::job::JobEntry;
use crate::line::{Together, cap, ratio};
use crate::scheduler::Scheduler;

/// Thousandths of slots that a job could use now.
pub(crate) fn demand(scheduler: &Scheduler, job: &JobEntry) -> u64 {
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
pub(crate) fn targets(
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
}
