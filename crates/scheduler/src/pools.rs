//! Who could work for whom, without asking every worker about every job.
//!
//! Jobs that ask the same of a worker share a need; workers that meet the same needs and can be given work form a pool.
//! A farm has few of either, however many workers and jobs. A pool keeps its workers that have room, in the order they
//! are served, and those that have units lying ready, to be asked back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_model::WorkerId;

use crate::mask::Mask;
use crate::need::Criterion;
use crate::scheduler::Scheduler;

/// Index of a need.
pub(crate) type NeedId = usize;
/// Name of a pool.
pub(crate) type PoolId = u32;

/// Needs without a job that may stay before all needs are counted anew.
const UNUSED_NEEDS_MAX: usize = 64;

/// What jobs ask, and how much of the farm meets it.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub criteria: Vec<Criterion>,
    /// Jobs, live or over, that ask for it.
    pub jobs: usize,
    /// Workers that meet it and can be given work.
    pub workers: u32,
    /// Their slots.
    pub slots: u32,
    /// Speeds of these slots in thousandths of the average, together, and when that was counted; only where frames are divided.
    pub speeds: Option<(Duration, u64)>,
}

/// One unit for each slot, as [`Hungry::load`] counts.
pub(crate) const LOAD_OF_ONE: u32 = 1 << 10;

/// A worker with room, in serving order: first who has least in hand for each slot, of these the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hungry {
    /// Units in hand for each slot, in [`LOAD_OF_ONE`]ths.
    pub load: u32,
    pub speed: Reverse<u32>,
    pub worker: WorkerId,
}

impl Hungry {
    /// Units in hand for each slot, rounded down.
    pub(crate) fn level(self) -> u32 {
        self.load / LOAD_OF_ONE
    }
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub pool: PoolId,
    /// What it was counted with.
    pub slots: u32,
    pub hungry: Option<Hungry>,
    /// Units beyond its slots.
    pub spare: u32,
    /// Units in hand.
    pub held: u32,
}

/// Workers that meet the same needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    pub meets: Vec<u64>,
    pub workers: u32,
    /// Ranks of the jobs whose need they meet.
    pub jobs: Mask,
    pub hungry: BTreeSet<Hungry>,
    /// From this level on its workers were found to have nothing ready for them. Forgotten as soon as that may be otherwise.
    pub nothing_from: Option<u32>,
    /// As it stands in [`Pools::turn`].
    turn: Option<Hungry>,
    /// By the number of units beyond their slots, those without left out.
    pub spare: BTreeSet<(u32, WorkerId)>,
}

/// All needs and pools.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pools {
    pub needs: Vec<Need>,
    by_criteria: BTreeMap<Vec<Criterion>, NeedId>,
    pub pools: BTreeMap<PoolId, Pool>,
    by_meets: BTreeMap<Vec<u64>, PoolId>,
    next_pool: PoolId,
    /// Of each pool that may have something ready, the worker to be served first.
    pub turn: BTreeSet<(Hungry, PoolId)>,
    /// Slots of all workers that can be given work.
    pub slots: u32,
    /// Of those, workers with an empty slot.
    pub idle: BTreeSet<WorkerId>,
    /// A slot became empty, or something came to lie ready: who is idle may have something taken back for it.
    pub idle_news: bool,
}

