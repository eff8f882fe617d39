//! Everything that is counted or indexed, counted anew from what it is counted from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::{JobId, JobState, LeaseKey, StepIndex, WorkerId};

use crate::accounts::AccountId;
use crate::books::weight_milli;
use crate::builds::Builds;
use crate::job::JobEntry;
use crate::{Scheduler, assign, depend, line};

pub(super) fn audit(scheduler: &Scheduler, now: Duration) {
    leases(scheduler);
    places(scheduler);
    for job in scheduler.jobs.values() {
        units(scheduler, job, now);
        counters(scheduler, job);
        bits(scheduler, job);
    }
    pools(scheduler);
    warmth(scheduler);
    builds(scheduler);
}

fn leases(scheduler: &Scheduler) {
    let mut units: BTreeMap<_, Vec<LeaseKey>> = BTreeMap::new();
    let mut recalled = 0;
    for (key, held) in &scheduler.leases {
        units.entry(key.unit).or_default().push(*key);
        let of = |leases: &[LeaseKey]| leases.iter().filter(|held| *held == key).count();
        assert_eq!(of(&scheduler.workers[&held.worker].leases), 1, "{key:?}");
        let job = &scheduler.jobs[&key.unit.job];
        assert!(job.leases.contains(key));
        assert!(!job.state.is_over(), "a lease of a job that is over");
        assert_eq!(held.begun.is_some(), held.rendering.is_some());
        recalled += usize::from(held.recalled);
    }
    assert_eq!(recalled, scheduler.recalled);
    for job in scheduler.jobs.values() {
        let lying = job.leases.iter();
        let lying = lying.filter(|key| scheduler.leases[key].lies_ready());
        assert!(lying.eq(&job.lying));
        if let Some(rank) = job.rank {
            assert_eq!(scheduler.line.lying.get(rank), !job.lying.is_empty());
        }
    }
    for (unit, keys) in units {
        assert!(keys.len() <= 2, "{} leases of {unit}", keys.len());
        let holders: BTreeSet<WorkerId> = keys
            .iter()
            .map(|key| scheduler.leases[key].worker)
            .collect();
        assert_eq!(holders.len(), keys.len(), "{unit} twice at one worker");
        let twins = keys.iter().filter(|key| scheduler.leases[key].twin).count();
        assert_eq!(twins, keys.len() - 1, "{unit}");
    }
    let by_job: usize = scheduler.jobs.values().map(|job| job.leases.len()).sum();
    let by_worker = scheduler.workers.values().map(|worker| worker.leases.len());
    let all = scheduler.leases.len();
    assert_eq!((by_job, by_worker.sum()), (all, all));
}

/// Of each worker at most as many as it has slots.
fn places(scheduler: &Scheduler) {
    let mut jobs: BTreeMap<JobId, u32> = BTreeMap::new();
    let mut accounts: BTreeMap<AccountId, u32> = BTreeMap::new();
    let mut held: BTreeMap<JobId, u64> = BTreeMap::new();
    for worker in scheduler.workers.values() {
        let mut here: BTreeMap<JobId, u32> = BTreeMap::new();
        let mut here_for: BTreeMap<AccountId, u32> = BTreeMap::new();
        for key in &worker.leases {
            *here.entry(key.unit.job).or_default() += 1;
            for account in &scheduler.jobs[&key.unit.job].accounts {
                *here_for.entry(*account).or_default() += 1;
            }
        }
        let slots = worker.slots() as u32;
        let weight = weight_milli(worker.leases.len(), worker.slots());
        for key in &worker.leases {
            *held.entry(key.unit.job).or_default() += weight;
        }
        for (job, count) in here {
            *jobs.entry(job).or_default() += count.min(slots);
        }
        for (account, count) in here_for {
            *accounts.entry(account).or_default() += count.min(slots);
        }
    }
    for (id, job) in scheduler.jobs.iter() {
        assert_eq!(job.places, jobs.get(id).copied().unwrap_or(0), "job {id}");
        assert_eq!(job.held_milli, held.get(id).copied().unwrap_or(0));
    }
    let all = scheduler.jobs.values().flat_map(|job| &job.accounts);
    for &id in all {
        let account = scheduler.accounts.get(id);
        let counted = accounts.get(&id).copied().unwrap_or(0);
        assert_eq!(account.places, counted, "{:?}", account.holder);
    }
}

fn units(scheduler: &Scheduler, job: &JobEntry, now: Duration) {
    for (at, step) in job.steps.iter().enumerate() {
        let index = StepIndex(at as u16);
        for unit in 0..step.taken.len() {
            let held = job.leases_of(job.unit_id(index, unit)).next().is_some();
            let backs_off = step
                .failures
                .range(step.positions(unit))
                .any(|(&at, failures)| failures.not_before > now && step.wants(at));
            let waits = !depend::frames_are_there(scheduler, job, index, unit);
            let within = step.is_within_another(unit);
            let taken = held || !step.is_wanted(unit) || backs_off || waits || within;
            assert_eq!(
                step.taken.get(unit),
                taken,
                "job {} step {at} unit {unit}: held {held}, backs off {backs_off}, waits {waits}",
                job.job.id
            );
            assert!(taken || unit >= step.first_free);
        }
        assert!(step.done.iter().all(|at| !step.given_up.get(at)));
        for (unit, &span) in &step.cuts {
            assert!(
                step.attempts.contains_key(unit),
                "a unit that nobody was given is cut"
            );
            let whole = step.frame_positions(*unit);
            assert!(
                span > 1 && unit + span <= whole.end,
                "a unit of several frames"
            );
        }
    }
    let unmet = depend::unmet(scheduler, &job.job.settings.after);
    assert_eq!(job.waits_for, unmet);
}

