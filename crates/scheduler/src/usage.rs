//! What every job, user and category uses of the farm.
//!
//! A slot works for the job whose unit is in it: of what a worker holds, as much as it has slots, what is being rendered
//! first. That is counted by time, not by a look at one moment, which with short frames would be a matter of luck.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_model::{JobState, LeaseKey, WorkerId};

use crate::accounts::AccountId;
use crate::job::JobEntry;
use crate::scheduler::Scheduler;
use crate::timers::Timer;

/// The whole farm, in the unit of usage.
const WHOLE: u64 = 1_000_000_000;

/// What a job got less or more than its part is made up for up to so much: a slot for as long as a few of its units
/// take, and for at least so many samples. A part of a slot amounts to that before it changes hands. More would let a job
/// that nobody could render for long take the farm when somebody can.
const CREDIT_UNITS: u64 = 4;
const CREDIT_SAMPLES_MIN: u64 = 2;
const CREDIT_SAMPLES_MAX: u64 = 360;

fn credit_max_milli(job: &JobEntry, sample_us: u64) -> i64 {
    let units_us = job.unit_us().unwrap_or(0).saturating_mul(CREDIT_UNITS);
    let samples = units_us.div_ceil(sample_us);
    (samples.clamp(CREDIT_SAMPLES_MIN, CREDIT_SAMPLES_MAX) * 1000) as i64
}

/// Counts what a worker's slots did since this was last done. To be called before anything about what it holds changes.
pub(crate) fn accrue(scheduler: &mut Scheduler, now: Duration, worker: WorkerId) {
    let Some(entry) = scheduler.workers.get_mut(&worker) else {
        return;
    };
    let since = std::mem::replace(&mut entry.accrued_at, now);
    let time_us = now.saturating_sub(since).as_micros() as u64;
    if time_us == 0 || entry.leases.is_empty() {
        return;
    }
    let slots = entry.slots();
    let is_begun = |key: &&LeaseKey| {
        let held = scheduler.leases.get(key);
        held.is_some_and(|held| held.rendering.is_some())
    };
    let leases = &scheduler.workers[&worker].leases;
    let waiting = leases.iter().filter(|key| !is_begun(key));
    let in_slots = leases.iter().filter(is_begun).chain(waiting);
    for key in in_slots.take(slots) {
        if let Some(job) = scheduler.jobs.get_mut(&key.unit.job) {
            job.used_us += time_us;
        }
    }
}

/// Measures what every job, user and category has used since the last time.
pub(crate) fn sample(scheduler: &mut Scheduler, now: Duration) {
    let workers: Vec<WorkerId> = scheduler.workers.keys().copied().collect();
    let mut slots = 0;
    for id in workers {
        accrue(scheduler, now, id);
        let linked = scheduler
            .workers
            .get(&id)
            .filter(|worker| worker.is_linked());
        slots += linked.map_or(0, |worker| worker.slots() as u64);
    }
    let since = std::mem::replace(&mut scheduler.sampled_at, now);
    let time_us = (now.saturating_sub(since).as_micros() as u64).max(1);
    let mut by_category: BTreeMap<AccountId, u64> = BTreeMap::new();
    let mut by_user: BTreeMap<(AccountId, AccountId), u64> = BTreeMap::new();
    let mut live = false;
    for job in scheduler.jobs.values_mut() {
        let used_milli = std::mem::take(&mut job.used_us).saturating_mul(1000) / time_us;
        if job.state.is_over() && job.usage == 0 && used_milli == 0 {
            continue;
        }
        live |= job.state == JobState::Active;
        job.usage = halved(job.usage, used_milli, slots);
        let is_ready = job.rank.is_some_and(|rank| scheduler.line.ready.get(rank));
        job.credit_milli = if is_ready || used_milli > 0 {
            let less = job.target_milli as i64 - used_milli as i64;
            let max = credit_max_milli(job, time_us);
            (job.credit_milli + less).clamp(-max, max)
        } else {
            0
        };
        job.room_asked = false;
        job.trimmed = false;
        *by_category.entry(job.category()).or_default() += used_milli;
        *by_user.entry((job.category(), job.user())).or_default() += used_milli;
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

/// usage ← usage/2 + (slots busy / slots of the farm)/2; busy slots in thousandths. What is below a millionth of the farm counts as nothing.
fn halved(usage: u64, busy_milli: u64, slots: u64) -> u64 {
    let part = busy_milli.saturating_mul(WHOLE / 1000).checked_div(slots);
    let part = part.unwrap_or(0).min(WHOLE);
    let usage = usage / 2 + part / 2;
    if usage < WHOLE / 1_000_000 { 0 } else { usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_halves_with_every_sample() {
        assert_eq!(halved(0, 1000, 2), WHOLE / 4);
        assert_eq!(halved(WHOLE, 0, 2), WHOLE / 2);
        assert_eq!(halved(WHOLE, 2000, 2), WHOLE);
        assert_eq!(halved(1000, 0, 2), 0);
        assert_eq!(halved(0, 5000, 0), 0);
    }
}