fn has_bit(words: &[u64], bit: usize) -> bool {
    words
        .get(bit / 64)
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

impl Pool {
    pub(crate) fn meets(&self, need: NeedId) -> bool {
        has_bit(&self.meets, need)
    }
}

impl Pools {
    /// Needs of jobs that are not pinned to a build.
    pub(crate) fn unpinned(&self) -> impl Iterator<Item = NeedId> + '_ {
        let open = |need: &Need| {
            need.jobs > 0 && matches!(need.criteria.first(), Some(Criterion::SomeBuild(..)))
        };
        (0..self.needs.len()).filter(move |&at| open(&self.needs[at]))
    }

    /// Notes from which level on nothing is ready for the workers of a pool, or that something may be.
    pub(crate) fn note_nothing(&mut self, id: PoolId, from: Option<u32>) {
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.nothing_from = from;
            self.line_up(id);
        }
    }

    /// Brings a pool's turn in line with its workers.
    fn line_up(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get_mut(&id) else {
            return;
        };
        let may = |first: &Hungry| pool.nothing_from.is_none_or(|from| first.level() < from);
        let first = pool.hungry.first().copied().filter(may);
        if pool.turn != first {
            if let Some(old) = pool.turn {
                self.turn.remove(&(old, id));
            }
            if let Some(new) = first {
                self.turn.insert((new, id));
            }
            pool.turn = first;
        }
    }
}

/// The number of a need; new to all workers if it is new.
pub(crate) fn intern(scheduler: &mut Scheduler, criteria: Vec<Criterion>) -> NeedId {
    if let Some(&id) = scheduler.pools.by_criteria.get(&criteria) {
        scheduler.pools.needs[id].jobs += 1;
        return id;
    }
    let unused = |need: &&Need| need.jobs == 0;
    let dead = scheduler.pools.needs.iter().filter(unused).count();
    if dead > UNUSED_NEEDS_MAX && dead * 2 > scheduler.pools.needs.len() {
        compact(scheduler);
    }
    let pools = &mut scheduler.pools;
    let id = pools.needs.len();
    pools.by_criteria.insert(criteria.clone(), id);
    pools.needs.push(Need {
        criteria,
        jobs: 1,
        workers: 0,
        slots: 0,
        speeds: None,
    });
    place_all(scheduler);
    id
}

/// A job asks for it no more.
pub(crate) fn release(scheduler: &mut Scheduler, need: NeedId) {
    scheduler.pools.needs[need].jobs -= 1;
}

fn place_all(scheduler: &mut Scheduler) {
    let workers: Vec<WorkerId> = scheduler.workers.keys().copied().collect();
    for worker in workers {
        place(scheduler, worker);
    }
}

/// Forgets the needs without a job.
fn compact(scheduler: &mut Scheduler) {
    let workers: Vec<WorkerId> = scheduler.workers.keys().copied().collect();
    for &worker in &workers {
        leave(scheduler, worker);
        if let Some(entry) = scheduler.workers.get_mut(&worker) {
            entry.meets.clear();
            entry.looked_at = 0;
        }
    }
    let old = std::mem::take(&mut scheduler.pools.needs);
    scheduler.pools.by_criteria.clear();
    let mut renumbered = BTreeMap::new();
    for (id, need) in old
        .into_iter()
        .enumerate()
        .filter(|(_, need)| need.jobs > 0)
    {
        let new = scheduler.pools.needs.len();
        renumbered.insert(id, new);
        scheduler
            .pools
            .by_criteria
            .insert(need.criteria.clone(), new);
        scheduler.pools.needs.push(Need {
            workers: 0,
            slots: 0,
            ..need
        });
    }
    for job in scheduler.jobs.values_mut() {
        job.need = renumbered[&job.need];
    }
    for worker in workers {
        place(scheduler, worker);
    }
}

/// Puts a worker where it belongs now: after anything about it changed but what it holds.
pub(crate) fn place(scheduler: &mut Scheduler, id: WorkerId) {
    leave(scheduler, id);
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    if worker.absence().is_some() {
        return;
    }
    let pools = &mut scheduler.pools;
    worker.meets.resize(pools.needs.len().div_ceil(64), 0);
    for (at, need) in pools.needs.iter().enumerate().skip(worker.looked_at) {
        if need.criteria.iter().all(|one| one.is_met(&worker.record)) {
            worker.meets[at / 64] |= 1 << (at % 64);
        }
    }
    worker.looked_at = pools.needs.len();
    let pool_id = *pools
        .by_meets
        .entry(worker.meets.clone())
        .or_insert_with(|| {
            pools.next_pool += 1;
            let mut pool = Pool {
                meets: worker.meets.clone(),
                ..Pool::default()
            };
            for (rank, job) in (0..).zip(&scheduler.line.order) {
                let meets = scheduler
                    .jobs
                    .get(job)
                    .is_some_and(|job| pool.meets(job.need));
                pool.jobs.set(rank, meets);
            }
            pools.pools.insert(pools.next_pool, pool);
            pools.next_pool
        });
    let slots = worker.slots() as u32;
    worker.spot = Some(Spot {
        pool: pool_id,
        slots,
        hungry: None,
        spare: 0,
        held: 0,
    });
    count(pools, pool_id, slots, 1);
    scheduler.line.caps_stale = true;
    scheduler.room_due = true;
    reindex(scheduler, id);
}