fn counters(scheduler: &Scheduler, job: &JobEntry) {
    let (mut leased, mut rendering) = (0, 0);
    for key in &job.leases {
        let held = &scheduler.leases[key];
        if !held.twin {
            leased += held.left;
        }
        rendering += u32::from(held.rendering.is_some());
    }
    assert_eq!((job.leased, job.rendering), (leased, rendering));
}

fn bits(scheduler: &Scheduler, job: &JobEntry) {
    let id = job.job.id;
    let line = &scheduler.line;
    assert_eq!(
        job.rank.is_some(),
        job.state == JobState::Active,
        "job {id}"
    );
    assert_eq!(
        scheduler.preempting.contains(&id),
        job.state == JobState::Active && job.job.settings.preempt
    );
    let Some(rank) = job.rank else {
        return;
    };
    assert_eq!(line.order[rank as usize], id);
    let ready = job.waits_for.is_empty() && job.has_free_unit();
    assert_eq!(line.ready.get(rank), ready, "job {id}");
    let fresh = job.dispatched < scheduler.settings.first_frames;
    assert_eq!(line.fresh.get(rank), fresh, "job {id}");
    assert_eq!(line.starved.get(rank), job.starved);
    let beyond = job.beyond_milli(job.held_milli);
    assert_eq!(
        line.owed.get(rank),
        beyond <= -line::HALF_A_SLOT_MILLI,
        "job {id}"
    );
    assert_eq!(
        line.owed_whole.get(rank),
        beyond <= -line::MOST_OF_A_SLOT_MILLI,
        "job {id}"
    );
    if !line.caps_stale && !line.stale {
        let cap = line::cap(scheduler, job);
        assert_eq!(line.capped.get(rank), job.places >= cap, "job {id}");
    }
    for pool in scheduler.pools.pools.values() {
        assert_eq!(pool.jobs.get(rank), pool.meets(job.need), "job {id}");
    }
    let criteria = crate::need::criteria(&job.job, job.first_open());
    assert_eq!(scheduler.pools.needs[job.need].criteria, criteria);
}

fn pools(scheduler: &Scheduler) {
    let mut slots = 0;
    for (id, worker) in scheduler.workers.iter() {
        assert_eq!(worker.spot.is_none(), worker.absence().is_some(), "{id}");
        let Some(spot) = worker.spot else {
            continue;
        };
        slots += spot.slots;
        assert_eq!(spot.slots as usize, worker.slots());
        let pool = &scheduler.pools.pools[&spot.pool];
        for (need, asked) in scheduler.pools.needs.iter().enumerate() {
            let met = asked.criteria.iter().all(|one| one.is_met(&worker.record));
            assert_eq!(pool.meets(need), met, "worker {id}, {:?}", asked.criteria);
        }
        assert_eq!(worker.passed, scheduler.passed.contains(id));
        let room = worker.leases.len()
            < worker.slots() * (1 + scheduler.settings.queued_per_slot as usize);
        assert_eq!(spot.hungry.is_some(), room && !worker.passed, "{id}");
        assert!(
            spot.hungry
                .is_none_or(|hungry| pool.hungry.contains(&hungry))
        );
        let idle = worker.leases.len() < worker.slots();
        assert_eq!(scheduler.pools.idle.contains(id), idle);
    }
    assert_eq!(scheduler.pools.slots, slots);
    for (at, need) in scheduler.pools.needs.iter().enumerate() {
        let workers = scheduler.workers.values().filter(|worker| {
            worker
                .spot
                .is_some_and(|spot| scheduler.pools.pools[&spot.pool].meets(at))
        });
        let (count, slots) = workers.fold((0, 0), |(count, slots), worker| {
            (count + 1, slots + worker.slots() as u32)
        });
        assert_eq!((need.workers, need.slots), (count, slots));
        let jobs = scheduler.jobs.values().filter(|job| job.need == at).count();
        assert_eq!(need.jobs, jobs);
    }
    let mut turn = BTreeSet::new();
    for (&id, pool) in &scheduler.pools.pools {
        assert!(pool.workers > 0);
        assert!(pool.hungry.len() <= pool.workers as usize);
        let Some(&first) = pool.hungry.first() else {
            continue;
        };
        if pool.nothing_from.is_none_or(|from| first.level() < from) {
            turn.insert((first, id));
        } else if !scheduler.line.stale && scheduler.line.news.is_empty() {
            let missed = assign::has_work(scheduler, pool, first.level());
            assert!(!missed, "workers that have something ready are not served");
        }
    }
    assert_eq!(scheduler.pools.turn, turn);
}

fn warmth(scheduler: &Scheduler) {
    for (id, worker) in scheduler.workers.iter() {
        assert!(worker.loaded.len() <= worker.slots().max(1));
        for job in &worker.loaded {
            assert!(scheduler.jobs[job].loaded_at.contains(id));
        }
    }
    for (id, job) in scheduler.jobs.iter() {
        for worker in &job.loaded_at {
            assert!(scheduler.workers[worker].loaded.contains(id));
        }
    }
}

fn builds(scheduler: &Scheduler) {
    let mut counted = Builds::default();
    for worker in scheduler.workers.values() {
        for build in worker.record.facts.iter().flat_map(|facts| &facts.builds) {
            *counted.known.entry(build.clone()).or_default() += 1;
            if worker.is_linked() {
                *counted.linked.entry(build.clone()).or_default() += 1;
            }
        }
    }
    assert_eq!(scheduler.builds, counted);
}