/// Takes a worker out of its pool.
pub(crate) fn leave(scheduler: &mut Scheduler, id: WorkerId) {
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    let Some(spot) = worker.spot.take() else {
        return;
    };
    worker.passed = false;
    scheduler.passed.remove(&id);
    let pools = &mut scheduler.pools;
    pools.idle.remove(&id);
    if let Some(pool) = pools.pools.get_mut(&spot.pool) {
        if let Some(hungry) = spot.hungry {
            pool.hungry.remove(&hungry);
        }
        pool.spare.remove(&(spot.spare, id));
    }
    pools.line_up(spot.pool);
    count(pools, spot.pool, spot.slots, -1);
    scheduler.line.caps_stale = true;
    let empty = pools
        .pools
        .get(&spot.pool)
        .is_some_and(|pool| pool.workers == 0);
    if empty && let Some(pool) = pools.pools.remove(&spot.pool) {
        pools.by_meets.remove(&pool.meets);
    }
}

/// Counts a worker in or out.
fn count(pools: &mut Pools, pool: PoolId, slots: u32, sign: i32) {
    let slots = slots as i32 * sign;
    pools.slots = pools.slots.saturating_add_signed(slots);
    let Some(pool) = pools.pools.get_mut(&pool) else {
        return;
    };
    pool.workers = pool.workers.saturating_add_signed(sign);
    for (at, need) in pools.needs.iter_mut().enumerate() {
        if has_bit(&pool.meets, at) {
            need.workers = need.workers.saturating_add_signed(sign);
            need.slots = need.slots.saturating_add_signed(slots);
        }
    }
}

/// Brings a worker's standing in line with what it holds.
pub(crate) fn reindex(scheduler: &mut Scheduler, id: WorkerId) {
    let deepest = 1 + scheduler.settings.queued_per_slot;
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    let Some(spot) = &mut worker.spot else {
        return;
    };
    let held = worker.leases.len() as u32;
    let load = held.saturating_mul(LOAD_OF_ONE) / spot.slots.max(1);
    let hungry = (load < deepest * LOAD_OF_ONE && !worker.passed).then_some(Hungry {
        load,
        speed: Reverse(worker.speed.0),
        worker: id,
    });
    let spare = held.saturating_sub(spot.slots);
    let pools = &mut scheduler.pools;
    if held < spot.slots {
        // Each further slot that is empty counts, not only the first.
        pools.idle_news |= pools.idle.insert(id) || held < spot.held;
    } else {
        pools.idle.remove(&id);
    }
    let Some(pool) = pools.pools.get_mut(&spot.pool) else {
        return;
    };
    if spot.hungry != hungry {
        if let Some(old) = spot.hungry {
            pool.hungry.remove(&old);
        }
        if let Some(new) = hungry {
            pool.hungry.insert(new);
        }
    }
    pools.idle_news |= spare > spot.spare;
    if spot.spare != spare {
        pool.spare.remove(&(spot.spare, id));
        if spare > 0 {
            pool.spare.insert((spare, id));
        }
        spot.spare = spare;
    }
    spot.held = held;
    if std::mem::replace(&mut spot.hungry, hungry) != hungry {
        pools.line_up(spot.pool);
    }
}
